/**
 * `faultline sites <workload|all>`: every read, write, reservation and allocation of a small workload fails, one at a time; what the
 * process is told, what is on the disk and what is left in memory is held against what Linux allows.
 *
 * Interface: registerSites.
 * Invariants: [cli-st1] exit 1 when a run fails.
 * Locks: none.
 * Why not a mode of crash: there the machine is gone and the disk is looked at; here the machine lives on.
 */
import type { Command } from "commander";
import { type KernelImage, loadKernel } from "../../node.js";
import { type SiteOutcome, replayedSiteText, sitesJson, sitesText } from "../../report/sites-text.js";
import { SITE_FS_NAMES } from "../../sim/sites/filesystems.js";
import { SITE_KINDS } from "../../sim/sites/kinds.js";
import { SITE_TEXT_DEFAULTS, type SitePlan, type SiteText, sitePlan } from "../../sim/sites/plan.js";
import { replaySite, sweepSites } from "../../sim/sites/sweep.js";
import { SITE_WORKLOADS } from "../../sim/sites/workloads.js";
import { checkOneOf, inRange, onlyJob, usage } from "../options.js";
import { checkOutput, columns, emit, underBar } from "../output.js";

const FORMATS = ["table", "json"] as const;

interface SiteOptions extends Omit<SiteText, "workload"> {
  at?: string;
  checked?: boolean;
  output?: string;
  format: string;
}

export function registerSites(cli: Command): void {
  const d = SITE_TEXT_DEFAULTS;
  const width = Math.max(...SITE_WORKLOADS.map(({ name }) => name.length));
  const workloads = SITE_WORKLOADS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
  cli
    .command("sites <workload>")
    .description(
      "let every read, write, reservation and allocation of a small workload fail, one at a time, and hold what follows to the laws",
    )
    .option("--fs <list>", `filesystems: ${SITE_FS_NAMES.join(", ")}, or all`, d.fs)
    .option("--regime <list>", "regimes, fault lock + mkwrite each, commas between", d.regime)
    .option("--kind <list>", `what fails: ${SITE_KINDS.join(", ")}; eio, oom, or all`, d.kind)
    .option("--seed <n>", "seed of the machine, and of the sites that are drawn", d.seed)
    .option("--budget <n>", "runs of each workload on each filesystem with each kind, at most", d.budget)
    .option("--at <site>", "one site only, as a failure names it: 12, or 12+ for that and all after it")
    .option("--checked", "use the kernel build with every costly check")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(" or "), "table")
    .addHelpText("after", `\nWorkloads (all for every one):\n${workloads}`)
    .action(sitesCommandLine);
}

async function sitesCommandLine(workload: string, options: SiteOptions): Promise<void> {
  const format = checkOneOf(options.format, "format", FORMATS);
  checkOutput(options.output);
  const plan = usage(() => sitePlan({ ...options, workload }));
  const kernel = await loadKernel(options.checked === true);
  if (options.at !== undefined) {
    replay(kernel, plan, options.at);
    return;
  }
  const outcomes = swept(kernel, plan);
  emit(format === "json" ? sitesJson(outcomes) : sitesText(outcomes, columns()), options.output);
  if (outcomes.some(({ report }) => report.failed > 0)) process.exitCode = 1;
}

function swept({ module }: KernelImage, { jobs, budget }: SitePlan): SiteOutcome[] {
  return underBar(jobs, "sweeps", (job, progress) => ({ job, report: sweepSites({ module, ...job }, { budget, progress }) }));
}

function replay({ module }: KernelImage, { jobs }: SitePlan, site: string): void {
  const job = onlyJob(jobs, "--at is a site of one run", "workload, filesystem, regime, kind");
  const replayed = inRange(() => replaySite({ module, ...job }, site));
  process.stdout.write(`${replayedSiteText(job, replayed)}\n`);
  if (replayed.problems.length > 0) process.exitCode = 1;
}
