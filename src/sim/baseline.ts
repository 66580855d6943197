/**
 * A comparison against a saved one: which points have become worse, beyond what the seeds explain.
 *
 *     regression = the guarded metric's interval lies wholly on the worse side of the baseline's interval, and its median has
 *                  moved that way by more than the threshold. Changes below 100 ns of a wait that was 0 are none.
 *
 * Interface: baselineProblem, compareWithBaseline, Regression, BaselineReport, DEFAULT_THRESHOLD_PERCENT.
 * Invariants: [base-1] a comparison against itself has no regression, whatever the threshold.
 * Locks: none.
 * Why not a t-test: five runs of a deterministic machine have no normal distribution to test against.
 */
import type { CompareResult, ComparePoint, PointKey } from "./compare.js";
import type { Interval } from "./interval.js";

export const DEFAULT_THRESHOLD_PERCENT = 5;
/** Below this a median counts as this much, so that a change from 0 has a size. */
const FLOOR: Readonly<Record<string, number>> = { ns: 100 };

export interface Change {
  point: PointKey;
  metric: string;
  before: Interval;
  after: Interval;
  /** Of the median, per cent of the baseline; positive is up. */
  percent: number;
}

export interface BaselineReport {
  regressions: Change[];
  improvements: Change[];
  /** Points of the baseline that this comparison does not have, and the other way round. */
  missing: PointKey[];
  added: PointKey[];
  compared: number;
}

/** Why two comparisons cannot be set against each other, or undefined. */
export function baselineProblem(before: CompareResult, after: CompareResult): string | undefined {
  const fields = ["workload", "mode", "warmup_ns", "duration_ns", "stagger_ns", "set", "length_bytes"] as const;
  for (const field of fields) {
    const [a, b] = [JSON.stringify(before[field]), JSON.stringify(after[field])];
    if (a !== b) return `${field} was ${a} in the baseline and is ${b} now`;
  }
  return undefined;
}

function sameKey(a: PointKey, b: PointKey): boolean {
  return a.fs === b.fs && a.case === b.case && a.regime === b.regime && a.tasks === b.tasks;
}

function keyOf({ fs, case: variant, regime, tasks }: ComparePoint): PointKey {
  return { fs, case: variant, regime, tasks };
}

type MetricInfo = CompareResult["metrics"][string];

function changeOf(metric: MetricInfo, before: Interval, after: Interval): { percent: number; apart: boolean; worse: boolean } {
  const floor = FLOOR[metric.unit] ?? 1e-9;
  const percent = ((after.median - before.median) / Math.max(before.median, floor)) * 100;
  const apart = after.low > before.high || after.high < before.low;
  const worse = metric.better === "higher" ? percent < 0 : percent > 0;
  return { percent, apart, worse };
}

/** Sets `after` against `before`. */
export function compareWithBaseline(
  before: CompareResult,
  after: CompareResult,
  thresholdPercent = DEFAULT_THRESHOLD_PERCENT,
): BaselineReport {
  const guarded = Object.entries(after.metrics).filter(([, metric]) => metric.guarded);
  const report: BaselineReport = { regressions: [], improvements: [], missing: [], added: [], compared: 0 };
  report.missing = before.points.filter((p) => !after.points.some((q) => sameKey(p, q))).map(keyOf);
  for (const point of after.points) {
    const old = before.points.find((p) => sameKey(p, point));
    if (!old) {
      report.added.push(keyOf(point));
      continue;
    }
    report.compared++;
    for (const [name, metric] of guarded) {
      const [a, b] = [old.metrics[name], point.metrics[name]];
      if (!a || !b) continue;
      const { percent, apart, worse } = changeOf(metric, a, b);
      if (!apart || Math.abs(percent) <= thresholdPercent) continue;
      const change = { point: keyOf(point), metric: name, before: a, after: b, percent };
      (worse ? report.regressions : report.improvements).push(change);
    }
  }
  return report;
}
