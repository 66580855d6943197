/*
 * Cache lines: what a touch costs, who waits for whom, how often lines move; and the bounded lookahead on private lines.
 *
 * Checks: [line-1] [core-1] [cost-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds } from "../property";
import { Rig, type RigOptions, type Step, op } from "./rig";

const LOCAL = 5;
const NEAR = 40;
const FAR = 100;
const CONTENDER = 7;

function rigWith(options: RigOptions): Rig {
  const rig = new Rig(options);
  rig.setCost("C_ATOMIC_LOCAL", LOCAL);
  rig.setCost("C_LINE_SAME_SOCKET", NEAR);
  rig.setCost("C_LINE_CROSS_SOCKET", FAR);
  rig.setCost("C_LINE_CONTENDER", CONTENDER);
  return rig;
}

/** `[time at the end, task, ns it took]` of each touch. */
function touches(rig: Rig): [number, number, number][] {
  return rig.ends("TOUCH").map(([time, task, , took]) => [time, task, took]);
}

describe("cache lines", () => {
  it("a first touch and a touch by the owner are local; a touch by another moves the line, dearer between sockets", () => {
    const rig = rigWith({ cpus: 4, sockets: 2 });
    const line = rig.word();
    rig.task([op.charge(1000), op.touch(line), op.touch(line)], 0);
    rig.task([op.charge(2000), op.touch(line)], 1);
    rig.task([op.charge(3000), op.touch(line)], 2);
    rig.task([op.charge(4000), op.touch(line)], 3);
    rig.run();
    expect([0, 1, 2, 3].map((cpu) => rig.cpu(cpu, "socket"))).toEqual([0, 0, 1, 1]);
    expect(touches(rig)).toEqual([
      [1005, 1, LOCAL],
      [1010, 1, LOCAL],
      [2045, 2, LOCAL + NEAR],
      [3105, 3, LOCAL + FAR],
      [4045, 4, LOCAL + NEAR],
    ]);
    expect(rig.sched("lineTransfers")).toBe(3);
  });

  it("[line-1] touches at one time are served one after the other, each transfer dearer by those that queue", () => {
    const rig = rigWith({ cpus: 4 });
    const line = rig.word();
    for (let cpu = 0; cpu < 4; cpu++) rig.task([op.charge(1000), op.touch(line)], cpu);
    rig.run();
    const ends = touches(rig).map(([time]) => time);
    expect(ends[0]).toBe(1000 + LOCAL);
    // The second finds the line busy for 5 ns: one request of 5 ns is outstanding.
    expect(ends[1]).toBe(1005 + LOCAL + NEAR + CONTENDER);
    // The third: 57 ns at 52 ns a transfer is one; the fourth: 109 ns is two.
    expect(ends[2]).toBe(1057 + LOCAL + NEAR + CONTENDER);
    expect(ends[3]).toBe(1109 + LOCAL + NEAR + 2 * CONTENDER);
  });

  it("a shared counter does not scale: eight CPUs together are no faster than one", () => {
    const rate = (cpus: number): number => {
      const rig = rigWith({ cpus });
      const line = rig.word();
      for (let cpu = 0; cpu < cpus; cpu++) {
        rig.task(
          Array.from({ length: 200 }, () => op.touch(line)),
          cpu,
        );
      }
      rig.run();
      return (200 * cpus) / rig.sched("machineNs");
    };
    expect(rate(8)).toBeLessThan(rate(1));
    expect(rate(8)).toBeLessThan(rate(2));
  });

  const turn = fc.tuple(fc.integer({ min: 1, max: 120 }), fc.nat({ max: 2 }));
  const programs = fc.array(fc.array(turn, { minLength: 1, maxLength: 25 }), { minLength: 1, maxLength: 6, size: "max" });

  /** Task i runs on CPU i; line 0 and 1 are shared, line 2 is the task's own. */
  function build(turns: readonly (readonly (readonly [number, number])[])[], skewNs: number): { rig: Rig; lines: number[] } {
    const rig = rigWith({ cpus: 6, sockets: 2, skewNs });
    const lines = Array.from({ length: 8 }, () => rig.word());
    turns.forEach((each, cpu) => {
      const steps = each.flatMap(([ns, which]): Step[] => [op.charge(ns), op.touch(lines[which < 2 ? which : 2 + cpu]!)]);
      rig.task(steps, cpu);
    });
    return { rig, lines };
  }

  it("[line-1] a line serves one request at a time, and transfers are counted", () => {
    holds(programs, 80, (turns) => {
      const { rig } = build(turns, 0);
      rig.run();
      let transfers = 0;
      for (const which of [0, 1]) {
        const served = rig.log().filter((e) => e.op === "TOUCH" && e.phase === "end" && turns[e.task - 1]![(e.pc - 1) / 2]![1] === which);
        served.forEach((e, i) => {
          const before = served[i - 1];
          if (!before) return;
          const moved = before.cpu !== e.cpu;
          if (moved) transfers++;
          const far = moved && rig.cpu(before.cpu, "socket") !== rig.cpu(e.cpu, "socket");
          const price = LOCAL + (moved ? (far ? FAR : NEAR) : 0);
          expect(e.timeNs, "the line is busy until the one before is done").toBeGreaterThanOrEqual(before.timeNs + price);
          expect(e.result).toBeGreaterThanOrEqual(price);
        });
      }
      expect(rig.sched("lineTransfers")).toBe(transfers);
    });
  });

  it("[core-1] a line that another CPU owns is touched when nobody else is due earlier, however far CPUs may run ahead", () => {
    let moves = 0;
    holds(fc.tuple(programs, fc.constantFrom(0, 50, 500, 5000)), 80, ([turns, skewNs]) => {
      const { rig } = build(turns, skewNs);
      rig.run();
      const log = rig.log();
      const owners = [-1, -1];
      log.forEach((e, i) => {
        const which = e.op === "TOUCH" ? turns[e.task - 1]![(e.pc - 1) / 2]![1] : 2;
        if (e.phase === "begin" || which === 2) return;
        const moved = owners[which] !== -1 && owners[which] !== e.cpu;
        owners[which] = e.cpu;
        if (!moved) return;
        moves++;
        const arrivedNs = e.timeNs - e.result;
        const late = log.slice(i + 1).find((other) => other.cpu !== e.cpu && other.timeNs < arrivedNs);
        expect(late, `runs after CPU ${e.cpu} took a line at ${arrivedNs} ns`).toBeUndefined();
      });
    });
    expect(moves).toBeGreaterThan(100);
  });

  it("the lookahead saves switches where lines are private, and changes no time there", () => {
    const one = (skewNs: number): { switches: number; clocks: number[] } => {
      const rig = rigWith({ cpus: 4, skewNs });
      for (let cpu = 0; cpu < 4; cpu++) {
        const line = rig.word();
        rig.task(
          Array.from({ length: 100 }, () => op.touch(line)),
          cpu,
        );
      }
      rig.run();
      return { switches: rig.sched("switches"), clocks: [0, 1, 2, 3].map((cpu) => rig.cpu(cpu, "clock")) };
    };
    const [strict, ahead] = [one(0), one(2000)];
    expect(ahead.clocks).toEqual(strict.clocks);
    expect(ahead.switches).toBeLessThan(strict.switches / 10);
  });
});

describe("cost table", () => {
  it("[cost-1] every cost has a name, and the names are apart", () => {
    const rig = new Rig({ costs: true });
    const count = rig.harness.constant("COST_COUNT");
    const names = Array.from({ length: count }, (_, id) => rig.text(rig.call("costName", id)));
    expect(names.every((name) => /^[a-z][a-z0-9_]+$/.test(name))).toBe(true);
    expect(new Set(names).size).toBe(count);
    expect(rig.text(rig.call("costName", count))).toBe("");
    for (let id = 0; id < count; id++) expect(rig.call("cost", id), names[id]).toBeGreaterThan(0);
  });

  it("without costs nothing takes time", () => {
    const rig = new Rig({ cpus: 3 });
    const [sem, mutex, line] = [rig.rwsem(), rig.mutex(22), rig.word()];
    for (let cpu = 0; cpu < 3; cpu++) {
      rig.task([op.downWrite(sem), op.mutexLock(mutex), op.touch(line), op.mutexUnlock(mutex), op.upWrite(sem)], cpu);
    }
    rig.run();
    expect(rig.sched("machineNs")).toBe(0);
  });
});
