/**
 * `faultline replay <run.json>`: saved results run again; exit 1 when a state differs.
 *
 * Interface: registerReplay.
 * Invariants: [replay-1] a result is run on the build of the kernel that made it, when the package has it.
 * Locks: none.
 * Why not compare the figures: equal states have equal figures, and the hash covers every byte.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { descriptionOf, runPoint } from "../../sim/run.js";
import { colors, progressBar } from "../output.js";
import { readResults } from "../read-results.js";

export function registerReplay(cli: Command): void {
  cli.command("replay <run.json>").description("run saved results again; exit 1 when a state differs").action(replayCommand);
}

async function replayCommand(file: string): Promise<void> {
  const results = readResults(file);
  const kernels = [await loadKernel(), await loadKernel(true)];
  const [release] = kernels;
  const bar = progressBar(results.length);
  const lines: string[] = [];
  try {
    for (const wanted of results) {
      const kernel = kernels.find((k) => k.sha256 === wanted.wasm_sha256) ?? release;
      if (!kernel) continue;
      const got = await runPoint(kernel, descriptionOf(wanted));
      const same = got.state_sha256 === wanted.state_sha256;
      if (!same) process.exitCode = 1;
      const ink = colors(process.stdout);
      const verdict = same ? ink.green("same state") : ink.red(`other state: ${got.state_sha256}`);
      const build = kernel.sha256 === wanted.wasm_sha256 ? "" : " (made by another build of the kernel)";
      lines.push(`${wanted.workload} ${wanted.tasks} ${wanted.mode} seed ${wanted.seed}: ${verdict}${build}\n`);
      bar.update(lines.length);
    }
  } finally {
    bar.stop();
    process.stdout.write(lines.join(""));
  }
}
