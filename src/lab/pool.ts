/**
 * Workers that share a list of runs: each takes the next one as it gets free.
 *
 * Interface: WorkerPool, Cancelled, poolSize.
 * Invariants: [pool-1] results come in the order of the runs, whichever worker was first.
 *             [pool-2] after cancel or an error no worker is still busy: a busy one is ended, the next call makes new ones.
 *             [pool-3] nobody hears of a run after run() has come back.
 * Locks: none.
 * Why not one worker: a machine uses one core of this computer, and most have more.
 */
import * as Comlink from "comlink";
import type { PointJob, PointOutcome } from "../sim/outcome.js";
import type { KernelImage } from "../sim/run.js";
import type { LabWorker, RunPhase } from "./protocol.js";
import type { StoreLife, StoreLifeOptions } from "./store-life.js";

/** More workers than this only fight for memory. */
const MAX_WORKERS = 8;

/** Workers that so many runs can use here. */
export function poolSize(jobs: number): number {
  return Math.max(1, Math.min(jobs, navigator.hardwareConcurrency, MAX_WORKERS));
}

/** The user stopped the runs. */
export class Cancelled extends Error {
  constructor() {
    super("cancelled");
    this.name = "Cancelled";
  }
}

export interface PoolEvents {
  phase: (run: number, phase: RunPhase, share: number) => void;
  outcome: (run: number, outcome: PointOutcome) => void;
}

interface Member {
  worker: Worker;
  api: Comlink.Remote<LabWorker>;
  busy: boolean;
}

export class WorkerPool {
  private members: (Member | undefined)[] = [];
  private abort: ((reason: Error) => void) | undefined;

  constructor(readonly kernel: KernelImage) {}

  private member(index: number): Member {
    const known = this.members[index];
    if (known) return known;
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: `faultline ${index}` });
    const made = { worker, api: Comlink.wrap<LabWorker>(worker), busy: false };
    this.members[index] = made;
    return made;
  }

  /** Ends the workers that are busy: nothing else stops a run. A worker whose run failed is free, and stays. */
  private reset(): void {
    this.members = this.members.map((member) => {
      if (member?.busy !== true) return member;
      member.worker.terminate();
      return undefined;
    });
  }

  /** Runs all, several at a time. Rejects with the first error, or with Cancelled; the rest is given up then. */
  async run(jobs: readonly PointJob[], events: PoolEvents): Promise<PointOutcome[]> {
    const outcomes: PointOutcome[] = [];
    let next = 0;
    let live = true;
    const stopped = new Promise<never>((_, reject) => (this.abort = reject));
    const work = async (member: Member): Promise<void> => {
      // A worker that cannot start, or dies outside a call, says so only here.
      member.worker.onerror = (event) => this.abort?.(new Error(event.message || "a worker of the page could not start"));
      for (let i = next++; i < jobs.length; i = next++) {
        const job = jobs[i];
        if (!job) return;
        // Its own channel: a phase may arrive after the result, and after a cancel.
        const onPhase = Comlink.proxy((phase: RunPhase, share: number) => {
          if (live && outcomes[i] === undefined) events.phase(i, phase, share);
        });
        member.busy = true;
        const outcome = await member.api.runJob(this.kernel, job, onPhase).finally(() => (member.busy = false));
        if (!live) return;
        outcomes[i] = outcome;
        events.outcome(i, outcome);
      }
    };
    const size = poolSize(jobs.length);
    try {
      await Promise.race([stopped, Promise.all(Array.from({ length: size }, (_, i) => work(this.member(i))))]);
    } catch (error) {
      next = jobs.length;
      this.reset();
      throw error;
    } finally {
      live = false;
      this.abort = undefined;
    }
    return outcomes;
  }

  /** Stops the runs under way. */
  cancel(): void {
    this.abort?.(new Cancelled());
  }

  /** The life of one store, told by a worker of its own: no run keeps it waiting, no cancel ends it. */
  storeLife(options: StoreLifeOptions): Promise<StoreLife> {
    return this.member(MAX_WORKERS).api.storeLife(this.kernel, options);
  }
}
