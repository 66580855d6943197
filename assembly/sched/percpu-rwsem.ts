/*
 * Per-CPU reader-writer semaphore (freeze protection): readers touch only their CPU's counter; a writer turns the readers'
 * fast path off, waits until the counters sum to zero, and owns the lock.
 *
 * Interface: PercpuRwsem (56 bytes), percpuRwsemInit, percpuDownRead, percpuTryDownRead, percpuUpRead, percpuDownWrite, percpuUpWrite.
 * Invariants:
 *   [pcpu-1] a writer owns the lock only while the readers' count is zero.
 *   [pcpu-2] readers that arrive while a writer waits or owns sleep until percpuUpWrite.
 * Locks: this is one.
 * Why not real per-CPU words: the sum is what both sides ask for; that a reader pays no line transfer is in the cost.
 */
import { listInit } from "../lib/list";
import { M_PERCPU_WAKE_LOST, mutant } from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { TP_CONTENTION_BEGIN, TP_CONTENTION_END } from "../tracepoints";
import { syncPoint } from "./core";
import { C_ATOMIC_LOCAL, chargeCost } from "./cost";
import { LOCK_READ, LOCK_WRITE, lockAcquired, lockContended, lockOrder, lockReleased } from "./lockdep";
import { TASK_UNINTERRUPTIBLE, Task, currentTask, sched } from "./state";
import { WaitQueue, sleepOn, wakeAll, wakeOne } from "./wait-queue";

export const WAIT_PERCPU_READ: u32 = 6;
export const WAIT_PERCPU_WRITE: u32 = 7;

@unmanaged
export class PercpuRwsem {
  readers: u32;
  /** Writers waiting or owning; > 0 turns the readers' fast path off. */
  writers: u32;
  owner: Task;
  classId: u32;
  readQ0: u32;
  readQ1: u32;
  readQ2: u32;
  readQ3: u32;
  writeQ0: u32;
  writeQ1: u32;
  writeQ2: u32;
  writeQ3: u32;

  get readQueue(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<PercpuRwsem>("readQ0"));
  }
  get writeQueue(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<PercpuRwsem>("writeQ0"));
  }
}

export function percpuRwsemInit(sem: PercpuRwsem, classId: u32): void {
  sem.readers = 0;
  sem.writers = 0;
  sem.owner = changetype<Task>(0);
  sem.classId = classId;
  listInit(sem.readQueue.list);
  sem.readQueue.kind = WAIT_PERCPU_READ;
  listInit(sem.writeQueue.list);
  sem.writeQueue.kind = WAIT_PERCPU_WRITE;
}

export function percpuTryDownRead(sem: PercpuRwsem): bool {
  syncPoint();
  chargeCost(C_ATOMIC_LOCAL);
  if (sem.writers != 0) return false;
  sem.readers++;
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_READ);
  return true;
}

function contention(tracepoint: u32, sem: PercpuRwsem): void {
  const s = sched();
  traceEmit(s.clockNs, tracepoint, s.cpu.id, s.current.id, changetype<usize>(sem), sem.classId);
}

export function percpuDownRead(sem: PercpuRwsem): void {
  lockOrder(sem.classId);
  if (percpuTryDownRead(sem)) return;
  currentTask().stampNs = sched().clockNs;
  contention(TP_CONTENTION_BEGIN, sem);
  while (sem.writers != 0) sleepOn(sem.readQueue, TASK_UNINTERRUPTIBLE);
  sem.readers++;
  lockContended(sem.classId, LOCK_READ, sched().clockNs - currentTask().stampNs);
  contention(TP_CONTENTION_END, sem);
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_READ);
}

export function percpuUpRead(sem: PercpuRwsem): void {
  syncPoint();
  chargeCost(C_ATOMIC_LOCAL);
  assert(sem.readers != 0, "[pcpu-1] a reader leaves");
  lockReleased(changetype<usize>(sem));
  sem.readers--;
  if (sem.readers == 0 && sem.writers != 0 && !(MUTANTS && mutant(M_PERCPU_WAKE_LOST))) wakeOne(sem.writeQueue);
}

export function percpuDownWrite(sem: PercpuRwsem): void {
  lockOrder(sem.classId);
  syncPoint();
  sem.writers++;
  currentTask().stampNs = sched().clockNs;
  const taken = sem.readers != 0 || changetype<usize>(sem.owner) != 0;
  if (taken) contention(TP_CONTENTION_BEGIN, sem);
  while (sem.readers != 0 || changetype<usize>(sem.owner) != 0) sleepOn(sem.writeQueue, TASK_UNINTERRUPTIBLE);
  if (taken) contention(TP_CONTENTION_END, sem);
  sem.owner = currentTask();
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_WRITE);
}

export function percpuUpWrite(sem: PercpuRwsem): void {
  syncPoint();
  assert(changetype<usize>(sem.owner) == changetype<usize>(currentTask()), "[pcpu-1] up_write by its writer");
  lockReleased(changetype<usize>(sem));
  sem.owner = changetype<Task>(0);
  sem.writers--;
  if (sem.writers != 0) wakeOne(sem.writeQueue);
  else wakeAll(sem.readQueue);
}

/** Freeze keeps the lock past the system call that took it: the task no longer counts as holder, the lock stays owned. */
export function percpuForgetOwner(sem: PercpuRwsem): void {
  assert(changetype<usize>(sem.owner) == changetype<usize>(currentTask()), "the owner forgets");
  lockReleased(changetype<usize>(sem));
}

/** Thaw takes over a lock whose owner forgot it. */
export function percpuAdoptOwner(sem: PercpuRwsem): void {
  assert(changetype<usize>(sem.owner) != 0, "the lock is owned");
  sem.owner = currentTask();
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_WRITE);
}
