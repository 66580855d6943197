/*
 * The event queue against a sorted list, what handlers may do, the CPU tree against a search, and choices.
 *
 * Checks: [event-1] [event-2] [event-3] [core-2] [tree-1] [choice-1] [choice-2].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf, u64 } from "../host-harness";
import { holds } from "../property";
import { REASON, Rig, type Step, UNINTERRUPTIBLE, op } from "./rig";

const EVENT_BYTES = 48;
const NEVER = 2n ** 64n - 1n;

describe("event queue", () => {
  class Queue {
    readonly rig = new Rig();
    readonly base = this.rig.call("programAt", 8);
    model: { at: number; time: bigint; seq: number }[] = [];
    private seq = 0;

    cell(i: number): number {
      return this.base + i * EVENT_BYTES;
    }

    schedule(i: number, time: bigint): void {
      this.rig.call("eventSchedule", this.cell(i), time);
      this.model.push({ at: this.cell(i), time, seq: this.seq++ });
    }

    cancel(i: number): void {
      this.rig.call("eventCancel", this.cell(i));
      this.model = this.model.filter((e) => e.at !== this.cell(i));
    }

    earliest(): { at: number; time: bigint } | undefined {
      return [...this.model].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.seq - b.seq))[0];
    }

    pop(): void {
      const want = this.earliest();
      if (!want) return;
      expect(this.rig.call("eventPop")).toBe(want.at);
      this.model = this.model.filter((e) => e.at !== want.at);
    }

    compare(): void {
      expect(u64(this.rig.call("eventNextNs"))).toBe(this.earliest()?.time ?? NEVER);
      expect(this.rig.sched("events")).toBe(this.model.length);
    }
  }

  it("[event-1] events come out by time, then in the order they were scheduled, whatever is cancelled", () => {
    const time = fc.oneof(fc.bigInt({ min: 0n, max: 12n }), fc.bigInt({ min: 0n, max: NEVER - 1n }));
    const one = fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 29 }), time);
    holds(fc.array(one, { maxLength: 150, size: "max" }), 100, (ops) => {
      const queue = new Queue();
      for (const [kind, i, at] of ops) {
        const queued = queue.model.some((e) => e.at === queue.cell(i));
        expect(queue.rig.call("eventPending", queue.cell(i))).toBe(queued ? 1 : 0);
        if (kind < 6 && !queued) queue.schedule(i, at);
        else if (kind < 8) queue.cancel(i);
        else queue.pop();
        queue.compare();
      }
      while (queue.model.length > 0) queue.pop();
      queue.compare();
    });
  });

  it("[event-2] an event that is queued is not scheduled again, nor one without a time", () => {
    const queue = new Queue();
    queue.schedule(0, 5n);
    expect(lawOf(() => queue.schedule(0, 6n))).toMatch("[event-2] the event is queued already");
    expect(lawOf(() => queue.schedule(1, NEVER))).toMatch("an event has a time");
    queue.cancel(0);
    expect(lawOf(() => queue.rig.call("eventPop"))).toMatch("the queue is not empty");
  });

  it("[event-3] a handler may schedule its own event again", () => {
    const queue = new Queue();
    const { rig } = queue;
    rig.call("handlerEvent", queue.base, 100, rig.harness.constant("HANDLER_COUNT"), 50, 9);
    expect(rig.run(299)).toBe(REASON.time);
    expect(rig.call("handlerRuns", queue.base)).toBe(4);
    expect(rig.run()).toBe(REASON.idle);
    expect([rig.call("handlerRuns", queue.base), rig.sched("machineNs")]).toEqual([10, 550]);
  });

  it("[core-2] a handler that blocks or keeps a spinlock stops the machine", () => {
    const run = (kind: string): string => {
      const queue = new Queue();
      queue.rig.call("handlerEvent", queue.base, 10, queue.rig.harness.constant(kind), 0, 0);
      return lawOf(() => queue.rig.run());
    };
    expect(run("HANDLER_BLOCK")).toMatch("[core-2] an event handler blocks");
    expect(run("HANDLER_KEEP_SPINLOCK")).toMatch("[lk-2] an event handler returned holding a spinlock");
    expect(run("HANDLER_COUNT")).toBe("");
  });

  it("a handler's time is taken from CPU 0 when that runs somebody, and from nobody when it idles", () => {
    const late = (cpu: number): number => {
      const rig = new Rig({ cpus: 2 });
      const at = rig.call("programAt", 8);
      rig.call("handlerEvent", at, 15, rig.harness.constant("HANDLER_CHARGE"), 1000, 0);
      rig.task([op.charge(20), op.charge(20), op.charge(20)], cpu);
      rig.run();
      return rig.cpu(cpu, "clock");
    };
    expect([late(0), late(1)]).toEqual([1060, 60]);
  });
});

describe("CPU tree", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 100, 128])("[tree-1] of %i CPUs finds the lowest id with the smallest key", (cpus) => {
    const rig = new Rig({ cpus, tasks: 1 });
    const keys = Array<bigint>(cpus).fill(NEVER);
    const first = (): number => keys.indexOf(keys.reduce((a, b) => (b < a ? b : a)));
    expect(rig.call("cpuTreeFirst"), "of an idle machine").toBe(0);
    const one = fc.tuple(fc.nat({ max: cpus - 1 }), fc.oneof(fc.bigInt({ min: 0n, max: 5n }), fc.constant(NEVER)));
    holds(fc.array(one, { minLength: 1, maxLength: 300, size: "max" }), 6, (sets) => {
      for (const [id, key] of sets) {
        rig.call("cpuTreeSet", id, key);
        keys[id] = key;
        expect(rig.call("cpuTreeFirst")).toBe(first());
        expect(u64(rig.call("cpuTreeFirstKey"))).toBe(keys[first()]);
        expect(u64(rig.call("cpuTreeKey", id))).toBe(key);
      }
    });
  });
});

const CHOICE = { log: 16, capacity: 20, made: 24, script: 28, scriptLength: 32 } as const;

/** Tasks on two CPUs that race for a lock, a queue and each other's slices. */
function race(rig: Rig): void {
  const [sem, queue] = [rig.rwsem(), rig.queue()];
  for (let i = 0; i < 6; i++) {
    const turn: Step[] = [op.charge(100), op.downWrite(sem), op.charge(50), op.upWrite(sem), op.wakeOne(queue)];
    rig.task([...turn, op.waitTimeout(queue, UNINTERRUPTIBLE, 300), ...turn, op.charge(100)], i % 2);
  }
}

