/**
 * The scaling chart in any document: faults per second of simulated time over tasks, one line a series.
 *
 * Interface: scalingChart, ScalingPoint, ChartOptions, seriesOf.
 * Invariants: [chart-1] the chart asks nothing of its surroundings but a document: the terminal's SVG and the page's are one.
 *             [chart-2] points of one series and number of tasks are its seeds: the line is their median, the bar their range.
 * Locks: none.
 * Why not in scaling-plot.ts: a browser has a document of its own and must not load one.
 */
import * as Plot from "@observablehq/plot";
import type { RunResult } from "../sim/result.js";
import { summarize } from "../sim/sweep.js";

export interface ScalingPoint {
  series: string;
  tasks: number;
  perSecond: number;
}

export interface ChartOptions {
  document?: Document;
  title?: string;
  width: number;
  height: number;
  /** Colours of the series, in order. */
  colors?: readonly string[];
  /** Whether a pointer shows the value under it. */
  tip?: boolean;
}

/** The points of results, one series a mode. */
export function seriesOf(results: readonly RunResult[]): ScalingPoint[] {
  return results.map((r) => ({ series: r.mode, tasks: r.tasks, perSecond: r.simulated.faults_per_s }));
}

interface Summarized {
  series: string;
  tasks: number;
  median: number;
  low: number;
  high: number;
}

function summarized(points: readonly ScalingPoint[]): Summarized[] {
  const groups = new Map<string, ScalingPoint[]>();
  for (const p of points) groups.set(`${p.tasks} ${p.series}`, [...(groups.get(`${p.tasks} ${p.series}`) ?? []), p]);
  const all = [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first ? [{ series: first.series, tasks: first.tasks, ...summarize(group.map((p) => p.perSecond)) }] : [];
  });
  return all.sort((a, b) => a.tasks - b.tasks);
}

/** A straight line through the first point of each series: what perfect scaling would give. */
function linear(points: readonly Summarized[]): Summarized[] {
  const most = Math.max(...points.map((p) => p.tasks));
  const highest = Math.max(...points.map((p) => p.high));
  return [...new Set(points.map((p) => p.series))].flatMap((series) => {
    const first = points.find((p) => p.series === series);
    if (!first || first.tasks === most) return [];
    const perTask = first.median / first.tasks;
    // Cut where it leaves the measured values behind, or it would press them flat.
    const end = Math.min(most, (highest * 1.15) / perTask);
    const at = (tasks: number): Summarized => ({ series, tasks, median: perTask * tasks, low: 0, high: 0 });
    return end > first.tasks ? [at(first.tasks), at(end)] : [];
  });
}

/** The chart as an SVG element of the document, or of a figure around it. */
export function scalingChart(points: readonly ScalingPoint[], options: ChartOptions): SVGSVGElement | HTMLElement {
  const data = summarized(points);
  const xy = { x: "tasks", y: "median" };
  const marks: Plot.Markish[] = [
    Plot.ruleY([0]),
    Plot.lineY(linear(data), { ...xy, z: "series", strokeDasharray: "2 4", strokeOpacity: 0.6 }),
    Plot.ruleX(
      data.filter((d) => d.high > d.low),
      { x: "tasks", y1: "low", y2: "high", stroke: "series", strokeOpacity: 0.5 },
    ),
    Plot.lineY(data, { ...xy, z: "series", stroke: "series", strokeWidth: 2 }),
    Plot.dot(data, { ...xy, fill: "series", r: 3 }),
    Plot.text(data, Plot.selectLast({ ...xy, z: "series", text: "series", fill: "series", dy: -12, textAnchor: "end", fontWeight: "600" })),
  ];
  if (options.tip === true) marks.push(Plot.tip(data, Plot.pointerX({ ...xy, channels: { series: "series" } })));
  const tasks = [...new Set(data.map((d) => d.tasks))];
  return Plot.plot({
    ...(options.document ? { document: options.document } : {}),
    ...(options.title !== undefined ? { title: options.title } : {}),
    className: "chart",
    width: options.width,
    height: options.height,
    marginLeft: 52,
    marginTop: 28,
    marginRight: 16,
    color: {
      legend: false,
      domain: [...new Set(points.map((p) => p.series))],
      ...(options.colors ? { range: options.colors as string[] } : {}),
    },
    x: { label: "tasks", ...(tasks.length <= 12 ? { ticks: tasks } : {}), tickFormat: "d" },
    y: { label: "faults/s, simulated", tickFormat: "s", ticks: 6, grid: true, zero: true, nice: true },
    marks,
  });
}
