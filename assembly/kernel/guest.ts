/*
 * What a scripted guest's task does: one operation from its mailbox, then back to the host for the next.
 *
 * Interface: guestEntry(task), guestInit, opBuffer(task), unpark(task).
 * Invariants:
 *   [guest-1] a task with a fatal signal pending exits before its operation's result is seen.
 * Locks: none at entry and at exit ([lk-2]).
 * Why not a loop inside: between operations the host's generator decides what comes next.
 */
import { EFAULT, EINTR, EINVAL } from "../lib/errno";
import { prngSeed } from "../lib/prng";
import { traceEmit } from "../lib/trace";
import { bootAlloc } from "../memlayout";
import { TP_SYS_EXIT } from "../tracepoints";
import { loadBytes, storeBytes } from "../cpu/access";
import { TOUCH_FRESH, touchRandom, touchRange } from "../cpu/touch";
import { fsck, mkfs } from "../fs/names-syscalls";
import { allocUrgent, GFP_ZERO } from "../mm/page-alloc";
import { isNullPage, pageAddress } from "../mm/page";
import { OP_BUFFER_BYTES } from "../mm/uaccess";
import { WAKE_NORMAL, schedule, syncPoint, wakeUp } from "../sched/core";
import { SWITCH_YIELD, TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_ZOMBIE, Task, charge, currentTask, sched } from "../sched/state";
import { WaitQueue, sleepOn, wakeAll, waitQueueInit } from "../sched/wait-queue";
import {
  Mailbox, OP_BARRIER, OP_COMPUTE, OP_FSCK, OP_GETTIME, OP_IO, OP_LOAD, OP_MKFS, OP_NOP, OP_PARK, OP_PROC_MEM_READ, OP_PROC_MEM_WRITE,
  OP_PROC_READ, OP_RECORD, OP_STORE, OP_TOUCH, OP_TOUCH_RANDOM, mailboxOf,
} from "./mailbox";
import { doExit, processOf } from "./process";
import { ioBatch, ioRecord } from "./io-batch";
import { procMem } from "./proc-mem";
import { procRead } from "./procfs";
import { BARRIERS, kernelState } from "./state";
import { systemCall, unknownCall } from "./system-call";

const WAIT_BARRIER: u32 = 17;
const WAIT_PARK: u32 = 22;

@unmanaged
class Barrier {
  queue0: u64;
  queue1: u64;
  arrived: u32;
  round: u32;
  pad0: u32;
  pad1: u32;

  get queue(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this));
  }
}

export function guestInit(): bool {
  const k = kernelState();
  k.barriers = bootAlloc(BARRIERS * offsetof<Barrier>(), 16);
  if (k.barriers == 0) return false;
  for (let i: u32 = 0; i < BARRIERS; i++) waitQueueInit(barrierAt(i).queue, WAIT_BARRIER);
  return true;
}

function barrierAt(id: u32): Barrier {
  return changetype<Barrier>(kernelState().barriers + id * offsetof<Barrier>());
}

/** Sleeps until `parties` tasks have come to the barrier. */
function barrierWait(id: u64, parties: u64): i64 {
  if (id >= BARRIERS || parties == 0 || parties > sched().nTasks) return -EINVAL;
  syncPoint();
  const barrier = barrierAt(<u32>id);
  if (++barrier.arrived >= <u32>parties) {
    barrier.arrived = 0;
    barrier.round++;
    wakeAll(barrier.queue);
    return 0;
  }
  const round = barrier.round;
  while (barrier.round == round) {
    sleepOn(barrier.queue, TASK_INTERRUPTIBLE);
    if (currentTask().fatalSignal != 0) {
      if (barrier.round == round) barrier.arrived--;
      return -EINTR;
    }
  }
  return 0;
}

/** The frame of a task's operation buffer, made on first use. 0: out of memory. Called by the host between operations. */
export function opBuffer(task: Task): u32 {
  const box = mailboxOf(task);
  if (box.buffer == 0) {
    const page = allocUrgent(GFP_ZERO);
    if (!isNullPage(page)) box.buffer = <u32>pageAddress(page);
  }
  return box.buffer;
}

/** Loads and stores of up to a buffer, each byte through the MMU. */
function moveBytes(box: Mailbox, store: bool): i64 {
  const lenBytes = box.arg1;
  if (lenBytes > OP_BUFFER_BYTES || box.buffer == 0) return -EINVAL;
  const done = store
    ? storeBytes(box.arg0, box.buffer, <u32>lenBytes)
    : loadBytes(box.arg0, box.buffer, <u32>lenBytes);
  return done == <u32>lenBytes ? <i64>done : -EFAULT;
}

