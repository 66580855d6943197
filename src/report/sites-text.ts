/**
 * Sweeps of the sites of failure as text and as JSON.
 *
 * Interface: SiteOutcome, sitesText(outcomes, columns), sitesJson(outcomes), replayedSiteText(job, replayed).
 * Invariants: [srt-1] every failure ends in a command that shows it again.
 * Locks: none.
 * Why not a row a site: there are thousands, and what is told of one is in its replay.
 */
import { describeStep } from "../sim/crash/steps.js";
import { type SiteJob, siteCommand } from "../sim/sites/plan.js";
import type { ReplayedSite, SiteReport } from "../sim/sites/sweep.js";
import { siteName } from "../sim/sites/trial.js";
import { regimeName } from "../sim/regimes.js";
import { table } from "./format.js";

export interface SiteOutcome {
  job: SiteJob;
  report: SiteReport;
}

const HEADER = ["workload", "fs", "kind", "sites", "runs", "all", "told", "shut down", "killed", "known", "failed"];

function sum(outcomes: readonly SiteOutcome[], of: (report: SiteReport) => number): number {
  return outcomes.reduce((total, { report }) => total + of(report), 0);
}

function rowOf({ report: r }: SiteOutcome): string[] {
  return [
    r.workload,
    r.fs,
    r.kind,
    String(r.sites),
    String(r.runs),
    r.covered ? "yes" : "no",
    ...[r.told, r.aborted, r.killed, r.known, r.failed].map(String),
  ];
}

function failuresOf({ job, report }: SiteOutcome): string[] {
  return report.failures.map(({ site, problems }) => {
    const lines = [`${report.workload} on ${report.fs}, ${regimeName(job.regime)}: ${job.kind} at site ${site}`];
    lines.push(...problems.slice(0, 8).map((problem) => `  ${problem.replaceAll("\n", "\n  ")}`));
    lines.push(`  again: ${siteCommand(job, `--at ${site}`)}`);
    return lines.join("\n");
  });
}

/** One row a job, the failures, and what it comes to. */
export function sitesText(outcomes: readonly SiteOutcome[], columns: number): string {
  const [sites, runs, failed] = [sum(outcomes, (r) => r.sites), sum(outcomes, (r) => r.runs), sum(outcomes, (r) => r.failed)];
  const seconds = sum(outcomes, (r) => r.seconds);
  const rate = Math.round(runs / Math.max(seconds, 0.001));
  const total = `${sites} sites, ${runs} runs with one failing or all from it on, ${seconds.toFixed(1)} s: ${rate} runs/s`;
  const known = outcomes.flatMap(({ report: r }) =>
    r.reasons.map((why) => `known, ${r.known} of ${r.workload} on ${r.fs}, ${r.kind}: ${why}`),
  );
  const verdict =
    failed === 0
      ? `nothing${known.length > 0 ? " else" : ""} is lost, nothing is left, every error is one that Linux allows`
      : `${failed} runs fail`;
  return [table(HEADER, outcomes.map(rowOf), columns), ...outcomes.flatMap(failuresOf), ...known, `${total}; ${verdict}`].join("\n\n");
}

export function sitesJson(outcomes: readonly SiteOutcome[]): string {
  const runs = outcomes.map(({ job, report }) => {
    const failures = report.failures.map((failure) => ({ ...failure, again: siteCommand(job, `--at ${failure.site}`) }));
    return { regime: regimeName(job.regime), seed: job.seed, ...report, failures };
  });
  const totals = { sites: sum(outcomes, (r) => r.sites), runs: sum(outcomes, (r) => r.runs), failed: sum(outcomes, (r) => r.failed) };
  return JSON.stringify({ schema: "faultline.sites/1", ...totals, sweeps: runs }, undefined, 2);
}

/** One site, failed again: what each step came to. */
export function replayedSiteText({ workload, kind }: SiteJob, r: ReplayedSite): string {
  const name = r.point.n === 0 ? "no site fails" : `${kind} at site ${siteName(r.point)} of ${r.sites}, ${r.hits} failed`;
  const steps = workload.steps.slice(0, r.results.length).map((step, i) => `  ${(r.results[i] ?? "").padEnd(8)} ${describeStep(step)}`);
  const end = [...(r.aborted ? ["the filesystem has shut down"] : []), ...(r.killed ? ["the process was killed"] : [])];
  return [name, ...steps, ...end, ...(r.problems.length === 0 ? ["allowed"] : r.problems)].join("\n");
}