function choices(rig: Rig): { kind: number; n: number; answer: number }[] {
  const at = rig.harness.constant("CHOICE_STATE");
  const log = rig.u32(at + CHOICE.log);
  const made = Math.min(rig.u32(at + CHOICE.made), rig.u32(at + CHOICE.capacity));
  return Array.from({ length: made }, (_, i) => {
    const entry = rig.u32(log + i * 4);
    return { kind: entry >>> 24, n: (entry >>> 12) & 0xfff, answer: entry & 0xfff };
  });
}

function script(rig: Rig, answers: readonly number[]): void {
  const at = rig.harness.constant("CHOICE_STATE");
  answers.forEach((answer, i) => rig.setU32(rig.u32(at + CHOICE.script) + i * 4, answer));
  rig.setU32(at + CHOICE.scriptLength, answers.length);
}

describe("choices", () => {
  it("[choice-1] the default policy answers 0 and keeps no log", () => {
    const rig = new Rig({ cpus: 2 });
    race(rig);
    rig.run();
    expect(choices(rig)).toEqual([]);
    for (const n of [1, 2, 128]) expect(rig.call("choose", 0, n)).toBe(0);
    expect(lawOf(() => rig.call("choose", 0, 0))).toMatch("[choice-1] there is something to choose");
  });

  it("[choice-1] [choice-2] random answers are in range, a function of the seed, and logged", () => {
    const runs = [1, 2, 3, 4, 5].map((seed) => {
      const both = [0, 1].map(() => {
        const rig = new Rig({ cpus: 2, policy: 1, seed });
        race(rig);
        rig.run();
        return { log: rig.log(), made: choices(rig) };
      });
      expect(both[0]).toEqual(both[1]);
      for (const { n, answer } of both[0]?.made ?? []) expect(answer < n && n > 1).toBe(true);
      return JSON.stringify(both[0]?.log);
    });
    expect(new Set(runs).size, "seeds differ").toBeGreaterThan(1);
  });

  it("[choice-2] a script of the logged answers replays the run", () => {
    for (let seed = 1; seed <= 12; seed++) {
      const rig = new Rig({ cpus: 2, policy: 1, seed });
      race(rig);
      rig.run();
      const answers = choices(rig).map((c) => c.answer);
      expect(answers.length).toBeGreaterThan(0);
      const again = new Rig({ cpus: 2, policy: 2 });
      script(again, answers);
      race(again);
      again.run();
      expect(again.log()).toEqual(rig.log());
      expect(choices(again)).toEqual(choices(rig));
    }
  });

  it("a script answers in order, then the default; an answer that is no choice is a bug", () => {
    const rig = new Rig({ policy: 2 });
    script(rig, [2, 0, 1, 9]);
    expect([rig.call("choose", 1, 3), rig.call("choose", 1, 1), rig.call("choose", 2, 2), rig.call("choose", 3, 5)]).toEqual([2, 0, 0, 1]);
    expect(lawOf(() => rig.call("choose", 1, 3))).toMatch("[choice-1] the script's answer is one of the choices");
    script(rig, [1]);
    rig.setU32(rig.harness.constant("CHOICE_STATE") + CHOICE.scriptLength + 4, 1);
    expect(rig.call("choose", 1, 3)).toBe(0);
  });

  it("counts choices that no longer fit the log", () => {
    const rig = new Rig({ policy: 1 });
    const capacity = rig.harness.constant("CHOICE_LOG");
    for (let i = 0; i < capacity + 10; i++) rig.call("choose", 1, 2);
    expect(rig.u32(rig.harness.constant("CHOICE_STATE") + CHOICE.made)).toBe(capacity + 10);
    expect(choices(rig)).toHaveLength(capacity);
  });

  it("random CPU choices are even, preemption is one in sixteen", () => {
    const rig = new Rig({ policy: 1, seed: 7 });
    const cpu = Array.from({ length: 4000 }, () => rig.call("choose", rig.harness.constant("CHOICE_CPU"), 4));
    for (let id = 0; id < 4; id++) expect(Math.abs(cpu.filter((c) => c === id).length - 1000)).toBeLessThan(150);
    const preempt = Array.from({ length: 4000 }, () => rig.call("choose", rig.harness.constant("CHOICE_PREEMPT"), 2));
    expect(Math.abs(preempt.filter((c) => c === 1).length - 250)).toBeLessThan(80);
  });
});
