/*
 * Lockdep: broken orders with both chains, no false alarms, and lock_stat's figures.
 *
 * Checks: [lk-1] [lk-2] [dep-1] [lw-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { REASON, Rig, type Step, TEST_A, TEST_B, TEST_C, op } from "./rig";

const RECURSIVE = "[lk-1] possible recursive locking detected";
const CIRCULAR = "[lk-1] possible circular locking dependency detected";
const FIELD = { reported: 12, task: 16, taken: 20, held: 24, newChain: 32, oldChain: 40 } as const;
/** Classes that no code uses: lockdep has room for 64. */
const FREE_CLASSES = Array.from({ length: 30 }, (_, i) => 30 + i);

/** Takes the locks in order, then gives them back in reverse. */
function nest(locks: readonly number[]): Step[] {
  return [...locks.map((lock) => op.mutexLock(lock)), op.charge(10), ...[...locks].reverse().map((lock) => op.mutexUnlock(lock))];
}

function chain(rig: Rig, field: "newChain" | "oldChain"): number[] {
  const at = rig.harness.constant("LOCKDEP_STATE") + FIELD[field];
  return [...new Uint8Array(rig.harness.memory.buffer, at, 8)].filter((id) => id !== 0);
}

function report(rig: Rig, field: "reported" | "task" | "taken" | "held"): number {
  return rig.u32(rig.harness.constant("LOCKDEP_STATE") + FIELD[field]);
}

/** The orders seen so far: the oracle of the fuzz. */
class Orders {
  private readonly after = new Map<number, Set<number>>();

  private reaches(from: number, to: number): boolean {
    const next = this.after.get(from) ?? new Set();
    return next.has(to) || [...next].some((each) => this.reaches(each, to));
  }

  /** Adds what taking these one inside the other teaches; true when a new order is against the old ones. */
  closesCycle(taken: readonly number[]): boolean {
    for (const [i, inner] of taken.entries()) {
      for (const outer of taken.slice(0, i)) {
        if (this.reaches(inner, outer)) return true;
        this.after.set(outer, (this.after.get(outer) ?? new Set()).add(inner));
      }
    }
    return false;
  }
}

