/**
 * Explores one scenario in one cell: schedule after schedule until the space is covered, the budget is spent, or something is wrong.
 *
 * Interface: SearchOptions, Strategy, STRATEGIES, CellReport, Failure, searchCell.
 * Invariants:
 *   [srch-1] a report follows from the machine and the options alone, but for `seconds`.
 *   [srch-2] `covered` is said only when every schedule within the bound was run, or is the like of one that was.
 * Locks: none.
 * Why not all failures: the first one, shrunk, is what a reader mends; the next run shows what is left.
 */
import { randomWords } from "../../host/guests.js";
import type { Defect } from "../../scenarios/scenario.js";
import { Dfs } from "./dfs.js";
import type { ExploreMachine, Problem, ScheduleResult } from "./machine.js";
import { pctGuarantee } from "./pct.js";
import { type Schedule, type Script, preemptions, scriptText } from "./schedule.js";
import { shrink } from "./shrink.js";

export const STRATEGIES = ["dfs", "pct", "random"] as const;
export type Strategy = (typeof STRATEGIES)[number];

/**
 * dfs: what spares it orders that come to the same. states: a run stops where it meets a state that was met before. sleep: sleep sets,
 * which are sound without a bound of preemptions only. Both need a machine that takes notes (instrument.ts).
 */
export const REDUCTIONS = ["none", "states", "sleep"] as const;
export type Reduction = (typeof REDUCTIONS)[number];

export interface SearchOptions {
  strategy: Strategy;
  /** Absent: none. */
  reduction?: Reduction;
  /** Schedules at most. */
  budget: number;
  /** dfs: preemptions of one schedule at most. pct: depth of the bugs looked for. */
  preemptions: number;
  seed: number;
  /** Called now and then with the schedules run. */
  progress?: (schedules: number) => void;
}

export interface Failure {
  kind: Problem["kind"] | "no-mark" | "no-defect";
  text: string;
  /** Schedules run until it was found, that one included. */
  found: number;
  /** Deviations of the schedule that found it, and of the shortest that shows it. Empty where no schedule is to blame. */
  script: string;
  shrunk: string;
  /** Preemptions of the shortest. */
  preemptions: number;
}

export interface CellReport {
  schedules: number;
  /** Points at which a choice was made, over all schedules. */
  points: number;
  /** dfs: every schedule within the bound of preemptions. */
  covered: boolean;
  /** Schedules that were stopped, or not gone on from, since another covers the rest. */
  reduced?: number;
  /** Endings seen, and how often. */
  endings: Record<string, number>;
  /** Whether a schedule has entered the scenario's window. */
  marked: boolean;
  /** What is known to be wrong in the cell, and the schedules that showed it. */
  defect?: { id: string; seen: number };
  /** pct: steps of the default schedule, and the guarantee that follows. */
  guarantee?: { depth: number; tasks: number; steps: number; atLeast: number };
  failure?: Failure;
  seconds: number;
}

/** Whether a result is the known defect, and no news. */
export function isDefect(defect: Defect | undefined, result: ScheduleResult): boolean {
  if (!defect || !result.problem) return false;
  if (result.problem.kind === "ending") return defect.endings?.includes(result.ending ?? "") === true;
  const { text } = result.problem;
  return defect.panics?.some((part) => text.includes(part)) === true;
}

/** Schedules in the order of a strategy; `take` sees each one's log. */
interface Source {
  next(): Schedule | undefined;
  take(machine: ExploreMachine): void;
  covered(): boolean;
  slept?(): number;
}

function dfsSource(bound: number, sleepSets: boolean): Source {
  const dfs = new Dfs(bound, sleepSets);
  return {
    next: () => {
      const script = dfs.next();
      return script && { kind: "script", script };
    },
    take: ({ log }) => {
      dfs.expand(log);
    },
    covered: () => dfs.pending === 0,
    slept: () => dfs.slept,
  };
}

function walkSource(make: (word: () => number, steps: number) => Schedule, seed: number, steps: number): Source {
  const word = randomWords(seed);
  return { next: () => make(word, steps), take: () => undefined, covered: () => false };
}

