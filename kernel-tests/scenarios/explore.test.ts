/*
 * A bounded exploration of every scenario: seeded random schedules in some of its cells. Every ending is one that is right, no law breaks,
 * and some schedule has entered the window. The whole product is `npm run explore:all`.
 *
 * Checks: [scn-2] [scn-3] [scn-4]; bacik-v3 fails where SCENARIOS section 4 says (D1, D2, D3, D5, D6), and nowhere with all mended.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SCENARIO_FS } from "../../src/scenarios/filesystems.js";
import { SCENARIOS, scenarioByName } from "../../src/scenarios/index.js";
import type { AnyScenario, Cell } from "../../src/scenarios/scenario.js";
import { ExploreMachine } from "../../src/sim/explore/machine.js";
import { type CellReport, searchCell } from "../../src/sim/explore/search.js";
import { ROOT } from "../source.js";

const WASM = join(ROOT, "build/faultline.explore.wasm");
if (!existsSync(WASM)) throw new Error(`${WASM} is missing; build it: npx tsx src/build/build.ts --only explore`);
const kernel = new WebAssembly.Module(readFileSync(WASM));

const REGIMES: readonly Omit<Cell, "fs">[] = [
  { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite_nommapsem" },
  { faultLock: "linux-5.1", mkwrite: "completed" },
  { faultLock: "linux-4.19", mkwrite: "kara" },
  { faultLock: "linux-4.19", mkwrite: "generic_page_mkwrite" },
  { faultLock: "linux-5.1", mkwrite: "bacik-v3" },
];
/** Schedules of a cell: enough for each scenario to enter its window in some cell. */
const BUDGET = 60;

function explore(scenario: AnyScenario, cell: Cell, budget = BUDGET): CellReport {
  return searchCell(new ExploreMachine(kernel, scenario, cell), { strategy: "random", budget, preemptions: 2, seed: 1 });
}

/** The scenario's filesystems, two of them, another pair for each scenario. */
function cellsOf(scenario: AnyScenario, index: number): Cell[] {
  return REGIMES.flatMap((regime) => {
    const fitting = SCENARIO_FS.filter((fs) => scenario.applies({ ...regime, fs }));
    const picked = new Set([0, 3].map((step) => fitting[(index + step) % fitting.length]));
    return [...picked].flatMap((fs) => (fs ? [{ ...regime, fs }] : []));
  });
}

describe("every scenario, bounded", () => {
  it.each(SCENARIOS.map((one, index) => [one.name, one, index] as const))("%s", (name, scenario, index) => {
    let entered = false;
    for (const cell of cellsOf(scenario, index)) {
      const { failure, marked, defect } = explore(scenario, cell);
      const where = `faultline explore ${name} --fs ${cell.fs.name} --regime ${cell.faultLock}+${cell.mkwrite} --strategy random`;
      // So few schedules need not enter the window, or show a defect, in every cell.
      if (failure?.kind !== "no-mark" && failure?.kind !== "no-defect") expect(failure, where).toBeUndefined();
      entered ||= marked || (defect?.seen ?? 0) > 0;
    }
    expect(entered, "a schedule has entered the window").toBe(true);
  });
});

/** bit n-1 for Dn. */
const D = { posted: 0b111110, mended: 0, d1: 0b1, d3: 0b100, d6: 0b100000 } as const;

function bacik(name: string, fsName: string, bacikDefects: number, budget: number, faultLock: Cell["faultLock"] = "linux-5.1"): CellReport {
  const scenario = scenarioByName(name);
  const fs = SCENARIO_FS.find((one) => one.name === fsName);
  if (!scenario || !fs) throw new Error(`no scenario ${name}, or no filesystem ${fsName}`);
  return explore(scenario, { faultLock, mkwrite: "bacik-v3", bacikDefects, fs }, budget);
}

describe("bacik-v3 fails where it is known to", () => {
  it("D1: the path never runs, and the mark says so", () => {
    expect(bacik("munmap", "cowfs", D.d1, 300).failure?.kind).toBe("no-mark");
    expect(bacik("munmap", "cowfs", D.posted, 300).failure).toBeUndefined();
  });

  it("D2, D3: the callback runs a second time under the lock", () => {
    expect(bacik("second-run", "cowfs", D.posted, 100).defect).toMatchObject({ id: "D2" });
    expect(bacik("second-run-loaded", "cowfs", D.d3, 100).defect).toMatchObject({ id: "D3" });
    // Without a PTE ->fault is asked, and finds the page: D3 is of those that have one.
    expect(bacik("second-run", "cowfs", D.d3, 100).failure).toBeUndefined();
  });

  it("D5: an error after the drop comes back with a VMA that is gone; not from a per-VMA lock", () => {
    expect(bacik("no-space", "cowfs", D.posted, 300).defect?.seen).toBeGreaterThan(0);
    const vmaLock = bacik("no-space", "cowfs", D.posted, 300, "linux-6.7");
    expect([vmaLock.failure, vmaLock.defect]).toEqual([undefined, undefined]);
  });

  it("D6: a page that is dirty is taken for prepared (S9, S10), but not one whose file has grown (S8)", () => {
    for (const fs of ["iomapfs-1024", "jbdfs-1024"]) {
      expect(bacik("punch", fs, D.d6, 1500).defect?.seen, fs).toBeGreaterThan(0);
      expect(bacik("dirty-again", fs, D.d6, 1500).defect?.seen, fs).toBeGreaterThan(0);
      expect(bacik("extend-tail", fs, D.d6, 300).failure, fs).toBeUndefined();
    }
  });

  it("with every defect mended it fails nowhere", () => {
    for (const name of ["munmap", "punch", "dirty-again", "no-space", "second-run-loaded"]) {
      expect(bacik(name, "iomapfs-1024", D.mended, 200).failure, name).toBeUndefined();
    }
  });
});
