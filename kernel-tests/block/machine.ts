/*
 * A disk under test: the harness module's block part with typed helpers.
 *
 * Interface: DiskMachine, ModelOptions, op and flag constants.
 * Invariants: [bm-1] a test fills the model in before boot.
 */
import { loadHarness } from "../host-harness";
import { FAULT_FIELDS as HOST_FAULT_FIELDS, MODEL_FIELDS as HOST_MODEL_FIELDS } from "../../src/host/disk";
import type { DiskRegions, PendingWrite } from "../../src/host/power-loss";

export const READ = 0;
export const WRITE = 1;
export const FLUSH = 2;
export const PREFLUSH = 1;
export const FUA = 2;
export const SYNC = 4;
export const META = 8;
export const EIO = 5;
export const DISK_BIMODAL_KIND = 1;
export const SECTOR = 512;
const PHASE_DATA = 1;
export const PAGE = 4096;

const MODEL_FIELDS = [...HOST_MODEL_FIELDS, "reorderNs", "logEntries"] as const;
export type ModelOptions = Partial<Record<(typeof MODEL_FIELDS)[number], number>>;

const FAULT_FIELDS = [
  ...HOST_FAULT_FIELDS,
  "hitsEioRead",
  "hitsEioWrite",
  "hitsEioFlush",
  "hitsEioRange",
  "hitsTorn",
  "hitsLostFlush",
] as const;
export type FaultField = (typeof FAULT_FIELDS)[number];

export interface Completion {
  id: number;
  status: number;
  submitNs: number;
  doneNs: number;
}

const STATS = [
  "oldestSeq",
  "nextSeq",
  "logOverflows",
  "ioTicksNs",
  "queueTicksNs",
  "pending",
  "inFlight",
  "maxInFlight",
  "liveBios",
  "slowRequests",
  "drawnRequests",
] as const;

export interface BootOptions {
  cpus?: number;
  blocks?: number;
  seed?: number;
  policy?: number;
  limitBytes?: number;
  costs?: boolean;
  model?: ModelOptions;
}

/** A model in which only what a test names takes time. */
const PLAIN: ModelOptions = { queueDepth: 4, readNs: 1000, writeNs: 2000, flushNs: 5000, bytesPerUs: 0 };

export class DiskMachine {
  readonly memory: WebAssembly.Memory;
  private readonly x: Record<string, (...args: number[]) => number>;
  private seen = 0;

  constructor(options: BootOptions = {}) {
    const loaded = loadHarness();
    this.memory = loaded.memory;
    this.x = loaded.exports;
    this.setModel({ ...PLAIN, ...options.model });
    const limit = options.limitBytes ?? this.memory.buffer.byteLength;
    const { cpus = 1, blocks = 64, seed = 1, policy = 0, costs = false } = options;
    this.bootOk = this.call("blkBoot", cpus, blocks, seed, policy, limit, costs ? 1 : 0) === 1;
  }

  readonly bootOk: boolean;

  call(name: string, ...args: number[]): number {
    const f = this.x[name];
    if (f === undefined) throw new Error(`the harness has no ${name}`);
    return f(...args);
  }

