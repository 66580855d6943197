/**
 * The disk as a host sees it: its latency model, the faults to inject, its image, and what a power failure would leave of it.
 *
 * Interface: Disk, DiskModel, DiskFaults, DiskFaultHits, UnflushedWrite, writeDiskModel.
 * Invariants: [hdisk-1] fields stand in the order of the kernel's structs (assembly/block/state.ts), one u32 each.
 * Locks: none; the host writes while the machine stands.
 * Why not a configuration field each: a model is changed while a machine lives, to make the disk slow or to break it.
 */
import { ConfigError } from "./config.js";
import { type LogEntry, type PendingWrite, crashImageWithPending, diskRegions, pendingWrites, readLog } from "./power-loss.js";
import type { KernelExports } from "./wasm.js";

/** A piece of a write, one page at most, that no flush and no FUA covers. */
export type UnflushedWrite = LogEntry | PendingWrite;

/** How long the disk takes; times in ns. What is absent stays as it is: an NVMe-like disk at boot. */
export interface DiskModel {
  /** "fixed": the same latency every time; "bimodal": one request in slowOneIn takes slowNs. */
  kind?: "fixed" | "bimodal";
  /** Requests that the disk works on at a time. */
  queueDepth?: number;
  readNs?: number;
  writeNs?: number;
  flushNs?: number;
  /** Added to a write that is FUA. */
  fuaNs?: number;
  slowNs?: number;
  slowOneIn?: number;
  /** Transfers share one channel; 0: transfers take no time. */
  bytesPerUs?: number;
  /** A request grows by merging up to this; 0: no merging. */
  maxRequestBytes?: number;
}

/** Faults to inject: a countdown of n hits the n-th bio submitted from now; 0 is off. */
export interface DiskFaults {
  eioReadNth?: number;
  eioWriteNth?: number;
  eioFlushNth?: number;
  /** Bios that touch these sectors fail: reads (1), writes (2), both (3). */
  eioRangeOps?: number;
  eioFirstSector?: number;
  eioSectors?: number;
  /** Of the n-th write only the first tornSectors survive a crash before a flush. */
  tornNth?: number;
  tornSectors?: number;
  /** From the n-th flush on, loseFlushes flushes report success and do nothing. */
  loseFlushNth?: number;
  loseFlushes?: number;
}

/** u32 fields of the kernel's DiskModel and DiskFaults, in their order. */
export const MODEL_FIELDS = [
  "kind",
  "queueDepth",
  "readNs",
  "writeNs",
  "flushNs",
  "fuaNs",
  "slowNs",
  "slowOneIn",
  "bytesPerUs",
  "maxRequestBytes",
] as const;
export const FAULT_FIELDS = [
  "eioReadNth",
  "eioWriteNth",
  "eioFlushNth",
  "eioRangeOps",
  "eioFirstSector",
  "eioSectors",
  "tornNth",
  "tornSectors",
  "loseFlushNth",
  "loseFlushes",
] as const;
/** How often each fault hit: behind the fields that the host writes. */
const HIT_FIELDS = ["eioRead", "eioWrite", "eioFlush", "eioRange", "torn", "lostFlush"] as const;
export type DiskFaultHits = Record<(typeof HIT_FIELDS)[number], number>;

const MAX_U32 = 0xffff_ffff;

function put(view: DataView, at: number, index: number, name: string, value: number, min = 0): void {
  if (!Number.isInteger(value) || value < min || value > MAX_U32) {
    throw new ConfigError(`disk ${name} is ${value}; it must be a whole number from ${min} to ${MAX_U32}`);
  }
  view.setUint32(at + 4 * index, value, true);
}

/** Changes the model. Throws ConfigError for a value out of range. */
export function writeDiskModel(view: DataView, at: number, model: DiskModel): void {
  MODEL_FIELDS.forEach((name, i) => {
    const value = name === "kind" ? (model.kind === undefined ? undefined : Number(model.kind === "bimodal")) : model[name];
    if (value !== undefined) put(view, at, i, name, value, name === "queueDepth" ? 1 : 0);
  });
}

/** The disk of a machine that stands. */
export class Disk {
  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly kernel: KernelExports,
  ) {}

  private view(): DataView {
    return new DataView(this.memory.buffer);
  }

  /** Changes how long it takes, from the next request on. Throws ConfigError for a value out of range. */
  setModel(model: DiskModel): void {
    writeDiskModel(this.view(), this.kernel.diskModelPtr(), model);
  }

  /** Breaks it: EIO, torn writes, lost flushes; faults not named stay as they are. Throws ConfigError for a value out of range. */
  injectFaults(faults: DiskFaults): void {
    const at = this.kernel.diskFaultsPtr();
    FAULT_FIELDS.forEach((name, i) => {
      const value = faults[name];
      if (value !== undefined) put(this.view(), at, i, name, value);
    });
  }

  /** How often each fault hit since boot. */
  faultHits(): DiskFaultHits {
    const view = this.view();
    const at = this.kernel.diskFaultsPtr() + 4 * FAULT_FIELDS.length;
    return Object.fromEntries(HIT_FIELDS.map((name, i) => [name, view.getUint32(at + 4 * i, true)])) as DiskFaultHits;
  }

  /** The image as reads see it: a view, not a copy; slice it to save it. Empty without a disk. */
  image(): Uint8Array {
    const at = this.kernel.blockImageBase() >>> 0;
    return new Uint8Array(this.memory.buffer, at, this.kernel.blockImageBytes() >>> 0);
  }

  /** Puts a saved image on the disk, before anything is mounted on it. Throws ConfigError when the sizes differ. */
  load(image: Uint8Array): void {
    const disk = this.image();
    if (image.length !== disk.length) throw new ConfigError(`the image has ${image.length} bytes, the disk ${disk.length}`);
    this.kernel.blockLogReset();
    disk.set(image);
  }

  /** A copy of the image, with every write that is done. */
  save(): Uint8Array {
    return this.image().slice();
  }

  /** Writes that a power failure now may lose, in order: those that are done, then those under way. */
  unflushed(): UnflushedWrite[] {
    const { entries } = readLog(diskRegions(this.kernel, this.memory));
    return [...entries.filter((entry) => !entry.durable), ...pendingWrites(this.kernel, this.memory)];
  }

  /** Sequence numbers of the write log, as text: they move when a write or a flush is done. */
  progress(): string {
    return `${this.kernel.blockLogSeq(0)} ${this.kernel.blockLogSeq(1)}`;
  }

  /**
   * What the disk may hold when the power fails now. `kept` answers for each unflushed write with a bit for each of its sectors that
   * is on the medium; by default nothing but what is certain. Changes nothing.
   */
  afterPowerLoss(kept: (write: UnflushedWrite) => number = () => 0): Uint8Array {
    const pending = pendingWrites(this.kernel, this.memory);
    const masks = pending.map(kept);
    return crashImageWithPending(diskRegions(this.kernel, this.memory), kept, pending, (i) => masks[i] ?? 0);
  }
}
