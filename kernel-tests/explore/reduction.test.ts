/*
 * The reductions of the depth-first search against the plain search: fewer schedules, the same endings, both complete.
 *
 * Checks: [dfs-2] [dfs-3] [fp-1] [ins-2].
 */
import { describe, expect, it } from "vitest";
import { kernelBytes, mem, sys } from "../../src/node.js";
import { SCENARIO_FS } from "../../src/scenarios/filesystems.js";
import { scenarioByName } from "../../src/scenarios/index.js";
import { type AnyScenario, type Cell, defineScenario, thread } from "../../src/scenarios/scenario.js";
import { Dfs, UNBOUNDED } from "../../src/sim/explore/dfs.js";
import { instrument } from "../../src/sim/explore/instrument.js";
import { ExploreMachine } from "../../src/sim/explore/machine.js";
import { type CellReport, type Reduction, searchCell } from "../../src/sim/explore/search.js";

const bytes = kernelBytes("explore");
const plain = new WebAssembly.Module(bytes as BufferSource);
const noted = new WebAssembly.Module(instrument(bytes) as BufferSource);

function* increment(at: number) {
  const value = yield* mem.load(at, 1);
  return yield* mem.store(at, new Uint8Array([(value as Uint8Array)[0]! + 1]));
}

/** Two threads that add one each, without a lock: an update may be lost. */
const COUNTER = defineScenario<number, { one: number; two: number }, number>({
  id: "T1",
  name: "counter",
  title: "two increments of one byte",
  applies: () => true,
  *setup() {
    const at = yield* sys.mmap(0, 4096, 3, 0x21);
    yield* mem.store(at, new Uint8Array(1));
    return at;
  },
  tasks: { one: thread(increment), two: thread(increment) },
  *after(at) {
    return ((yield* mem.load(at, 1)) as Uint8Array)[0]!;
  },
  ending: ({ after }) => `count ${after}`,
  allowed: () => ["count 1", "count 2"],
  mark: ({ after }) => after === 1,
});

function cellOn(name: string): Cell {
  const fs = SCENARIO_FS.find((one) => one.name === name)!;
  return { faultLock: "linux-4.19", mkwrite: "generic_page_mkwrite_nommapsem", fs };
}

function explore(scenario: AnyScenario, fs: string, preemptions: number, reduction: Reduction): CellReport {
  const takesNotes = reduction !== "none";
  const machine = new ExploreMachine(takesNotes ? noted : plain, scenario, cellOn(fs), {}, takesNotes);
  return searchCell(machine, { strategy: "dfs", budget: 100_000, preemptions, seed: 1, reduction });
}

function endings(report: CellReport): string[] {
  expect(report.failure).toBeUndefined();
  expect(report.covered).toBe(true);
  return Object.keys(report.endings).sort();
}

describe("two increments", () => {
  it("no preemption, no lost update; one preemption loses one", () => {
    const machine = new ExploreMachine(plain, COUNTER, cellOn("ramfs"));
    const at = (preemptions: number): CellReport => searchCell(machine, { strategy: "dfs", budget: 1000, preemptions, seed: 1 });
    expect(Object.keys(at(0).endings)).toEqual(["count 2"]);
    expect(endings(at(1))).toEqual(["count 1", "count 2"]);
  });

  it("without a bound, states and sleep sets spare most schedules and no ending", () => {
    const all = explore(COUNTER, "ramfs", UNBOUNDED, "none");
    for (const reduction of ["states", "sleep"] as const) {
      const reduced = explore(COUNTER, "ramfs", UNBOUNDED, reduction);
      expect(endings(reduced)).toEqual(endings(all));
      expect(reduced.schedules).toBeLessThan(all.schedules / 2);
      expect(reduced.reduced).toBeGreaterThan(0);
    }
  });
});

describe("races of the kernel", () => {
  for (const name of ["munmap", "truncate", "freeze"]) {
    it(`${name}: two preemptions, the same endings with and without`, () => {
      const scenario = scenarioByName(name)!;
      const all = explore(scenario, "pagestore", 2, "none");
      const reduced = explore(scenario, "pagestore", 2, "states");
      expect(endings(reduced)).toEqual(endings(all));
      expect(reduced.schedules).toBeLessThan(all.schedules);
    });
  }
});

it("sleep sets under a bound are refused", () => {
  expect(() => new Dfs(2, true)).toThrow("[dfs-3]");
});

it("the rewritten kernel does what the kernel does", () => {
  const scenario = scenarioByName("truncate")!;
  const run = (module: WebAssembly.Module, takesNotes: boolean): unknown[] => {
    const machine = new ExploreMachine(module, scenario, cellOn("cowfs"), {}, takesNotes);
    return Array.from({ length: 40 }, (_, seed) => {
      const { ending, points } = machine.run({ kind: "random", seed, oneIn: 4 });
      return [ending, points, machine.log.deviations()];
    });
  };
  expect(run(noted, true)).toEqual(run(plain, false));
});