/** One point in 2, 4 ... 64: some bugs want many switches, some want few. */
function randomSchedule(word: () => number): Schedule {
  return { kind: "random", seed: word(), oneIn: 2 << (word() % 6) };
}

function sourceOf(machine: ExploreMachine, { strategy, preemptions: bound, seed, reduction }: SearchOptions, steps: number): Source {
  if (strategy === "dfs") return dfsSource(bound, reduction === "sleep");
  if (strategy === "random") return walkSource(randomSchedule, seed, steps);
  return walkSource((word) => ({ kind: "pct", seed: word(), changes: Math.max(0, bound - 1), steps }), seed, steps);
}

/** Explores until covered, spent, or wrong. */
export function searchCell(machine: ExploreMachine, options: SearchOptions): CellReport {
  const startMs = performance.now();
  const report: CellReport = { schedules: 0, points: 0, covered: false, endings: {}, marked: false, seconds: 0 };
  const defect = machine.scenario.defect?.(machine.cell);
  if (defect) report.defect = { id: defect.id, seen: 0 };
  machine.wantMark = true;
  const steps = options.strategy === "pct" ? machine.run({ kind: "script", script: [] }).points : 0;
  const reduces = options.strategy === "dfs" && options.reduction !== undefined && options.reduction !== "none";
  machine.recordSteps = reduces && options.reduction === "sleep";
  machine.forget();
  const source = sourceOf(machine, options, steps);
  let reduced = 0;
  while (report.schedules < options.budget) {
    const schedule = source.next();
    if (!schedule) break;
    const result = machine.run(schedule, reduces ? options.preemptions : undefined);
    if (result.pruned) reduced++;
    note(report, machine, result);
    if (isDefect(defect, result)) report.defect = { id: defect?.id ?? "", seen: (report.defect?.seen ?? 0) + 1 };
    else if (result.problem) {
      report.failure = failureOf(machine, result.problem, report.schedules);
      break;
    }
    source.take(machine);
    if (report.schedules % 256 === 0) options.progress?.(report.schedules);
  }
  report.covered = !report.failure && source.covered();
  if (reduces) report.reduced = reduced + (source.slept?.() ?? 0);
  const tasks = machine.taskNames.length;
  if (options.strategy === "pct") {
    const depth = Math.max(1, options.preemptions);
    report.guarantee = { depth, tasks, steps, atLeast: pctGuarantee(tasks, steps, depth) };
  }
  const failure = report.failure ?? missing(report);
  if (failure) report.failure = failure;
  report.seconds = (performance.now() - startMs) / 1000;
  return report;
}

function note(report: CellReport, machine: ExploreMachine, result: ScheduleResult): void {
  report.schedules++;
  report.points += result.points;
  if (result.ending !== undefined) report.endings[result.ending] = (report.endings[result.ending] ?? 0) + 1;
  if (!result.marked) return;
  report.marked = true;
  machine.wantMark = false;
}

/** A race that was never entered shows nothing, and neither does a defect that nobody saw. */
function missing(report: CellReport): Failure | undefined {
  const nothing = { found: report.schedules, script: "", shrunk: "", preemptions: 0 };
  // A known defect may end every schedule that enters the window.
  if (report.defect?.seen === 0) {
    return { kind: "no-defect", text: `${report.defect.id} is known here; no schedule has shown it`, ...nothing };
  }
  if (report.marked || report.defect) return undefined;
  return { kind: "no-mark", text: "no schedule has entered the scenario's window", ...nothing };
}

/** The failure of the schedule that the machine has run last, shrunk. */
function failureOf(machine: ExploreMachine, problem: Problem, found: number): Failure {
  const script: Script = machine.log.deviations();
  const fails = (candidate: Script): boolean => machine.run({ kind: "script", script: candidate }).problem?.kind === problem.kind;
  const shortest = shrink(script, fails);
  const last = machine.run({ kind: "script", script: shortest });
  return {
    kind: problem.kind,
    text: (last.problem ?? problem).text,
    found,
    script: scriptText(script),
    shrunk: scriptText(shortest),
    preemptions: preemptions(machine.log),
  };
}
