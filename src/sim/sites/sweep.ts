/**
 * The sweep: every site of a workload fails once, alone and with all after it; each run is held against what Linux allows, what was
 * promised, and what is left at rest.
 *
 * Interface: sweepSites(run, options), replaySite(run, site), SiteReport, SiteFailure, ReplayedSite, sampled.
 * Invariants: [ssw-1] a report follows from the SiteRun and the budget alone, but for its time.
 * Locks: none.
 * Why not two sites at a time: their number is the square, and a second failure mostly meets a step that has failed already.
 */
import { knownFault } from "./known.js";
import { SiteBench, type SitePoint, type SiteRun, type Trial, siteName } from "./trial.js";

export interface SiteFailure {
  /** "12" or "12+". */
  site: string;
  problems: string[];
}

export interface SiteReport {
  workload: string;
  fs: string;
  kind: string;
  /** Sites that the workload reaches when nothing fails. */
  sites: number;
  /** Runs with a site failing; twice the sites when all were tried. */
  runs: number;
  /** Every site was tried, alone and with all after it. */
  covered: boolean;
  /** Runs in which a call or a fault was told; in which the filesystem shut down; in which the process was killed. */
  told: number;
  aborted: number;
  killed: number;
  /** Runs that broke in a way that known.ts names, and its reasons. */
  known: number;
  reasons: string[];
  failed: number;
  /** The first of them, one for each kind of problem. */
  failures: SiteFailure[];
  seconds: number;
}

export interface SweepOptions {
  /** Runs, at most; one at least. */
  budget: number;
  progress?: (done: number, total: number) => void;
}

const KEPT_FAILURES = 5;

/** As many of 0 .. count-1 as the budget allows: all, or evenly spread from where the seed says. */
export function sampled(count: number, budget: number, seed: number): number[] {
  if (count <= budget) return Array.from({ length: count }, (_, i) => i);
  const from = (seed * 0x9e3779b1) >>> 0;
  const picked = Array.from({ length: budget }, (_, i) => (Math.floor((i * count) / budget) + from) % count);
  return picked.sort((a, b) => a - b);
}

function pointsOf(sites: number, budget: number, seed: number): SitePoint[] {
  return sampled(2 * sites, budget, seed).map((i) => ({ n: 1 + (i >> 1), lasting: (i & 1) === 1 }));
}

/** What tells problems of one kind from another: their text without numbers. */
function shapeOf({ problems }: Trial): string {
  return problems.map((problem) => problem.replace(/\d+/g, "#").split("\n")[0]).join("\n");
}

/** Lets the sites of a workload fail, one run each. */
export function sweepSites(run: SiteRun, { budget, progress }: SweepOptions): SiteReport {
  const startMs = performance.now();
  const bench = new SiteBench(run);
  const points = pointsOf(bench.sites, budget, run.seed);
  const report: SiteReport = {
    workload: run.workload.name,
    fs: run.fs.name,
    kind: run.kind,
    sites: bench.sites,
    runs: points.length,
    covered: points.length === 2 * bench.sites,
    told: 0,
    aborted: 0,
    killed: 0,
    known: 0,
    reasons: [],
    failed: 0,
    failures: [],
    seconds: 0,
  };
  if (bench.clean.problems.length > 0) {
    report.failed++;
    report.failures.push({ site: "0", problems: bench.clean.problems });
  }
  const shapes = new Set<string>();
  for (const [i, point] of points.entries()) {
    const trial = bench.trial(point);
    if (trial.results.some((text) => text !== "ok" && text !== "skipped")) report.told++;
    if (trial.aborted) report.aborted++;
    if (trial.killed) report.killed++;
    const known = trial.problems.length > 0 ? knownFault(run, trial.problems) : undefined;
    if (known) {
      report.known++;
      if (!report.reasons.includes(known.why)) report.reasons.push(known.why);
    } else if (trial.problems.length > 0) {
      report.failed++;
      const shape = shapeOf(trial);
      if (!shapes.has(shape) && report.failures.length < KEPT_FAILURES) {
        report.failures.push({ site: siteName(point), problems: trial.problems });
      }
      shapes.add(shape);
    }
    progress?.(i + 1, points.length);
  }
  report.seconds = (performance.now() - startMs) / 1000;
  return report;
}

export interface ReplayedSite extends Trial {
  sites: number;
}

/** One site again. Throws RangeError for one that the run does not have. */
export function replaySite(run: SiteRun, site: string): ReplayedSite {
  const [, number, lasting] = /^(\d+)(\+?)$/.exec(site) ?? [];
  if (number === undefined) throw new RangeError(`site "${site}": expected its number, as 12, or 12+ for that and all after it`);
  const bench = new SiteBench(run);
  const n = Number(number);
  if (n > bench.sites || (n === 0 && bench.clean.problems.length === 0)) {
    throw new RangeError(`site "${site}": the run has ${bench.sites} sites of this kind, from 1 on`);
  }
  const trial = n === 0 ? bench.clean : bench.trial({ n, lasting: lasting === "+" });
  return { ...trial, sites: bench.sites };
}
