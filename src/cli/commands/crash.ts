/**
 * `faultline crash <workload|all>`: the power fails at every point of a small workload; each disk that may be left is checked, mounted
 * and compared with what was promised.
 *
 * Interface: registerCrash.
 * Invariants: [cli-c1] exit 1 when a state fails.
 * Locks: none.
 * Why not an option of run: a run measures one machine; this looks at thousands.
 */
import type { Command } from "commander";
import { type KernelImage, loadKernel } from "../../node.js";
import { type CrashOutcome, crashJson, crashText, replayedText } from "../../report/crash-text.js";
import { exploreCrashes, replayState } from "../../sim/crash/explore.js";
import { CRASH_FS_NAMES } from "../../sim/crash/filesystems.js";
import type { CrashRun } from "../../sim/crash/machine.js";
import { CRASH_TEXT_DEFAULTS, type CrashJob, type CrashPlan, type CrashText, PLANTED, crashPlan } from "../../sim/crash/plan.js";
import { CRASH_WORKLOADS } from "../../sim/crash/workloads.js";
import { checkOneOf, inRange, onlyJob, usage } from "../options.js";
import { checkOutput, columns, emit, underBar } from "../output.js";

const FORMATS = ["table", "json"] as const;

interface CrashOptions extends Omit<CrashText, "workload"> {
  at?: string;
  checked?: boolean;
  output?: string;
  format: string;
}

export function registerCrash(cli: Command): void {
  const d = CRASH_TEXT_DEFAULTS;
  const width = Math.max(...CRASH_WORKLOADS.map(({ name }) => name.length));
  const workloads = CRASH_WORKLOADS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
  cli
    .command("crash <workload>")
    .description("fail the power at every point of a small workload, and hold each disk that may be left against what was promised")
    .option("--fs <list>", `filesystems: ${CRASH_FS_NAMES.join(", ")}, or all`, d.fs)
    .option("--regime <list>", "regimes, fault lock + mkwrite each, commas between", d.regime)
    .option("--seed <n>", "seed of the machine, and of the states that are drawn", d.seed)
    .option("--budget <n>", "states of each workload on each filesystem, at most", d.budget)
    .option(
      "--fault <name[:n]>",
      `plant a fault of the disk: ${Object.keys(PLANTED).join(", ")}, of the n-th flush or write, or of every flush`,
    )
    .option("--mutant <name>", "a slip that the kernel makes (faultline mutants)")
    .option("--at <state>", "look at one state only, as a failure names it: point:sectors")
    .option("--checked", "use the kernel build with every costly check")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(" or "), "table")
    .addHelpText("after", `\nWorkloads (all for every one):\n${workloads}`)
    .action(crashCommandLine);
}

async function crashCommandLine(workload: string, options: CrashOptions): Promise<void> {
  const format = checkOneOf(options.format, "format", FORMATS);
  checkOutput(options.output);
  const plan = usage(() => crashPlan({ ...options, workload }));
  const kernel = await loadKernel(options.mutant !== undefined ? "explore" : options.checked === true);
  if (options.at !== undefined) {
    replay(kernel, plan, options.at);
    return;
  }
  const outcomes = explored(kernel, plan);
  emit(format === "json" ? crashJson(outcomes) : crashText(outcomes, columns()), options.output);
  if (outcomes.some(({ report }) => report.failed > 0)) process.exitCode = 1;
}

function runOf({ module }: KernelImage, job: CrashJob): CrashRun {
  return { module, ...job };
}

function explored(kernel: KernelImage, { jobs, budget }: CrashPlan): CrashOutcome[] {
  return underBar(jobs, "workloads", (job, progress) => ({ job, report: exploreCrashes(runOf(kernel, job), { budget, progress }) }));
}

function replay(kernel: KernelImage, { jobs }: CrashPlan, state: string): void {
  const job = onlyJob(jobs, "--at is a state of one run", "workload, filesystem, regime");
  const replayed = inRange(() => replayState(runOf(kernel, job), state));
  process.stdout.write(`${replayedText(replayed)}\n`);
  if (replayed.problems.length > 0) process.exitCode = 1;
}
