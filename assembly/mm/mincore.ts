/*
 * mincore and msync: what is in memory, and what must reach the file.
 *
 * Interface: doMincore(mm, address, lenBytes, vector), doMsync(mm, address, lenBytes, flags).
 * Invariants:
 *   [mi-1] mincore's byte is 1 exactly for a page that a load would find without reading: mapped, or in the file's cache.
 *   [ms-1] after msync(MS_SYNC) returns 0, what was stored before is on the disk ([mk-7]).
 * Locks: mmap_sem for reading; msync drops it before it writes, with the file pinned.
 * Why not one file each: both walk VMAs of a range under the same rule for holes (ENOMEM).
 */
import { EBUSY, EFAULT, EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { xaLoad } from "../lib/xarray";
import { TASK_SIZE } from "../config";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { ptePresent } from "../cpu/pte";
import { C_PAGE_CACHE_LOOKUP, chargeCost } from "../sched/cost";
import { downReadKillable, upRead } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { File, getFile, isNullFile, putFile } from "./address-space";
import { MS_ASYNC, MS_INVALIDATE, MS_SYNC } from "./mman";
import { MmStruct } from "./mm-struct";
import { PG_UPTODATE, Page } from "./page";
import { pteLookup } from "./pgtable";
import { mmState } from "./state";
import { copyToUser } from "./uaccess";
import { fileCheckWbError, filemapWriteAndWait } from "./writeback";
import { VM_LOCKED, VM_SHARED, VmArea, isNullVma, linearPgoff } from "./vma";
import { findVmaIntersection } from "./vma-ops";

/** Bytes of the vector gathered before they are copied out: the gather scratch of the task. */
const BATCH: u32 = 96;

export function doMincore(mm: MmStruct, address: u64, lenBytes: u64, vector: u64): i64 {
  if ((address & 0xfff) != 0) return -EINVAL;
  const pages = (lenBytes + 0xfff) >> PAGE_SHIFT;
  if (address > TASK_SIZE || lenBytes > TASK_SIZE - address) return -ENOMEM;
  let done: u64 = 0;
  while (done < pages) {
    const want: u32 = pages - done > BATCH ? BATCH : <u32>(pages - done);
    const buffer = currentTask().gather + 32;
    if (downReadKillable(mm.mmapSem) != 0) return -EINTR;
    const got = fillVector(mm, address + (done << PAGE_SHIFT), want, buffer);
    upRead(mm.mmapSem);
    if (got < 0) return got;
    if (copyToUser(vector + done, buffer, want) != 0) return -EFAULT;
    done += want;
  }
  return 0;
}

function fillVector(mm: MmStruct, address: u64, pages: u32, buffer: usize): i32 {
  for (let i: u32 = 0; i < pages; i++) {
    const at = address + ((<u64>i) << PAGE_SHIFT);
    const vma = findVmaIntersection(mm, at, at + PAGE_SIZE);
    if (isNullVma(vma)) return -ENOMEM;
    store<u8>(buffer + i, inCore(mm, vma, at) ? 1 : 0);
  }
  return 0;
}

function inCore(mm: MmStruct, vma: VmArea, address: u64): bool {
  chargeCost(C_PAGE_CACHE_LOOKUP);
  const slot = pteLookup(mm, address);
  if (slot != 0 && ptePresent(load<u64>(slot))) return true;
  if (isNullFile(vma.file)) return false;
  const page = changetype<Page>(xaLoad(vma.file.mapping.pages, linearPgoff(vma, address)));
  return changetype<usize>(page) != 0 && page.test(PG_UPTODATE);
}

export function doMsync(mm: MmStruct, address: u64, lenBytes: u64, flags: u32): i64 {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0 || (address & 0xfff) != 0) return -EINVAL;
  if ((flags & MS_ASYNC) != 0 && (flags & MS_SYNC) != 0) return -EINVAL;
  const len = (lenBytes + 0xfff) & ~0xfff;
  if (len < lenBytes || len > TASK_SIZE || address > TASK_SIZE - len) return -ENOMEM;
  const end = address + len;
  let at = address;
  let hole = false;
  while (at < end) {
    if (downReadKillable(mm.mmapSem) != 0) return -EINTR;
    const vma = findVmaIntersection(mm, at, end);
    if (isNullVma(vma)) {
      upRead(mm.mmapSem);
      return -ENOMEM;
    }
    if (vma.start > at) {
      hole = true;
      at = vma.start;
    }
    if ((flags & MS_INVALIDATE) != 0 && (vma.flags & VM_LOCKED) != 0) {
      upRead(mm.mmapSem);
      return -EBUSY;
    }
    const stop = vma.end < end ? vma.end : end;
    const error = syncVma(mm, vma, at, stop, flags);
    if (error != 0) return error;
    at = stop;
  }
  return hole ? -ENOMEM : 0;
}

/** Writes one VMA's part of a file; mmap_sem is held on entry and released. */
function syncVma(mm: MmStruct, vma: VmArea, start: u64, end: u64, flags: u32): i32 {
  const file = vma.file;
  if ((flags & MS_SYNC) == 0 || isNullFile(file) || (vma.flags & VM_SHARED) == 0) {
    upRead(mm.mmapSem);
    return 0;
  }
  const first = linearPgoff(vma, start);
  const last = linearPgoff(vma, end - PAGE_SIZE);
  getFile(file);
  upRead(mm.mmapSem);
  const error = syncFileRange(file, first, last);
  putFile(file);
  return error;
}

/** fsync of a range of a file: through the fs room, which may have more to write than pages. */
export function syncFileRange(file: File, first: u32, last: u32): i32 {
  const f = mmState().fsyncFn;
  if (changetype<usize>(f) != 0) return f(changetype<usize>(file), (<u64>first) << PAGE_SHIFT, ((<u64>last + 1) << PAGE_SHIFT) - 1);
  const error = filemapWriteAndWait(file.mapping, first, last);
  const late = fileCheckWbError(file);
  return error != 0 ? error : late;
}