/** Goes on with a batch of touches. False: it has handed over ([touch-1]). */
function touch(box: Mailbox): bool {
  if (box.nr == OP_TOUCH) {
    const stride = box.arg2;
    return stride == 0 || touchRange(box.touch, box.arg0, box.arg1, stride, box.arg3 != 0, <u8>box.arg4);
  }
  // The generator's state sits in the tail of the mailbox's arguments: nobody reads the seed after this.
  const prng = changetype<usize>(box) + offsetof<Mailbox>("arg4");
  if (box.touch.phase == TOUCH_FRESH) prngSeed(prng, box.arg4);
  return touchRandom(box.touch, box.arg0, box.arg1, box.arg2, <u32>box.arg3, prng);
}

/** Result of a batch that has ended. */
function touchResult(box: Mailbox): i64 {
  const isRange = box.nr == OP_TOUCH;
  if (isRange && box.arg2 == 0) return -EINVAL;
  const want = isRange ? (box.arg1 + box.arg2 - 1) / box.arg2 : box.arg2;
  const done = box.touch.done;
  box.bytes = <u32>done;
  return done == want ? <i64>done : -EFAULT;
}

/** Sleeps until the host says otherwise, or a kill. */
function park(): i64 {
  const task = currentTask();
  task.state = TASK_KILLABLE;
  task.waitKind = WAIT_PARK;
  schedule();
  task.waitKind = 0;
  return 0;
}

/** Called by the host between two steps of the machine. False: the task is not parked. */
export function unpark(task: Task): bool {
  if (task.state != TASK_KILLABLE || task.waitKind != WAIT_PARK) return false;
  const s = sched();
  s.clockNs = s.machineNs;
  return wakeUp(task, WAKE_NORMAL);
}

/** Burns CPU time in steps, so that the slice can end in between. */
function compute(ns: u64): i64 {
  let left = ns;
  while (left != 0) {
    const step: u32 = left > 10_000 ? 10_000 : <u32>left;
    charge(step);
    left -= step;
    syncPoint();
    if (currentTask().fatalSignal != 0) return -EINTR;
  }
  return 0;
}

function pseudoOp(box: Mailbox): i64 {
  switch (box.nr) {
    case OP_NOP: return 0;
    case OP_STORE: return moveBytes(box, true);
    case OP_LOAD: return moveBytes(box, false);
    case OP_COMPUTE: return compute(box.arg0);
    case OP_GETTIME: return <i64>sched().clockNs;
    case OP_PROC_READ: return procRead(<u32>box.arg0, <u32>box.arg1);
    case OP_PROC_MEM_READ: return procMem(<u32>box.arg0, box.arg1, box.arg2, box.arg3, false);
    case OP_PROC_MEM_WRITE: return procMem(<u32>box.arg0, box.arg1, box.arg2, box.arg3, true);
    case OP_MKFS: return mkfs(box.arg0, box.arg1);
    case OP_FSCK: return fsck(box.arg0, box.arg1);
    case OP_BARRIER: return barrierWait(box.arg0, box.arg1);
    case OP_RECORD: return ioRecord(box);
    case OP_IO: return ioBatch(box);
    case OP_PARK: return park();
    default: return unknownCall(box.nr);
  }
}

/** A system call out of the mailbox. */
function callOf(box: Mailbox): i64 {
  return systemCall(box.nr, box.arg0, box.arg1, box.arg2, box.arg3, box.arg4, box.arg5);
}

/** The entry of every guest task: runs afresh for each operation, and to go on with touches that have handed over. */
export function guestEntry(task: Task): void {
  const box = mailboxOf(task);
  if (box.touch.phase == TOUCH_FRESH) {
    if (task.fatalSignal != 0) {
      doExit(processOf(task).status);
      return;
    }
    box.signal = 0;
    box.faultAddress = 0;
  }
  // Touches apart from the rest: their frames are entered at every hand-over of a contended fault.
  if (box.nr != OP_TOUCH && box.nr != OP_TOUCH_RANDOM) {
    finishOp(box.nr >= OP_NOP ? pseudoOp(box) : callOf(box));
    return;
  }
  if (touch(box)) finishOp(touchResult(mailboxOf(currentTask())));
}

function finishOp(result: i64): void {
  const me = currentTask();
  // exit(2) has run: there is nobody to report to.
  if (me.state == TASK_ZOMBIE) return;
  if (me.regs != 0) {
    // execve(2) has run: from its next turn on the task is a program, and its entry another.
    sched().switchReason = SWITCH_YIELD;
    return;
  }
  const mine = mailboxOf(me);
  mine.result = result;
  if (mine.nr < OP_NOP) traceEmit(sched().clockNs, TP_SYS_EXIT, sched().cpu.id, me.id, mine.nr, <u64>result);
  if (me.fatalSignal != 0) doExit(processOf(me).status);
}
