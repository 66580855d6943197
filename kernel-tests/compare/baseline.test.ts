/**
 * Baseline checks and verdicts: what is a regression, what is not, and what the sentences may say. Laws: [base-1] [vd-1].
 */
import { describe, expect, test } from "vitest";
import { baselineText } from "../../src/report/compare-text.js";
import { verdict } from "../../src/report/verdict.js";
import { baselineProblem, compareWithBaseline } from "../../src/sim/baseline.js";
import { HELPER, UNDER, pointOf, resultOf } from "./synthetic.js";

const FAST = [100, 101, 102];

interface Row {
  what: string;
  metric: string;
  before: number[];
  after: number[];
  threshold?: number;
  verdict: "regression" | "improvement" | "nothing";
}

const ROWS: Row[] = [
  { what: "slower beyond both", metric: "faults_per_s", before: FAST, after: [80, 81, 82], verdict: "regression" },
  { what: "faster", metric: "faults_per_s", before: FAST, after: [120, 121, 122], verdict: "improvement" },
  { what: "slower within the threshold", metric: "faults_per_s", before: FAST, after: [97, 98, 99], verdict: "nothing" },
  {
    what: "slower by more than a small threshold",
    metric: "faults_per_s",
    before: FAST,
    after: [97, 98, 99],
    threshold: 2,
    verdict: "regression",
  },
  { what: "slower, but the intervals meet", metric: "faults_per_s", before: [80, 101, 120], after: [70, 75, 85], verdict: "nothing" },
  { what: "longer waits", metric: "write_wait_p99_ns", before: [1000, 1000, 1000], after: [2000, 2000, 2000], verdict: "regression" },
  { what: "shorter waits", metric: "write_wait_p99_ns", before: [2000, 2000, 2000], after: [1000, 1000, 1000], verdict: "improvement" },
  { what: "a wait where there was none", metric: "read_wait_p99_ns", before: [0, 0, 0], after: [5000, 5000, 5000], verdict: "regression" },
  { what: "4 ns where there was no wait", metric: "read_wait_p99_ns", before: [0, 0, 0], after: [4, 4, 4], verdict: "nothing" },
  { what: "a longer maximum", metric: "write_wait_max_ns", before: [10, 10, 10], after: [1e9, 1e9, 1e9], verdict: "nothing" },
];

describe("a change", () => {
  test.each(ROWS)("$what is $verdict", ({ metric, before, after, threshold, verdict: expected }) => {
    const report = compareWithBaseline(resultOf([pointOf({ [metric]: before })]), resultOf([pointOf({ [metric]: after })]), threshold);
    const found = report.regressions.length > 0 ? "regression" : report.improvements.length > 0 ? "improvement" : "nothing";
    expect(found).toBe(expected);
    expect(report.compared).toBe(1);
  });
});

describe("a baseline", () => {
  const one = resultOf([pointOf({ faults_per_s: FAST, fault_p99_ns: [5, 6, 7] }), pointOf({ faults_per_s: FAST }, { regime: HELPER })]);

  test("set against itself has no regression at threshold 0", () => {
    const report = compareWithBaseline(one, one, 0);
    expect(report).toEqual({ regressions: [], improvements: [], missing: [], added: [], compared: 2 });
    expect(baselineText(one, report, 0)).toContain("no change beyond threshold and interval");
  });

  test("names the points that only one side has", () => {
    const other = resultOf([pointOf({ faults_per_s: FAST }), pointOf({ faults_per_s: FAST }, { tasks: 8 })]);
    const report = compareWithBaseline(one, other);
    expect(report.missing.map((p) => p.regime)).toEqual([HELPER]);
    expect(report.added.map((p) => p.tasks)).toEqual([8]);
    expect(baselineText(other, report, 5)).toContain("not in the baseline:\n  ramfs, 8 tasks");
  });

  test("of another comparison is refused with the field", () => {
    expect(baselineProblem(one, one)).toBeUndefined();
    expect(baselineProblem(one, resultOf(one.points, { duration_ns: 2e6 }))).toBe(
      "duration_ns was 1000000 in the baseline and is 2000000 now",
    );
    expect(baselineProblem(one, resultOf(one.points, { set: ["a=1"] }))).toContain("set was []");
  });

  test("says what changed, worst first", () => {
    const slow = resultOf([
      pointOf({ faults_per_s: [50, 50, 50], fault_p99_ns: [5, 6, 7] }),
      pointOf({ faults_per_s: [20, 20, 20] }, { regime: HELPER }),
    ]);
    const lines = baselineText(slow, compareWithBaseline(one, slow), 5).split("\n");
    expect(lines[1]).toBe("regressions:");
    expect(lines[2]).toContain(`${HELPER}: faults/s 101 [100, 102] -> 20 (-80.2 %)`);
    expect(lines[3]).toContain(`${UNDER}: faults/s 101 [100, 102] -> 50 (-50.5 %)`);
  });
});

describe("a verdict", () => {
  const under = pointOf({ faults_per_s: [100e3, 100e3, 100e3], write_wait_p99_ns: [13e6, 13e6, 13e6], callbacks_per_fault: [1, 1, 1] });
  const values = { faults_per_s: [98e3, 98e3, 98e3], write_wait_p99_ns: [65e3, 65e3, 65e3], callbacks_per_fault: [1.02, 1.02, 1.02] };
  const counters = { mkwrite_unlocked_attempts: 1000, mkwrite_stash_accepted: 990 };

  test("says cost, gain and proof in the figures' own numbers", () => {
    expect(verdict(resultOf([under, pointOf(values, { regime: HELPER, path: "taken", counters })]))).toEqual([
      "Throughput with 4 tasks goes from 100 k to 98.0 k faults/s (-2.0 %) when page_mkwrite runs without mmap_sem.",
      "Write wait p99 goes from 13.0 ms to 65.0 us: 200 times less.",
      "The path was taken: 1000 callbacks ran without the lock and 99.0 % of their pages were used, 1.02 runs of page_mkwrite a fault.",
    ]);
  });

  test("says nothing where the path was not taken, or there is no twin under the lock", () => {
    expect(verdict(resultOf([under, pointOf(values, { regime: HELPER, path: "not taken", counters })]))).toEqual([]);
    expect(verdict(resultOf([pointOf(values, { regime: HELPER, path: "taken", counters })]))).toEqual([]);
    expect(verdict(resultOf([under]))).toEqual([]);
  });

  test("claims no change that the seeds' intervals do not show", () => {
    const noisy = pointOf({ ...values, faults_per_s: [90e3, 98e3, 101e3] }, { regime: HELPER, path: "taken", counters });
    expect(verdict(resultOf([under, noisy]))[0]).toContain("(-2.0 %, within the seeds' interval)");
  });
});
