/*
 * Batches of touches that hand over in the middle of their faults: every touch is made once, a batch that is given up leaves
 * nothing behind for the next, and a task that is killed in between gives its lock back.
 *
 * Checks: [touch-1] [touch-2] [core-5]; [lk-2] at the end of every machine.
 */
import { describe, expect, it } from "vitest";
import { barrier } from "../../src/guest/mem.js";
import { FAULT_LOCK_REGIMES, type MachineConfig, SIGSEGV, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, TestMachine, anon, bytesAt, must } from "../test-machine.js";

const THREADS = 4;
const PAGES = 24;
const LENGTH = PAGES * PAGE;

/** A process of THREADS threads, each on a CPU, each with its part of one mapping; what each returned. */
function contend(config: MachineConfig, body: (at: number, index: number) => Call<unknown>): { returned: unknown[]; switches: number } {
  const t = new TestMachine({ cpus: THREADS, ...config });
  const returned: unknown[] = [];
  t.runOne(function* () {
    const base = yield* anon(THREADS * LENGTH);
    for (let i = 0; i < THREADS; i++) {
      must(
        yield* sys.thread(function* () {
          yield* sys.pin(i);
          yield* barrier(0, THREADS);
          returned[i] = yield* body(base + i * LENGTH, i);
          yield* barrier(1, THREADS + 1);
        }),
        "thread",
      );
    }
    yield* barrier(1, THREADS + 1);
  });
  t.finish();
  return { returned, switches: t.machine.stat("stack_switches") };
}

const POLICIES: readonly (readonly [name: string, config: MachineConfig])[] = [
  ["by time", {}],
  ["without lookahead", { skewNs: 0 }],
  ...[1, 2, 3].map((seed) => [`random, seed ${seed}`, { choices: "random", seed }] as const),
];

describe.each(FAULT_LOCK_REGIMES)("%s", (faultLock) => {
  it.each(POLICIES)("[touch-1] every touch is made once: %s", (_name, policy) => {
    const { returned, switches } = contend({ faultLock, ...policy }, function* (at, index) {
      const done = yield* mem.touch(at, LENGTH, { write: true, value: index + 1 });
      const random = yield* mem.touchRandom(at, LENGTH, 50, 0, index);
      return [done, random, yield* bytesAt(mem.load(at + LENGTH - PAGE, 2))];
    });
    expect(returned).toEqual(Array.from({ length: THREADS }, (_, i) => [PAGES, 50, [i + 1, 0]]));
    expect(switches, "the batches have handed over").toBeGreaterThan(THREADS * 2);
  });

  it("[core-5] a batch that is given up is over: the next starts at its own first page", () => {
    const { returned } = contend({ faultLock }, function* (at) {
      must(yield* sys.munmap(at + 8 * PAGE, 8 * PAGE), "munmap");
      const first = yield* mem.tryTouch(at, LENGTH, { write: true });
      const second = yield* mem.tryTouch(at + 16 * PAGE, 8 * PAGE, { write: true });
      return [first.done, first.signal, first.address - at, second.done, second.signal];
    });
    expect(returned).toEqual(Array(THREADS).fill([8, SIGSEGV, 8 * PAGE, 8, 0]));
  });

  it("[touch-2] threads killed between two hand-overs give their lock back", () => {
    for (let afterNs = 0; afterNs < 12_000; afterNs += 500) {
      const t = new TestMachine({ cpus: THREADS + 1, faultLock });
      t.spawn(function* () {
        const base = yield* anon(THREADS * LENGTH);
        for (let i = 0; i < THREADS; i++) {
          const body = function* (): Call<unknown> {
            yield* barrier(0, THREADS + 1);
            return yield* mem.touch(base + i * LENGTH, LENGTH, { write: true });
          };
          must(yield* sys.thread(body), "thread");
        }
        yield* barrier(0, THREADS + 1);
        yield* sys.nanosleep(afterNs);
        yield* sys.exitGroup(0);
      });
      t.run();
      t.finish();
    }
  });
});
