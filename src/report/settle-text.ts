/**
 * The comparison that settles the argument, as text: three tables, and what they mean in three sentences.
 *
 * Interface: settleText(result, columns), settleSentences(result).
 * Invariants: [st-1] every number of a sentence is a figure of the result; a sentence says "no gain" when there is none.
 * Locks: none.
 * Why not the words of verdict.ts: it asks one comparison three questions, and here each question has a comparison of its own.
 */
import type { ComparePoint, CompareResult } from "../sim/compare.js";
import type { CostSteps } from "../sim/cost-steps.js";
import type { Interval } from "../sim/interval.js";
import type { SettleResult } from "../sim/settle.js";
import { compareFooter, compareHeader, formatInterval } from "./compare-rows.js";
import { formatCount, formatNs, formatTimesLess, table } from "./format.js";

const GENERIC = "generic_page_mkwrite";
const HELPER = "generic_page_mkwrite_nommapsem";
const COMPLETED = "completed";

/** What an entry of the cost table is charged for a second time. */
const STEP_WORDS: Readonly<Record<string, string>> = {
  fault_setup: "second walk of the page table",
  page_cache_lookup: "second look into the page cache",
  atomic_local: "locks and references",
  file_pin: "second pin of the file",
  vma_cached: "second VMA lookup",
  vma_lookup: "second VMA lookup",
};

function pointOf(result: CompareResult, faultLock: string, mkwrite: string): ComparePoint | undefined {
  return result.points.find((p) => p.regime === `${faultLock}+${mkwrite}`);
}

function median(p: ComparePoint | undefined, metric: string): number {
  return p?.metrics[metric]?.median ?? Number.NaN;
}

function percent(before: number, after: number): string {
  const change = (after / before - 1) * 100;
  return `${change > 0 ? "+" : ""}${change.toFixed(1)} %`;
}

function costRows(result: CompareResult): string[][] {
  const base = pointOf(result, "linux-4.19", GENERIC);
  return result.points.map((p) => [
    p.regime,
    formatInterval(p.metrics.faults_per_s, "1/s"),
    p === base ? "" : percent(median(base, "faults_per_s"), median(p, "faults_per_s")),
    formatInterval(p.metrics.fault_p50_ns, "ns"),
    p.path,
  ]);
}

function stepRows(steps: CostSteps): string[][] {
  const first = (ns: readonly number[]): number => ns[0] ?? 0;
  const row = (name: string, ns: readonly number[]): string[] => [
    name,
    first(ns).toFixed(0),
    ...ns.slice(1).map((value) => `${value.toFixed(0)} (${value >= first(ns) ? "+" : ""}${(value - first(ns)).toFixed(0)})`),
  ];
  const rows = steps.steps.map(({ cost, ns }) => [...row(cost, ns), STEP_WORDS[cost] ?? ""]);
  return [...rows, [...row("whole fault", steps.faultNs), "mean"]];
}

const GAIN_METRICS: readonly (readonly [string, string])[] = [
  ["faults/s", "faults_per_s"],
  ["writer p50", "write_wait_p50_ns"],
  ["p99", "write_wait_p99_ns"],
  ["max", "write_wait_max_ns"],
  ["victim p99", "victim_cmdline_p99_ns"],
  ["max", "victim_cmdline_max_ns"],
];

function gainRows(result: CompareResult): string[][] {
  const brief = (interval: Interval | undefined, name: string): string =>
    interval === undefined ? "-" : name === "faults_per_s" ? formatCount(interval.median) : formatNs(interval.median);
  return result.points.map((p) => [p.regime, ...GAIN_METRICS.map(([, name]) => brief(p.metrics[name], name)), p.path]);
}

const ACTORS = ["op_blocked_max_ns", "cmdline_read_blocked_max_ns", "other_thread_anon_fault_max_ns"] as const;

interface InversionCase {
  name: string;
  /** By actor, ns. */
  under: number[];
  helper: number[];
}

function inversionCases(result: CompareResult): InversionCase[] {
  return [...new Set(result.points.map((p) => p.case))].map((name) => {
    const of = (mkwrite: string): number[] => {
      const point = result.points.find((p) => p.case === name && p.regime.endsWith(`+${mkwrite}`));
      return ACTORS.map((actor) => median(point, actor));
    };
    return { name, under: of(GENERIC), helper: of(HELPER) };
  });
}

