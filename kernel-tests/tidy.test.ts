/*
 * What reviewers would otherwise have to look for: arrows between rooms, state outside linear memory, heads, lengths, banned
 * calls, references that lead nowhere, law numbers, assert density, and what the built modules import and export.
 *
 * Checks: the import rule and D1, D2, D6, D7 of DECISIONS; [layout-1] [abi-1]; that each law of ARCHITECTURE has its test.
 * An offender that is known is named here with its reason; a list of them may only become shorter.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import ts from "typescript";
import {
  ROOT,
  type Source,
  commentsOf,
  filesBelow,
  functionsOf,
  headOf,
  importsOf,
  isFile,
  roomOf,
  sources,
  statesOutsideMemory,
  stringsOf,
  wasmMutableGlobals,
} from "./source";

const assembly = sources("assembly");
const src = sources("src");
const tests = sources("kernel-tests");
const harness = tests.filter((s) => s.path.startsWith("kernel-tests/harness/"));

/** Rooms by rank: a room imports rooms of a lower rank, and files beside the rooms. */
const KERNEL_RANK: Readonly<Record<string, number>> = { lib: 0, sched: 1, cpu: 2, block: 2, mm: 3, fs: 4, kernel: 5, "": 6, flags: 6 };
const HOST_RANK: Readonly<Record<string, number>> = {
  host: 0,
  guest: 1,
  fs: 2,
  workloads: 3,
  scenarios: 3,
  sim: 4,
  report: 5,
  "": 6,
  cli: 7,
  lab: 7,
  build: 8,
};
/** Beside the rooms of assembly/, and below all of them. */
const CONSTANTS = ["assembly/config", "assembly/memlayout", "assembly/tracepoints"];
/** Files of a room that stand lower than it: text helpers without imports of their own. */
const LOWER: Readonly<Record<string, number>> = { "src/sim/parse": 0, "src/sim/suggest": 0 };

function wrongArrows(files: readonly Source[], top: string, rank: Readonly<Record<string, number>>): string[] {
  const rankOf = (path: string): number => (CONSTANTS.includes(path) ? -1 : (LOWER[path] ?? rank[roomOf(path)] ?? -2));
  return files.flatMap((source) => {
    const from = rankOf(source.path.replace(/\.tsx?$/, ""));
    return importsOf(source)
      .filter((to) => to.startsWith(`${top}/`) || to.startsWith("kernel-tests/"))
      .filter((to) => roomOf(to) !== roomOf(source.path) && !(rankOf(to) < from && rankOf(to) > -2))
      .map((to) => `${source.path} imports ${to}`);
  });
}

describe("arrows between rooms", () => {
  it("kernel -> fs -> mm -> {cpu, block} -> sched -> lib", () => {
    expect(wrongArrows(assembly, "assembly", KERNEL_RANK)).toEqual([]);
    expect([...new Set(assembly.map((s) => roomOf(s.path)))].filter((room) => !(room in KERNEL_RANK))).toEqual([]);
  });

  it("cli, lab -> index, node -> report -> sim -> {workloads, scenarios} -> fs -> guest -> host", () => {
    expect(wrongArrows(src, "src", HOST_RANK)).toEqual([]);
    expect([...new Set(src.map((s) => roomOf(s.path)))].filter((room) => !(room in HOST_RANK))).toEqual([]);
  });

  it("the kernel imports nothing from outside; the harness only the kernel", () => {
    const outside = (s: Source): string[] => importsOf(s).filter((to) => !/^(assembly|kernel-tests\/harness)\//.test(to));
    expect([...assembly, ...harness].flatMap(outside)).toEqual([]);
    expect(assembly.flatMap(importsOf).filter((to) => to.startsWith("kernel-tests"))).toEqual([]);
  });

  it("sources do not import tests, and what runs in a browser imports nothing of Node", () => {
    expect(src.flatMap((s) => importsOf(s)).filter((to) => to.startsWith("kernel-tests"))).toEqual([]);
    const node = /^src\/(cli|build)\/|^src\/node\.ts$|^src\/sim\/(pool|worker|explore\/(worker|mutant-worker))\.ts$/;
    const users = src.filter((s) => !node.test(s.path) && importsOf(s).some((to) => to.startsWith("node:")));
    expect(users.map((s) => s.path)).toEqual([]);
  });
});

describe("state", () => {
  it("[layout-1] the kernel keeps none outside linear memory", () => {
    expect([...assembly, ...harness].flatMap(statesOutsideMemory)).toEqual([]);
  });

  it("nothing that decides a run asks a clock or rolls dice", () => {
    const banned = ["Math.random", "Date.now", "performance.now", "new Date", "crypto.getRandomValues", "setTimeout"];
    const deciding = [...assembly, ...src.filter((s) => ["host", "guest", "fs", "workloads", "scenarios"].includes(roomOf(s.path)))];
    const code = (s: Source): string => commentsOf(s).reduce((text, comment) => text.replace(comment, ""), s.text);
    const users = deciding.flatMap((s) => banned.filter((call) => code(s).includes(call)).map((call) => `${s.path}: ${call}`));
    expect(users).toEqual([]);
  });
});

const BUILDS = ["faultline.wasm", "faultline.checked.wasm", "faultline.explore.wasm"] as const;

describe.each(BUILDS)("build/%s", (name) => {
  const path = join(ROOT, "build", name);
  const bytes = existsSync(path) ? readFileSync(path) : undefined;

  it("imports a memory and abort, nothing else", () => {
    expect(bytes, "npx tsx src/build/build.ts --only wasm").toBeDefined();
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes!)).map((i) => `${i.module}.${i.name}: ${i.kind}`);
    expect(imports.sort()).toEqual(["env.abort: function", "env.memory: memory"]);
  });

  it("[layout-1] has no mutable global but the two of the pass that switches stacks", () => {
    expect(wasmMutableGlobals(bytes!)).toBe(2);
  });

  it("[abi-1] exports what src/host/wasm.ts declares, the pass's own functions apart", () => {
    const declared: string[] = [];
    const wasm = src.find((s) => s.path === "src/host/wasm.ts")!;
    for (const statement of wasm.ast.statements) {
      if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== "KernelExports") continue;
      declared.push(...statement.members.map((member) => member.name?.getText(wasm.ast) ?? ""));
    }
    const exported = WebAssembly.Module.exports(new WebAssembly.Module(bytes!));
    const names = exported.map((e) => e.name).filter((n) => !n.startsWith("asyncify_"));
    expect(names.sort()).toEqual(declared.sort());
    expect(exported.filter((e) => e.kind !== "function")).toEqual([]);
  });
});

