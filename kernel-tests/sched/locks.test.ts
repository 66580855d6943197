/*
 * The other locks: mutex, spinlock, lock bits, per-CPU rwsem; each by its rules, then all by fuzz for exclusion and progress.
 *
 * Checks: [mutex-1] [bit-1] [bit-2] [pcpu-1] [pcpu-2] [dep-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { REASON, Rig, type RigOptions, SIGKILL, SIGNAL, type Step, TEST_A, op } from "./rig";

const BIT = 3;
const WAITERS = 31;

/** Runs one task per list of steps, each on a CPU of its own. */
function run(rig: Rig, ...programs: Step[][]): void {
  programs.forEach((steps, cpu) => rig.task(steps, cpu));
  expect(rig.run()).toBe(REASON.idle);
  expect(rig.sched("liveTasks")).toBe(0);
}

/** Time and task of each end of a step. */
function when(rig: Rig, ...ops: string[]): [number, number][] {
  return rig.ends(...ops).map(([time, task]) => [time, task]);
}

describe("mutex", () => {
  it("[mutex-1] goes to its waiters in the order they came", () => {
    const rig = new Rig({ cpus: 5 });
    const mutex = rig.mutex();
    const use = (start: number): Step[] => [op.charge(start), op.mutexLock(mutex), op.charge(100), op.mutexUnlock(mutex)];
    run(rig, use(10), use(40), use(20), use(50), use(30));
    expect(when(rig, "MUTEX_LOCK")).toEqual([
      [10, 1],
      [110, 3],
      [210, 5],
      [310, 2],
      [410, 4],
    ]);
  });

  it("[mutex-1] is not stolen between its hand-over and the heir's first step", () => {
    const rig = new Rig({ cpus: 3 });
    rig.setCost("C_WAKE_IDLE", 1000);
    const mutex = rig.mutex();
    rig.task([op.charge(10), op.mutexLock(mutex), op.charge(5000), op.mutexUnlock(mutex)], 0);
    rig.task([op.charge(20), op.mutexLock(mutex), op.charge(10), op.mutexUnlock(mutex)], 1);
    const thief = rig.task([op.charge(5050), op.mutexTry(mutex), op.mutexLock(mutex), op.mutexUnlock(mutex)], 2);
    rig.run();
    expect(rig.results(thief)).toEqual([0, 0, 0, 0]);
    expect(rig.ends("MUTEX_LOCK").map(([, task]) => task)).toEqual([1, 2, 3]);
  });

  it("[mutex-1] [dep-1] is unlocked by its owner alone", () => {
    const rig = new Rig({ cpus: 2 });
    const mutex = rig.mutex();
    rig.task([op.mutexLock(mutex), op.charge(1000), op.mutexUnlock(mutex)], 0);
    rig.task([op.charge(10), op.mutexUnlock(mutex)], 1);
    expect(lawOf(() => rig.run())).toMatch("[mutex-1] a mutex is unlocked by its owner");
  });
});

describe("spinlock", () => {
  it("a CPU that comes earlier in time than the unlock waits for it", () => {
    const rig = new Rig({ cpus: 2 });
    const lock = rig.spin();
    const use = (start: number, hold: number): Step[] => [
      op.charge(start),
      op.spinLock(lock, TEST_A),
      op.charge(hold),
      op.spinUnlock(lock),
      op.charge(1),
    ];
    run(rig, use(10, 500), use(100, 50));
    expect(when(rig, "SPIN_LOCK")).toEqual([
      [10, 1],
      [510, 2],
    ]);
    expect(rig.cpu(1, "clock")).toBe(561);
  });

  it("a section is not handed over in the middle, however long", () => {
    const rig = new Rig({ cpus: 2, sliceNs: 100 });
    const lock = rig.spin();
    const inside = Array.from({ length: 5 }, () => op.charge(400));
    run(rig, [op.spinLock(lock, TEST_A), ...inside, op.spinUnlock(lock), op.charge(1)], [op.charge(50), op.charge(50)]);
    const order = rig.log().map((e) => e.task);
    const [first, last] = [order.indexOf(1), order.lastIndexOf(1)];
    expect(
      rig
        .log()
        .slice(first, first + 13)
        .every((e) => e.task === 1),
    ).toBe(true);
    expect(last).toBeGreaterThan(first);
  });

  it("names an unlock of nothing", () => {
    const rig = new Rig();
    rig.task([op.spinUnlock(rig.spin())]);
    expect(lawOf(() => rig.run())).toMatch("a spinlock is held");
  });
});

