/**
 * Faultline in Node: the library, and the kernel that ships with the package.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type KernelImage, kernelImage } from "./sim/run.js";

export * from "./index.js";
export { type KernelImage, Run, type RunDescription, RunError, runPoint } from "./sim/run.js";
export { runSweep, type SweepDescription, summarize } from "./sim/sweep.js";
export { SCHEMA, type RunResult } from "./sim/result.js";
export { WORKLOADS } from "./workloads/index.js";

/** release: what is measured. checked: with every costly walk. explore: schedules can be chosen, mutants selected. */
export type KernelBuild = "release" | "checked" | "explore";

function buildName(build: KernelBuild | boolean): KernelBuild {
  return typeof build === "boolean" ? (build ? "checked" : "release") : build;
}

/** Bytes of a kernel in this package; true is the checked build. Throws when it is not built. */
export function kernelBytes(build: KernelBuild | boolean = "release"): Uint8Array {
  const wanted = buildName(build);
  const name = wanted === "release" ? "faultline.wasm" : `faultline.${wanted}.wasm`;
  const here = fileURLToPath(new URL(".", import.meta.url));
  for (const up of ["..", "../build", "../..", "."]) {
    try {
      return readFileSync(join(here, up, name));
    } catch {
      // The next place: built output, sources, or a bundle beside the kernel.
    }
  }
  throw new Error(`${name} is not built: npm run build:wasm`);
}

/** A kernel of this package, compiled, with its hash. */
export async function loadKernel(build: KernelBuild | boolean = "release"): Promise<KernelImage> {
  return kernelImage(kernelBytes(build));
}
