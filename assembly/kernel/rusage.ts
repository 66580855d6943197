/*
 * getrusage(2): what a thread, or all live threads of a process, have used.
 *
 *     struct rusage, riscv64, 144 bytes: 0 ru_utime | 16 ru_stime | 64 ru_minflt | 72 ru_majflt | 128 ru_nvcsw | 136 ru_nivcsw
 *
 * Interface: sysGetrusage.
 * Invariants: [ru-1] fields that the machine does not count are 0.
 * Locks: none; counters of a task change only while it runs.
 * Why not split ru_utime and ru_stime: the emulated CPU does not tell user from kernel time; all CPU time is in ru_utime.
 */
import { EFAULT, EINVAL } from "../lib/errno";
import { copyToUser } from "../mm/uaccess";
import { Task, currentTask, sched, taskAt } from "../sched/state";
import { mailboxOf } from "./mailbox";

const RUSAGE_SELF: u64 = 0;
const RUSAGE_THREAD: u64 = 1;
const RUSAGE_BYTES: u32 = 144;
const CHUNK: u32 = 16;

/** A counter of the thread, or its sum over the process's live threads. */
function total(me: Task, who: u64, counter: u32): u64 {
  if (who == RUSAGE_THREAD) return counterOf(me, counter);
  let sum: u64 = 0;
  for (let slot: u32 = 0; slot < sched().nTasks; slot++) {
    const task = taskAt(slot);
    if (task.state != 0 && task.tgid == me.tgid) sum += counterOf(task, counter);
  }
  return sum;
}

const RUN_NS: u32 = 0;
const MIN_FLT: u32 = 1;
const MAJ_FLT: u32 = 2;
const NVCSW: u32 = 3;
const NIVCSW: u32 = 4;

function counterOf(task: Task, counter: u32): u64 {
  switch (counter) {
    case RUN_NS: return task.runNs;
    case MIN_FLT: return task.minFlt;
    case MAJ_FLT: return task.majFlt;
    case NVCSW: return task.nvcsw;
    default: return task.nivcsw;
  }
}

/** The u64 at an offset of struct rusage. */
function field(me: Task, who: u64, offset: u32): u64 {
  switch (offset) {
    case 0: return total(me, who, RUN_NS) / 1_000_000_000;
    case 8: return (total(me, who, RUN_NS) % 1_000_000_000) / 1000;
    case 64: return total(me, who, MIN_FLT);
    case 72: return total(me, who, MAJ_FLT);
    case 128: return total(me, who, NVCSW);
    case 136: return total(me, who, NIVCSW);
    default: return 0;
  }
}

/** getrusage(2) for RUSAGE_SELF and RUSAGE_THREAD. Threads that have exited are not counted. */
export function sysGetrusage(who: u64, usage: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (who != RUSAGE_SELF && who != RUSAGE_THREAD) return -EINVAL;
  // 16 bytes at a time through the mailbox's spent arguments: the copy may block, and the values are taken before each.
  for (let offset: u32 = 0; offset < RUSAGE_BYTES; offset += CHUNK) {
    const me = currentTask();
    const scratch = changetype<usize>(mailboxOf(me)) + 16;
    store<u64>(scratch, field(me, who, offset));
    store<u64>(scratch + 8, field(me, who, offset + 8));
    if (copyToUser(usage + offset, scratch, CHUNK) != 0) return -EFAULT;
  }
  return 0;
}
