/*
 * The reader-writer semaphore: Linux's rules one by one, then fuzz against a simulation and against the laws alone.
 *
 * Checks: [rwsem-1] [rwsem-2] [rwsem-3].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { REASON, Rig, SIGKILL, SIGNAL, type Step, UNINTERRUPTIBLE, op } from "./rig";
import { type Kill, RwsemModel, type Section, type Tenure } from "./rwsem-model";

const MS = 1_000_000;

/** Reads for holdNs from startNs on. */
function reads(sem: number, startNs: number, holdNs: number): Step[] {
  return [op.charge(startNs), op.downRead(sem), op.charge(holdNs), op.upRead(sem)];
}

function writes(sem: number, startNs: number, holdNs: number): Step[] {
  return [op.charge(startNs), op.downWrite(sem), op.charge(holdNs), op.upWrite(sem)];
}

/** When each task got the semaphore, by task. */
function gotAt(rig: Rig): Record<number, number> {
  return Object.fromEntries(rig.ends("DOWN_READ", "DOWN_WRITE").map(([time, task]) => [task, time]));
}

describe("rwsem", () => {
  it("readers share, a writer waits for all of them", () => {
    const rig = new Rig({ cpus: 4 });
    const sem = rig.rwsem();
    rig.task(reads(sem, 10, 100), 0);
    rig.task(reads(sem, 20, 200), 1);
    rig.task(reads(sem, 30, 50), 2);
    rig.task(writes(sem, 40, 10), 3);
    expect(rig.run()).toBe(REASON.idle);
    expect(gotAt(rig)).toEqual({ 1: 10, 2: 20, 3: 30, 4: 220 });
  });

  it("[rwsem-2] a reader fails fast behind a waiting writer, and tries in vain", () => {
    const rig = new Rig({ cpus: 4 });
    const sem = rig.rwsem();
    rig.task(reads(sem, 10, 1000), 0);
    rig.task(writes(sem, 20, 100), 1);
    rig.task(reads(sem, 30, 10), 2);
    const trier = rig.task([op.charge(40), op.tryDownRead(sem), op.tryDownWrite(sem)], 3);
    rig.run();
    expect(gotAt(rig)).toEqual({ 1: 10, 2: 1010, 3: 1110 });
    expect(rig.results(trier)).toEqual([0, 0, 0]);
  });

  it("a release lets all queued readers in over the heads of writers, when the first is a reader", () => {
    const rig = new Rig({ cpus: 6 });
    const sem = rig.rwsem();
    rig.task(writes(sem, 10, 1000), 0);
    rig.task(reads(sem, 20, 100), 1);
    rig.task(writes(sem, 30, 100), 2);
    rig.task(reads(sem, 40, 300), 3);
    rig.task(writes(sem, 50, 100), 4);
    rig.task(reads(sem, 60, 200), 5);
    rig.run();
    expect(gotAt(rig)).toEqual({ 1: 10, 2: 1010, 4: 1010, 6: 1010, 3: 1310, 5: 1410 });
  });

  it("a writer that is first goes before readers behind it", () => {
    const rig = new Rig({ cpus: 4 });
    const sem = rig.rwsem();
    rig.task(writes(sem, 10, 1000), 0);
    rig.task(writes(sem, 20, 100), 1);
    rig.task(reads(sem, 30, 100), 2);
    rig.task(reads(sem, 40, 100), 3);
    rig.run();
    expect(gotAt(rig)).toEqual({ 1: 10, 2: 1010, 3: 1110, 4: 1110 });
  });

  it("readers are let in 256 at a time", () => {
    const rig = new Rig({ cpus: 2, tasks: 302 });
    const sem = rig.rwsem();
    rig.task(writes(sem, 1, MS), 0);
    const slot = rig.program([op.charge(10), op.downRead(sem), op.sleep(10, UNINTERRUPTIBLE), op.upRead(sem)]);
    const readers = Array.from({ length: 300 }, () => rig.call("programTask", slot, 1));
    const waiting = (): number => readers.filter((id) => rig.taskField(id, "waitOn") === sem).length;
    rig.run(MS);
    expect(waiting()).toBe(300);
    rig.run(MS + 2);
    expect(waiting()).toBe(300 - 256);
    expect(rig.run()).toBe(REASON.idle);
    expect(rig.sched("liveTasks")).toBe(0);
  });

  it("downgrade lets waiting readers join and keeps writers out", () => {
    const rig = new Rig({ cpus: 5 });
    const sem = rig.rwsem();
    rig.task([op.charge(10), op.downWrite(sem), op.charge(100), op.downgrade(sem), op.charge(1000), op.upRead(sem)], 0);
    rig.task(reads(sem, 20, 100), 1);
    rig.task(writes(sem, 30, 100), 2);
    rig.task(reads(sem, 500, 10), 3);
    rig.run();
    expect(gotAt(rig)).toEqual({ 1: 10, 2: 110, 3: 1110, 4: 1210 });
  });

  it("a killed waiter gives up, and whoever waited behind it goes on", () => {
    const rig = new Rig({ cpus: 5 });
    const sem = rig.rwsem();
    rig.task(reads(sem, 10, 5000), 0);
    const writer = rig.task([op.charge(20), op.downWriteKillable(sem), op.skipUnless(0, 1), op.upWrite(sem)], 1);
    rig.task(reads(sem, 30, 10), 2);
    const deaf = rig.task(writes(sem, 40, 10), 3);
    rig.task([op.charge(100), op.kill(deaf, SIGKILL), op.charge(100), op.kill(writer, SIGKILL)], 4);
    rig.run();
    expect(rig.ends("DOWN_WRITE_KILLABLE")).toEqual([[200, writer, "DOWN_WRITE_KILLABLE", SIGNAL]]);
    expect(gotAt(rig)).toEqual({ 1: 10, 3: 200, [deaf]: 5010 });
  });

  /** Wakes take 50 us here, so writers on the run steal from one that has been woken. */
  function stealing(options: { killable?: boolean } = {}): { rig: Rig; victim: number } {
    const rig = new Rig({ cpus: 3, sliceNs: 1000 * MS });
    rig.setCost("C_WAKE_IDLE", 50_000);
    const sem = rig.rwsem();
    for (const cpu of [0, 1]) {
      rig.task([op.charge(10 + cpu * 20_000), ...Array.from({ length: 20 }, () => writes(sem, 7 + cpu, 400_000)).flat()], cpu);
    }
    const down = options.killable ? op.downWriteKillable(sem) : op.downWrite(sem);
    const victim = rig.task([op.charge(40_000), down, op.skipUnless(0, 2), op.charge(10), op.upWrite(sem)], 2);
    return { rig, victim };
  }

  it("[rwsem-3] writers steal from one that was woken, but not once it has waited 4 ms: then it is next", () => {
    const { rig, victim } = stealing();
    rig.run();
    const wins = rig.ends("DOWN_WRITE");
    const at = wins.findIndex(([, task]) => task === victim);
    const waited = wins[at]![0] - rig.log().find((e) => e.task === victim && e.op === "DOWN_WRITE")!.timeNs;
    expect(waited).toBeGreaterThan(4 * MS);
    expect(waited).toBeLessThan(4 * MS + 2 * 400_000 + 4 * 50_000);
    expect(at, "it was stolen from before").toBeGreaterThan(5);
    expect(rig.traceCount("TP_RWSEM_HANDOFF")).toBeGreaterThan(0);
  });

  it("[rwsem-3] a killed heir does not keep the lock from the others", () => {
    const { rig, victim } = stealing({ killable: true });
    rig.run(4.3 * MS);
    expect(rig.traceCount("TP_RWSEM_HANDOFF")).toBeGreaterThan(0);
    rig.call("taskKill", rig.taskField(victim, "at"), SIGKILL);
    expect(rig.run()).toBe(REASON.idle);
    expect(rig.sched("liveTasks")).toBe(0);
  });

  it("names misuse: a release by another, of a free semaphore, a downgrade by a reader", () => {
    const misuse = (steps: (sem: number) => Step[]): string => {
      const rig = new Rig();
      rig.task(steps(rig.rwsem()));
      return lawOf(() => rig.run());
    };
    expect(misuse((sem) => [op.upRead(sem)])).toMatch("[rwsem-1] up_read of a semaphore that nobody reads");
    expect(misuse((sem) => [op.downRead(sem), op.upWrite(sem)])).toMatch("[rwsem-1] up_write by its writer");
    expect(misuse((sem) => [op.downRead(sem), op.downgrade(sem)])).toMatch("[rwsem-1] downgrade by its writer");
    expect(misuse((sem) => [op.downWrite(sem), op.upRead(sem)])).toMatch("[rwsem-1] up_read of a semaphore that nobody reads");
  });
});

