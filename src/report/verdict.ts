/**
 * What a comparison means, in sentences whose every number is one of its figures.
 *
 * Interface: verdict(result).
 * Invariants: [vd-1] a sentence is left out when its figures are not there; none says more than the figures do.
 * Locks: none.
 * Why not templates per workload: cost, gain and proof are the same three questions everywhere.
 */
import type { ComparePoint, CompareResult } from "../sim/compare.js";
import type { Interval } from "../sim/interval.js";
import { formatMetric } from "./compare-rows.js";
import { formatTimesLess } from "./format.js";

const HELPERS = ["generic_page_mkwrite_nommapsem", "completed", "kara"];
/** Times under this are no wait worth a ratio, ns. */
const TINY_NS = 1000;

interface Pair {
  under: ComparePoint;
  helper: ComparePoint;
}

function mkwriteOf(p: ComparePoint): string {
  return p.regime.split("+")[1] ?? "";
}

/** A point under the lock and its twin with the helper: same lock, same everything; the most tasks, the first helper there is. */
function pairOf(result: CompareResult): Pair | undefined {
  const most = Math.max(...result.tasks);
  for (const mkwrite of HELPERS) {
    for (const helper of result.points) {
      if (mkwriteOf(helper) !== mkwrite || helper.tasks !== most || helper.path !== "taken") continue;
      const wanted = helper.regime.replace(mkwrite, "generic_page_mkwrite");
      const under = result.points.find((p) => p.regime === wanted && p.tasks === most && p.fs === helper.fs && p.case === helper.case);
      if (under) return { under, helper };
    }
  }
  return undefined;
}

function costSentence(result: CompareResult, { under, helper }: Pair): string[] {
  const [before, after] = [under.metrics.faults_per_s, helper.metrics.faults_per_s];
  if (result.ends || !before || !after || before.median === 0) return [];
  const percent = (after.median / before.median - 1) * 100;
  const apart = after.low > before.high || after.high < before.low;
  const [a, b] = [formatMetric(before.median, "1/s"), formatMetric(after.median, "1/s")];
  const change = apart ? `${percent > 0 ? "+" : ""}${percent.toFixed(1)} %` : `${percent.toFixed(1)} %, within the seeds' interval`;
  return [`Throughput with ${helper.tasks} tasks goes from ${a} to ${b} faults/s (${change}) when page_mkwrite runs without mmap_sem.`];
}

/** The quantile that has moved most, of those that one can feel. */
function gain(pair: Pair, names: readonly string[]): { name: string; before: Interval; after: Interval } | undefined {
  const found = names.flatMap((name) => {
    const [before, after] = [pair.under.metrics[name], pair.helper.metrics[name]];
    return before && after && before.median >= TINY_NS ? [{ name, before, after }] : [];
  });
  found.sort((a, b) => b.before.median / Math.max(b.after.median, 1) - a.before.median / Math.max(a.after.median, 1));
  return found[0];
}

function waitSentence(result: CompareResult, pair: Pair): string[] {
  const recorded = Object.keys(result.metrics).filter((name) => /^(?!fault_|read_wait_|write_wait_).*_ns$/.test(name));
  const waits = ["write_wait_p50_ns", "write_wait_p99_ns", "write_wait_max_ns", "read_wait_p99_ns", "read_wait_max_ns"];
  return [gain(pair, waits), gain(pair, recorded)].flatMap((g) => {
    if (!g) return [];
    const label = result.metrics[g.name]?.label ?? g.name;
    const [a, b] = [formatMetric(g.before.median, "ns"), formatMetric(g.after.median, "ns")];
    const change = g.after.median < g.before.median ? formatTimesLess(g.before.median, g.after.median) : "no gain";
    return [`${label.charAt(0).toUpperCase()}${label.slice(1)} goes from ${a} to ${b}: ${change}.`];
  });
}

function proofSentence({ helper }: Pair): string[] {
  const attempts = helper.counters.mkwrite_unlocked_attempts ?? 0;
  const callbacks = helper.metrics.callbacks_per_fault?.median;
  if (attempts === 0) return [];
  const kept =
    (helper.counters.mkwrite_stash_accepted ?? 0) + (helper.counters.mkwrite_completed ?? 0) + (helper.counters.mkwrite_prepared ?? 0);
  const runs = callbacks === undefined ? "" : `, ${callbacks.toFixed(2)} runs of page_mkwrite a fault`;
  const share = `${((kept / attempts) * 100).toFixed(1)} %`;
  return [`The path was taken: ${Math.round(attempts)} callbacks ran without the lock and ${share} of their pages were used${runs}.`];
}

/** Cost, gain and proof of the helper against page_mkwrite under the lock. Empty where the comparison has no such pair. */
export function verdict(result: CompareResult): string[] {
  const pair = pairOf(result);
  if (!pair) return [];
  return [...costSentence(result, pair), ...waitSentence(result, pair), ...proofSentence(pair)];
}
