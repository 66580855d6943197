/*
 * /proc/PID/mem: reads and writes of another process's memory, at an address.
 *
 * Interface: procMem(pid, address, user, lenBytes, write) => bytes or -errno.
 * Invariants:
 *   [pmem-1] the caller's own memory is read and written without a lock of the target: through a frame in between.
 *   [pmem-2] rights are those of the target's mapping: a page that may not be written is not (Linux's proc_mem.force_override=never).
 * Locks: mmap_sem of the target for reading, inside accessRemoteVm.
 * Why not a file of a mounted /proc: its other views are operations of the guest's as well (procfs.ts), without a name to walk.
 */
import { EFAULT, EIO, ENOMEM, ESRCH } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { scratchAllocLong, scratchFree } from "../fs/scratch";
import { accessRemoteVm } from "../mm/access-remote";
import { mmPut } from "../mm/exit";
import { MmStruct, isNullMm } from "../mm/mm-struct";
import { copyFromUser, copyToUser } from "../mm/uaccess";
import { C_PROC_READ, chargeCost } from "../sched/cost";
import { currentTask } from "../sched/state";
import { mmOfPid } from "./procfs";

/** Longest read or write, as for any file. */
const MAX_RW_COUNT: u64 = 0x7fff_f000;

/** A frame's worth. Returns the bytes that moved, or -errno when none did. */
function moveChunk(mm: MmStruct, address: u64, user: u64, n: u32, frame: usize, write: bool): i32 {
  if (write) {
    if (copyFromUser(frame, user, n) != 0) return -EFAULT;
    const stored = accessRemoteVm(mm, address, frame, n, true);
    return stored != 0 ? stored : -EIO;
  }
  const loaded = accessRemoteVm(mm, address, frame, n, false);
  if (loaded == 0) return -EIO;
  return copyToUser(user, frame, loaded) != 0 ? -EFAULT : loaded;
}

function moveAll(mm: MmStruct, address: u64, user: u64, lenBytes: u64, frame: usize, write: bool): i64 {
  const end = min<u64>(lenBytes, MAX_RW_COUNT);
  let done: u64 = 0;
  while (done < end && currentTask().fatalSignal == 0) {
    const n = <u32>min<u64>(end - done, PAGE_SIZE);
    const moved = moveChunk(mm, address + done, user + done, n, frame, write);
    if (moved < 0) return done != 0 ? <i64>done : moved;
    done += moved;
  }
  return done;
}

/** pread or pwrite of /proc/PID/mem. Linux's errnos: ESRCH at its open, EIO when not one byte of the target can be had. */
export function procMem(pid: u32, address: u64, user: u64, lenBytes: u64, write: bool): i64 {
  chargeCost(C_PROC_READ);
  const mm = mmOfPid(pid);
  if (isNullMm(mm)) return -ESRCH;
  const frame = scratchAllocLong();
  const result = frame == 0 ? -ENOMEM : moveAll(mm, address, user, lenBytes, frame, write);
  if (frame != 0) scratchFree(frame);
  assert(mm.users > 0, "[mm-3] an mm in use is pinned");
  mmPut(mm);
  return result;
}
