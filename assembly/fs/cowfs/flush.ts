/*
 * The two kernel threads of cowfs: one completes ordered extents, one makes space for tickets and commits when it is time.
 *
 *     tickets wait:  flush delalloc, wait for ordered extents -> grant -> commit -> grant -> a second round -> ENOSPC for the head
 *     time is up:    commit
 *
 * Interface: startThreads, flushDelalloc.
 * Invariants:
 *   [fl-1] a ticket fails only after two rounds at the head of the queue: all delalloc written, a transaction committed.
 *   [fl-2] neither thread holds anything while it looks for work; CowfsInfo.threadBusy keeps a mount while it is worked on.
 * Locks: none on entry of a round.
 * Why not flush in the task that waits: it may hold mmap_sem or i_rwsem, which writeback may need; btrfs has a worker, too.
 */
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listInit } from "../../lib/list";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_FLUSH_SPACE } from "../../tracepoints";
import { writeMapping } from "../../mm/writeback";
import { TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, TF_KTHREAD, Task, isNullTask, nowNs, sched } from "../../sched/state";
import { taskCreate, taskStart } from "../../sched/task";
import { sleepOn, sleepOnTimeout, waitQueueInit, wakeAll } from "../../sched/wait-queue";
import { Inode, ihold, iput } from "../inode";
import { commitTransaction } from "./commit";
import { finishOrdered, orderedOfDone } from "./ordered";
import { failTickets, grantTickets, headTicket } from "./reserve";
import { CowInode, CowfsInfo, cowfsState } from "./state";

const WAIT_WORK: u32 = 44;
const WAIT_FLUSH: u32 = 45;
/** Rounds of flushing before the head of the queue gets ENOSPC. */
const ROUNDS: u32 = 2;

export function threadsInit(): void {
  const s = cowfsState();
  listInit(s.mounts);
  listInit(s.doneList);
  waitQueueInit(s.workWait, WAIT_WORK);
  waitQueueInit(s.flushWait, WAIT_FLUSH);
}

/** Starts the threads that are not there yet. False when the task table is full. */
export function startThreads(): bool {
  const s = cowfsState();
  if (isNullTask(s.worker)) {
    const task = taskCreate(workerEntry, TF_KTHREAD);
    if (isNullTask(task)) return false;
    s.worker = task;
    taskStart(task);
  }
  if (isNullTask(s.flusher)) {
    const task = taskCreate(flusherEntry, TF_KTHREAD);
    if (isNullTask(task)) return false;
    s.flusher = task;
    taskStart(task);
  }
  return true;
}

function workerEntry(task: Task): void {
  assert((task.flags & TF_KTHREAD) != 0, "the worker is a kernel thread");
  while (true) {
    const done = cowfsState().doneList;
    if (listEmpty(done)) {
      sleepOn(cowfsState().workWait, TASK_INTERRUPTIBLE);
      continue;
    }
    const link = listFirst(done);
    listDelInit(link);
    finishOrdered(orderedOfDone(changetype<usize>(link)));
  }
}

function infoOfLink(link: usize): CowfsInfo {
  return changetype<CowfsInfo>(link - offsetof<CowfsInfo>("mountNext"));
}

/** A mounted filesystem that has something to do now, or null; the earliest date on which one will have goes to *dueNs (u64). */
function findWork(dueAt: usize): CowfsInfo {
  const head = changetype<usize>(cowfsState().mounts);
  store<u64>(dueAt, u64.MAX_VALUE);
  for (let link: usize = cowfsState().mounts.next; link != head; link = changetype<ListHead>(link).next) {
    const info = infoOfLink(link);
    if (!listEmpty(info.ticketList)) return info;
    if (info.commitDueNs == 0 || info.aborted != 0) continue;
    if (info.commitDueNs <= nowNs()) return info;
    if (info.commitDueNs < load<u64>(dueAt)) store<u64>(dueAt, info.commitDueNs);
  }
  return changetype<CowfsInfo>(0);
}

function flusherEntry(task: Task): void {
  assert((task.flags & TF_KTHREAD) != 0, "the flusher is a kernel thread");
  while (true) {
    // A kernel thread's fault structure is its own scratch.
    const due = sched().current.vmf;
    const info = findWork(due);
    if (changetype<usize>(info) == 0) {
      const dueNs = load<u64>(due);
      if (dueNs == u64.MAX_VALUE) sleepOn(cowfsState().flushWait, TASK_INTERRUPTIBLE);
      else sleepOnTimeout(cowfsState().flushWait, TASK_INTERRUPTIBLE, dueNs - nowNs());
      continue;
    }
    info.threadBusy = 1;
    if (!listEmpty(info.ticketList)) makeSpace(info);
    else {
      info.commitDueNs = 0;
      commitTransaction(info);
    }
    info.threadBusy = 0;
    wakeAll(info.transWait);
  }
}

function noteFlush(info: CowfsInfo, step: u32): void {
  info.flushes++;
  traceEmit(nowNs(), TP_COWFS_FLUSH_SPACE, sched().cpu.id, sched().current.id, step, info.freeClusters);
}

/** Serves the tickets, until none is left. Rounds are counted for the ticket at the head: one that came later begins anew ([fl-1]). */
function makeSpace(info: CowfsInfo): void {
  let served: u32 = 0;
  let rounds: u32 = 0;
  while (true) {
    grantTickets(info);
    const head = headTicket(info);
    if (head == 0) return;
    if (head != served) {
      served = head;
      rounds = 0;
    }
    if (rounds == ROUNDS || info.aborted != 0) {
      failTickets(info);
      continue;
    }
    noteFlush(info, 1);
    flushDelalloc(info);
    grantTickets(info);
    if (headTicket(info) != head) continue;
    noteFlush(info, 2);
    commitTransaction(info);
    rounds++;
  }
}

/**
 * Writes the delalloc of every file and waits until its extents are in the trees. Returns 0, or the first -errno for which some of it
 * stayed where it was; errors of the IO are the files'.
 */
export function flushDelalloc(info: CowfsInfo): i32 {
  let error: i32 = 0;
  let left = info.delallocInodes;
  while (left != 0 && !listEmpty(info.delallocList)) {
    left--;
    const link = listFirst(info.delallocList);
    const ci = changetype<CowInode>(changetype<usize>(link) - offsetof<CowInode>("delallocNext"));
    // To the tail, so that each is looked at once.
    listDelInit(link);
    listAddTail(ci.delallocLink, info.delallocList);
    const inode: Inode = ci.inode;
    if (inode.refcount == 0) continue;
    ihold(inode);
    const late = writeMapping(inode.mapping, 0, u32.MAX_VALUE, false);
    if (error == 0) error = late;
    iput(inode);
  }
  while (info.orderedCount != 0) sleepOn(info.orderedWait, TASK_UNINTERRUPTIBLE);
  return error;
}
