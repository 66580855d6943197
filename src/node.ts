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

/** Bytes of the kernel in this package. `checked` is the build with every costly walk. */
export function kernelBytes(checked = false): Uint8Array {
  const name = checked ? "faultline.checked.wasm" : "faultline.wasm";
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

/** The kernel of this package, compiled, with its hash. */
export async function loadKernel(checked = false): Promise<KernelImage> {
  return kernelImage(kernelBytes(checked));
}