  private words(at: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, at, 64);
  }

  setModel(model: ModelOptions): void {
    const words = this.words(this.call("blkModel"));
    MODEL_FIELDS.forEach((field, i) => {
      const value = model[field];
      if (value !== undefined) words[i] = value;
    });
  }

  setFaults(faults: Partial<Record<FaultField, number>>): void {
    const words = this.words(this.call("blkFaults"));
    FAULT_FIELDS.forEach((field, i) => {
      const value = faults[field];
      if (value !== undefined) words[i] = value;
    });
  }

  fault(field: FaultField): number {
    return this.words(this.call("blkFaults"))[FAULT_FIELDS.indexOf(field)] ?? -1;
  }

  stat(name: (typeof STATS)[number]): number {
    return this.call("blkStat", STATS.indexOf(name));
  }

  opStat(op: number, field: "ios" | "merges" | "bytes" | "ticksNs" | "errors"): number {
    return this.call("blkOpStat", op, ["ios", "merges", "bytes", "ticksNs", "errors"].indexOf(field));
  }

  /** Submits from outside any task; `frame` is the first of the test's page frames that hold the data. */
  submit(op: number, sector: number, lenBytes: number, frame = 0, flags = 0): number {
    return this.call("blkSubmit", op, flags, sector, frame, lenBytes);
  }

  submitChunks(op: number, sector: number, lenBytes: number, frame: number, flags: number, chunk: number): number {
    return this.call("blkSubmitChunks", op, flags, sector, frame, lenBytes, chunk);
  }

  run(untilNs = 1e15): number {
    return this.call("blkRun", untilNs);
  }

  now(): number {
    return this.call("blkNow");
  }

  frame(index: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.call("blkFrames") + index * PAGE, PAGE);
  }

  image(): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.call("blkImage"), this.call("blkImageBytes"));
  }

  /** Completions since the last call, in order. */
  drain(): Completion[] {
    const out: Completion[] = [];
    const count = this.call("blkRingCount");
    const view = new DataView(this.memory.buffer, this.call("blkRing"));
    for (; this.seen < count; this.seen++) {
      const at = (this.seen % 4096) * 24;
      out.push({
        id: view.getUint32(at, true),
        status: view.getInt32(at + 4, true),
        submitNs: Number(view.getBigUint64(at + 8, true)),
        doneNs: Number(view.getBigUint64(at + 16, true)),
      });
    }
    return out;
  }

  /** Starts a task that runs the steps with submitBioWait; read the results with steps(). */
  task(slot: number, steps: { op: number; flags?: number; sector?: number; frame?: number; len?: number }[]): void {
    const words = new Uint32Array(this.memory.buffer, this.call("blkProgram", slot), 1024);
    steps.forEach((s, i) => words.set([s.op, s.flags ?? 0, s.sector ?? 0, s.frame ?? 0, s.len ?? 0], i * 8));
    words[steps.length * 8] = 9;
    this.call("blkTask", slot);
  }

  steps(slot: number, count: number): { status: number; timeNs: number }[] {
    const view = new DataView(this.memory.buffer, this.call("blkProgram", slot));
    const out = [];
    for (let i = 0; i < count; i++) {
      out.push({ status: view.getInt32(i * 32 + 20, true), timeNs: view.getFloat64(i * 32 + 24, true) });
    }
    return out;
  }

  /** Pieces of the writes that the disk has begun and not completed, in order of issue. */
  pendingWrites(): PendingWrite[] {
    const out: PendingWrite[] = [];
    for (let bio = this.call("blkInFlightNext", 0); bio !== 0; bio = this.call("blkInFlightNext", bio)) {
      const [op, sector, bioId, vecs, phase] = [0, 1, 2, 3, 4].map((f) => this.call("blkBioField", bio, f));
      if (op !== WRITE || phase !== PHASE_DATA) continue;
      const words = new Uint32Array(this.memory.buffer, this.call("blkBioVecs", bio), 64);
      let firstByte = (sector ?? 0) * SECTOR;
      for (let i = 0; i < (vecs ?? 0); i++) {
        const data = new Uint8Array(this.memory.buffer, words[i * 2], words[i * 2 + 1]).slice();
        out.push({ bioId: bioId ?? 0, firstByte, data });
        firstByte += data.length;
      }
    }
    return out;
  }

  disk(): DiskRegions {
    return {
      memory: this.memory.buffer,
      image: this.call("blkImage"),
      imageBytes: this.call("blkImageBytes"),
      logHeads: this.call("blkLogHeads"),
      logData: this.call("blkLogData"),
      logCapacity: this.call("blkLogCapacity"),
      oldestSeq: this.stat("oldestSeq"),
      nextSeq: this.stat("nextSeq"),
    };
  }
}
