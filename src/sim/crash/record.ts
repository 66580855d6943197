/**
 * One run of a crash workload, and every moment at which the power could fail in it.
 *
 *     the disk's log moves, a write goes to the disk, a step begins or returns  ->  a point
 *     point = what is certain to be on the disk (base) + pieces in order, each certain (FUA) or loose
 *
 * Interface: recordRun, Recording, CrashPoint, Piece, Base.
 * Invariants:
 *   [rec-1] the run is deterministic: the n-th point of the same CrashRun is the same point, so "12:ff" names a crash state.
 *   [rec-2] loose pieces are all that may or may not have reached the disk: done but not flushed, and under way.
 * Locks: none.
 * Why not every prefix of the log alone: a prefix is one of the subsets, and a write under way may overtake one that is done.
 */
import type { Machine } from "../../host/machine.js";
import { diskRegions, pendingWrites, readLog } from "../../host/power-loss.js";
import { must } from "../../guest/sys.js";
import { CrashOracle } from "./oracle.js";
import { type CrashRun, beforeNumber, mountedMachine } from "./machine.js";
import { StepRunner } from "./steps.js";

/** Shorter than anything that the disk does. */
const TICK_NS = 1000;
const MAX_TICKS = 2_000_000;

/** What every crash at some points finds below the pieces. */
export interface Base {
  image: Uint8Array;
}

export interface Piece {
  firstByte: number;
  /** What reaches the disk at most: less than was written of a torn write. */
  data: Uint8Array;
  loose: boolean;
}

export interface CrashPoint {
  index: number;
  timeNs: number;
  base: Base;
  pieces: Piece[];
  /** Steps that have begun, and that have returned. */
  begun: number;
  returned: number;
}

export interface Recording {
  run: CrashRun;
  points: CrashPoint[];
}

/** Runs the workload and keeps every point. Throws when a step fails, or when the disk's log is too short for the workload. */
export function recordRun(run: CrashRun): Recording {
  const machine = mountedMachine(run);
  if (run.faults) machine.disk.injectFaults(run.faults);
  const progress = { begun: 0, returned: 0 };
  machine.spawn(function* () {
    const runner = new StepRunner();
    for (const [i, step] of run.workload.steps.entries()) {
      progress.begun = i + 1;
      must(yield* runner.run(step, i), `step ${i}: ${step.do}`);
      progress.returned = i + 1;
    }
  });
  const recorder = new Recorder(machine);
  for (let tick = 0; machine.guestCount > 0; tick++) {
    if (tick > MAX_TICKS) throw new Error(`${run.workload.name} on ${run.fs.name} hung\n${machine.inspect("tasks")}`);
    recorder.look(progress.begun, progress.returned);
    machine.run({ forNs: TICK_NS });
  }
  recorder.look(progress.begun, progress.returned);
  return { run, points: recorder.points };
}

class Recorder {
  readonly points: CrashPoint[] = [];
  private lastSeen = "";
  private oldestSeq = -1;
  private base: Base = { image: new Uint8Array(0) };

  constructor(private readonly machine: Machine) {}

  look(begun: number, returned: number): void {
    const { kernel, memory, disk } = this.machine;
    const seen = `${disk.progress()} ${begun} ${returned} ${this.underWay()}`;
    if (seen === this.lastSeen) return;
    this.lastSeen = seen;
    const regions = diskRegions(kernel, memory);
    const { base, entries } = readLog(regions);
    if (entries.length === regions.logCapacity) throw new Error("more was written between two flushes than the disk's log holds");
    if (regions.oldestSeq !== this.oldestSeq) this.base = { image: base };
    this.oldestSeq = regions.oldestSeq;
    const pieces = entries.map((entry) => {
      return { firstByte: entry.firstByte, data: entry.data.subarray(0, entry.reachBytes), loose: !entry.durable };
    });
    for (const { firstByte, data } of pendingWrites(kernel, memory)) pieces.push({ firstByte, data, loose: true });
    this.points.push({ index: this.points.length, timeNs: this.machine.nowNs(), base: this.base, pieces, begun, returned });
  }

  /** The writes that the disk is working on, and in which phase of theirs. */
  private underWay(): string {
    const { kernel } = this.machine;
    let text = "";
    for (let bio = kernel.blockInFlightNext(0); bio !== 0; bio = kernel.blockInFlightNext(bio)) {
      text += `${kernel.blockBioField(bio, 2)}.${kernel.blockBioField(bio, 4)} `;
    }
    return text;
  }
}

/** The oracle as it stands when `begun` steps have begun and `returned` have returned. */
export function oracleAt({ fs, workload }: CrashRun, begun: number, returned: number): CrashOracle {
  const oracle = new CrashOracle(fs.unitBytes, fs.sizeStep);
  for (const [i, step] of (workload.before ?? []).entries()) oracle.begin(step, beforeNumber(i));
  oracle.allSynced();
  for (const [i, step] of workload.steps.slice(0, begun).entries()) {
    oracle.begin(step, i);
    if (i < returned) oracle.done(step);
  }
  return oracle;
}
