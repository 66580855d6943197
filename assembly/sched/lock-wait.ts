/*
 * Wait histograms of the locks that the argument is about: how long those waited who had to wait.
 *
 *     table: one histogram (lib/histogram) a class and mode, in the order of slotOf; other classes keep sums only (lockdep)
 *
 * Interface: lockWaitInit, lockWaitRecord(class, mode, ns), lockWaitHistogram(class, mode), lockWaitReset.
 * Invariants: [lw-1] a histogram's count is lock_stat's contentions of its class and mode.
 * Locks: none; a record is one step of the task that waited.
 * Why not every class: a histogram is 4.7 KiB, and a machine of 256 KiB has 27 classes.
 */
import { HISTOGRAM_BYTES, histInit, histRecord } from "../lib/histogram";
import { bootAlloc } from "../memlayout";
import { LC_MMAP_SEM, LC_VMA_LOCK } from "./lock-class";
import { lockdepState } from "./lockdep";

/** Classes with histograms. */
const CLASSES: u32 = 2;
export const LOCK_WAIT_BYTES: u32 = CLASSES * 2 * HISTOGRAM_BYTES;

export function lockWaitInit(): bool {
  lockdepState().waits = bootAlloc(LOCK_WAIT_BYTES, 64);
  if (lockdepState().waits == 0) return false;
  lockWaitReset();
  return true;
}

export function lockWaitReset(): void {
  for (let i: u32 = 0; i < CLASSES * 2; i++) histInit(lockdepState().waits + i * HISTOGRAM_BYTES);
}

/** The histogram's address, 0 for a class without. */
export function lockWaitHistogram(classId: u32, mode: u32): usize {
  assert(mode < 2, "a lock is taken for reading or for writing");
  if (classId == LC_MMAP_SEM) return lockdepState().waits + mode * HISTOGRAM_BYTES;
  if (classId == LC_VMA_LOCK) return lockdepState().waits + (2 + mode) * HISTOGRAM_BYTES;
  return 0;
}

export function lockWaitRecord(classId: u32, mode: u32, waitNs: u64): void {
  const at = lockWaitHistogram(classId, mode);
  if (at != 0) histRecord(at, waitNs);
}
