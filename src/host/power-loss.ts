/**
 * The disk as the host sees it: the image, the write log, and every state that a power failure could leave.
 *
 *   writes that a flush or FUA covers   stay
 *   writes that are done                any of their sectors, in order; of a torn write only the leading ones
 *   writes that the disk works on       any of their sectors, on top
 *
 * Interface: DiskRegions, LogEntry, PendingWrite; diskRegions, pendingWrites of a machine; readLog, durableImage, crashImage,
 *            crashImageWithPending.
 * Invariants: [dv-1] the kernel's memory is only read.
 * Locks: none; the machine stands meanwhile.
 * Why not in the kernel: crash states are built by the thousand, beside the machine, never inside it.
 */
import type { KernelExports } from "./wasm.js";

export interface DiskRegions {
  memory: ArrayBufferLike;
  image: number;
  imageBytes: number;
  logHeads: number;
  logData: number;
  logCapacity: number;
  oldestSeq: number;
  nextSeq: number;
}

export interface LogEntry {
  seq: number;
  bioId: number;
  firstByte: number;
  lenBytes: number;
  /** Bytes that survive a crash; less than lenBytes for a torn write. */
  reachBytes: number;
  durable: boolean;
  /** What the entry wrote. */
  data: Uint8Array;
}

/** A piece of a write that the disk is working on: it may have reached the medium, whole or in part. */
export interface PendingWrite {
  bioId: number;
  firstByte: number;
  data: Uint8Array;
}

export const SECTOR = 512;
const PAGE = 4096;
const HEAD_BYTES = 32;
const LOG_DURABLE = 1;
const BIO_WRITE = 1;
const PHASE_DATA = 1;

/** Where a machine keeps its disk. */
export function diskRegions(kernel: KernelExports, memory: WebAssembly.Memory): DiskRegions {
  return {
    memory: memory.buffer,
    image: kernel.blockImageBase() >>> 0,
    imageBytes: kernel.blockImageBytes() >>> 0,
    logHeads: kernel.blockLogBase() >>> 0,
    logData: kernel.blockLogData() >>> 0,
    logCapacity: kernel.blockLogCapacity(),
    oldestSeq: kernel.blockLogSeq(0),
    nextSeq: kernel.blockLogSeq(1),
  };
}

/** Pieces of the writes that the disk has begun and not completed, in order of issue. */
export function pendingWrites(kernel: KernelExports, memory: WebAssembly.Memory): PendingWrite[] {
  const pending: PendingWrite[] = [];
  for (let bio = kernel.blockInFlightNext(0); bio !== 0; bio = kernel.blockInFlightNext(bio)) {
    const field = (which: number): number => kernel.blockBioField(bio, which) >>> 0;
    if (field(0) !== BIO_WRITE || field(4) !== PHASE_DATA) continue;
    const pieces = new Uint32Array(memory.buffer, field(5), field(3) * 2);
    let firstByte = field(1) * SECTOR;
    for (let i = 0; i < pieces.length; i += 2) {
      const data = new Uint8Array(memory.buffer, pieces[i], pieces[i + 1]).slice();
      pending.push({ bioId: field(2), firstByte, data });
      firstByte += data.length;
    }
  }
  return pending;
}

/** The entries, oldest first, and the image from before the first of them. */
export function readLog(disk: DiskRegions): { base: Uint8Array; entries: LogEntry[] } {
  const base = new Uint8Array(disk.memory, disk.image, disk.imageBytes).slice();
  const entries: LogEntry[] = [];
  for (let seq = disk.nextSeq - 1; seq >= disk.oldestSeq; seq--) {
    const slot = seq % disk.logCapacity;
    const head = new DataView(disk.memory, disk.logHeads + slot * HEAD_BYTES, HEAD_BYTES);
    const firstByte = Number(head.getBigUint64(8, true)) * SECTOR;
    const lenBytes = head.getUint16(20, true) * SECTOR;
    entries.push({
      seq: Number(head.getBigUint64(0, true)),
      bioId: head.getUint32(16, true),
      firstByte,
      lenBytes,
      reachBytes: head.getUint16(22, true) * SECTOR,
      durable: (head.getUint32(24, true) & LOG_DURABLE) !== 0,
      data: base.slice(firstByte, firstByte + lenBytes),
    });
    base.set(new Uint8Array(disk.memory, disk.logData + slot * PAGE, lenBytes), firstByte);
  }
  return { base, entries: entries.reverse() };
}

/**
 * The image after a power failure. `sectorsKept(entry)` answers for each entry that no flush and no FUA protects: a bit
 * for each of its sectors that made it to the medium.
 */
export function crashImage(disk: DiskRegions, sectorsKept: (entry: LogEntry) => number): Uint8Array {
  const { base, entries } = readLog(disk);
  for (const entry of entries) {
    const kept = entry.durable ? 0xff : sectorsKept(entry);
    for (let at = 0; at < entry.reachBytes; at += SECTOR) {
      if ((kept >> (at / SECTOR)) & 1) base.set(entry.data.subarray(at, at + SECTOR), entry.firstByte + at);
    }
  }
  return base;
}

/** As crashImage, with writes that the failure caught under way: `keptPending(i)` has a bit for each sector kept. */
export function crashImageWithPending(
  disk: DiskRegions,
  sectorsKept: (entry: LogEntry) => number,
  pending: readonly PendingWrite[],
  keptPending: (index: number) => number,
): Uint8Array {
  const image = crashImage(disk, sectorsKept);
  pending.forEach((write, i) => {
    for (let at = 0; at < write.data.length; at += SECTOR) {
      if ((keptPending(i) >> (at / SECTOR)) & 1) image.set(write.data.subarray(at, at + SECTOR), write.firstByte + at);
    }
  });
  return image;
}

/** What is certain to survive. */
export function durableImage(disk: DiskRegions): Uint8Array {
  return crashImage(disk, () => 0);
}
