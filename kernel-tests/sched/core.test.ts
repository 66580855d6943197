/*
 * Tasks, CPUs and time: who runs when, sleeping and waking, kill, exit, slices, save areas.
 *
 * Checks: [sched-1] [sched-3] [core-1] [core-2] [core-3] [core-4] [switch-1] [switch-2] [task-1] [task-2] [lk-2].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { INTERRUPTIBLE, KILLABLE, NORMAL, REASON, Rig, SIGKILL, SIGNAL, STATE, type Step, TIMEOUT, UNINTERRUPTIBLE, op } from "./rig";

describe("virtual time", () => {
  it("[core-1] the CPU that is furthest behind runs next, ties by CPU number", () => {
    const rig = new Rig({ cpus: 3 });
    for (let cpu = 0; cpu < 3; cpu++) {
      rig.task(
        Array.from({ length: 4 }, () => op.charge(100 + cpu * 50)),
        cpu,
      );
    }
    expect(rig.run()).toBe(REASON.idle);
    const ends = rig.ends("CHARGE").map(([time, task]) => [time, task]);
    const want = [0, 1, 2].flatMap((cpu) => [1, 2, 3, 4].map((n) => [n * (100 + cpu * 50), cpu + 1]));
    expect(ends).toEqual(want.sort(([t = 0, a = 0], [u = 0, b = 0]) => t - u || a - b));
  });

  it("[core-1] steps of all CPUs end in the order of their times, whatever the programs", () => {
    const charges = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 20 });
    holds(fc.array(charges, { minLength: 1, maxLength: 7 }), 60, (programs) => {
      const rig = new Rig({ cpus: programs.length });
      programs.forEach((each, cpu) =>
        rig.task(
          each.map((ns) => op.charge(ns)),
          cpu,
        ),
      );
      rig.run();
      const times = rig.ends("CHARGE").map(([time]) => time);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      programs.forEach((each, cpu) => expect(rig.cpu(cpu, "clock")).toBe(each.reduce((a, b) => a + b, 0)));
    });
  });

  it("[core-4] where the host stops the machine makes no difference", () => {
    const charges = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 12 });
    const stops = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 12 });
    holds(fc.tuple(fc.array(charges, { minLength: 1, maxLength: 6 }), stops, fc.constantFrom(0, 500)), 60, (given) => {
      const [programs, stopsNs, skewNs] = given;
      const build = (): Rig => {
        const rig = new Rig({ cpus: 2, sliceNs: 2000, skewNs });
        const sem = rig.rwsem();
        programs.forEach((each, i) => {
          const steps = each.flatMap((ns) => [op.charge(ns), op.downWrite(sem), op.charge(ns >> 1), op.upWrite(sem)]);
          rig.task(steps, i % 3 === 2 ? -1 : i % 2);
        });
        return rig;
      };
      const whole = build();
      whole.run();
      const parts = build();
      for (const until of stopsNs.sort((a, b) => a - b)) parts.run(until);
      parts.run();
      expect(parts.log()).toEqual(whole.log());
    });
  });

  it("run stops at its time and says so; time passes on an idle machine", () => {
    const rig = new Rig();
    rig.task([op.charge(1000), op.sleep(5000, UNINTERRUPTIBLE), op.charge(1)]);
    expect(rig.run(500)).toBe(REASON.time);
    expect(rig.run(3000)).toBe(REASON.time);
    expect(rig.sched("machineNs")).toBe(3000);
    expect(rig.run()).toBe(REASON.idle);
    expect(rig.ends("SLEEP")).toEqual([[6000, 1, "SLEEP", TIMEOUT]]);
  });
});

describe("run queues", () => {
  it("[sched-3] a slice ends when others are queued, and its task goes to the tail", () => {
    const rig = new Rig({ sliceNs: 300 });
    for (let i = 0; i < 3; i++) {
      rig.task(
        Array.from({ length: 6 }, () => op.charge(100)),
        0,
      );
    }
    rig.run();
    const order = rig.ends("CHARGE").map(([, task]) => task);
    // A slice of 300 takes four steps of 100: it ends at the first step past its end.
    expect(order).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
  });

  it("a task alone on its CPU is not preempted", () => {
    const rig = new Rig({ sliceNs: 100 });
    const id = rig.task(
      Array.from({ length: 10 }, () => op.charge(90)),
      0,
    );
    rig.run(1e15, true);
    expect(rig.taskField(id, "nivcsw")).toBe(0);
    expect(rig.cpu(0, "switches")).toBe(1);
  });

  it("a new task goes to the CPU with the least to do, a pinned one to its own", () => {
    const rig = new Rig({ cpus: 4 });
    const ids = [0, 1, 2, 3, 4, 5].map(() => rig.task([op.charge(1000)]));
    expect(ids.map((id) => rig.taskField(id, "cpu"))).toEqual([0, 1, 2, 3, 0, 1]);
    const pinned = rig.task([op.charge(10)], 0);
    expect(rig.taskField(pinned, "cpu")).toBe(0);
    rig.run(1e15, true);
    const on = rig.ends("CHARGE").filter(([, task]) => task === pinned);
    expect(on).toHaveLength(1);
  });

  it("[core-3] an idle CPU's clock stands, a wake moves it to the time of the wake, and the gap is idle time", () => {
    const rig = new Rig({ cpus: 2 });
    const queue = rig.queue();
    const sleeper = rig.task([op.charge(10), op.wait(queue, UNINTERRUPTIBLE), op.charge(5)], 1);
    rig.task([op.charge(1000), op.wakeOne(queue), op.charge(1)], 0);
    rig.run();
    expect(rig.ends("WAIT")).toEqual([[1000, sleeper, "WAIT", NORMAL]]);
    expect(rig.cpu(1, "idle")).toBe(990);
    expect(rig.cpu(1, "clock")).toBe(1005);
  });

  it("a woken task goes to its own CPU when that is idle, else to any idle one, else queues", () => {
    const rig = new Rig({ cpus: 3 });
    const queue = rig.queue();
    const sleeper = rig.task([op.wait(queue, UNINTERRUPTIBLE), op.charge(7)]);
    const hog = [op.charge(10), op.charge(100_000)];
    rig.run(5);
    expect(rig.taskField(sleeper, "cpu")).toBe(0);
    rig.task(hog, 0);
    rig.task([op.charge(50), op.wakeOne(queue), op.charge(100)], 1);
    rig.run();
    const woken = rig.log().find((e) => e.task === sleeper && e.op === "CHARGE" && e.phase === "end");
    expect(woken).toMatchObject({ timeNs: 57, cpu: 2 });
  });
});

describe("sleeping", () => {
  const cases: [state: number, how: "kill" | "signal", reason: number, ends: number][] = [
    [INTERRUPTIBLE, "signal", SIGNAL, 100],
    [INTERRUPTIBLE, "kill", SIGNAL, 100],
    [KILLABLE, "signal", TIMEOUT, 5000],
    [KILLABLE, "kill", SIGNAL, 100],
    [UNINTERRUPTIBLE, "signal", TIMEOUT, 5000],
    [UNINTERRUPTIBLE, "kill", TIMEOUT, 5000],
  ];
  it.each(cases)("state %i, %s: reason %i at %i ns", (state, how, reason, endNs) => {
    const rig = new Rig({ cpus: 2 });
    const id = rig.task([op.sleep(5000, state), op.charge(1)], 1);
    rig.task([op.charge(100), op[how](id, SIGKILL)], 0);
    rig.run();
    expect(rig.ends("SLEEP")).toEqual([[endNs, id, "SLEEP", reason]]);
  });

  it.each(cases)("state %i, %s before the sleep begins: reason %i", (state, how, reason) => {
    const rig = new Rig({ cpus: 2 });
    const id = rig.task([op.charge(200), op.sleep(4800, state)], 1);
    rig.task([op.charge(100), op[how](id, SIGKILL)], 0);
    rig.run();
    expect(rig.ends("SLEEP")).toEqual([[reason === SIGNAL ? 200 : 5000, id, "SLEEP", reason]]);
    expect(rig.sched("events"), "the timer is gone").toBe(0);
  });

  it("a kill is remembered: every later killable sleep ends at once", () => {
    const rig = new Rig({ cpus: 2 });
    const queue = rig.queue();
    const id = rig.task([op.sleep(300, UNINTERRUPTIBLE), op.wait(queue, KILLABLE), op.waitTimeout(queue, KILLABLE, 50)], 1);
    rig.task([op.charge(100), op.kill(id, SIGKILL)], 0);
    rig.run(1e15, true);
    expect(rig.results(id)).toEqual([TIMEOUT, SIGNAL, SIGNAL]);
    expect(rig.taskField(id, "fatalSignal")).toBe(SIGKILL);
    expect(rig.sched("machineNs")).toBe(300);
  });
});

describe("wait queues", () => {
  it("[wq-1] wakes FIFO, one or all, and a sleeper that timed out is not woken again", () => {
    const rig = new Rig({ cpus: 8 });
    const queue = rig.queue();
    const sleepers = [0, 1, 2, 3, 4].map((i) => rig.task([op.charge(1 + i), op.wait(queue, UNINTERRUPTIBLE)], i));
    const brief = rig.task([op.charge(3), op.waitTimeout(queue, UNINTERRUPTIBLE, 50)], 5);
    const waker = rig.task(
      [op.charge(100), op.wakeOne(queue), op.charge(10), op.wakeOne(queue), op.charge(10), op.wakeAll(queue), op.wakeOne(queue)],
      6,
    );
    rig.run(1e15, true);
    const [a, b, c, d, e] = sleepers;
    expect(rig.ends("WAIT", "WAIT_TIMEOUT").map(([time, task, , reason]) => [time, task, reason])).toEqual([
      [53, brief, TIMEOUT],
      [100, a, NORMAL],
      [110, b, NORMAL],
      [120, c, NORMAL],
      [120, d, NORMAL],
      [120, e, NORMAL],
    ]);
    expect(rig.results(waker)).toEqual([0, 1, 0, 1, 0, 3, 0]);
    for (const id of [...sleepers, brief]) expect(rig.taskField(id, "waitOn")).toBe(0);
  });

  it("a signalled sleeper leaves the queue, whose order stays", () => {
    const rig = new Rig({ cpus: 4 });
    const queue = rig.queue();
    const ids = [0, 1, 2].map((i) => rig.task([op.charge(1 + i), op.wait(queue, INTERRUPTIBLE)], i));
    rig.task([op.charge(50), op.signal(ids[1] ?? 0, 2), op.charge(50), op.wakeOne(queue), op.charge(5), op.wakeAll(queue)], 3);
    rig.run();
    expect(rig.ends("WAIT").map(([time, task, , reason]) => [time, task, reason])).toEqual([
      [50, ids[1], SIGNAL],
      [100, ids[0], NORMAL],
      [105, ids[2], NORMAL],
    ]);
  });
});

describe("tasks", () => {
  it("[task-1] slots come back: a table of four runs forty tasks, and a full table refuses", () => {
    const rig = new Rig({ tasks: 4, cpus: 2 });
    const ids: number[] = [];
    for (let round = 0; round < 10; round++) {
      const slot = round === 0 ? [0, 1, 2, 3].map(() => rig.program([op.charge(10), op.end(round)])) : [0, 1, 2, 3];
      for (const each of slot) ids.push(rig.call("programTask", each, -1));
      expect(rig.call("programTask", 0, -1), "a fifth").toBe(0);
      expect(rig.sched("liveTasks")).toBe(4);
      rig.run();
      expect(rig.sched("liveTasks")).toBe(0);
    }
    expect(new Set(ids).size, "ids are not used twice").toBe(40);
  });

  it("a zombie keeps its exit code until it is reaped; a killed zombie stays one", () => {
    const rig = new Rig();
    const id = rig.task([op.charge(10), op.end(42)]);
    rig.run(1e15, true);
    expect([rig.taskField(id, "state"), rig.taskField(id, "exitCode")]).toEqual([STATE.zombie, 42]);
    const at = rig.taskField(id, "at");
    rig.call("taskKill", at, SIGKILL);
    expect(rig.taskField(id, "fatalSignal")).toBe(0);
    rig.call("taskReap", at);
    expect(rig.taskField(id, "state"), "there is no such task").toBe(-1);
    expect(lawOf(() => rig.call("taskReap", at))).toMatch("only a zombie that left its CPU is reaped");
    expect(lawOf(() => rig.call("taskKill", at, SIGKILL))).toMatch("a task is killed once it exists");
  });

  it("a task whose entry returns waits for the host, keeps its CPU, and goes on when resumed", () => {
    const rig = new Rig({ cpus: 2 });
    const id = rig.task([op.charge(10), op.guest(), op.charge(20)], 1);
    const other = rig.task([op.charge(500), op.charge(1)], 0);
    expect(rig.run()).toBe(REASON.guest);
    expect([rig.sched("guestTask"), rig.taskField(id, "state")]).toEqual([id, STATE.guestWait]);
    expect(rig.run(), "nothing runs until the host answers").toBe(REASON.guest);
    rig.call("guestResume", rig.taskField(id, "at"));
    expect(rig.run()).toBe(REASON.idle);
    expect(rig.ends("CHARGE").map(([time, task]) => [time, task])).toEqual([
      [10, id],
      [30, id],
      [500, other],
      [501, other],
    ]);
    const again = new Rig();
    const at = again.taskField(again.task([op.charge(1)]), "at");
    expect(lawOf(() => again.call("guestResume", at))).toMatch("the task waits for the host");
  });

  it("tasks make tasks", () => {
    const rig = new Rig({ cpus: 2 });
    const child = rig.program([op.charge(30)]);
    const parent = rig.task([op.charge(5), op.spawn(child, -1), op.charge(5)], 0);
    rig.run();
    expect(rig.ends("CHARGE").map(([time, task]) => [time, task])).toEqual([
      [5, parent],
      [10, parent],
      [35, 2],
    ]);
  });

  it("[task-2] [lk-2] a task that exits or returns holding a lock stops the machine", () => {
    const holding = (steps: (rig: Rig) => Step[]): string => {
      const rig = new Rig();
      rig.task(steps(rig));
      return lawOf(() => rig.run());
    };
    expect(holding((rig) => [op.downRead(rig.rwsem()), op.end(0)])).toMatch("[task-2] a task exits holding a lock");
    expect(holding((rig) => [op.mutexLock(rig.mutex()), op.guest()])).toMatch("[lk-2] a task left the kernel holding a lock");
    expect(holding((rig) => [op.spinLock(rig.spin(), 21), op.guest()])).toMatch("[lk-2] a task left the kernel holding a spinlock");
  });
});

describe("stacks", () => {
  /** What nested() of program.ts computes: u32 arithmetic over the levels, the deepest adding up its steps' results. */
  function nestSum(depth: number, results: readonly number[], salt: number): number {
    const mine = Math.imul(salt ^ depth, 0x9e3779b1) >>> 0;
    const below = depth === 0 ? results.reduce((a, b) => a + b, 0) : nestSum(depth - 1, results, mine);
    return (((below ^ mine) >>> 0) + 1) | 0;
  }

  it("[switch-1] locals of nested calls outlive every kind of switch", () => {
    const rig = new Rig({ cpus: 2, sliceNs: 50, saveAreaBytes: 16384 });
    const queue = rig.queue();
    const sem = rig.rwsem();
    const inner = [op.charge(60), op.sleep(30, UNINTERRUPTIBLE), op.waitTimeout(queue, KILLABLE, 40), op.downWrite(sem)];
    const rest = [op.charge(20), op.upWrite(sem)];
    const count = inner.length + rest.length;
    const tasks = [1, 5, 9, 13].map((depth) => ({ depth, id: rig.task([op.nest(depth, count, 77), ...inner, ...rest]) }));
    rig.run();
    for (const { depth, id } of tasks) {
      const own = rig.log().filter((e) => e.task === id && e.phase === "end" && e.op !== "NEST");
      expect(own).toHaveLength(count);
      const nest = rig.log().find((e) => e.task === id && e.phase === "end" && e.op === "NEST");
      expect(nest?.result, `depth ${depth}`).toBe(
        nestSum(
          depth,
          own.map((e) => e.result),
          77,
        ),
      );
    }
    expect(rig.sched("saveHighWater")).toBeGreaterThan(500);
  });

  it("[switch-2] a save area that overflows is named, with the task whose it is", () => {
    const law = "[switch-2] a task's save area overflowed: raise saveAreaBytes";
    let fits = 0;
    for (const depth of [10, 40, 70, 100, 130, 300]) {
      const rig = new Rig({ cpus: 2, saveAreaBytes: 4096 });
      rig.task([op.charge(10), op.charge(10)], 0);
      const deep = rig.task([op.nest(depth, 1, 1), op.sleep(100, UNINTERRUPTIBLE)], 1);
      const broken = lawOf(() => rig.run());
      if (broken === "") fits = Math.max(fits, depth);
      else expect([broken, rig.sched("current")], `depth ${depth}`).toEqual([law, deep]);
      expect(rig.sched("saveHighWater") > 3072, `depth ${depth}`).toBe(broken !== "");
    }
    expect(fits).toBeGreaterThanOrEqual(40);
    expect(fits).toBeLessThan(130);
  });

  it("[switch-2] a write into the red zone is found at the next switch", () => {
    const rig = new Rig();
    const id = rig.task([op.charge(10), op.sleep(100, UNINTERRUPTIBLE), op.sleep(100, UNINTERRUPTIBLE)]);
    rig.run(50);
    const zone = rig.harness.constant("SAVE_RED_ZONE");
    rig.setU32(rig.taskField(id, "saveArea") + rig.sched("saveAreaBytes") - zone, 0);
    expect(lawOf(() => rig.run())).toMatch("[switch-2] the red zone of a save area was written");
  });

  it("[core-2] [lk-2] nobody sleeps under a spinlock", () => {
    const under = (steps: (rig: Rig) => Step[]): string => {
      const rig = new Rig({ cpus: 2 });
      const lock = rig.spin();
      rig.task([op.charge(10), op.spinLock(lock, 22), ...steps(rig), op.spinUnlock(lock)], 0);
      return lawOf(() => rig.run());
    };
    const law = "[lk-2] sleeping function called under a spinlock";
    expect(under(() => [op.sleep(10, UNINTERRUPTIBLE)])).toMatch(law);
    expect(under((rig) => [op.wait(rig.queue(), UNINTERRUPTIBLE)])).toMatch(law);
    const held = (take: "mutexLock" | "downRead" | "downWrite"): string => {
      const rig = new Rig({ cpus: 2 });
      const [lock, other] = [rig.spin(), take === "mutexLock" ? rig.mutex() : rig.rwsem()];
      const hold = take === "mutexLock" ? op.mutexLock(other) : op.downWrite(other);
      rig.task([hold, op.charge(1000)], 0);
      rig.task([op.charge(10), op.spinLock(lock, 22), op[take](other)], 1);
      return lawOf(() => rig.run());
    };
    for (const take of ["mutexLock", "downRead", "downWrite"] as const) expect(held(take), take).toMatch(law);
    expect(under(() => [op.charge(100)])).toBe("");
  });

  it("a machine that does not fit its memory does not boot", () => {
    expect(new Rig({ limitBytes: 0x20000 + 100_000 }).bootOk).toBe(false);
    expect(new Rig({ tasks: 4096 }).bootOk).toBe(false);
    expect(new Rig().bootOk).toBe(true);
  });
});
