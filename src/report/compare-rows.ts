/**
 * A comparison as tables of text: what the terminal aligns and pages lay out.
 *
 * Interface: compareSections, Section, formatMetric, formatInterval, compareHeader, compareFooter.
 * Invariants: [rows-1] every row has as many cells as the header; every number carries its unit.
 * Locks: none.
 * Why not one wide table: twenty columns fit no terminal; throughput, waits, victims and paths are four questions.
 */
import type { ComparePoint, CompareResult } from "../sim/compare.js";
import type { Interval } from "../sim/interval.js";
import type { MetricUnit } from "../sim/metrics.js";
import { formatBytes, formatCount, formatNs } from "./format.js";
import type { Rows } from "./rows.js";

export interface Section extends Rows {
  title: string;
}

export function formatMetric(value: number, unit: MetricUnit): string {
  switch (unit) {
    case "ns":
      return formatNs(value);
    case "%":
      return `${value.toFixed(1)} %`;
    case "1":
      return value.toFixed(2);
    default:
      return formatCount(value);
  }
}

/** The median, and the interval when it does not read the same: "2.96 M [2.90 M, 3.01 M]". */
export function formatInterval(interval: Interval | undefined, unit: MetricUnit): string {
  if (!interval) return "-";
  const [median, low, high] = [interval.median, interval.low, interval.high].map((value) => formatMetric(value, unit));
  return low === median && high === median ? `${median}` : `${median} [${low}, ${high}]`;
}

const GROUPS: readonly { title: string; metrics: readonly string[] }[] = [
  { title: "Throughput and fault latency", metrics: ["faults_per_s", "fault_p50_ns", "fault_p99_ns", "fault_p99_9_ns"] },
  {
    title: "Waits for mmap_sem",
    metrics: ["read_wait_p50_ns", "read_wait_p99_ns", "read_wait_max_ns", "write_wait_p50_ns", "write_wait_p99_ns", "write_wait_max_ns"],
  },
];
const PATH_METRICS = [
  "callbacks_per_fault",
  "unlocked_attempts",
  "stash_accepted_percent",
  "completed_percent",
  "slow_reservations_percent",
];

/** The order in which points stand below each other: what is compared, side by side. */
function ordered(result: CompareResult): ComparePoint[] {
  const rank = (p: ComparePoint): number[] => [
    result.filesystems.indexOf(p.fs),
    result.points.findIndex((q) => q.case === p.case),
    p.tasks,
    result.regimes.indexOf(p.regime),
  ];
  return [...result.points].sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const i = x.findIndex((value, at) => value !== y[at]);
    return i < 0 ? 0 : (x[i] ?? 0) - (y[i] ?? 0);
  });
}

/** The words that tell points apart, one column each; what all have in common is left out. */
function labels(result: CompareResult): { header: string; of: (p: ComparePoint) => string } {
  const columns: [string, (p: ComparePoint) => string][] = [];
  if (result.filesystems.length > 1) columns.push(["fs", (p) => p.fs]);
  if (result.points.some((p) => p.case !== "")) columns.push(["case", (p) => p.case]);
  if (new Set(result.points.map((p) => p.tasks)).size > 1 || columns.length === 0) columns.push(["tasks", (p) => String(p.tasks)]);
  columns.push(["regime", (p) => p.regime]);
  const widths = columns.map(([name, of]) => Math.max(name.length, ...result.points.map((p) => of(p).length)));
  const join = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return { header: join(columns.map(([name]) => name)), of: (p) => join(columns.map(([, of]) => of(p))) };
}

function section(result: CompareResult, points: readonly ComparePoint[], title: string, names: readonly string[]): Section {
  const label = labels(result);
  const info = names.map((name) => result.metrics[name]);
  return {
    title,
    header: [label.header, ...info.map((metric) => metric?.label ?? "")],
    rows: points.map((p) => [label.of(p), ...names.map((name, i) => formatInterval(p.metrics[name], info[i]?.unit ?? "count"))]),
  };
}

/** Metrics beyond the common ones: what the workload's guests recorded. */
function recordedMetrics(result: CompareResult): string[] {
  const common = new Set([...GROUPS.flatMap((group) => group.metrics), ...PATH_METRICS, "iterations_per_s"]);
  return Object.keys(result.metrics).filter((name) => !common.has(name));
}

/** Median and interval of every point, in four questions; sections that no point has a value for are left out. */
export function compareSections(result: CompareResult): Section[] {
  const points = ordered(result);
  const has = (names: readonly string[]): boolean => points.some((p) => names.some((name) => p.metrics[name] !== undefined));
  const recorded = recordedMetrics(result);
  const measured = has(recorded) ? [section(result, points, "What its guests measured", recorded)] : [];
  const common = GROUPS.filter((group) => has(group.metrics)).map((group) => section(result, points, group.title, group.metrics));
  const sections = result.ends ? [...measured, ...common] : [...common, ...measured];
  if (points.every((p) => p.path === "no page_mkwrite")) return sections;
  const paths = section(result, points, "How page_mkwrite ran", PATH_METRICS);
  paths.header.push("path");
  paths.rows.forEach((row, i) => row.push(points[i]?.path ?? ""));
  return [...sections, paths];
}

/** What was compared, in one line. */
export function compareHeader(result: CompareResult): string {
  const lengths = result.length_bytes.map((bytes) => formatBytes(bytes)).join(" or ");
  const measured = result.ends
    ? "measured to its end"
    : `${formatNs(result.duration_ns)} measured after ${formatNs(result.warmup_ns)} of warm-up`;
  const set = result.set.length > 0 ? `, ${result.set.join(", ")}` : "";
  const fs = result.filesystems.length === 1 ? ` on ${result.filesystems[0] ?? ""}` : "";
  return `${result.workload}${fs}, ${result.mode}, ${lengths} a task${set}, ${measured}`;
}

/** What the figures are, and what makes them again. */
export function compareFooter(result: CompareResult): string[] {
  const seeds = result.seeds;
  const list = seeds.length > 2 ? `${seeds[0] ?? ""} to ${seeds[seeds.length - 1] ?? ""}` : seeds.join(", ");
  const coverage = `${(result.interval.coverage * 100).toFixed(1)} %`;
  const interval =
    seeds.length > 1
      ? `Median of ${seeds.length} seeds [interval: ${result.interval.method}, holds it with ${coverage}].`
      : "One seed: no interval.";
  const lines = [
    `All figures are simulated. ${interval}`,
    `seed ${list}  wasm ${result.wasm_sha256.slice(0, 12)}  version ${result.version}`,
  ];
  if (result.points.every((p) => p.path === "no page_mkwrite")) {
    lines.push("No page_mkwrite ran: the mkwrite halves of these regimes are not compared by this workload on this filesystem.");
  }
  return [...lines, `again: ${result.command}`];
}
