/*
 * A copy of memory is a snapshot: machines stopped in the middle of nested calls, locks and sleeps, gone on from again, in the
 * same instance and in a fresh one.
 *
 * Checks: [layout-1] [switch-1] [prog-2], and with them [dt-1] for the lower rooms.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadHarness } from "../host-harness";
import { holds } from "../property";
import { KILLABLE, REASON, Rig, type RigOptions, type Step, UNINTERRUPTIBLE, op } from "./rig";

const STOP_NS = 5000;
const ALL_BEGUN = [1, 2, 3, 4, 5, 6, 7, 8].map((task) => [task, "begin"]);

/** Everything that a machine is. */
function save(rig: Rig): Uint8Array {
  return new Uint8Array(rig.harness.memory.buffer).slice();
}

function restore(rig: Rig, saved: Uint8Array): void {
  new Uint8Array(rig.harness.memory.buffer).set(saved);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A machine with eight tasks, each of which does all it does at the bottom of calls of its own depth. */
function eightTasks(options: RigOptions = {}): Rig {
  const rig = new Rig({ cpus: 3, sliceNs: 700, saveAreaBytes: 8192, costs: true, ...options });
  const [sem, mutex, queue, word] = [rig.rwsem(), rig.mutex(22), rig.queue(), rig.word()];
  for (let i = 0; i < 8; i++) {
    const inner: Step[] = [
      op.charge(300 + 70 * i),
      op.sleep(500 * (i + 1), UNINTERRUPTIBLE),
      i % 2 === 0 ? op.downRead(sem) : op.downWrite(sem),
      op.mutexLock(mutex),
      op.charge(900),
      op.mutexUnlock(mutex),
      i % 2 === 0 ? op.upRead(sem) : op.upWrite(sem),
      op.waitTimeout(queue, KILLABLE, 4000),
      op.bitLock(word, 3, 23),
      op.wakeOne(queue),
      op.charge(250),
      op.bitUnlock(word, 3),
    ];
    const twice = [op.nest(3 + 2 * i, inner.length, i), ...inner, op.charge(40), op.nest(14 - i, inner.length, 99), ...inner];
    rig.task(twice, i % 4 === 3 ? -1 : i % 3);
  }
  return rig;
}

describe("snapshots", () => {
  it("[layout-1] eight tasks suspended in nested calls go on alike, here and in a fresh instance", () => {
    const rig = eightTasks();
    expect(rig.run(STOP_NS)).toBe(REASON.time);
    const nests = rig.log().filter((e) => e.op === "NEST");
    expect(nests.map((e) => [e.task, e.phase]).sort(), "all are in their first nested call").toEqual(ALL_BEGUN);
    const middle = save(rig);
    expect(rig.run()).toBe(REASON.idle);
    const [end, log] = [save(rig), rig.log()];

    restore(rig, middle);
    expect(rig.run()).toBe(REASON.idle);
    expect(rig.log()).toEqual(log);
    expect(same(save(rig), end), "the same instance").toBe(true);

    const fresh = loadHarness({ bytes: rig.harness.memory.buffer.byteLength });
    new Uint8Array(fresh.memory.buffer).set(middle);
    expect(fresh.call("machineRun", 1e15, 1)).toBe(REASON.idle);
    expect(same(new Uint8Array(fresh.memory.buffer), end), "a fresh instance").toBe(true);
  });

  it("any stop is a place to go on from, under every policy", () => {
    const shape = fc.record({ policy: fc.constantFrom(0, 1), seed: fc.integer({ min: 1, max: 1e6 }), skewNs: fc.constantFrom(0, 1500) });
    holds(fc.tuple(shape, fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 4 })), 12, ([options, stops]) => {
      const rig = eightTasks(options);
      const points: Uint8Array[] = [];
      for (const until of stops.sort((a, b) => a - b)) {
        rig.run(until);
        points.push(save(rig));
      }
      rig.run();
      const end = save(rig);
      for (const point of points) {
        restore(rig, point);
        rig.run();
        expect(same(save(rig), end)).toBe(true);
      }
    });
  });

  it("[dt-1] the same machine built twice ends byte for byte alike, and another seed does not", () => {
    const run = (seed: number): Uint8Array => {
      const rig = eightTasks({ policy: 1, seed });
      rig.run();
      return save(rig);
    };
    expect(same(run(5), run(5))).toBe(true);
    expect(same(run(5), run(6))).toBe(false);
  });
});
