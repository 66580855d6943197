/*
 * Builds everything under build/: the three kernels, the test harness, the library and CLI with their types, the web page.
 *
 *   tsx src/build/build.ts [--only wasm|release|checked|explore,js,harness,types,lab,plain] [--force]
 *
 * A part is skipped when the hash of its inputs is the one it was built from.
 */
import { errorText } from "../host/error-text.js";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const out = join(root, "build");

/** Every file below the given paths, sorted, so that the hash does not depend on the file system. */
function filesBelow(paths: string[]): string[] {
  const found: string[] = [];
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    if (statSync(full).isFile()) found.push(full);
    else for (const name of readdirSync(full)) found.push(...filesBelow([join(path, name)]));
  }
  return found.sort();
}

function hashOf(paths: string[]): string {
  const hash = createHash("sha256");
  for (const file of filesBelow(paths)) hash.update(file.slice(root.length)).update(readFileSync(file));
  return hash.digest("hex");
}

/** Runs `build` unless `name` was built from these very inputs and its outputs are still there. */
async function part(name: string, inputs: string[], outputs: string[], build: () => Promise<void>): Promise<void> {
  const stamp = join(out, `.stamp-${name}`);
  const hash = hashOf([...inputs, "src/build/build.ts", "package-lock.json"]);
  const fresh = outputs.every((file) => existsSync(join(out, file)));
  if (fresh && existsSync(stamp) && readFileSync(stamp, "utf8") === hash && !process.argv.includes("--force")) return;
  const start = Date.now();
  await build();
  writeFileSync(stamp, hash);
  process.stderr.write(`built ${name} in ${((Date.now() - start) / 1000).toFixed(1)} s\n`);
}

function run(args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${args.join(" ")} exited with ${code}`));
    });
  });
}

function asc(...args: string[]): Promise<void> {
  return run(["node_modules/assemblyscript/bin/asc.js", ...args]);
}

/** The kernel as its targets build it (asconfig.json): all, or the one that is named. */
async function buildWasm(targets: readonly string[]): Promise<void> {
  await Promise.all(
    targets.map((target) => {
      const output = target === "release" ? "faultline.wasm" : `faultline.${target}.wasm`;
      return part(target, ["assembly", "asconfig.json"], [output], () =>
        asc(`assembly/flags/${target}.ts`, "assembly/index.ts", "--config", "asconfig.json", "--target", target),
      );
    }),
  );
}

/** The kernel without the pass that switches stacks, for `npm run bench`: it runs until something would block. */
async function buildPlain(): Promise<void> {
  await part("plain", ["assembly", "asconfig.json"], ["faultline.plain.wasm"], () =>
    asc(
      ...["assembly/flags/release.ts", "assembly/index.ts", "--config", "asconfig.json", "--target", "release"],
      ...["--runPasses", "", "-o", "build/faultline.plain.wasm"],
    ),
  );
}

async function buildHarness(): Promise<void> {
  await part("harness", ["assembly", "asconfig.json", "kernel-tests/harness"], ["kernel-tests.wasm"], () =>
    asc(
      ...["assembly/flags/checked.ts", "kernel-tests/harness/index.ts", "--config", "asconfig.json"],
      // 235: the harness exports whole rooms, and classes do not become exports.
      ...["--target", "checked", "-o", "build/kernel-tests.wasm", "--disableWarning", "235"],
    ),
  );
}

async function buildJs(): Promise<void> {
  const outputs = ["index", "node", "worker", "explore-worker", "mutant-worker", "cli/main"].map((name) => `dist/${name}.js`);
  await part("js", ["src", "tsconfig.json"], outputs, async () => {
    const { metafile } = await esbuild.build({
      absWorkingDir: root,
      entryPoints: {
        ...{ index: "src/index.ts", node: "src/node.ts", "cli/main": "src/cli/main.ts" },
        ...{ worker: "src/sim/worker.ts", "explore-worker": "src/sim/explore/worker.ts" },
        "mutant-worker": "src/sim/explore/mutant-worker.ts",
      },
      outdir: "build/dist",
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20",
      packages: "external",
      sourcemap: true,
      logLevel: "warning",
      metafile: true,
    });
    dropStale("build/dist", Object.keys(metafile.outputs));
  });
}

/** Removes what an earlier build has left in a directory and its `cli`: chunks are named by their content. */
function dropStale(directory: string, outputs: readonly string[]): void {
  for (const below of [directory, `${directory}/cli`]) {
    for (const name of readdirSync(join(root, below))) {
      const isOld = /\.js(\.map)?$/.test(name) && !outputs.includes(`${below}/${name}`);
      if (isOld) rmSync(join(root, below, name));
    }
  }
}

async function buildTypes(): Promise<void> {
  await part("types", ["src", "tsconfig.json"], ["dist/types/index.d.ts", "dist/types/node.d.ts"], () =>
    run(["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]),
  );
}

/** What the page must never load: it is Node's, or a terminal's. */
const NOT_IN_PAGE = /node_modules\/(linkedom|commander|cli-progress|picocolors|yaml|zod)\//;

async function buildLab(): Promise<void> {
  await part("lab", ["src", "assembly"], ["lab/index.html", "lab/main.js", "lab/worker.js"], async () => {
    rmSync(join(out, "lab"), { recursive: true, force: true });
    mkdirSync(join(out, "lab"), { recursive: true });
    const { metafile } = await esbuild.build({
      absWorkingDir: root,
      entryPoints: { main: "src/lab/main.tsx", worker: "src/lab/worker.ts" },
      outdir: "build/lab",
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      sourcemap: true,
      metafile: true,
      logLevel: "warning",
    });
    const wrong = Object.keys(metafile.inputs).filter((file) => NOT_IN_PAGE.test(file));
    if (wrong.length > 0) throw new Error(`the page loads what only Node may: ${wrong.slice(0, 3).join(", ")}`);
    for (const name of ["index.html", "style.css", "icon.svg"]) copyFileSync(join(root, "src/lab", name), join(out, "lab", name));
    copyFileSync(join(out, "faultline.wasm"), join(out, "lab", "faultline.wasm"));
  });
}

async function main(): Promise<void> {
  mkdirSync(out, { recursive: true });
  // npm would take build/.gitignore for what may not be published; a .npmignore beside it, which ignores nothing, stands before it.
  writeFileSync(join(out, ".npmignore"), "");
  const flag = process.argv.indexOf("--only");
  const only = flag < 0 ? ["wasm", "harness", "js", "types", "lab"] : (process.argv[flag + 1] ?? "").split(",");
  const kernels = ["release", "checked", "explore"];
  await buildWasm(only.includes("wasm") ? kernels : kernels.filter((name) => only.includes(name)));
  await Promise.all([
    only.includes("harness") && existsSync(join(root, "kernel-tests/harness/index.ts")) ? buildHarness() : undefined,
    only.includes("plain") ? buildPlain() : undefined,
    only.includes("js") ? buildJs() : undefined,
    only.includes("types") ? buildTypes() : undefined,
    only.includes("lab") ? buildLab() : undefined,
  ]);
}

main().catch((error: unknown) => {
  process.stderr.write(`${errorText(error)}\n`);
  process.exitCode = 1;
});
