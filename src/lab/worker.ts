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

const api: LabWorker = {
  async runPoint(kernel, description, onPhase) {
    onPhase("booting and warming up");
    const run = new Run(kernel, description);
    run.warmUp();
    onPhase("measuring");
    run.measure();
    onPhase("hashing the state");
    return run.result();
  },
  storeLife,
};

Comlink.expose(api);
