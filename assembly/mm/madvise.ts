/*
 * madvise: DONTNEED, WILLNEED, POPULATE_READ, POPULATE_WRITE; hints that change nothing here are accepted.
 *
 * Interface: doMadvise(mm, address, lenBytes, advice).
 * Invariants: [ma-1] a hole in the range gives ENOMEM, after the mapped parts were advised (as in Linux).
 * Locks: mmap_sem for reading.
 * Why not MADV_FREE: it needs a reclaim that drops anonymous pages; there is none (DECISIONS).
 */
import { EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { downReadKillable, upRead } from "../sched/rwsem";
import { isNullFile } from "./address-space";
import { POPULATE_READ, POPULATE_WRITE, populateRange } from "./gup";
import {
  MADV_DONTNEED, MADV_NORMAL, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
} from "./mman";
import { MmStruct } from "./mm-struct";
import { syncReadahead } from "./readahead";
import { VM_LOCKED, VmArea, isNullVma, linearPgoff } from "./vma";
import { findVmaIntersection, vmaNext } from "./vma-ops";
import { zapPageRange } from "./zap";

function known(advice: u32): bool {
  return advice <= MADV_DONTNEED || advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
}

export function doMadvise(mm: MmStruct, address: u64, lenBytes: u64, advice: u32): i64 {
  if (!known(advice) || (address & 0xfff) != 0) return -EINVAL;
  const len = (lenBytes + 0xfff) & ~0xfff;
  if (lenBytes != 0 && len == 0) return -EINVAL;
  if (len == 0) return 0;
  if (address + len < address) return -EINVAL;
  if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
    return populateRange(mm, address, address + len, advice == MADV_POPULATE_READ ? POPULATE_READ : POPULATE_WRITE);
  }
  if (downReadKillable(mm.mmapSem) != 0) return -EINTR;
  const result = adviseLocked(mm, address, address + len, advice);
  upRead(mm.mmapSem);
  return result;
}

function adviseLocked(mm: MmStruct, start: u64, end: u64, advice: u32): i32 {
  let result: i32 = 0;
  let at = start;
  let vma = findVmaIntersection(mm, start, end);
  while (at < end) {
    if (isNullVma(vma) || vma.start >= end) return -ENOMEM;
    if (vma.start > at) result = -ENOMEM;
    const from = vma.start > at ? vma.start : at;
    const to = vma.end < end ? vma.end : end;
    const error = adviseVma(mm, vma, from, to, advice);
    if (error != 0) return error;
    at = to;
    vma = vmaNext(vma);
  }
  return result;
}

function adviseVma(mm: MmStruct, vma: VmArea, start: u64, end: u64, advice: u32): i32 {
  switch (advice) {
    case MADV_DONTNEED: {
      if ((vma.flags & VM_LOCKED) != 0) return -EINVAL;
      zapPageRange(mm, vma, start, end);
      return 0;
    }
    case MADV_WILLNEED: {
      if (!isNullFile(vma.file)) syncReadahead(vma.file, vma.file.mapping, linearPgoff(vma, start));
      return 0;
    }
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL: return 0;
    default: return -EINVAL;
  }
}
