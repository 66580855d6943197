/**
 * Comparisons: one workload under several regimes, filesystems, cases and numbers of tasks, some seeds each. Schema
 * faultline.compare/1, described in docs/compare-schema.md. Runs in Node and in browsers: the caller runs the points.
 *
 *     points = filesystems x cases x regimes x tasks        jobs = points x seeds, in this order
 *
 * Interface: CompareDescription, compareJobs, compareResult, CompareResult, ComparePoint, COMPARE_SCHEMA.
 * Invariants:
 *   [cmp-1] a result is a function of its description and the kernel: the number of workers does not show.
 *   [cmp-2] every value that a median stands for is in the result.
 * Locks: none.
 * Why not a list of sweeps: what is compared must differ in one thing at a time, and baselines match points by name.
 */
import type { MachineConfig } from "../host/config.js";
import { type Histogram, mergeHistograms } from "../host/histogram.js";
import { type Mode, type WorkloadInput, workloadOf } from "../workloads/index.js";
import { INTERVAL_METHOD, type Interval, coverageOf, intervalOf } from "./interval.js";
import { type MetricUnit, metricsOf } from "./metrics.js";
import type { PointJob, PointOutcome } from "./outcome.js";
import { type PathTaken, pathTaken } from "./path.js";
import { type Regime, regimeConfig, regimeName } from "./regimes.js";
import type { RunResult } from "./result.js";
import { type RunDescription, RunError, VERSION } from "./run.js";

export const COMPARE_SCHEMA = "faultline.compare/1";

export interface CompareDescription {
  workload: string;
  input?: WorkloadInput;
  regimes: readonly Regime[];
  filesystems: readonly string[];
  /** Variants of the workload: options in force in each, on top of `set`. One empty list: no variants. */
  cases: readonly (readonly string[])[];
  tasks: readonly number[];
  /** Option that a number of tasks sets, where tasks are not the workload's own idea: numjobs of a job file. */
  tasksOption?: string;
  seeds: readonly number[];
  mode: Mode;
  set: readonly string[];
  warmupNs?: number;
  durationNs?: number;
  lenBytes?: number;
  staggerNs: number;
  config: MachineConfig;
  /** The command line that makes it again. */
  command: string;
}

/** What a point is, by the names that users write. */
export interface PointKey {
  fs: string;
  /** Options of its case, "key=value" with blanks between; "" without cases. */
  case: string;
  regime: string;
  tasks: number;
}

export interface PointHistograms {
  fault: Histogram;
  read_wait: Histogram;
  write_wait: Histogram;
  recorded: Record<string, Histogram>;
}

export interface ComparePoint extends PointKey {
  /** By metric; absent where the point cannot have it. */
  metrics: Record<string, Interval>;
  path: PathTaken;
  /** Medians over the seeds of every counter of the machine. */
  counters: Record<string, number>;
  /** All seeds together. */
  histograms: PointHistograms;
  /** One a seed, in their order. */
  state_sha256: string[];
}

export interface CompareResult {
  schema: typeof COMPARE_SCHEMA;
  version: string;
  wasm_sha256: string;
  command: string;
  workload: string;
  summary: string;
  /** The workload ends by itself: its rates mean little, what its guests recorded is the result. */
  ends: boolean;
  mode: Mode;
  set: readonly string[];
  length_bytes: number[];
  warmup_ns: number;
  duration_ns: number;
  stagger_ns: number;
  tasks: readonly number[];
  seeds: readonly number[];
  regimes: string[];
  filesystems: readonly string[];
  config: MachineConfig;
  interval: { method: string; coverage: number };
  metrics: Record<string, { label: string; unit: MetricUnit; better: "higher" | "lower" | null; guarded: boolean; summary: string }>;
  points: ComparePoint[];
}

interface Point extends PointKey {
  description: RunDescription;
}

function pointsOf(d: CompareDescription): Point[] {
  const { warmupNs, durationNs, lenBytes, input } = d;
  const shared = {
    workload: d.workload,
    mode: d.mode,
    staggerNs: d.staggerNs,
    ...(warmupNs === undefined ? {} : { warmupNs }),
    ...(durationNs === undefined ? {} : { durationNs }),
    ...(lenBytes === undefined ? {} : { lenBytes }),
    ...(input === undefined ? {} : { input }),
  };
  return d.filesystems.flatMap((fs) =>
    d.cases.flatMap((variant) =>
      d.regimes.flatMap((regime) =>
        d.tasks.map((tasks): Point => ({
          fs,
          case: variant.join(" "),
          regime: regimeName(regime),
          tasks,
          description: {
            ...shared,
            fs,
            tasks,
            set: [...d.set, ...variant, ...(d.tasksOption === undefined ? [] : [`${d.tasksOption}=${tasks}`])],
            config: { ...d.config, ...regimeConfig(regime) },
          },
        })),
      ),
    ),
  );
}