const section: fc.Arbitrary<Section> = fc.record({
  gapNs: fc.integer({ min: 1, max: 3 * MS }),
  mode: fc.constantFrom("read" as const, "write" as const),
  how: fc.constantFrom("plain" as const, "plain" as const, "killable" as const, "try" as const),
  holdNs: fc.integer({ min: 1, max: 3 * MS }),
  downgradeNs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: MS }) }),
});

function stepsOf(sem: number, s: Section): Step[] {
  const [plain, killable, attempt] =
    s.mode === "read" ? [op.downRead, op.downReadKillable, op.tryDownRead] : [op.downWrite, op.downWriteKillable, op.tryDownWrite];
  const down = s.how === "plain" ? plain : s.how === "killable" ? killable : attempt;
  const downgrade = s.mode === "write" && s.downgradeNs !== 0 ? [op.downgrade(sem), op.charge(s.downgradeNs)] : [];
  const up = s.mode === "read" || downgrade.length > 0 ? op.upRead(sem) : op.upWrite(sem);
  const held = [op.charge(s.holdNs), ...downgrade, up];
  return [op.charge(s.gapNs), down(sem), op.skipUnless(s.how === "try" ? 1 : 0, held.length), ...held];
}

/** What happened to the semaphore in a log; tasks are numbered from 0 as the model's are. */
function tenuresOf(rig: Rig): Tenure[] {
  const tenures: Tenure[] = [];
  for (const { op: name, phase, result, timeNs, task: id } of rig.log()) {
    const task = id - 1;
    const mode = name.includes("READ") ? "read" : "write";
    const isTry = name.startsWith("TRY_");
    if (phase === "end" && (isTry || name.startsWith("DOWN_"))) {
      tenures.push({ timeNs, task, what: result === (isTry ? 1 : 0) ? mode : "failed" });
    } else if (phase === "begin" && name.startsWith("UP_")) tenures.push({ timeNs, task, what: "release" });
    else if (phase === "begin" && name === "DOWNGRADE") tenures.push({ timeNs, task, what: "downgrade" });
  }
  return tenures;
}

