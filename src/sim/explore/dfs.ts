/**
 * Depth-first search over schedules within a bound of preemptions.
 *
 * A schedule is a script of deviations from the default order. Its log shows every point at which another candidate could have been taken;
 * each such point behind the last deviation gives a script that is one deviation longer. So every schedule is run exactly once.
 *
 * Interface: Dfs (next, done, skipTo), DfsOptions.
 * Invariants:
 *   [dfs-1] a deviation costs one preemption when the running task could have gone on, nothing when it could not; an event before the tasks
 *           that could run costs one always: a timer that its handler arms again would make the space endless.
 *   [dfs-2] when next() has no more to give, every schedule within the bound has been run, pruned ones apart: these are covered by others.
 * Locks: none.
 * Why not recursion into snapshots of every point: a generator cannot be copied, and a restore from the start costs less than half a run.
 */
import { EVENT, NOBODY, type Script, type ScheduleLog } from "./schedule.js";

/** A script that is still to be run, with the preemptions that it takes. */
interface Pending {
  script: Script;
  cost: number;
}

export class Dfs {
  private readonly stack: Pending[] = [{ script: [], cost: 0 }];
  private current: Pending | undefined;

  constructor(private readonly bound: number) {}

  /** The next script, or undefined when the space is covered. */
  next(): Script | undefined {
    this.current = this.stack.pop();
    return this.current?.script;
  }

  /** Scripts known and not yet run. */
  get pending(): number {
    return this.stack.length;
  }

  /** Takes in the log of the script that next() gave last; points from `until` on are covered by another. */
  expand(log: ScheduleLog, until = log.length): void {
    const { current } = this;
    if (!current) return;
    const first = (current.script.at(-1)?.point ?? -1) + 1;
    // Late points first onto the stack: the search goes deep at the end of the schedule, and early points come first off it.
    for (let point = first; point < until; point++) {
      const preempts = log.current(point) === NOBODY ? 0 : 1;
      if (current.cost + preempts > this.bound) continue;
      for (let rest = log.mask(point) & ~(1 << log.answer(point)); rest !== 0; rest &= rest - 1) {
        const name = 31 - Math.clz32(rest & -rest);
        const cost = current.cost + (name === EVENT ? 1 : preempts);
        if (cost <= this.bound) this.stack.push({ script: [...current.script, { point, name }], cost });
      }
    }
  }
}