/** One function, so that the state of a program's CPU stays in the host's registers: a line or two an instruction. */
const RUN_LOOP = "assembly/cpu/rv64/run.ts";

describe("files", () => {
  it("every file opens with what it is", () => {
    const bare = [...assembly, ...src, ...tests].filter((s) => headOf(s) === "");
    expect(bare.map((s) => s.path)).toEqual([]);
  });

  it("heads in assembly/ have five parts: what it is, Interface, Invariants, Locks, and at the end Why not", () => {
    const wrong = [...assembly, ...harness].filter((s) => {
      const head = headOf(s);
      const [first, invariants, locks, last] = [/ \* Interface:/, / \* Invariants:/, / \* Locks[ :]/, / \* Why not /].map((part) =>
        head.search(part),
      );
      const isOrdered = first! > 5 && invariants! > first! && locks! > first! && last! > Math.max(invariants!, locks!);
      return !isOrdered || !/^\/\*\n \* \S/.test(head);
    });
    expect(wrong.map((s) => s.path)).toEqual([]);
  });

  it("are below 500 lines, their functions below 70, their lines up to 140 columns", () => {
    const all = [...assembly, ...src, ...tests];
    const long = all.filter((s) => s.text.split("\n").length > 500).map((s) => s.path);
    const wide = all.flatMap((s) => s.text.split("\n").flatMap((line, i) => (line.length > 140 ? [`${s.path}:${i + 1}`] : [])));
    const tall = [...assembly, ...src].flatMap(functionsOf).filter((f) => f.lines > 70 && f.path !== RUN_LOOP);
    expect({ long, wide, tall: tall.map((f) => `${f.path} ${f.name}: ${f.lines}`) }).toEqual({ long: [], wide: [], tall: [] });
  });

  it("nothing is left for later", () => {
    const later = /\b(?:TO(?:)DO|FIX(?:)ME|X{3})\b/;
    const left = [...assembly, ...src, ...tests].filter((s) => later.test(s.text)).map((s) => s.path);
    expect(left).toEqual([]);
  });

  it("names are not two words for one thing: no room has a file that only differs in its ending", () => {
    const stems = [...assembly, ...src].map((s) => s.path.replace(/\.tsx?$/, ""));
    expect(stems.filter((stem, i) => stems.indexOf(stem) !== i)).toEqual([]);
  });
});

/** Named ahead of its arrival. */
const PENDING = ["calibration/"];
const documents = ["README.md", "ARCHITECTURE.md", "DECISIONS.md", "CONTRIBUTING.md", "CHANGELOG.md", "NOTICE"]
  .concat(existsSync(join(ROOT, "docs")) ? filesBelow("docs") : [], ["assembly", "src", "kernel-tests"].flatMap(filesBelow))
  .filter((path) => path.endsWith(".md") && existsSync(join(ROOT, path)));