function rigOf(programs: readonly (readonly Section[])[], kills: readonly Kill[], options: ConstructorParameters<typeof Rig>[0]): Rig {
  const rig = new Rig({ sliceNs: 1000 * MS, ...options });
  const sem = rig.rwsem();
  programs.forEach((sections, i) => {
    rig.task(
      sections.flatMap((s) => stepsOf(sem, s)),
      i % (options?.cpus ?? 1),
    );
  });
  return rig;
}

/** [rwsem-1] from the log alone: who holds when. Tenures in a log lie within the real ones. */
function checkExclusion(tenures: readonly Tenure[]): void {
  const readers = new Set<number>();
  let writer = -1;
  for (const { task, what } of tenures) {
    if (what === "read") {
      expect(writer, "[rwsem-1] a reader joins a writer").toBe(-1);
      readers.add(task);
    } else if (what === "write") {
      expect([writer, readers.size], "[rwsem-1] a writer joins somebody").toEqual([-1, 0]);
      writer = task;
    } else if (what === "downgrade") {
      writer = -1;
      readers.add(task);
    } else if (what === "release") {
      if (writer === task) writer = -1;
      readers.delete(task);
    }
  }
  expect([writer, readers.size], "all is released").toEqual([-1, 0]);
}

/** Names the first difference. Readers of one batch go on at one time: in the order of their CPUs, which is nobody's rule. */
function expectSame(gotLog: readonly Tenure[], wantLog: readonly Tenure[]): void {
  const sorted = (log: readonly Tenure[]): Tenure[] => [...log].sort((a, b) => a.timeNs - b.timeNs || a.task - b.task);
  const [got, want] = [sorted(gotLog), sorted(wantLog)];
  const at = want.findIndex((tenure, i) => JSON.stringify(tenure) !== JSON.stringify(got[i]));
  if (at >= 0) expect(got[at], `event ${at}, after ${JSON.stringify(want.slice(Math.max(0, at - 4), at))}`).toEqual(want[at]);
  expect(got).toHaveLength(want.length);
}