function inversionRows(cases: readonly InversionCase[]): string[][] {
  return cases.map(({ name, under, helper }) => [
    name.replace("fault_from=", "").replace("op=", ""),
    ...under.map((ns, i) => `${formatNs(ns)} -> ${formatNs(helper[i] ?? Number.NaN)}`),
  ]);
}

/** How many times less; "no gain" is said where there is none. */
function less(before: number, after: number): string {
  return before > Math.max(after, 1) ? formatTimesLess(before, after) : "no gain";
}

function costSentence({ cost, steps }: SettleResult): string {
  const change = (mkwrite: string): string =>
    percent(median(pointOf(cost, "linux-4.19", GENERIC), "faults_per_s"), median(pointOf(cost, "linux-4.19", mkwrite), "faults_per_s"));
  const [under = 0, helper = 0] = steps.faultNs;
  const parts = steps.steps
    .map(({ cost: name, ns }) => ({ name, ns: (ns[1] ?? 0) - (ns[0] ?? 0) }))
    .filter(({ name, ns }) => ns >= 1 && STEP_WORDS[name] !== undefined)
    .map(({ name, ns }) => `${STEP_WORDS[name] ?? name} ${ns.toFixed(0)}`);
  return (
    `The price: where nothing is slow, page_mkwrite without mmap_sem changes the throughput of one thread by ${change(HELPER)} ` +
    `(${(helper - under).toFixed(0)} ns a fault: ${parts.join(", ")}), and by ${change(COMPLETED)} when the lock is re-taken ` +
    `for the PTE at once ("completed").`
  );
}

function gainSentence({ gain }: SettleResult): string {
  const before = pointOf(gain, "linux-4.19", GENERIC);
  const after = pointOf(gain, "linux-4.19", HELPER);
  const moved = (metric: string): string => {
    const [a, b] = [median(before, metric), median(after, metric)];
    return `${formatNs(a)} to ${formatNs(b)} (${less(a, b)})`;
  };
  return (
    `The gain: where a reservation is slow now and then, a writer's wait for mmap_sem goes at p99 from ${moved("write_wait_p99_ns")}, ` +
    `and the time a bystander needs to read /proc/PID/cmdline at p99 from ${moved("victim_cmdline_p99_ns")}; ` +
    `throughput changes by ${percent(median(before, "faults_per_s"), median(after, "faults_per_s"))}.`
  );
}

function inversionSentence({ inversion }: SettleResult): string {
  const cases = inversionCases(inversion);
  const BLOCKED_NS = 1e8;
  const blocked = cases.filter(({ under }) => under.some((ns) => ns > BLOCKED_NS));
  const worst = (pick: (c: InversionCase) => number[]): number => Math.max(...cases.flatMap(pick));
  return (
    `The rescue: per-VMA locks do not settle it, for while one store is stuck in page_mkwrite, ${blocked.length} of ${cases.length} ` +
    `cases block others under linux-6.7, up to ${formatNs(worst((c) => c.under))}; with the helper nobody waits longer than ` +
    `${formatNs(worst((c) => c.helper))}.`
  );
}

/** What it means: price, gain, rescue. */
export function settleSentences(result: SettleResult): string[] {
  return [costSentence(result), gainSentence(result), inversionSentence(result)];
}

/** Breaks a sentence into lines. */
function wrapped(text: string, columns: number): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

export function settleText(result: SettleResult, columns: number): string {
  const { cost, steps, gain, inversion } = result;
  const width = Math.min(columns, 120);
  const again = (of: CompareResult): string => compareFooter(of).at(-1) ?? "";
  const sections = [
    [
      `1. What it costs: ${compareHeader(cost)}`,
      table(["regime", "faults/s", "change", "fault p50", "path"], costRows(cost), columns),
      table(["ns of a fault", ...steps.regimes, ""], stepRows(steps), columns),
      again(cost),
    ],
    [
      `2. What it gains: ${compareHeader(gain)}`,
      table(["regime", ...GAIN_METRICS.map(([label]) => label), "path"], gainRows(gain), columns),
      again(gain),
    ],
    [
      "3. Whom it rescues: a store is stuck in page_mkwrite for 1.5 s; linux-6.7, without -> with the helper",
      table(["case", "op", "read of cmdline", "anonymous fault"], inversionRows(inversionCases(inversion)), columns),
      again(inversion),
    ],
  ].map((parts) => parts.join("\n\n"));
  const [figures = ""] = compareFooter(gain);
  return [...sections, figures, ...settleSentences(result).map((sentence) => wrapped(sentence, width))].join("\n\n");
}