/** The runs of a comparison, in its order. With `trace`, the first seed of each point keeps its trace. */
export function compareJobs(d: CompareDescription, trace = false): PointJob[] {
  return pointsOf(d).flatMap(({ description }) =>
    d.seeds.map((seed, i): PointJob => {
      const config = { ...description.config, seed };
      return { description: { ...description, config }, trace: trace && i === 0 };
    }),
  );
}

function medians(results: readonly RunResult[]): Record<string, number> {
  const names = Object.keys(results[0]?.simulated.counters ?? {});
  return Object.fromEntries(names.map((name) => [name, intervalOf(results.map((r) => r.simulated.counters[name] ?? 0)).median]));
}

function merged(outcomes: readonly PointOutcome[]): PointHistograms {
  const all = outcomes.map((o) => o.histograms);
  const names = Object.keys(all[0]?.recorded ?? {});
  const of = (pick: (h: PointHistograms) => Histogram | undefined): Histogram => mergeHistograms(all.flatMap((h) => pick(h) ?? []));
  return {
    fault: of((h) => h.fault),
    read_wait: of((h) => h.read_wait),
    write_wait: of((h) => h.write_wait),
    recorded: Object.fromEntries(names.map((name) => [name, of((h) => h.recorded[name])])),
  };
}

/** The path of a point: what one seed missed, the point has missed. */
function pathOf(results: readonly RunResult[]): PathTaken {
  const paths = results.map(pathTaken);
  const worst: readonly PathTaken[] = ["not taken", "no page_mkwrite", "no helper", "not asked"];
  return worst.find((path) => paths.includes(path)) ?? "taken";
}

function comparePoint(key: PointKey, outcomes: readonly PointOutcome[], metrics: ReturnType<typeof metricsOf>): ComparePoint {
  const results = outcomes.map((o) => o.result);
  const found: Record<string, Interval> = {};
  for (const metric of metrics) {
    const values = results.flatMap((r) => metric.of(r) ?? []);
    // A metric that some seeds lack has no median of the point.
    if (values.length === results.length && values.length > 0) found[metric.name] = intervalOf(values);
  }
  const { fs, case: variant, regime, tasks } = key;
  return {
    fs,
    case: variant,
    regime,
    tasks,
    metrics: found,
    path: pathOf(results),
    counters: medians(results),
    histograms: merged(outcomes),
    state_sha256: results.map((r) => r.state_sha256),
  };
}

/** What the outcomes of compareJobs say together. */
export function compareResult(d: CompareDescription, outcomes: readonly PointOutcome[]): CompareResult {
  const workload = workloadOf(d.workload, d.input);
  const first = outcomes[0]?.result;
  const points = pointsOf(d);
  if (!workload || !first) throw new RunError("a comparison needs a workload and a point");
  if (outcomes.length !== points.length * d.seeds.length) throw new Error("one outcome a point and seed");
  const metrics = metricsOf(workload);
  return {
    schema: COMPARE_SCHEMA,
    version: VERSION,
    wasm_sha256: first.wasm_sha256,
    command: d.command,
    workload: d.workload,
    summary: workload.summary,
    ends: workload.ends === true,
    mode: d.mode,
    set: d.set,
    length_bytes: [...new Set(outcomes.map((o) => o.result.length_bytes))],
    warmup_ns: first.warmup_ns,
    duration_ns: first.duration_ns,
    stagger_ns: first.stagger_ns,
    tasks: d.tasks,
    seeds: d.seeds,
    regimes: d.regimes.map(regimeName),
    filesystems: d.filesystems,
    config: d.config,
    interval: { method: INTERVAL_METHOD, coverage: coverageOf(d.seeds.length).coverage },
    metrics: Object.fromEntries(
      metrics.map(({ name, label, unit, better, guarded, summary }) => [
        name,
        { label, unit, better: better ?? null, guarded: guarded === true, summary },
      ]),
    ),
    points: points.map((key, i) => comparePoint(key, outcomes.slice(i * d.seeds.length, (i + 1) * d.seeds.length), metrics)),
  };
}
