/**
 * Crash explorations as text and as JSON.
 *
 * Interface: CrashOutcome, crashText(outcomes, columns), crashJson(outcomes), replayedText(replayed).
 * Invariants: [crt-1] every failure ends in a command that shows it again.
 * Locks: none.
 * Why not a row a failure: one broken flush fails thousands of states; the first few tell all.
 */
import type { CrashReport, ReplayedState } from "../sim/crash/explore.js";
import { type CrashJob, crashCommand } from "../sim/crash/plan.js";
import { regimeName } from "../sim/regimes.js";
import { table } from "./format.js";

export interface CrashOutcome {
  job: CrashJob;
  report: CrashReport;
}

const HEADER = ["workload", "fs", "points", "all states", "states", "images", "states/s", "failed"];

function sum(outcomes: readonly CrashOutcome[], of: (report: CrashReport) => number): number {
  return outcomes.reduce((total, { report }) => total + of(report), 0);
}

function rate(states: number, seconds: number): string {
  return String(Math.round(states / Math.max(seconds, 0.001)));
}

function rowOf({ report: r }: CrashOutcome): string[] {
  const numbers = [r.points, r.exhaustive, r.states, r.images].map(String);
  return [r.workload, r.fs, ...numbers, rate(r.states, r.seconds), String(r.failed)];
}

function failuresOf({ job, report }: CrashOutcome): string[] {
  return report.failures.map(({ state, during, problems }) => {
    const lines = [`${report.workload} on ${report.fs}, ${regimeName(job.regime)}: power fails ${during}`];
    lines.push(...problems.slice(0, 8).map((problem) => `  ${problem.replaceAll("\n", "\n  ")}`));
    lines.push(`  again: ${crashCommand(job, `--at ${state}`)}`);
    return lines.join("\n");
  });
}

/** One row a job, the failures, and what it comes to. */
export function crashText(outcomes: readonly CrashOutcome[], columns: number): string {
  const states = sum(outcomes, (r) => r.states);
  const seconds = sum(outcomes, (r) => r.seconds);
  const failed = sum(outcomes, (r) => r.failed);
  const images = sum(outcomes, (r) => r.images);
  const total = `${states} crash states, ${images} different disks, ${seconds.toFixed(1)} s: ${rate(states, seconds)} states/s`;
  const verdict = failed === 0 ? "no state is one that it may not be" : `${failed} states fail`;
  return [table(HEADER, outcomes.map(rowOf), columns), ...outcomes.flatMap(failuresOf), `${total}; ${verdict}`].join("\n\n");
}

export function crashJson(outcomes: readonly CrashOutcome[]): string {
  const runs = outcomes.map(({ job, report }) => {
    const failures = report.failures.map((failure) => ({ ...failure, again: crashCommand(job, `--at ${failure.state}`) }));
    return { regime: regimeName(job.regime), seed: job.seed, fault: job.fault, ...report, failures };
  });
  const totals = { states: sum(outcomes, (r) => r.states), images: sum(outcomes, (r) => r.images), failed: sum(outcomes, (r) => r.failed) };
  return JSON.stringify({ schema: "faultline.crash/1", ...totals, runs }, undefined, 2);
}

/** One state, looked at again. */
export function replayedText(r: ReplayedState): string {
  const lines = [`state ${r.state}: power fails ${r.during}; ${r.keptSectors} of ${r.looseSectors} loose sectors are on the disk`];
  for (const [path, { kind, content, nlink }] of r.shown) {
    lines.push(`  ${path}  ${kind}${kind === "file" ? `, ${content.length} bytes, ${nlink} links` : ""}`);
  }
  return [...lines, ...(r.problems.length === 0 ? ["allowed"] : r.problems)].join("\n");
}
