/**
 * `faultline settle`: the comparison that settles the argument; `npm start` runs it.
 *
 * Interface: registerSettle.
 * Invariants: [cli-cmp].
 * Locks: none.
 * Why not an alias of compare: it is three comparisons, and what they mean together.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { settleSentences, settleText } from "../../report/settle-text.js";
import { runJobs } from "../../sim/pool.js";
import { SETTLE_SEEDS, settleJobs, settlePlan, settleResult } from "../../sim/settle.js";
import { checkOneOf, costNames, poolOf, usage } from "../options.js";
import { checkPaths } from "../paths.js";
import { checkOutput, columns, emit, progressBar } from "../output.js";

interface SettleOptions {
  seeds: string;
  threads?: string;
  format: string;
  output?: string;
}

export function registerSettle(cli: Command): void {
  cli
    .command("settle")
    .description("what dropping mmap_sem across ->page_mkwrite costs, what it gains, whom it rescues: three comparisons, three sentences")
    .option("--seeds <n>", "number of seeds, one run each", SETTLE_SEEDS)
    .option("--threads <n>", "worker threads of this computer (default: one a core)")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", "table or json", "table")
    .action(settleCommand);
}

async function settleCommand(options: SettleOptions): Promise<void> {
  const format = checkOneOf(options.format, "format", ["table", "json"]);
  checkOutput(options.output);
  const pool = poolOf(options.threads, "threads");
  const kernel = await loadKernel();
  const plan = usage(() => settlePlan(costNames(kernel), options.seeds));
  const jobs = settleJobs(plan);
  const bar = progressBar(jobs.length);
  const progress = (done: number): void => {
    bar.update(done);
  };
  const outcomes = await runJobs(kernel, jobs, { ...pool, progress }).finally(() => {
    bar.stop();
  });
  const result = settleResult(plan, outcomes);
  const json = (): string => JSON.stringify({ ...result, sentences: settleSentences(result) }, undefined, 2);
  emit(format === "json" ? json() : settleText(result, columns()), options.output);
  checkPaths(outcomes);
}
