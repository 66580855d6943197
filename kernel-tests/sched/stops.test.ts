/*
 * Where the host stops a machine leaves no mark: a run measured in slices ends in the state of one measured at once. Snapshots
 * in mid-run and progress in the page stand on this.
 */
import fc from "fast-check";
import { beforeAll, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES } from "../../src/host/config.js";
import { type KernelImage, Run, type RunDescription, loadKernel } from "../../src/node.js";
import { MODES } from "../../src/sim/describe.js";
import { holds } from "../property.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel();
});

const DURATION_NS = 300_000;

/** The run's memory after its duration, its clock and its faults. */
function endOf(description: RunDescription, sliceNs: number): { timeNs: number; faults: number; memory: Uint8Array } {
  const run = new Run(kernel, description);
  run.warmUp();
  while (run.measuredNs < DURATION_NS) run.measure(Math.min(sliceNs, DURATION_NS - run.measuredNs));
  const { machine } = run;
  machine.kernel.hashPrepare();
  return { timeNs: run.measuredNs, faults: machine.stat("faults"), memory: machine.snapshot().memory };
}

function expectNoMark(description: RunDescription, sliceNs: number): void {
  const [sliced, whole] = [endOf(description, sliceNs), endOf(description, DURATION_NS)];
  expect([sliced.timeNs, sliced.faults]).toEqual([whole.timeNs, whole.faults]);
  expect(Buffer.compare(sliced.memory, whole.memory), "first difference in memory").toBe(0);
}

const base: RunDescription = {
  workload: "page_fault3",
  tasks: 1,
  mode: "threads",
  warmupNs: 100_000,
  durationNs: DURATION_NS,
  lenBytes: 65536,
  config: { memoryBytes: 8 << 20 },
};

it("not where the limit before the last falls into the skew of a private line", () => {
  expectNoMark({ ...base, staggerNs: 10_000, config: { ...base.config, seed: 2, faultLock: "linux-6.7" } }, 2500);
});

it("nowhere", () => {
  const runs = fc.record({
    workload: fc.constantFrom("page_fault1", "page_fault3", "mmap1", "fork1", "mixed"),
    mode: fc.constantFrom(...MODES),
    tasks: fc.integer({ min: 1, max: 5 }),
    faultLock: fc.constantFrom(...FAULT_LOCK_REGIMES),
    skewNs: fc.constantFrom(0, 2000, 8000),
    seed: fc.nat(1000),
    sliceNs: fc.integer({ min: 700, max: 100_000 }),
  });
  holds(runs, 40, ({ workload, mode, tasks, sliceNs, ...config }) => {
    expectNoMark({ ...base, workload, mode, tasks, config: { ...base.config, ...config } }, sliceNs);
  });
});
