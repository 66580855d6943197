/*
 * The scheduler's structs: the machine-wide state, an emulated CPU, a task. Everything else in this room works on these.
 *
 * Interface: SchedState/sched(), Cpu/cpuAt(), Task/taskAt(), currentTask(), currentCpu(), nowNs(), charge(ns).
 * Invariants:
 *   [sched-1] exactly one task runs at a time in the host; sched().current is it, or 0 in the dispatcher.
 *   [sched-2] sched().clockNs is the running CPU's clock while a task runs, the event's time while a handler runs.
 *   [sched-3] a task is in one place: a CPU's `current`, a run queue, a wait list, or none (dead, or waiting for the host).
 * Locks: none; the emulator is single-threaded and hands over only at syncPoint and schedule.
 * Why not a struct per concept file: the dispatcher's hot loop reads all three; they stay side by side.
 */
import { SCHED_STATE } from "../memlayout";
import { ListHead } from "../lib/list";

/** Task states. GUEST_WAIT: the operation is done and the host owes the next one. */
export const TASK_FREE: u32 = 0;
export const TASK_RUNNABLE: u32 = 1;
export const TASK_INTERRUPTIBLE: u32 = 2;
export const TASK_UNINTERRUPTIBLE: u32 = 3;
export const TASK_KILLABLE: u32 = 4;
export const TASK_GUEST_WAIT: u32 = 5;
export const TASK_ZOMBIE: u32 = 6;

/** Why a task's stack was unwound. */
export const SWITCH_NONE: u32 = 0;
export const SWITCH_YIELD: u32 = 1;
export const SWITCH_BLOCK: u32 = 2;
/** The host has to do something for the task, in no simulated time. */
export const SWITCH_HOST: u32 = 4;
/** Run's time limit alone: the task goes on next time as if nothing had happened. */
export const SWITCH_STOP: u32 = 3;

/** No time at all: an empty queue, an idle CPU. */
export const TIME_NEVER: u64 = u64.MAX_VALUE;

/** Task flags. */
export const TF_KTHREAD: u32 = 1;
export const TF_IN_FAULT: u32 = 2;
export const TF_MEMALLOC: u32 = 4;
export const TF_OOM_VICTIM: u32 = 8;
/** The host knows nothing of the task: the dispatcher reaps it. */
export const TF_PROGRAM: u32 = 16;

/** 17 host cache lines, not 16: tables at power-of-two strides put the same field of every task into one cache set of the host. */
export const TASK_STRIDE: u32 = 1088;
/** Added to each save area, and to each TLB, for the same reason. */
export const STRIDE_SKEW: u32 = 320;
export const TASK_HELD_OFFSET: u32 = 384;
export const TASK_VMF_OFFSET: u32 = 640;
export const TASK_OP_OFFSET: u32 = 768;
export const TASK_GATHER_OFFSET: u32 = 896;
/** 64 bytes: the call of a filesystem that the host runs (fs/scripted/call.ts). */
export const TASK_HOST_CALL_OFFSET: u32 = 1024;

@unmanaged
export class SchedState {
  /** The running CPU's clock, ns. */
  clockNs: u64;
  /** The earliest time at which anyone else is due: past it, syncPoint hands over. */
  horizonNs: u64;
  /** As horizonNs, for lines that are this CPU's own: skewNs later. */
  skewHorizonNs: u64;
  /** How far a CPU may run ahead on private lines, ns. */
  skewNs: u64;
  /** run() stops here. */
  untilNs: u64;
  /** Sequence number of the next event. */
  eventSeq: u64;
  /** Stack switches (block or hand-over) since boot. */
  switches: u64;
  /** Cache lines that moved between CPUs. */
  lineTransfers: u64;
  /** Clock of the machine: the latest time the dispatcher has reached. */
  machineNs: u64;
  current: Task;
  cpu: Cpu;
  /** > 0: a spinlock is held; no hand-over, no sleeping. */
  preemptCount: u32;
  /** Asyncify: 0 running, 1 unwinding, 2 rewinding. */
  stackMode: u32;
  switchReason: u32;
  /** Function table slots, called indirectly so that the pass leaves the dispatcher alone (DESIGN D1). */
  switchFn: () => void;
  nCpus: u32;
  nTasks: u32;
  cpus: usize;
  tasks: usize;
  saveAreas: usize;
  saveAreaBytes: u32;
  /** Root of the event heap. */
  eventRoot: usize;
  eventCount: u32;
  /** The winner tree over CPU clocks. */
  treeKeys: usize;
  treeIds: usize;
  treeLeaves: u32;
  /** The task whose operation ended, for the host. */
  guestTask: Task;
  /** Number of tasks that are neither free nor zombie, kernel threads left out. */
  liveTasks: u32;
  /** Most bytes of a save area that were ever used. */
  saveHighWater: u32;
  cpusPerSocket: u32;
  sliceNs: u32;
  nextTid: u32;
  freeTask: u32;
  choicePolicy: u32;
  /** 1 while an event handler runs: nothing may block. */
  inHandler: u32;
  /** Set by the host or a handler: dispatch returns at the next chance. */
  stopFlag: u32;
  /** Idle CPUs, one bit each. */
  idle0: u32;
  idle1: u32;
  idle2: u32;
  idle3: u32;
  /** True due time of the next CPU, event or limit, when horizonNs is forced to 0 by an exploring policy. */
  dueNs: u64;
  /** As dueNs without run's limit: what the machine does by, wherever the host stops it. */
  nextNs: u64;
  /** The CPU that the limit stopped in the middle of an operation, plus 1; 0 for none. */
  stoppedCpu: u32;
  padStop: u32;
  /** Loads the task's address space on the running CPU; set by kernel/boot. */
  switchMmFn: (task: Task) => void;
  /** Frees the slot of a task that exited and that the host does not know (TF_PROGRAM): taskReap. */
  reapFn: (task: Task) => void;

