/**
 * What the page and its workers say to each other.
 *
 * Interface: LabWorker, RunPhase.
 * Invariants: [lab-1] only structured-cloneable values cross; an error crosses as its name and message.
 * Locks: none.
 * Why not one message a table: a call with a promise reads as what it is (comlink).
 */
import type { PointJob, PointOutcome } from "../sim/outcome.js";
import type { KernelImage } from "../sim/run.js";
import type { StoreLife, StoreLifeOptions } from "./store-life.js";

/** What a run is doing. */
export type RunPhase = "booting and warming up" | "measuring" | "hashing the state";

export interface LabWorker {
  /** One run from boot to what is said about it. `share` of its measured time is done, 0 to 1. */
  runJob: (kernel: KernelImage, job: PointJob, onPhase: (phase: RunPhase, share: number) => void) => Promise<PointOutcome>;
  /** One store to a page of a file, told step by step. */
  storeLife: (kernel: KernelImage, options: StoreLifeOptions) => StoreLife;
}
