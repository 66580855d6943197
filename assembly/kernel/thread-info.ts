/*
 * What the kernel keeps of a program's thread, behind its registers in the thread's frame.
 *
 * Interface: ThreadInfo, threadInfo(task).
 * Invariants: [thr-1] a task with registers has a ThreadInfo; a scripted guest has none.
 * Locks: none; the thread's own.
 * Why not in the task: scripted guests, of which there may be thousands, have no use for it.
 */
import { RV64_CONTEXT_BYTES } from "../cpu/rv64/context";
import { PAGE_SIZE } from "../memlayout";
import { Task } from "../sched/state";

const INFO_OFFSET: u32 = 1024;

@unmanaged
export class ThreadInfo {
  /** set_tid_address(2), CLONE_CHILD_CLEARTID: zeroed and woken when the thread ends. */
  clearChildTid: u64;
  /** set_robust_list(2). */
  robustList: u64;
}

if (RV64_CONTEXT_BYTES > INFO_OFFSET) ERROR("the registers end before the ThreadInfo");
if (INFO_OFFSET + offsetof<ThreadInfo>() > PAGE_SIZE) ERROR("a ThreadInfo fits its frame");

export function threadInfo(task: Task): ThreadInfo {
  assert(task.regs != 0, "[thr-1] a program's thread has a ThreadInfo");
  return changetype<ThreadInfo>(task.regs + INFO_OFFSET);
}