  get idleMask(): usize {
    return changetype<usize>(this) + offsetof<SchedState>("idle0");
  }
}

@unmanaged
export class Cpu {
  /** The CPU's clock, ns; only true while the CPU is not running (see [sched-2]). */
  clockNs: u64;
  /** When the current slice ends. */
  sliceEndNs: u64;
  idleNs: u64;
  switches: u64;
  /** Cost of IPIs received while somebody else ran; added to the clock at the next dispatch. */
  pendingNs: u64;
  id: u32;
  socket: u32;
  current: Task;
  /** The task that ran last, to see a real context switch. */
  last: Task;
  /** Run queue, FIFO. */
  runqNext: u32;
  runqPrev: u32;
  nrRunning: u32;
  /** Address space loaded (mm room), kept while a kernel thread runs. */
  activeMm: usize;
  tlb: usize;
  /** Page table root (physical address) and ASID in force: satp. */
  satpRoot: u32;
  satpAsid: u32;
  online: u32;
  mmuWalks: u32;
  pad1: u32;
  /** Tag bits of the address space in force (cpu/tlb.ts). */
  tlbContext: u64;
  mmuHits: u64;

  get runq(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Cpu>("runqNext"));
  }
}

@unmanaged
export class Task {
  /** Time of the last state change, for accounting. */
  stampNs: u64;
  runNs: u64;
  sleepNs: u64;
  /** Pending signals, bit n-1 for signal n. */
  sigPending: u64;
  /** Sleep timer: an Event (sched/event.ts), 48 bytes, intrusive. */
  timer0: u64;
  timer1: u64;
  timer2: u64;
  timer3: u64;
  timer4: u64;
  timer5: u64;
  id: u32;
  tgid: u32;
  parent: u32;
  state: u32;
  flags: u32;
  cpu: u32;
  /** CPU the task is bound to, or -1. */
  pinnedCpu: i32;
  /** 1 while some CPU's `current` is this task. */
  onCpu: u32;
  /** Link in a run queue. */
  runNext: u32;
  runPrev: u32;
  /** Link in a wait list; a task waits for one thing at a time. */
  waitNext: u32;
  waitPrev: u32;
  /** What it waits for: address and kind, for reports and for lock hand-off. */
  waitOn: usize;
  waitKind: u32;
  waitFlags: u32;
  /** Set by the waker. */
  wakeReason: i32;
  /** The function a fresh stack starts in. */
  entry: (task: Task) => void;
  saveArea: usize;
  /** 1: the save area holds a suspended stack. */
  saved: u32;
  heldCount: u32;
  /** mm_struct, files, fs context: owned by the rooms above. */
  mm: usize;
  files: usize;
  fs: usize;
  process: usize;
  fatalSignal: u32;
  exitCode: i32;
  /** Cached VMA of the last fault and the mm's sequence number it is valid for. */
  vmaCache: usize;
  vmaCacheSeq: u32;
  /** VMAs taken out of the tree, to be freed once mmap_sem is released (mm/mmap.ts). */
  detachedVmas: usize;
  minFlt: u32;
  majFlt: u32;
  nvcsw: u32;
  nivcsw: u32;
  exitWaiters: ListSlot;
  exitWaitersPrev: u32;
  /** Scratch of the room that owns the task's entry. */
  arg: u32;
  /** A program's frame: its registers (cpu/rv64/context.ts) and what the kernel keeps of its thread; 0 for a scripted guest. */
  regs: usize;
  /** Simulated time at which the last fault was taken. */
  faultStartNs: u64;

  get runLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Task>("runNext"));
  }
  get waitLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Task>("waitNext"));
  }
  get exitList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Task>("exitWaiters"));
  }
  get timer(): usize {
    return changetype<usize>(this) + offsetof<Task>("timer0");
  }
  get held(): usize {
    return changetype<usize>(this) + TASK_HELD_OFFSET;
  }
  get vmf(): usize {
    return changetype<usize>(this) + TASK_VMF_OFFSET;
  }
  get gather(): usize {
    return changetype<usize>(this) + TASK_GATHER_OFFSET;
  }
  get op(): usize {
    return changetype<usize>(this) + TASK_OP_OFFSET;
  }
  get hostCall(): usize {
    return changetype<usize>(this) + TASK_HOST_CALL_OFFSET;
  }
}

/** A list head's first word, kept as a number. */
type ListSlot = u32;

export function sched(): SchedState {
  return changetype<SchedState>(SCHED_STATE);
}

export function currentTask(): Task {
  return changetype<SchedState>(SCHED_STATE).current;
}

export function currentCpu(): Cpu {
  return changetype<SchedState>(SCHED_STATE).cpu;
}

export function nowNs(): u64 {
  return changetype<SchedState>(SCHED_STATE).clockNs;
}

/** Moves the running CPU's clock on. */
export function charge(ns: u32): void {
  changetype<SchedState>(SCHED_STATE).clockNs += ns;
}

export function cpuAt(id: u32): Cpu {
  return changetype<Cpu>(changetype<SchedState>(SCHED_STATE).cpus + id * offsetof<Cpu>());
}

export function taskAt(slot: u32): Task {
  return changetype<Task>(changetype<SchedState>(SCHED_STATE).tasks + slot * TASK_STRIDE);
}

export function isNullTask(task: Task): bool {
  return changetype<usize>(task) == 0;
}
