/*
 * process_vm_readv and process_vm_writev: bytes between the caller's memory and another process's, iovec to iovec.
 *
 *     remote iovec --pin up to PIN_PAGES pages: mmap_sem of the target, ALLOW_RETRY--> a page at a time to or from the local
 *     iovecs --> unpin
 *
 * Interface: sysProcessVmReadv, sysProcessVmWritev (six u64) => bytes or -errno.
 * Invariants:
 *   [pvm-1] nothing of the target is locked while the caller's own memory may fault; what is pinned is given back on every way out.
 *   [pvm-2] the result counts the bytes that have arrived; an errno says that none has.
 * Locks: none at entry; mmap_sem of the target inside getUserPages, the page lock inside storeToPinned.
 * Why not accessRemoteVm: Linux lets these calls drop mmap_sem, and its /proc/PID/mem not; that difference is to be seen.
 */
import { EFAULT, EINVAL, ENOMEM, ESRCH } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { SCRATCH_SHORT_BYTES, scratchAlloc, scratchAllocLong, scratchFree } from "../fs/scratch";
import { storeToPinned } from "../mm/access-remote";
import { mmPut } from "../mm/exit";
import { FOLL_UNLOCKABLE, FOLL_WRITE, getUserPages, putUserPages } from "../mm/gup";
import { MmStruct, mmGet } from "../mm/mm-struct";
import { Page, pageAddress } from "../mm/page";
import { C_COPY_USER_PAGE, chargeCost } from "../sched/cost";
import { currentTask, isNullTask } from "../sched/state";
import { taskById } from "../sched/task";
import { IovIter, iovImport, iovRelease } from "./iov-iter";

/** Pages pinned at a time, as many as Linux keeps room for on its stack. */
const PIN_PAGES: u32 = 16;
const IOV_ITER_BYTES: u32 = <u32>offsetof<IovIter>();

/** One call, in short scratch; the two iters and the pages pinned follow it. */
@unmanaged
class ProcessVm {
  /** Bytes that have arrived. */
  done: u64;
  mm: MmStruct;
  /** Bytes on their way from the caller into a page of the target: long scratch. Null when reading. */
  bounce: usize;
  /** 1: the page had been cleaned since it was pinned (storeToPinned), and is pinned again. */
  refused: u32;
  pad: u32;

  get local(): IovIter {
    return changetype<IovIter>(changetype<usize>(this) + offsetof<ProcessVm>());
  }
  get remote(): IovIter {
    return changetype<IovIter>(changetype<usize>(this.local) + IOV_ITER_BYTES);
  }
  get pages(): usize {
    return changetype<usize>(this.remote) + IOV_ITER_BYTES;
  }
  get write(): bool {
    return this.bounce != 0;
  }
}

if (<u32>offsetof<ProcessVm>() + 2 * IOV_ITER_BYTES + 4 * PIN_PAGES > SCRATCH_SHORT_BYTES) ERROR("a call fits its scratch");

/** The caller's next n bytes, as far as they can be had, into a pinned page. Returns how many; fewer with `refused` or at a fault. */
function writePinned(call: ProcessVm, page: Page, offset: u32, n: u32): u32 {
  const local = call.local;
  const index = local.index;
  const start = local.offset;
  const got = local.copy(call.bounce, n, false);
  if (got == 0 || storeToPinned(page, offset, call.bounce, got)) return got;
  // These bytes go once more.
  local.index = index;
  local.offset = start;
  local.left += got;
  call.refused = 1;
  return 0;
}

function readPinned(call: ProcessVm, page: Page, offset: u32, n: u32): u32 {
  chargeCost(C_COPY_USER_PAGE);
  return call.local.copy(pageAddress(page) + offset, n, true);
}

/** Copies up to n bytes at `address` of the target, whose pages are pinned. Returns how many were. */
function copyPinned(call: ProcessVm, address: u64, n: u64): u64 {
  let done: u64 = 0;
  for (let i: u32 = 0; done < n; i++) {
    const page = changetype<Page>(<usize>load<u32>(call.pages + (i << 2)));
    const offset = <u32>(address + done) & (PAGE_SIZE - 1);
    const want = <u32>min<u64>(PAGE_SIZE - offset, n - done);
    const copied = call.write ? writePinned(call, page, offset, want) : readPinned(call, page, offset, want);
    done += copied;
    if (copied < want) break;
  }
  return done;
}

/** Pins the target's next pages and copies. Returns 0, perhaps without progress (`refused`), or -EFAULT when one side ends. */
function transferSome(call: ProcessVm): i32 {
  const remote = call.remote;
  const want = min<u64>(remote.room(), call.local.left);
  const address = remote.base();
  const offset = address & (PAGE_SIZE - 1);
  const nPages = <u32>min<u64>((offset + want + PAGE_SIZE - 1) / PAGE_SIZE, PIN_PAGES);
  const flags = FOLL_UNLOCKABLE | (call.write ? FOLL_WRITE : 0);
  const pinned = getUserPages(call.mm, address, nPages, flags, call.pages);
  if (pinned <= 0) return -EFAULT;
  const n = min<u64>(want, <u64>pinned * PAGE_SIZE - offset);
  const before = call.local.left;
  call.refused = 0;
  const copied = copyPinned(call, address, n);
  putUserPages(call.pages, pinned);
  assert(before - call.local.left == copied, "[pvm-2] what leaves one side arrives at the other");
  remote.advance(copied);
  call.done += copied;
  return copied == n || call.refused != 0 ? 0 : -EFAULT;
}

function transfer(call: ProcessVm): i64 {
  let error: i32 = 0;
  while (error == 0 && call.local.left != 0 && call.remote.left != 0 && currentTask().fatalSignal == 0) error = transferSome(call);
  return call.done != 0 ? <i64>call.done : error;
}

/** Both arrays are here, and neither is empty. */
function transferWith(call: ProcessVm, pid: u32, write: bool): i64 {
  const task = taskById(pid);
  if (isNullTask(task) || task.mm == 0) return -ESRCH;
  const mm = changetype<MmStruct>(task.mm);
  mmGet(mm);
  call.mm = mm;
  call.bounce = write ? scratchAllocLong() : 0;
  const result = write && call.bounce == 0 ? -ENOMEM : transfer(call);
  if (call.bounce != 0) scratchFree(call.bounce);
  mmPut(mm);
  return result;
}

function processVm(pid: u64, localVec: u64, localCount: u64, remoteVec: u64, remoteCount: u64, flags: u64, write: bool): i64 {
  if (flags != 0) return -EINVAL;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  const call = changetype<ProcessVm>(scratch);
  let result: i64 = iovImport(call.local, localVec, localCount, true);
  // As Linux: a call with nothing to move does not look at the rest.
  if (result == 0 && call.local.left != 0) {
    result = iovImport(call.remote, remoteVec, remoteCount, false);
    if (result == 0 && call.remote.left != 0) result = transferWith(call, <u32>pid, write);
  }
  iovRelease(call.local);
  iovRelease(call.remote);
  scratchFree(scratch);
  return result;
}

export function sysProcessVmReadv(pid: u64, localVec: u64, localCount: u64, remoteVec: u64, remoteCount: u64, flags: u64): i64 {
  return processVm(pid, localVec, localCount, remoteVec, remoteCount, flags, false);
}

export function sysProcessVmWritev(pid: u64, localVec: u64, localCount: u64, remoteVec: u64, remoteCount: u64, flags: u64): i64 {
  return processVm(pid, localVec, localCount, remoteVec, remoteCount, flags, true);
}
