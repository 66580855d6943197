/*
 * What is measured of the emulator, in host time: one sample a call.
 *
 * Interface: MIB, faultSampler, plainSampler, switchSampler, snapshotSampler, restoreSampler, mmuSampler, copiedPerFault.
 * Invariants: [bench-3] booting, preparing and warming up stand outside of every sample.
 * Locks: none.
 * Why not the command's own host column: it is one sample, and what it stands beside was taken at another time.
 */
import { become } from "../../guest/mem.js";
import type { GuestFn } from "../../host/guests.js";
import { machineOf } from "../../sim/explore/jobs.js";
import { searchCell } from "../../sim/explore/search.js";
import { Machine } from "../../host/machine.js";
import { type KernelImage, Run, type RunDescription } from "../../sim/run.js";
import { pageFault3 } from "../../workloads/page-fault.js";

export const MIB = 2 ** 20;

/** Host ns of a piece of work. */
function timedNs(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6;
}

/** Faults a second of host time: each sample goes on where the last one ended, for about `sampleMs`. */
export function faultSampler(kernel: KernelImage, description: RunDescription, sampleMs: number): () => number {
  const run = new Run(kernel, { durationNs: Number.MAX_SAFE_INTEGER, ...description });
  run.warmUp();
  let simulatedNs = 1e6;
  return () => {
    const before = run.machine.stat("faults");
    const hostNs = timedNs(() => {
      run.measure(simulatedNs);
    });
    const faults = run.machine.stat("faults") - before;
    simulatedNs = Math.max(1e5, (simulatedNs * sampleMs * 1e6) / hostNs);
    return (faults * 1e9) / hostNs;
  };
}

/**
 * As faultSampler, of one task of page_fault3 that never blocks and runs to no limit: a kernel that cannot switch stacks can do
 * this much.
 */
export function plainSampler(module: WebAssembly.Module, lenBytes: number, sampleMs: number): () => number {
  const machine = Machine.createSync(module, { memoryBytes: 4 * lenBytes });
  const task = { tasks: 1, mode: "processes", lenBytes, seed: 1, directory: "/tmp", options: {}, index: 0, shared: 0 } as const;
  let passes = 0;
  machine.spawn(function* () {
    const fd = yield* pageFault3.prepare(task);
    const loop: GuestFn = function* () {
      yield* pageFault3.pass(task, fd);
      passes++;
      yield* become(loop);
    };
    yield* become(loop);
  });
  return () => {
    const before = machine.stat("faults");
    const from = passes;
    const start = performance.now();
    machine.run({ stopWhen: () => passes > from && performance.now() - start > sampleMs });
    return (machine.stat("faults") - before) / ((performance.now() - start) / 1e3);
  };
}

/** ns of a block and the resume that ends it, of two kernel threads that wake each other. */
export function switchSampler({ module }: KernelImage, count: number): () => number {
  return () => {
    const { kernel } = Machine.createSync(module, { memoryBytes: 16 * MIB });
    let switches = 0;
    const ns = timedNs(() => {
      switches = kernel.benchSwitch(count / 2);
    });
    return ns / switches;
  };
}

/** A machine of 2 MiB with a page cache, and without a guest. */
function smallMachine({ module }: KernelImage): Machine {
  const machine = Machine.createSync(module, { memoryBytes: 2 * MIB });
  const task = { tasks: 1, mode: "processes", lenBytes: 256 * 1024, seed: 1, directory: "/tmp", options: {}, index: 0, shared: 0 } as const;
  machine.spawn(function* () {
    yield* pageFault3.pass(task, yield* pageFault3.prepare(task));
  });
  machine.run();
  return machine;
}

/** us of a snapshot and the restore of it. */
export function snapshotSampler(kernel: KernelImage, count: number): () => number {
  const machine = smallMachine(kernel);
  const work = (): void => {
    for (let i = 0; i < count; i++) machine.restore(machine.snapshot());
  };
  return () => timedNs(work) / 1e3 / count;
}

/** us of a restore, of the same snapshot again and again, as an explorer does. */
export function restoreSampler(kernel: KernelImage, count: number): () => number {
  const machine = smallMachine(kernel);
  const snapshot = machine.snapshot();
  const work = (): void => {
    for (let i = 0; i < count; i++) machine.restore(snapshot);
  };
  return () => timedNs(work) / 1e3 / count;
}

/** Stores that hit the TLB, a second. */
export function mmuSampler({ module }: KernelImage, count: number): () => number {
  const { kernel } = Machine.createSync(module, { memoryBytes: 16 * MIB });
  return () => {
    let hits = 0;
    const ns = timedNs(() => {
      hits = kernel.benchMmuHits(count);
    });
    return (hits * 1e9) / ns;
  };
}

/** Bytes of pages that the kernel copied and zeroed, a fault: its counters page_copy_bytes and page_zero_bytes. */
export function copiedPerFault(kernel: KernelImage, description: RunDescription): { copied: number; zeroed: number } {
  const run = new Run(kernel, description);
  run.warmUp();
  run.measure();
  const faults = run.machine.stat("faults");
  return { copied: run.machine.stat("page_copy_bytes") / faults, zeroed: run.machine.stat("page_zero_bytes") / faults };
}

/** The explorer on truncate against mkwrite (S6): schedules a second by depth-first search, and us of the restore that begins each. */
export function exploreSamplers({ module }: KernelImage, sampleMs: number): { schedules: () => number; restore: () => number } {
  const job = { scenario: "truncate", regime: "linux-4.19+generic_page_mkwrite_nommapsem", fs: "pagestore" } as const;
  const machine = machineOf({ module }, { ...job, strategy: "dfs", budget: 1e9, preemptions: 2, seed: 1 });
  const schedules = (): number => {
    let count = 0;
    const start = performance.now();
    while (performance.now() - start < sampleMs) {
      const { failure, schedules: run } = searchCell(machine, { strategy: "dfs", budget: 1000, preemptions: 2, seed: 1 });
      if (failure) throw new Error(`truncate: ${failure.text}`);
      count += run;
    }
    return count / ((performance.now() - start) / 1e3);
  };
  const snapshot = machine.machine.snapshot();
  const restore = (): number =>
    timedNs(() => {
      for (let i = 0; i < 500; i++) machine.machine.restore(snapshot);
    }) / 5e5;
  return { schedules, restore };
}
