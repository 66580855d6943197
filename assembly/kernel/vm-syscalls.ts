/*
 * Other processes' memory: process_vm_readv(2), process_vm_writev(2), and /proc/PID/mem.
 *
 * Interface: sysProcessVmReadv, sysProcessVmWritev; procMem(box), the guest's read or write of /proc/PID/mem.
 * Invariants:
 *   [pvm-1] what was copied before an error is reported as a count; the error itself only when nothing was.
 *   [pvm-2] the other mm is referenced for as long as it is used: its process may exit meanwhile.
 * Locks: none here; mm/remote.ts takes the other process's mmap_sem.
 * Why not a file for /proc/PID/mem: /proc is no filesystem here (procfs.ts); Linux's FOLL_FORCE is left out with it: a mapping
 * that the process itself may not write to is not written to.
 */
import { EFAULT, EINVAL, EIO, ESRCH } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { mmPut } from "../mm/exit";
import { MmStruct, isNullMm, mmGet } from "../mm/mm-struct";
import { accessRemoteVm, copyRemotePage } from "../mm/remote";
import { KERNEL_POINTER_BASE, OP_BUFFER_BYTES, copyFromUser } from "../mm/uaccess";
import { C_PROC_READ, chargeCost } from "../sched/cost";
import { currentTask, isNullTask } from "../sched/state";
import { Mailbox, mailboxOf } from "./mailbox";
import { taskOfPid } from "./procfs";

/** Most iovecs of one call, as in Linux. */
const UIO_MAXIOV: u64 = 1024;
const IOVEC_BYTES: u32 = 16;

/** The task's scratch: its arguments are in locals by now. An iovec, and the word for a pin. */
function scratch(): usize {
  return changetype<usize>(mailboxOf(currentTask())) + offsetof<Mailbox>("arg1");
}

/** Reads iovec `index` into the scratch: base, length. Returns 0, -EFAULT, or -EINVAL for a length beyond SSIZE_MAX. */
function fetchIovec(vector: u64, index: u64): i32 {
  if (copyFromUser(scratch(), vector + index * IOVEC_BYTES, IOVEC_BYTES) != 0) return -EFAULT;
  return load<i64>(scratch() + 8) < 0 ? -EINVAL : 0;
}

function least(a: u64, b: u64): u64 {
  return a < b ? a : b;
}

/** Walks both vectors side by side, a page of the other process at a time. */
function transfer(mm: MmStruct, local: u64, localCount: u64, remote: u64, remoteCount: u64, write: bool): i64 {
  let done: i64 = 0;
  let next: u64 = 0;
  let user: u64 = 0;
  let userLeft: u64 = 0;
  for (let r: u64 = 0; r < remoteCount; r++) {
    let error = fetchIovec(remote, r);
    let address = load<u64>(scratch());
    let left: u64 = error == 0 ? load<u64>(scratch() + 8) : 0;
    while (error == 0 && left != 0) {
      while (userLeft == 0) {
        if (next == localCount) return done;
        error = fetchIovec(local, next++);
        if (error != 0) return done != 0 ? done : error;
        user = load<u64>(scratch());
        userLeft = load<u64>(scratch() + 8);
      }
      const n = least(least(left, userLeft), PAGE_SIZE - (address & (PAGE_SIZE - 1)));
      assert(n != 0, "[pvm-1] every step moves bytes");
      error = copyRemotePage(mm, address, user, <u32>n, write, scratch() + IOVEC_BYTES);
      if (error != 0) break;
      done += n;
      address += n;
      user += n;
      left -= n;
      userLeft -= n;
    }
    if (error != 0) return done != 0 ? done : error;
  }
  return done;
}

function processVm(pid: u64, local: u64, localCount: u64, remote: u64, remoteCount: u64, flags: u64, write: bool): i64 {
  if (flags != 0 || localCount > UIO_MAXIOV || remoteCount > UIO_MAXIOV) return -EINVAL;
  if (localCount == 0 || remoteCount == 0) return 0;
  const task = taskOfPid(<u32>pid);
  if (pid >> 32 != 0 || isNullTask(task)) return -ESRCH;
  const mm = changetype<MmStruct>(task.mm);
  assert(!isNullMm(mm), "a task found by its mm has one");
  mmGet(mm);
  const result = transfer(mm, local, localCount, remote, remoteCount, write);
  mmPut(mm);
  return result;
}

export function sysProcessVmReadv(pid: u64, local: u64, localCount: u64, remote: u64, remoteCount: u64, flags: u64): i64 {
  return processVm(pid, local, localCount, remote, remoteCount, flags, false);
}

export function sysProcessVmWritev(pid: u64, local: u64, localCount: u64, remote: u64, remoteCount: u64, flags: u64): i64 {
  return processVm(pid, local, localCount, remote, remoteCount, flags, true);
}

/** arg0 pid, arg1 address, arg2 length, arg3 store: /proc/PID/mem at a position. Returns bytes, -ESRCH, or -EIO for none, as Linux. */
export function procMem(box: Mailbox): i64 {
  const address = box.arg1;
  const lenBytes = box.arg2;
  const write = box.arg3 != 0;
  if (lenBytes > OP_BUFFER_BYTES || box.buffer == 0) return -EINVAL;
  if (lenBytes == 0) return 0;
  chargeCost(C_PROC_READ);
  const task = taskOfPid(<u32>box.arg0);
  if (isNullTask(task)) return -ESRCH;
  const mm = changetype<MmStruct>(task.mm);
  assert(!isNullMm(mm), "a task found by its mm has one");
  mmGet(mm);
  const done = accessRemoteVm(mm, address, KERNEL_POINTER_BASE + box.buffer, <u32>lenBytes, write, scratch());
  mmPut(mm);
  return done == 0 ? -EIO : done;
}