const programs = fc.array(fc.array(section, { minLength: 1, maxLength: 7 }), { minLength: 2, maxLength: 8, size: "max" });

describe("rwsem fuzz", () => {
  it("grants, refuses and hands off exactly as the model of Linux's rules does", () => {
    const kill = fc.record({ timeNs: fc.integer({ min: 1, max: 20 * MS }), task: fc.nat({ max: 7 }) });
    let ties = 0;
    let handoffs = 0;
    const runs = 200;
    holds(fc.tuple(programs, fc.array(kill, { maxLength: 3 }), fc.constantFrom(0, 1777, 60_013)), runs, (given) => {
      const [sections, someKills, wakeNs] = given;
      const kills = someKills.filter((k) => k.task < sections.length);
      const model = new RwsemModel(sections, kills, wakeNs);
      if (model.tie) {
        ties++;
        return;
      }
      handoffs += model.handoffs;
      const cpus = sections.length + kills.length;
      const rig = new Rig({ cpus, tasks: 16, sliceNs: 1000 * MS });
      rig.setCost("C_WAKE_IDLE", wakeNs);
      const sem = rig.rwsem();
      sections.forEach((each, cpu) =>
        rig.task(
          each.flatMap((s) => stepsOf(sem, s)),
          cpu,
        ),
      );
      kills.forEach((k, i) => rig.task([op.charge(k.timeNs), op.kill(k.task + 1, SIGKILL)], sections.length + i));
      expect(rig.run(1e15)).toBe(REASON.idle);
      expectSame(tenuresOf(rig), model.tenures);
      expect(rig.traceCount("TP_RWSEM_HANDOFF")).toBe(model.handoffs);
    });
    expect(ties, "cases that prove nothing").toBeLessThan(runs / 10);
    expect(handoffs, "hand-offs are reached").toBeGreaterThan(runs / 20);
  });

  it("[rwsem-1] keeps writers alone under random choices, shared CPUs and all costs, and nobody is forgotten", () => {
    holds(fc.tuple(programs, fc.integer({ min: 1, max: 1e6 }), fc.constantFrom(1, 2, 3)), 80, ([sections, seed, cpus]) => {
      const short = sections.map((each) => each.map((s) => ({ ...s, gapNs: s.gapNs / 1000, holdNs: s.holdNs / 1000 })));
      const rig = rigOf(short, [], { cpus, policy: 1, seed, costs: true, sliceNs: 20_000 });
      expect(rig.run()).toBe(REASON.idle);
      expect(rig.sched("liveTasks"), "[rwsem-3] everyone got the lock").toBe(0);
      checkExclusion(tenuresOf(rig));
    });
  });
});
