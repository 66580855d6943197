/*
 * Spinlock. A critical section runs without hand-over, so it is atomic for the emulator; what contention costs comes from
 * the lock's cache line, which stays busy until the unlock: a CPU that arrives earlier in time waits for it.
 *
 * Interface: SpinLock (16 bytes: a cache line, whose busy time is the lock's), spinInit, spinLock, spinUnlock.
 * Invariants: [lk-2] nobody sleeps holding a spinlock.
 * Locks: this is one.
 * Why not a spinning task: nobody can observe the inside of a section that never sleeps, and a hand-over per spin is dear.
 */
import { CacheLine, lineReset, touchLine } from "./cache-line";
import { syncLine } from "./core";
import { LOCK_WRITE, lockAcquired, lockContended, lockOrder, lockReleased } from "./lockdep";
import { sched } from "./state";

@unmanaged
export class SpinLock {
  lineBusyNs: u64;
  lineOwner: u32;
  lineLastNs: u32;
}

export function spinInit(lock: SpinLock): void {
  lineReset(changetype<CacheLine>(lock));
}

export function spinLock(lock: SpinLock, classId: u32): void {
  syncLine(changetype<CacheLine>(lock));
  spinLockNoSync(lock, classId);
}

/** As spinLock, for a caller that has just passed a sync point, or that must not hand over. */
export function spinLockNoSync(lock: SpinLock, classId: u32): void {
  const s = sched();
  const line = changetype<CacheLine>(lock);
  lockOrder(classId);
  if (line.busyUntilNs > s.clockNs) lockContended(classId, LOCK_WRITE, line.busyUntilNs - s.clockNs);
  touchLine(line);
  s.preemptCount++;
  lockAcquired(changetype<usize>(lock), classId, LOCK_WRITE);
}

export function spinUnlock(lock: SpinLock): void {
  const s = sched();
  assert(s.preemptCount != 0, "a spinlock is held");
  lockReleased(changetype<usize>(lock));
  s.preemptCount--;
  changetype<CacheLine>(lock).busyUntilNs = s.clockNs;
}