describe("lock order", () => {
  it("[lk-1] an inversion is found at the first try, before it deadlocks, and reports both chains", () => {
    const rig = new Rig({ cpus: 2 });
    const [a, b, c] = [rig.mutex(TEST_A), rig.mutex(TEST_B), rig.mutex(TEST_C)];
    rig.task([...nest([c, a, b])], 0);
    const second = rig.task([op.charge(1000), ...nest([b, a])], 1);
    expect(lawOf(() => rig.run())).toBe(CIRCULAR);
    expect(["reported", "task", "taken", "held"].map((f) => report(rig, f as "task"))).toEqual([1, second, TEST_A, TEST_B]);
    expect(chain(rig, "newChain"), "held now").toEqual([TEST_B]);
    expect(chain(rig, "oldChain"), "held when the opposite was first seen, and what was taken").toEqual([TEST_C, TEST_A, TEST_B]);
    expect(rig.text(rig.call("lockClassName", TEST_A))).toBe("test_a");
  });

  it("[lk-1] a deadlock that would happen is named instead", () => {
    const rig = new Rig({ cpus: 2 });
    const [a, b] = [rig.mutex(TEST_A), rig.mutex(TEST_B)];
    rig.task([op.mutexLock(a), op.charge(100), op.mutexLock(b)], 0);
    rig.task([op.mutexLock(b), op.charge(100), op.mutexLock(a)], 1);
    expect(lawOf(() => rig.run())).toBe(CIRCULAR);
  });

  it("[lk-1] a cycle of three is found, and reported as the path that it closes", () => {
    const rig = new Rig();
    const [a, b, c] = [rig.mutex(TEST_A), rig.mutex(TEST_B), rig.mutex(TEST_C)];
    rig.task([...nest([a, b]), ...nest([b, c]), ...nest([c, a])]);
    expect(lawOf(() => rig.run())).toBe(CIRCULAR);
    expect(chain(rig, "newChain")).toEqual([TEST_C]);
    expect(chain(rig, "oldChain")).toEqual([TEST_A, TEST_B, TEST_C]);
  });

  it("[lk-1] two locks of one class nest only with a class for the inner one", () => {
    const rig = new Rig();
    rig.task(nest([rig.mutex(TEST_A), rig.mutex(TEST_A)]));
    expect(lawOf(() => rig.run())).toBe(RECURSIVE);
    const read = new Rig();
    const sem = read.rwsem(TEST_A);
    read.task([op.downRead(sem), op.downRead(sem)]);
    expect(
      lawOf(() => read.run()),
      "a reader that a writer would stop",
    ).toBe(RECURSIVE);
  });

  it("[lk-1] every kind of lock takes part", () => {
    const both = (at: number, take: (at: number) => Step, give: (at: number) => Step): [Step, Step] => [take(at), give(at)];
    const takes: Record<string, (rig: Rig, classId: number) => [Step, Step]> = {
      read: (rig, id) => both(rig.rwsem(id), op.downRead, op.upRead),
      write: (rig, id) => both(rig.rwsem(id), op.downWrite, op.upWrite),
      percpu: (rig, id) => both(rig.percpu(id), op.percpuDownRead, op.percpuUpRead),
      bit: (rig, id) => {
        const word = rig.word();
        return [op.bitLock(word, 1, id), op.bitUnlock(word, 1)];
      },
      spin: (rig, id) => {
        const lock = rig.spin();
        return [op.spinLock(lock, id), op.spinUnlock(lock)];
      },
    };
    for (const [name, make] of Object.entries(takes)) {
      const rig = new Rig();
      const mutex = rig.mutex(TEST_B);
      const [take, give] = make(rig, TEST_A);
      rig.task([op.mutexLock(mutex), take, give, op.mutexUnlock(mutex), take, op.mutexLock(mutex)]);
      expect(
        lawOf(() => rig.run()),
        name,
      ).toBe(CIRCULAR);
    }
  });

  it("[lk-1] alarms exactly when an order closes a cycle of those seen before", () => {
    const order = fc.uniqueArray(fc.nat({ max: 7 }), { minLength: 2, maxLength: 4 });
    let alarms = 0;
    holds(fc.array(order, { minLength: 1, maxLength: 10 }), 150, (orders) => {
      const rig = new Rig();
      const locks = FREE_CLASSES.slice(0, 8).map((id) => rig.mutex(id));
      const seen = new Orders();
      for (const taken of orders) {
        const closed = seen.closesCycle(taken);
        rig.task(nest(taken.map((i) => locks[i]!)));
        expect(lawOf(() => rig.run())).toBe(closed ? CIRCULAR : "");
        if (!closed) continue;
        alarms++;
        break;
      }
    });
    expect(alarms).toBeGreaterThan(20);
  });

  it("a trylock against the order is allowed, as it cannot deadlock", () => {
    const rig = new Rig();
    const [a, b] = [rig.mutex(TEST_A), rig.mutex(TEST_B)];
    rig.task([...nest([a, b]), op.mutexLock(b), op.mutexTry(a), op.mutexUnlock(a), op.mutexUnlock(b)]);
    expect(rig.run()).toBe(REASON.idle);
  });

  it("a task holds MAX_HELD_LOCKS locks and not one more", () => {
    const holding = (count: number): string => {
      const rig = new Rig({ saveAreaBytes: 8192 });
      rig.task(nest(FREE_CLASSES.slice(0, count).map((id) => rig.mutex(id))));
      return lawOf(() => rig.run());
    };
    const most = new Rig().harness.constant("MAX_HELD_LOCKS");
    expect(holding(most)).toBe("");
    expect(holding(most + 1)).toBe("a task holds more than MAX_HELD_LOCKS locks");
  });

  it("[dep-1] locks are released in any order, each by its holder", () => {
    const rig = new Rig();
    const locks = FREE_CLASSES.slice(0, 5).map((id) => rig.mutex(id));
    rig.task([...locks.map((l) => op.mutexLock(l)), ...[2, 0, 4, 1, 3].map((i) => op.mutexUnlock(locks[i]!)), ...nest(locks)]);
    expect(rig.run()).toBe(REASON.idle);
    const other = new Rig({ cpus: 2 });
    const sem = other.rwsem();
    other.task([op.downRead(sem), op.charge(1000), op.upRead(sem)], 0);
    other.task([op.charge(10), op.upRead(sem)], 1);
    expect(lawOf(() => other.run())).toMatch("[dep-1] a lock is released by its holder");
  });
});

