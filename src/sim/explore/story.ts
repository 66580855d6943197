/**
 * One schedule as a story: the kernel's events in order, and the points at which somebody else took over.
 *
 * Interface: StoryRow, tellStory(module, job, script).
 * Invariants: [story-1] the run is the one that the explorer saw: recording events decides nothing.
 * Locks: none.
 * Why not the log alone: a point's number says nothing to a reader; what the tasks did between two points does.
 */
import type { ScenarioFs } from "../../scenarios/filesystems.js";
import { machineOf } from "./jobs.js";
import type { ScheduleResult } from "./machine.js";
import type { ExploreJob } from "./plan.js";
import { EVENT, NOBODY, type ScheduleLog, type Script } from "./schedule.js";

/** An event of a task; without a task, a hand-over. */
export interface StoryRow {
  timeNs: number;
  task?: string;
  text: string;
}

export interface Story {
  result: ScheduleResult;
  rows: StoryRow[];
  /** Columns: the tasks that race, and whoever else was heard. */
  tasks: string[];
}

const RING = 8192;

/** Runs one schedule with the trace ring on. */
export function tellStory(module: WebAssembly.Module, job: ExploreJob, script: Script, own: readonly ScenarioFs[] = []): Story {
  const explored = machineOf({ module }, job, own, { trace: true, traceEvents: RING });
  const { machine, log } = explored;
  const before = machine.traceWritten();
  const result = explored.run({ kind: "script", script });
  const rows: StoryRow[] = machine.trace(Math.min(RING, machine.traceWritten() - before)).map(({ timeNs, name, task, a, b }) => ({
    timeNs,
    task: task === 0 ? "machine" : explored.taskName(task),
    text: `${name.split(":")[1] ?? name} ${hex(a)} ${hex(b)}`,
  }));
  rows.push(...handOvers(log));
  rows.sort((one, other) => one.timeNs - other.timeNs);
  const heard = new Set(rows.flatMap(({ task }) => task ?? []));
  const tasks = [...explored.taskNames, ...[...heard].filter((task) => !explored.taskNames.includes(task)).sort()];
  return { result, rows, tasks };
}

function hex(value: bigint): string {
  return value < 4096n ? String(value) : `0x${value.toString(16)}`;
}

/** Points at which the schedule leaves the default order. */
function handOvers(log: ScheduleLog): StoryRow[] {
  return log.deviations().map(({ point, name }) => {
    const who = name === EVENT ? "the earliest event" : `cpu ${name}`;
    const current = log.current(point);
    const how = current === NOBODY ? "is chosen" : `preempts cpu ${current}`;
    return { timeNs: log.timeNs(point), text: `point ${point}: ${who} ${how}` };
  });
}