describe("references", () => {
  const known = new Set([...["assembly", "src", "kernel-tests"].flatMap(filesBelow), ...documents]);
  const isThere = (path: string, from: string): boolean =>
    PENDING.some((folder) => path.startsWith(folder)) || isFile(path, from, known) || existsSync(join(ROOT, path));

  it("files that comments name exist", () => {
    const names = /\b[\w-]+(?:\/[\w-]+)*\/[\w-]+\.(?:tsx?|md|csv|json)\b/g;
    const lost = [...assembly, ...src, ...tests].flatMap((s) => {
      const named = commentsOf(s).flatMap((comment) => comment.match(names) ?? []);
      return named.filter((path) => !isThere(path, s.path)).map((path) => `${s.path} names ${path}`);
    });
    expect(lost).toEqual([]);
  });

  it.each(documents)("%s links to files that exist", (path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((m) => m[1]!).filter((to) => !/^[a-z]+:/.test(to));
    const named = [...text.matchAll(/`([\w-]+(?:\/[\w-]+)*\/[\w-]+\.(?:tsx?|md|csv|json))`/g)].map((m) => m[1]!);
    expect([...links, ...named].filter((to) => !isThere(to, path))).toEqual([]);
  });
});

/** Law numbers in a text; a range "[page-1..3]" is all of them. */
function lawsIn(text: string): string[] {
  return [...text.matchAll(/\[([a-z]+[a-z0-9]*-)(\d+)(?:\.\.(\d+))?\]/g)].flatMap(([, name, first, last]) => {
    const [from, to] = [Number(first), Number(last ?? first)];
    return Array.from({ length: to - from + 1 }, (_, i) => `${name}${from + i}`);
  });
}

describe("laws", () => {
  const heads = new Set([...assembly, ...src, ...tests].flatMap((s) => lawsIn(headOf(s))));
  const architecture = existsSync(join(ROOT, "ARCHITECTURE.md")) ? readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8") : "";

  it("every number that an assert cites is explained in some file's head", () => {
    const cited = assembly.flatMap((s) =>
      stringsOf(s)
        .flatMap(lawsIn)
        .map((law) => [law, s.path] as const),
    );
    expect(cited.filter(([law]) => !heads.has(law)).map(([law, path]) => `[${law}] in ${path}`)).toEqual([]);
    expect(cited.length).toBeGreaterThan(150);
  });

  it("every number that a test cites is explained in a head or in ARCHITECTURE.md", () => {
    const explained = new Set([...heads, ...lawsIn(architecture)]);
    const cited = tests.flatMap((s) =>
      stringsOf(s)
        .flatMap(lawsIn)
        .map((law) => [law, s.path] as const),
    );
    expect(cited.filter(([law]) => !explained.has(law)).map(([law, path]) => `[${law}] in ${path}`)).toEqual([]);
  });

  it("every law of the machine has a test that cites it", () => {
    const LAWS = ["mk-1", "mk-2", "mk-3", "mk-4", "mk-5", "mk-6", "lk-1", "lk-2", "dt-1"];
    const cited = new Set(tests.filter((s) => s.path.endsWith(".test.ts")).flatMap((s) => lawsIn(s.text)));
    expect(LAWS.filter((law) => !cited.has(law))).toEqual([]);
  });
});

/** Asserts a function that each room has today, rounded down. Two are the aim; a floor is only ever raised. */
const DENSITY_FLOOR: Readonly<Record<string, number>> = { lib: 0.3, sched: 0.25, cpu: 0.1, block: 0.9, mm: 0.24, fs: 0.2, kernel: 0.2 };

/** Below the run loop an assert is a call that may block ([run-1]): the loop's callers assert for it. */
const RUN_LOOP_FILES = "assembly/cpu/rv64/";

describe("assert density", () => {
  for (const [room, floor] of Object.entries(DENSITY_FLOOR)) {
    const functions = assembly.filter((s) => roomOf(s.path) === room && !s.path.startsWith(RUN_LOOP_FILES)).flatMap(functionsOf);
    const asserts = functions.reduce((sum, f) => sum + f.asserts, 0);
    const density = asserts / functions.length;
    it(`${room}: ${asserts} asserts in ${functions.length} functions, ${density.toFixed(2)} each`, () => {
      expect(density).toBeGreaterThanOrEqual(floor);
    });
  }
});

describe("package", () => {
  it("pins every dependency to one version", () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<string, Record<string, string> | undefined>;
    const all = Object.entries({ ...manifest["dependencies"], ...manifest["devDependencies"] });
    expect(all.length).toBeGreaterThan(10);
    expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});
