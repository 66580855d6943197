/*
 * Tasks: the table, creation, exit, kill, reaping.
 *
 *     FREE --taskCreate--> RUNNABLE ... --taskExit--> ZOMBIE --taskReap--> FREE
 *
 * Interface: taskTableInit, taskCreate, taskStart, taskExit, taskReap, taskKill, taskById, taskFatalPending, guestResume.
 * Invariants:
 *   [task-1] a free slot is all zero but for its save area and its link in the free list.
 *   [task-2] a task exits holding nothing ([lk-2]).
 * Locks: none.
 * Why not slab objects: the host addresses a task's mailbox by slot, and save areas are as many as tasks.
 */
import { listInit } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { bootAlloc } from "../memlayout";
import { TP_SCHED_EXIT, TP_SCHED_FORK, TP_SIGNAL_GENERATE } from "../tracepoints";
import { WAKE_SIGNAL, enqueueTask, isSleeping, wakeUp } from "./core";
import {
  Cpu, STRIDE_SKEW, TASK_FREE, TASK_GUEST_WAIT, TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_RUNNABLE, TASK_STRIDE, TASK_UNINTERRUPTIBLE,
  TASK_ZOMBIE, TF_KTHREAD, Task, cpuAt, isNullTask, sched, taskAt,
} from "./state";
import { saveAreaInit } from "./switch";

export const SIGKILL: u32 = 9;

/** Carves the tables. Returns false when memory is too small. */
export function taskTableInit(nTasks: u32, saveAreaBytes: u32): bool {
  const s = sched();
  s.nTasks = nTasks;
  s.saveAreaBytes = saveAreaBytes;
  s.tasks = bootAlloc(nTasks * TASK_STRIDE, 64);
  s.saveAreas = bootAlloc(nTasks * (saveAreaBytes + STRIDE_SKEW), 64);
  if (s.tasks == 0 || s.saveAreas == 0) return false;
  s.nextTid = 1;
  s.freeTask = 0;
  s.reapFn = taskReap;
  for (let slot = nTasks; slot != 0; slot--) {
    const task = taskAt(slot - 1);
    task.saveArea = s.saveAreas + (slot - 1) * (saveAreaBytes + STRIDE_SKEW);
    // The free list runs through `arg`, as slot + 1.
    task.arg = s.freeTask;
    s.freeTask = slot;
  }
  return true;
}

export function taskSlot(task: Task): u32 {
  return <u32>(changetype<usize>(task) - sched().tasks) / TASK_STRIDE;
}

/** The CPU with the least to do, the lowest id among equals: where a new task starts. */
function leastLoadedCpu(): Cpu {
  const s = sched();
  let best = cpuAt(0);
  let bestLoad = u32.MAX_VALUE;
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const cpu = cpuAt(id);
    const load = cpu.nrRunning + (isNullTask(cpu.current) ? 0 : 1);
    if (load < bestLoad) {
      best = cpu;
      bestLoad = load;
    }
  }
  return best;
}

/** A new task that is not running yet (taskStart). Null when the table is full (EAGAIN). */
export function taskCreate(entry: (task: Task) => void, flags: u32): Task {
  const s = sched();
  if (s.freeTask == 0) return changetype<Task>(0);
  const task = taskAt(s.freeTask - 1);
  s.freeTask = task.arg;
  assert(task.state == TASK_FREE, "[task-1] the slot is free");
  task.arg = 0;
  task.id = s.nextTid++;
  task.tgid = task.id;
  task.entry = entry;
  task.flags = flags;
  task.pinnedCpu = -1;
  task.stampNs = s.clockNs;
  listInit(task.runLink);
  listInit(task.waitLink);
  listInit(task.exitList);
  saveAreaInit(task);
  if ((flags & TF_KTHREAD) == 0) s.liveTasks++;
  return task;
}