describe("lock bits", () => {
  const bitUse = (word: number, start: number, hold: number): Step[] => [
    op.charge(start),
    op.bitLock(word, BIT, TEST_A),
    op.charge(hold),
    op.bitUnlock(word, BIT),
  ];

  it("[bit-1] [bit-2] an unlock hands over to the first who wants the bit; WAITERS goes with the last", () => {
    const rig = new Rig({ cpus: 5 });
    const word = rig.word();
    rig.setU32(word, 0x40);
    run(rig, bitUse(word, 10, 100), bitUse(word, 30, 100), bitUse(word, 20, 100), [op.charge(105), op.bitTry(word, BIT, TEST_A)]);
    expect(when(rig, "BIT_LOCK")).toEqual([
      [10, 1],
      [110, 3],
      [210, 2],
    ]);
    expect(rig.results(4)).toEqual([0, 0]);
    expect(rig.u32(word), "other bits are left alone").toBe(0x40);
  });

  it("those who wait for the bit to clear do not take it, and wait again when it was handed over", () => {
    const rig = new Rig({ cpus: 4 });
    const word = rig.word();
    run(rig, bitUse(word, 10, 100), [op.charge(20), op.bitWait(word, BIT)], bitUse(word, 30, 100), [op.charge(40), op.bitWait(word, BIT)]);
    expect(when(rig, "BIT_WAIT")).toEqual([
      [210, 2],
      [210, 4],
    ]);
    expect(rig.u32(word)).toBe(0);
  });

  it("clearBitAndWake wakes everybody who waits for that bit of that word", () => {
    const rig = new Rig({ cpus: 5 });
    const [word, other] = [rig.word(), rig.word()];
    rig.setU32(word, (1 << BIT) | (1 << 7));
    rig.setU32(other, 1 << BIT);
    const wait = (at: number, bit: number): Step[] => [op.charge(10), op.bitWait(at, bit)];
    const clear = (start: number, at: number, bit: number): Step[] => [op.charge(start), op.bitClear(at, bit)];
    const clears = [...clear(100, word, BIT), ...clear(100, word, 7), ...clear(100, other, BIT)];
    run(rig, wait(word, BIT), wait(word, BIT), wait(word, 7), wait(other, BIT), clears);
    expect(when(rig, "BIT_WAIT")).toEqual([
      [100, 1],
      [100, 2],
      [200, 3],
      [300, 4],
    ]);
    expect([rig.u32(word), rig.u32(other)]).toEqual([0, 0]);
  });

  it("[bit-2] a killed waiter leaves, with WAITERS when it was the last", () => {
    const rig = new Rig({ cpus: 4 });
    const word = rig.word();
    rig.task(bitUse(word, 10, 1000), 0);
    const killed = rig.task([op.charge(20), op.bitLockKillable(word, BIT, TEST_A)], 1);
    const other = rig.task([op.charge(30), op.bitWaitKillable(word, BIT)], 2);
    rig.task([op.charge(100), op.kill(killed, SIGKILL), op.charge(100), op.kill(other, SIGKILL)], 3);
    rig.run(150);
    expect(rig.u32(word) >>> WAITERS).toBe(1);
    rig.run(250);
    expect(rig.u32(word) >>> WAITERS).toBe(0);
    rig.run();
    expect(rig.ends("BIT_LOCK_KILLABLE", "BIT_WAIT_KILLABLE").map(([time, , , result]) => [time, result])).toEqual([
      [100, SIGNAL],
      [200, SIGNAL],
    ]);
    expect(rig.u32(word)).toBe(0);
  });

  it("names an unlock of a clear bit; the end of an IO may release what another task has locked", () => {
    const rig = new Rig();
    rig.task([op.bitUnlock(rig.word(), BIT)]);
    expect(lawOf(() => rig.run())).toMatch("unlock of a clear lock bit");
    const two = new Rig({ cpus: 2 });
    const word = two.word();
    two.task(bitUse(word, 10, 1000), 0);
    two.task([op.charge(50), op.bitUnlock(word, BIT)], 1);
    // The holder's own unlock at 1010 is then one too many.
    two.run(1000);
    expect(two.u32(word)).toBe(0);
    expect(lawOf(() => two.run())).toMatch("unlock of a clear lock bit");
  });

  it("words that share a queue do not wake each other", () => {
    const rig = new Rig({ cpus: 128, tasks: 128, saveAreaBytes: 2048 });
    const words = Array.from({ length: 120 }, () => rig.word());
    for (const word of words) rig.setU32(word, 1 << BIT);
    words.forEach((word, cpu) => rig.task([op.charge(1 + cpu), op.bitWait(word, BIT)], cpu));
    rig.task(
      words.flatMap((word) => [op.charge(1000), op.bitClear(word, BIT)]),
      127,
    );
    rig.run();
    expect(when(rig, "BIT_WAIT")).toEqual(words.map((_, i) => [(i + 1) * 1000, i + 1]));
  });
});

