/**
 * Depth-first search over schedules within a bound of preemptions.
 *
 * A schedule is a script of deviations from the default order. Its log shows every point at which another candidate could have been taken;
 * each such point behind the last deviation gives a script that is one deviation longer. So every schedule is run exactly once.
 *
 * Interface: Dfs (next, pending, expand), UNBOUNDED.
 * Invariants:
 *   [dfs-1] a deviation costs one preemption when the running task could have gone on, nothing when it could not; an event before the tasks
 *           that could run costs one always: a timer that its handler arms again would make the space endless.
 *   [dfs-2] when next() has no more to give, every schedule within the bound has been run, pruned ones apart: these are covered by others.
 *   [dfs-3] sleep sets are used without a bound only: the order that covers a sleeping one may take two preemptions more.
 * Locks: none.
 * Why not recursion into snapshots of every point: a generator cannot be copied, and a restore from the start costs less than half a run.
 */
import { EVENT, NOBODY, type Script, type ScheduleLog } from "./schedule.js";

/** More preemptions than a schedule has points. */
export const UNBOUNDED = 255;

/** What a candidate would touch next: granule << 1 | written. */
type Footprint = Uint32Array;
/** Candidates whose next step has been explored first elsewhere, and nothing since has touched what it touches. */
type Sleep = ReadonlyMap<number, Footprint>;

/** A script that is still to be run, with the preemptions that it takes. */
interface Pending {
  script: Script;
  cost: number;
  /** Asleep at the last deviation's point. */
  sleep: Sleep;
  /** Steps of candidates that were explored at that point, this one's to be added. */
  explored: Map<number, Footprint>;
}

function touchTheSame(one: Footprint, other: ReadonlySet<number>): boolean {
  // A granule that one of them writes and the other reads or writes.
  return one.some((word) => other.has(word | 1) || ((word & 1) !== 0 && other.has(word & ~1)));
}

/** Who sleeps on behind a step. */
function stillAsleep(sleep: Sleep, step: Footprint): Sleep {
  if (sleep.size === 0) return sleep;
  const touched = new Set(step);
  return new Map([...sleep].filter(([, footprint]) => !touchTheSame(footprint, touched)));
}

export class Dfs {
  private readonly stack: Pending[] = [{ script: [], cost: 0, sleep: new Map(), explored: new Map() }];
  private current: Pending | undefined;
  /** Schedules that sleep sets have cut off. */
  slept = 0;

  constructor(
    private readonly bound: number,
    /** Logs come with footprints. */
    private readonly sleepSets = false,
  ) {
    if (sleepSets && bound < UNBOUNDED) throw new Error("[dfs-3] sleep sets under a bound");
  }

  /** The next script, or undefined when the space is covered. */
  next(): Script | undefined {
    this.current = this.stack.pop();
    return this.current?.script;
  }

  /** Scripts known and not yet run. */
  get pending(): number {
    return this.stack.length;
  }

  /** Takes in the log of the script that next() gave last. */
  expand(log: ScheduleLog): void {
    const { current } = this;
    if (!current) return;
    const last = current.script.at(-1)?.point ?? -1;
    let sleep: Sleep = new Map();
    if (this.sleepSets && last >= 0) sleep = this.firstStep(current, log, last);
    // Late points last onto the stack: the search goes deep at the end of the schedule.
    for (let point = last + 1; point < log.length; point++) {
      if (sleep.has(log.answer(point))) {
        this.slept++;
        return;
      }
      const step = this.sleepSets ? log.footprint(point) : new Uint32Array();
      this.branch(current, log, point, sleep, step);
      sleep = stillAsleep(sleep, step);
    }
  }

  /** The step of the last deviation: its brothers that are explored later will find it asleep. */
  private firstStep(current: Pending, log: ScheduleLog, point: number): Sleep {
    const step = log.footprint(point);
    const asleep = new Map([...current.sleep, ...current.explored]);
    const name = current.script.at(-1)?.name ?? EVENT;
    if (name !== EVENT) current.explored.set(name, step);
    return stillAsleep(asleep, step);
  }

  private branch(current: Pending, log: ScheduleLog, point: number, sleep: Sleep, step: Footprint): void {
    const preempts = log.current(point) === NOBODY ? 0 : 1;
    if (current.cost + preempts > this.bound) return;
    const answer = log.answer(point);
    const explored = new Map<number, Footprint>();
    if (this.sleepSets && answer !== EVENT) explored.set(answer, step);
    for (let rest = log.mask(point) & ~(1 << answer); rest !== 0; rest &= rest - 1) {
      const name = 31 - Math.clz32(rest & -rest);
      if (sleep.has(name)) {
        this.slept++;
        continue;
      }
      const cost = current.cost + (name === EVENT ? 1 : preempts);
      if (cost <= this.bound) this.stack.push({ script: [...current.script, { point, name }], cost, sleep, explored });
    }
  }
}