/** Queues a new task; the CPU is the one it is bound to or the least loaded. */
export function taskStart(task: Task): void {
  const s = sched();
  task.state = TASK_RUNNABLE;
  task.cpu = task.pinnedCpu >= 0 ? <u32>task.pinnedCpu : leastLoadedCpu().id;
  const current: u32 = isNullTask(s.current) ? 0 : s.current.id;
  traceEmit(s.clockNs, TP_SCHED_FORK, task.cpu, current, task.id, task.tgid);
  enqueueTask(task, isNullTask(s.current) ? cpuAt(task.cpu).clockNs : s.clockNs);
}

/** The current task is done for: it turns zombie when its entry returns. Preconditions: it has given up mm and files. */
export function taskExit(code: i32): void {
  const s = sched();
  const task = s.current;
  assert(task.heldCount == 0, "[task-2] a task exits holding a lock");
  assert(s.preemptCount == 0, "[lk-2] a task exits holding a spinlock");
  task.exitCode = code;
  task.state = TASK_ZOMBIE;
  if ((task.flags & TF_KTHREAD) == 0) s.liveTasks--;
  traceEmit(s.clockNs, TP_SCHED_EXIT, task.cpu, task.id, task.id, <u64>code);
}

/** Frees a zombie's slot. */
export function taskReap(task: Task): void {
  const s = sched();
  assert(task.state == TASK_ZOMBIE && task.onCpu == 0, "only a zombie that left its CPU is reaped");
  const cpu = cpuAt(task.cpu);
  for (let id: u32 = 0; id < s.nCpus; id++) {
    if (changetype<usize>(cpuAt(id).last) == changetype<usize>(task)) cpuAt(id).last = changetype<Task>(0);
  }
  assert(cpu.online != 0, "the task ran on a CPU");
  const saveArea = task.saveArea;
  memory.fill(changetype<usize>(task), 0, TASK_STRIDE);
  task.saveArea = saveArea;
  task.arg = s.freeTask;
  s.freeTask = taskSlot(task) + 1;
}

/** The task with this id, or null. */
export function taskById(id: u32): Task {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.id == id && task.state != TASK_FREE) return task;
  }
  return changetype<Task>(0);
}

export function taskFatalPending(task: Task): bool {
  return task.fatalSignal != 0;
}

/** Sends a fatal signal: the task dies on its way out of the kernel; killable sleeps end now. */
export function taskKill(task: Task, signal: u32): void {
  assert(task.state != TASK_FREE, "a task is killed once it exists");
  if (task.state == TASK_ZOMBIE) return;
  if (task.fatalSignal == 0) task.fatalSignal = signal;
  task.sigPending |= (<u64>1) << (signal - 1);
  const s = sched();
  traceEmit(s.clockNs, TP_SIGNAL_GENERATE, task.cpu, task.id, signal, 0);
  if (isSleeping(task) && task.state != TASK_UNINTERRUPTIBLE) wakeUp(task, WAKE_SIGNAL);
}

/** Sends a signal that has a handler or may be waited for: interruptible sleeps end now. */
export function taskSignal(task: Task, signal: u32): void {
  task.sigPending |= (<u64>1) << (signal - 1);
  if (task.state == TASK_INTERRUPTIBLE) wakeUp(task, WAKE_SIGNAL);
}

/** True when a sleep in state `state` should end because of what is pending. */
export function taskSignalPending(task: Task, state: u32): bool {
  if (state == TASK_KILLABLE) return task.fatalSignal != 0;
  if (state == TASK_INTERRUPTIBLE) return task.sigPending != 0;
  return false;
}

/** The host has put the next operation into the mailbox: the task runs again. */
export function guestResume(task: Task): void {
  const s = sched();
  assert(task.state == TASK_GUEST_WAIT, "the task waits for the host");
  task.state = TASK_RUNNABLE;
  if (changetype<usize>(s.guestTask) == changetype<usize>(task)) s.guestTask = changetype<Task>(0);
}

/** The host has seen that the task exited. */
export function guestExitSeen(task: Task): void {
  const s = sched();
  if (changetype<usize>(s.guestTask) == changetype<usize>(task)) s.guestTask = changetype<Task>(0);
}
