/**
 * A comparison's charts in any document: throughput over tasks, latency distributions, waits for mmap_sem.
 *
 * Interface: compareScaling, latencyCurves, waitBars, pointsAt.
 * Invariants: [chart-1] a chart asks nothing of its surroundings but a document: the terminal's SVG and the page's are one.
 * Locks: none.
 * Why not one chart: throughput says what a regime costs, the distributions say whom it helps.
 */
import * as Plot from "@observablehq/plot";
import type { Histogram } from "../host/histogram.js";
import type { ComparePoint, CompareResult } from "../sim/compare.js";
import { powerOfTwoRows } from "./power-of-two.js";
import { regimeColors } from "./regime-colors.js";

export interface CompareChartOptions {
  document?: Document;
  width: number;
}

/** The points with the most tasks: where regimes differ most. */
export function pointsAt(result: CompareResult, tasks = Math.max(...result.tasks)): ComparePoint[] {
  return result.points.filter((p) => p.tasks === tasks);
}

function facetOf(result: CompareResult, p: ComparePoint): string {
  return [...(result.filesystems.length > 1 ? [p.fs] : []), p.case].filter((word) => word !== "").join(" ");
}

function base(result: CompareResult, options: CompareChartOptions): Plot.PlotOptions {
  return {
    ...(options.document ? { document: options.document } : {}),
    className: "chart",
    width: options.width,
    marginLeft: 60,
    marginRight: 24,
    color: regimeColors(result),
    fx: { label: null },
    fy: { label: null },
  };
}

/** Faults a second over tasks: the median of each point, and its interval as a bar. */
export function compareScaling(result: CompareResult, options: CompareChartOptions): SVGSVGElement | HTMLElement {
  const data = result.points.flatMap((p) => {
    const rate = p.metrics.faults_per_s;
    return rate ? [{ regime: p.regime, tasks: p.tasks, facet: facetOf(result, p), ...rate }] : [];
  });
  data.sort((a, b) => a.tasks - b.tasks);
  const facets = new Set(data.map((d) => d.facet)).size;
  const xy = { x: "tasks", y: "median", fy: "facet" };
  return Plot.plot({
    ...base(result, options),
    height: 320 * facets,
    x: { label: "tasks", tickFormat: "d", ...(result.tasks.length <= 12 ? { ticks: [...result.tasks] } : {}) },
    y: { label: "faults/s, simulated", tickFormat: "s", grid: true, zero: true, nice: true },
    marks: [
      Plot.ruleY([0]),
      Plot.ruleX(
        data.filter((d) => d.high > d.low),
        { x: "tasks", y1: "low", y2: "high", fy: "facet", stroke: "regime", strokeOpacity: 0.5 },
      ),
      Plot.lineY(data, { ...xy, z: "regime", stroke: "regime", strokeWidth: 2 }),
      Plot.dot(data, { ...xy, fill: "regime", r: 3 }),
    ],
  });
}

/** Share of records above each value: the tail, on a log scale, is what a victim feels. */
function tail(h: Histogram): { ns: number; above: number }[] {
  let seen = 0;
  const steps = h.buckets.map(([edge, count]) => {
    seen += count;
    return { ns: Math.max(1, Math.min(edge, h.max)), above: Math.max((h.N - seen) / h.N, 0.5 / h.N) };
  });
  return h.N === 0 ? [] : [{ ns: Math.max(1, h.min), above: 1 }, ...steps];
}

/** Fault latency: the share of faults that took longer, both axes logarithmic. */
export function latencyCurves(
  result: CompareResult,
  options: CompareChartOptions,
  pick = (p: ComparePoint): Histogram => p.histograms.fault,
) {
  const points = pointsAt(result);
  const data = points.flatMap((p) => tail(pick(p)).map((at) => ({ regime: p.regime, facet: facetOf(result, p), ...at })));
  const facets = Math.max(1, new Set(data.map((d) => d.facet)).size);
  const least = Math.min(1, ...data.map((d) => d.above));
  const decades = Array.from({ length: Math.ceil(-Math.log10(least)) + 1 }, (_, i) => 10 ** -i);
  return Plot.plot({
    ...base(result, options),
    height: 300 * facets,
    x: { type: "log", label: "latency, ns simulated", grid: true, tickFormat: "~s" },
    y: { type: "log", label: "share of faults above", grid: true, ticks: decades, tickFormat: "~p" },
    marks: [Plot.lineY(data, { x: "ns", y: "above", fy: "facet", z: "regime", stroke: "regime", strokeWidth: 2, curve: "step-after" })],
  });
}

/** Waits for mmap_sem of those who had to wait, by powers of two: a row a regime, readers and writers apart. */
export function waitBars(result: CompareResult, options: CompareChartOptions): SVGSVGElement | HTMLElement {
  const data = pointsAt(result).flatMap((p) =>
    (["read", "write"] as const).flatMap((mode) =>
      powerOfTwoRows(p.histograms[`${mode}_wait`]).map((row) => ({
        regime: p.regime,
        row: [facetOf(result, p), p.regime].filter((word) => word !== "").join(" "),
        mode: `down_${mode}`,
        x1: Math.max(1, row.low),
        x2: row.high,
        count: row.count,
      })),
    ),
  );
  const rows = Math.max(1, new Set(data.map((d) => d.row)).size);
  return Plot.plot({
    ...base(result, options),
    height: 60 + 90 * rows,
    marginRight: 270,
    x: { type: "log", label: "wait, ns simulated", tickFormat: "~s" },
    y: { label: "waits", grid: true, ticks: 3, tickFormat: "~s" },
    marks: [Plot.ruleY([0]), Plot.rectY(data, { x1: "x1", x2: "x2", y: "count", fx: "mode", fy: "row", fill: "regime", inset: 0.5 })],
  });
}