describe("per-CPU rwsem", () => {
  it("[pcpu-1] [pcpu-2] a writer waits for the readers, and readers that come later wait for the writer", () => {
    const rig = new Rig({ cpus: 5 });
    const sem = rig.percpu();
    const read = (start: number, hold: number): Step[] => [op.charge(start), op.percpuDownRead(sem), op.charge(hold), op.percpuUpRead(sem)];
    const write = (start: number, hold: number): Step[] => [
      op.charge(start),
      op.percpuDownWrite(sem),
      op.charge(hold),
      op.percpuUpWrite(sem),
    ];
    run(rig, read(10, 300), write(50, 100), read(60, 10), write(70, 100), [op.charge(80), op.percpuTryRead(sem)]);
    expect(when(rig, "PERCPU_DOWN_READ", "PERCPU_DOWN_WRITE")).toEqual([
      [10, 1],
      [310, 2],
      [410, 4],
      [510, 3],
    ]);
    expect(rig.results(5)).toEqual([0, 0]);
  });

  it("readers touch no shared line", () => {
    const rig = new Rig({ cpus: 8, costs: true });
    const sem = rig.percpu();
    const use = Array.from({ length: 20 }, () => [op.percpuDownRead(sem), op.charge(50), op.percpuUpRead(sem)]).flat();
    run(rig, ...Array.from({ length: 8 }, () => use));
    expect(rig.sched("lineTransfers")).toBe(0);
  });
});

/** One kind of lock: how a program takes and gives it, and whether two may have it at once. */
interface Kind {
  make: (rig: Rig) => number;
  take: (at: number, shared: boolean) => Step;
  give: (at: number, shared: boolean) => Step;
  sharing: boolean;
  sleeps: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  mutex: {
    make: (rig) => rig.mutex(),
    take: (at) => op.mutexLock(at),
    give: (at) => op.mutexUnlock(at),
    sharing: false,
    sleeps: true,
  },
  spinlock: {
    make: (rig) => rig.spin(),
    take: (at) => op.spinLock(at, TEST_A),
    give: (at) => op.spinUnlock(at),
    sharing: false,
    sleeps: false,
  },
  "lock bit": {
    make: (rig) => rig.word(),
    take: (at) => op.bitLock(at, BIT, TEST_A),
    give: (at) => op.bitUnlock(at, BIT),
    sharing: false,
    sleeps: true,
  },
  "per-CPU rwsem": {
    make: (rig) => rig.percpu(),
    take: (at, shared) => (shared ? op.percpuDownRead(at) : op.percpuDownWrite(at)),
    give: (at, shared) => (shared ? op.percpuUpRead(at) : op.percpuUpWrite(at)),
    sharing: true,
    sleeps: true,
  },
};

describe("fuzz", () => {
  it.each(Object.keys(KINDS))("%s: nobody is let in who may not be, and everybody is in the end", (name) => {
    const kind = KINDS[name]!;
    const turn = fc.record({ gap: fc.integer({ min: 1, max: 900 }), hold: fc.integer({ min: 1, max: 900 }), shared: fc.boolean() });
    const programs = fc.array(fc.array(turn, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 8, size: "max" });
    const shapes = fc.record<RigOptions>({
      cpus: fc.constantFrom(1, 2, 5),
      policy: fc.constantFrom(0, 1),
      costs: fc.boolean(),
      seed: fc.integer({ min: 1, max: 1e6 }),
      skewNs: fc.constantFrom(0, 2000),
    });
    holds(fc.tuple(programs, shapes), 60, ([turns, shape]) => {
      const rig = new Rig({ ...shape, sliceNs: 1500 });
      const at = kind.make(rig);
      turns.forEach((each, i) => {
        const steps = each.flatMap(({ gap, hold, shared }) => {
          const pause = kind.sleeps && hold % 5 === 0 ? op.sleep(hold, 3) : op.charge(hold);
          return [op.charge(gap), kind.take(at, shared), pause, kind.give(at, shared)];
        });
        rig.task(steps, i % (shape.cpus ?? 1));
      });
      expect(rig.run()).toBe(REASON.idle);
      expect(rig.sched("liveTasks")).toBe(0);
      let [shared, alone] = [0, 0];
      for (const { op: step, phase } of rig.log()) {
        const isShared = kind.sharing && step.endsWith("READ");
        if (phase === "end" && /LOCK|DOWN/.test(step) && !step.includes("UN")) {
          if (isShared) shared++;
          else alone++;
          expect(alone + Math.min(shared, 1), "holders").toBeLessThanOrEqual(1);
        } else if (phase === "begin" && /UNLOCK|UP/.test(step)) {
          if (isShared) shared--;
          else alone--;
        }
      }
      expect([shared, alone]).toEqual([0, 0]);
      if (name === "lock bit") expect(rig.u32(at), "[bit-2]").toBe(0);
    });
  });
});
