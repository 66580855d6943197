/*
 * What `npm run bench` found, as JSON and as text.
 *
 * Interface: Figure, Section, ScalePoint, BenchResult, BENCH_SCHEMA, figure, benchText.
 * Invariants: [bench-4] every figure says its unit, its quartiles and, where there is one, the bar that it should pass.
 * Locks: none.
 * Why not the run's tables: these are host time, which is kept apart from simulated time everywhere.
 */
import { alignColumns, formatCount, formatNs } from "../../report/format.js";
import { type Spread, spreadOf } from "./rounds.js";

export const BENCH_SCHEMA = "faultline.bench/1";

export type Unit = "per s" | "ns" | "us" | "ratio" | "bytes";

/** What a figure should reach. */
export interface Bar {
  at: number;
  should: "reach" | "stay below";
}

export interface Figure extends Spread {
  name: string;
  unit: Unit;
  samples: number[];
  bar?: Bar;
}

export interface Section {
  title: string;
  figures: Figure[];
  /** What could not be measured, and why. */
  notes: string[];
}

export interface ScalePoint {
  mode: string;
  /** And as many CPUs. */
  tasks: number;
  hostNsPerFault: Figure;
  toOneTask: Figure;
}

export interface BenchResult {
  schema: typeof BENCH_SCHEMA;
  version: string;
  wasm_sha256: string;
  node: string;
  cpu: string;
  cpus: number;
  rounds: number;
  sample_ms: number;
  sections: Section[];
  scaling: ScalePoint[];
}

export function figure(name: string, unit: Unit, samples: readonly number[], bar?: Bar): Figure {
  return { name, unit, ...spreadOf(samples), samples: [...samples], ...(bar ? { bar } : {}) };
}

function quantity(value: number, unit: Unit): string {
  switch (unit) {
    case "per s":
      return `${formatCount(value)}/s`;
    case "ns":
      return formatNs(value);
    case "us":
      return formatNs(value * 1e3);
    case "ratio":
      return value.toFixed(2);
    case "bytes":
      return `${Math.round(value)} B`;
  }
}

/** "0.5 or more: passed", or nothing for a figure without a bar. */
export function barText({ bar, median, unit }: Figure): string {
  if (!bar) return "";
  const passed = bar.should === "reach" ? median >= bar.at : median < bar.at;
  const wanted = bar.should === "reach" ? `${quantity(bar.at, unit)} or more` : `below ${quantity(bar.at, unit)}`;
  return `${wanted}: ${passed ? "passed" : "MISSED"}`;
}

function spreadText({ low, high, unit, samples }: Figure): string {
  return samples.length < 2 ? "" : `${quantity(low, unit)} to ${quantity(high, unit)}`;
}

function sectionText({ title, figures, notes }: Section): string {
  const rows = figures.map((f) => [f.name, quantity(f.median, f.unit), spreadText(f), barText(f)]);
  return [title, ...(rows.length > 0 ? [alignColumns(rows)] : []), ...notes].join("\n");
}

function scalingText(points: readonly ScalePoint[]): string {
  const modes = [...new Set(points.map((p) => p.mode))];
  const rows = [...new Set(points.map((p) => p.tasks))].map((tasks) => [
    String(tasks),
    ...modes.flatMap((mode) => {
      const point = points.find((p) => p.mode === mode && p.tasks === tasks);
      if (!point) return ["", "", "", ""];
      const { hostNsPerFault: cost, toOneTask: ratio } = point;
      return [quantity(cost.median, "ns"), quantity(ratio.median, "ratio"), spreadText(ratio), barText(ratio)];
    }),
  ]);
  const header = ["tasks = CPUs", ...modes.flatMap((mode) => [mode, "to 1 task", "quartiles", "bar"])];
  return ["Host time a simulated fault, page_fault3 on ramfs, the same working set in all", alignColumns([header, ...rows])].join("\n");
}

/** The result as text, in host time throughout. */
export function benchText(result: BenchResult): string {
  const { node, cpu, cpus, rounds, sample_ms: sampleMs } = result;
  const head = [
    `Host time, this computer: Node ${node}, ${cpus} x ${cpu}.`,
    `${rounds} interleaved rounds, ${sampleMs} ms a sample; medians and quartiles.`,
  ].join("\n");
  const foot = `wasm ${result.wasm_sha256.slice(0, 12)}  version ${result.version}`;
  const scaling = result.scaling.length > 0 ? [scalingText(result.scaling)] : [];
  return [head, ...result.sections.map(sectionText), ...scaling, foot].join("\n\n");
}
