/**
 * A worker of the page: owns the machines, so that the page never waits for one.
 *
 * Interface: LabWorker over comlink.
 * Invariants: [lab-2] each call makes its own machine: a kernel that panics takes no other call with it.
 * Locks: none.
 * Why not a way to stop a run here: a run is one computation that never awaits; the page ends the worker and makes another.
 */
import * as Comlink from "comlink";
import { Run } from "../sim/run.js";
import type { LabWorker } from "./protocol.js";
import { storeLife } from "./store-life.js";

/** Slices that a run is measured in. Their number is fixed: slices by the clock would shrink without end on a busy computer. */
const SLICES = 200;
/** A run says how far it is no oftener than this, ms of host time. */
const SAY_MS = 100;

/** Measures in slices. Where a machine stops leaves no mark: the state is that of one long run. */
function measure(run: Run, say: (share: number) => void): void {
  const { durationNs } = run.description;
  const sliceNs = Math.ceil(durationNs / SLICES);
  let saidMs = performance.now();
  while (run.measuredNs < durationNs) {
    run.measure(Math.min(sliceNs, durationNs - run.measuredNs));
    // A workload that ends by itself leaves nobody behind.
    if (run.machine.guestCount === 0) return;
    if (performance.now() - saidMs < SAY_MS) continue;
    saidMs = performance.now();
    say(run.measuredNs / durationNs);
  }
}

const api: LabWorker = {
  async runJob(kernel, { description }, onPhase) {
    onPhase("booting and warming up", 0);
    const run = new Run(kernel, description);
    run.warmUp();
    onPhase("measuring", 0);
    measure(run, (share) => onPhase("measuring", share));
    onPhase("hashing the state", 1);
    return { result: await run.result(), histograms: run.histograms() };
  },
  storeLife,
};

Comlink.expose(api);
