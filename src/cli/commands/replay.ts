/**
 * `faultline replay <run.json|scenario>`: saved results run again, exit 1 when a state differs; or one schedule of a scenario, told step by
 * step, exit 1 when it fails.
 *
 * Interface: registerReplay.
 * Invariants: [replay-1] a result is run on the build of the kernel that made it, when the package has it.
 * Locks: none.
 * Why not compare the figures: equal states have equal figures, and the hash covers every byte.
 */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { storyText } from "../../report/explore-text.js";
import { SCENARIOS } from "../../scenarios/index.js";
import { EXPLORE_DEFAULTS, explorePlan } from "../../sim/explore/plan.js";
import { parseScript } from "../../sim/explore/schedule.js";
import { tellStory } from "../../sim/explore/story.js";
import { descriptionOf, runPoint } from "../../sim/run.js";
import { UsageError } from "../errors.js";
import { usage } from "../options.js";
import { colors, progressBar } from "../output.js";
import { readResults } from "../read-results.js";
import { loadOwn } from "./explore.js";

interface ReplayOptions {
  regime?: string;
  fs: string;
  filesystem?: string;
  mutant?: string;
  schedule?: string;
}

export function registerReplay(cli: Command): void {
  cli
    .command("replay <what>")
    .description("run saved results (run.json) again, exit 1 when a state differs; or one schedule of a scenario, step by step")
    .option("--regime <regime>", "of a scenario: one regime")
    .option("--fs <name>", "of a scenario: one filesystem", EXPLORE_DEFAULTS.fs)
    .option("--filesystem <module>", "of a scenario: a JavaScript module that exports a filesystem of your own")
    .option("--mutant <name>", "of a scenario: a slip that the kernel makes")
    .option("--schedule <script>", 'of a scenario: deviations as a failure names them, "17:2,40:e", or "default"')
    .action((what: string, options: ReplayOptions) => (isScenario(what) ? replaySchedule(what, options) : replayResults(what)));
}

function isScenario(what: string): boolean {
  return !existsSync(what) && SCENARIOS.some(({ id, name }) => [id.toLowerCase(), name].includes(what.toLowerCase()));
}

async function replaySchedule(scenario: string, options: ReplayOptions): Promise<void> {
  const { own } = await loadOwn(options.filesystem);
  const text = { ...EXPLORE_DEFAULTS, scenario, fs: own[0]?.name ?? options.fs, ...(options.regime ? { regime: options.regime } : {}) };
  const jobs = usage(() => explorePlan(text, own));
  const script = usage(() => parseScript(options.schedule ?? "default"));
  const [job] = jobs;
  if (!job || (jobs.length > 1 && options.regime !== undefined)) {
    throw new UsageError(`a schedule is of one scenario in one cell, not of ${jobs.length}: name one scenario, regime and filesystem`);
  }
  const { module } = await loadKernel("explore");
  const { result, rows, tasks } = tellStory(module, options.mutant === undefined ? job : { ...job, mutant: options.mutant }, script, own);
  process.stdout.write(`${job.scenario} on ${job.fs}, ${job.regime}\n${storyText(rows, tasks)}\n\n`);
  const ink = colors(process.stdout);
  if (result.ending !== undefined) process.stdout.write(`ending: ${result.ending}\n`);
  if (!result.problem) return;
  process.stdout.write(`${ink.red(result.problem.kind)}: ${result.problem.text}\n`);
  process.exitCode = 1;
}

async function replayResults(file: string): Promise<void> {
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