const STAT = ["acquisitions", "contentions", "waitNs", "waitMaxNs", "waitMinNs", "holdNs", "holdMaxNs", "holdMinNs"] as const;

function lockStat(rig: Rig, classId: number, mode: 0 | 1): Record<(typeof STAT)[number], number> {
  const at = rig.call("lockStat", classId, mode);
  const view = new DataView(rig.harness.memory.buffer, at);
  return Object.fromEntries(STAT.map((name, i) => [name, Number(view.getBigUint64(i * 8, true))])) as ReturnType<typeof lockStat>;
}

describe("lock_stat", () => {
  it("counts acquisitions, waits and tenures, readers and writers apart", () => {
    const rig = new Rig({ cpus: 4 });
    const sem = rig.rwsem(TEST_B);
    rig.task([op.charge(10), op.downRead(sem), op.charge(100), op.upRead(sem)], 0);
    rig.task([op.charge(20), op.downRead(sem), op.charge(50), op.upRead(sem)], 1);
    rig.task([op.charge(30), op.downWrite(sem), op.charge(200), op.upWrite(sem)], 2);
    rig.task([op.charge(40), op.downRead(sem), op.charge(7), op.upRead(sem)], 3);
    rig.run();
    const [read, write] = [lockStat(rig, TEST_B, 0), lockStat(rig, TEST_B, 1)];
    expect(read).toMatchObject({ acquisitions: 3, contentions: 1, waitNs: 270, waitMaxNs: 270, waitMinNs: 270 });
    expect(read).toMatchObject({ holdNs: 157, holdMaxNs: 100, holdMinNs: 7 });
    expect(write).toEqual({
      acquisitions: 1,
      contentions: 1,
      waitNs: 80,
      waitMaxNs: 80,
      waitMinNs: 80,
      holdNs: 200,
      holdMaxNs: 200,
      holdMinNs: 200,
    });
    expect(lockStat(rig, TEST_A, 1).acquisitions).toBe(0);
  });

  it("[lw-1] the histograms of mmap_sem and vma_lock count every wait", () => {
    for (const name of ["LC_MMAP_SEM", "LC_VMA_LOCK"]) {
      const rig = new Rig({ cpus: 6 });
      const id = rig.harness.constant(name);
      const sem = rig.rwsem(id);
      for (let cpu = 0; cpu < 6; cpu++) {
        const [down, up] = cpu % 3 === 0 ? [op.downWrite, op.upWrite] : [op.downRead, op.upRead];
        rig.task(Array.from({ length: 8 }, (_, i) => [op.charge(31 * cpu + 17 * i + 5), down(sem), op.charge(90), up(sem)]).flat(), cpu);
      }
      rig.run();
      for (const mode of [0, 1] as const) {
        const { contentions, waitNs, waitMaxNs } = lockStat(rig, id, mode);
        const at = rig.call("lockWaitHistogram", id, mode);
        expect(contentions).toBeGreaterThan(3);
        expect([0, 1, 3].map((field) => rig.call("histField", at, field))).toEqual([contentions, waitNs, waitMaxNs]);
      }
    }
  });
});
