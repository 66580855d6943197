/*
 * The comparison that settles the argument: a fault's time by entry of the cost table, and sentences whose figures are measured.
 *
 * Checks: [steps-1] [steps-2] [set-1] [st-1].
 */
import { beforeAll, describe, expect, it } from "vitest";
import { type KernelImage, Machine, loadKernel } from "../../src/node.js";
import { settleSentences, settleText } from "../../src/report/settle-text.js";
import { type CostSteps, costStepJobs, costSteps } from "../../src/sim/cost-steps.js";
import { ParseError } from "../../src/sim/parse.js";
import { runJobs } from "../../src/sim/pool.js";
import {
  MKWRITES_OF_STEPS,
  SETTLE_PARTS,
  type SettlePlan,
  type SettleResult,
  settleJobs,
  settlePlan,
  settleResult,
} from "../../src/sim/settle.js";

let kernel: KernelImage;
let costs: Record<string, number>;
beforeAll(async () => {
  kernel = await loadKernel();
  costs = Machine.createSync(kernel.module, { memoryBytes: 1 << 20 }).costs();
});

describe("the steps of a fault", () => {
  let steps: CostSteps;
  beforeAll(async () => {
    const names = Object.keys(costs);
    const jobs = costStepJobs("cowfs", MKWRITES_OF_STEPS, names);
    steps = costSteps(MKWRITES_OF_STEPS, names, await runJobs(kernel, jobs));
  });

  /** ns by regime. */
  function step(name: string): number[] {
    return steps.steps.find(({ cost }) => cost === name)?.ns ?? [0, 0, 0];
  }

  it("[steps-2] explain what the helper costs, to 2 ns", () => {
    const explained = steps.steps.reduce((sum, { ns }) => sum + ns[1]! - ns[0]!, 0);
    expect(Math.abs(explained - (steps.faultNs[1]! - steps.faultNs[0]!))).toBeLessThan(2);
    expect(steps.faultNs[1]).toBeGreaterThan(steps.faultNs[0]!);
  });

  const TWICE = ["fault_setup", "page_cache_lookup", "file_pin", "vma_cached"];
  it.each(TWICE)("%s: once under the lock, twice with the helper", (name) => {
    const [under, helper] = step(name);
    expect(Math.abs(under! / costs[name]! - 1)).toBeLessThan(0.02);
    expect(Math.abs(helper! / under! - 2)).toBeLessThan(0.02);
  });

  it("completed looks a VMA up twice and walks once", () => {
    expect(step("vma_cached")[2]! / step("vma_cached")[0]!).toBeCloseTo(2, 1);
    expect(step("fault_setup")[2]! / step("fault_setup")[0]!).toBeCloseTo(1, 1);
    expect(steps.faultNs[2]).toBeLessThan(steps.faultNs[1]!);
  });
});

describe("the whole of it, shorter", () => {
  let plan: SettlePlan;
  let result: SettleResult;
  beforeAll(async () => {
    plan = settlePlan(["fault_setup", "file_pin"], "1");
    plan.parts.gain = { ...plan.parts.gain, durationNs: 3e7 };
    plan.parts.cost = { ...plan.parts.cost, durationNs: 2e6 };
    const jobs = settleJobs(plan);
    result = settleResult(plan, await runJobs(kernel, jobs));
  });

  it("[set-1] every part is a comparison with the command that makes it again", () => {
    for (const part of SETTLE_PARTS) {
      expect(result[part].command).toContain(`faultline compare ${result[part].workload} `);
      expect(result[part].points.length).toBe(plan.parts[part].regimes.length * plan.parts[part].cases.length);
    }
  });

  it("[st-1] three sentences: price, gain, rescue, with the figures of the result", () => {
    const [price, gain, rescue, ...more] = settleSentences(result);
    expect(more).toEqual([]);
    const [under, helper] = result.steps.faultNs;
    expect(price).toContain(`${(helper! - under!).toFixed(0)} ns a fault: second walk of the page table `);
    expect(gain).toMatch(/a writer's wait for mmap_sem goes at p99 from [\d.]+ ms to .* times less\)/);
    expect(rescue).toContain("6 of 9 cases block others under linux-6.7, up to 1.35 s; with the helper nobody waits longer than 32.8 us.");
  });

  it("says that there is no gain when there is none", () => {
    const same = {
      ...result,
      gain: { ...result.gain, points: result.gain.points.map((p) => ({ ...p, metrics: result.gain.points[0]!.metrics })) },
    };
    expect(settleSentences(same)[1]).toMatch(/no gain.*no gain.*changes by 0\.0 %/);
  });

  it("shows records where a table is too wide", () => {
    const wide = settleText(result, 60)
      .split("\n")
      .filter((line) => line.length > 70 && !/^(again|[123]\.|ns of|Median|All)/.test(line.trim()));
    expect(wide.filter((line) => !/linux-|second|locks/.test(line))).toEqual([]);
  });
});

it("takes a number of seeds", () => {
  expect(settlePlan([], "7").parts.gain.seeds.length).toBe(7);
  expect(() => settlePlan([], "none")).toThrow(ParseError);
});
