/*
 * The corpus of scenarios is whole: S1 to S36 and R1 to R7 each have one, names are names, every scenario means something somewhere, and
 * what is known to be wrong is not among what is right.
 *
 * Checks: [scn-i1] [scn-2] [scn-4].
 */
import { describe, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES } from "../../src/host/config.js";
import { SCENARIO_FS } from "../../src/scenarios/filesystems.js";
import { SCENARIOS, SCENARIO_NAMES, scenarioByName } from "../../src/scenarios/index.js";
import type { Cell } from "../../src/scenarios/scenario.js";

const CELLS: readonly Cell[] = SCENARIO_FS.flatMap((fs) =>
  FAULT_LOCK_REGIMES.flatMap((faultLock) => MKWRITE_REGIMES.map((mkwrite) => ({ fs, faultLock, mkwrite }))),
);

function numbered(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${letter}${i + 1}`);
}

describe("the corpus", () => {
  it("has S1 to S36 and R1 to R7", () => {
    const ids = new Set(SCENARIOS.map(({ id }) => id));
    expect([...numbered("S", 36), ...numbered("R", 7)].filter((id) => !ids.has(id))).toEqual([]);
  });

  it("has a name for each, in kebab-case, once", () => {
    expect(SCENARIO_NAMES.filter((name) => !/^[a-z]+(-[a-z]+)*$/.test(name))).toEqual([]);
    expect(new Set(SCENARIO_NAMES).size).toBe(SCENARIOS.length);
    expect(SCENARIOS.every((one) => scenarioByName(one.name) === one)).toBe(true);
    expect(scenarioByName("none-of-them")).toBeUndefined();
  });

  it("leaves no filesystem out", () => {
    const used = new Set(CELLS.filter((cell) => SCENARIOS.some((one) => one.applies(cell))).map(({ fs }) => fs.name));
    expect(SCENARIO_FS.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([]);
  });
});

describe.each(SCENARIOS.map((one) => [one.name, one] as const))("%s", (_name, scenario) => {
  const cells = CELLS.filter((cell) => scenario.applies(cell));

  it("has cells, two to five tasks, and endings that are right", () => {
    expect(cells.length).toBeGreaterThan(0);
    const tasks = Object.keys(scenario.tasks).length;
    expect(tasks >= 2 && tasks <= 5).toBe(true);
    for (const cell of cells) {
      const allowed = scenario.allowed(cell);
      expect(allowed.length).toBeGreaterThan(0);
      expect(new Set(allowed).size).toBe(allowed.length);
      expect(scenario.defect?.(cell)?.endings?.filter((ending) => allowed.includes(ending)) ?? []).toEqual([]);
    }
  });
});
