/*
 * DAX: faults, read and write of files whose pages are the disk's own. There is no page cache, no writeback, no page_mkwrite.
 *
 *     load:   MMAPLOCK, shared -> below i_size? -> the block's frame, read-only; a hole: the zero page
 *     store:  freeze protection -> times -> MMAPLOCK, shared -> written? the frame, writable
 *             not written: MMAPLOCK, exclusive -> a block of zeros under a handle -> zero pages unmapped -> the frame, writable
 *     store to a private mapping: the frame's bytes copied into the fault's page, mapped before MMAPLOCK goes
 *     msync:  PTEs write-protected -> commit, flush
 *
 * Interface: daxFault, daxPfnMkwrite, daxRead, daxWrite, daxReadKernel, daxWriteKernel, daxFsync, daxSyncFs.
 * Invariants:
 *   [pfn-2] PTEs are inserted under MMAPLOCK and taken away under it, exclusive, before blocks are freed.
 *   [dax-2] the fault lock is held throughout: the callback sets a PTE in vmf.vma, so nothing here opts in to the helper.
 * Locks: fault lock -> sb_pagefaults -> MMAPLOCK -> handle; i_rwsem (shared to read) -> MMAPLOCK.
 * Why not a lock per page offset, as Linux's entries: who allocates takes MMAPLOCK exclusively instead, once in a block's life.
 */
import { traceEmit } from "../../lib/trace";
import { TP_DAX_INSERT_PFN_MKWRITE, TP_DAX_WRITEBACK_RANGE } from "../../tracepoints";
import { EFAULT, EFBIG, EINTR, EIO, ENOMEM, ENOSPC, isErr, ptrErr } from "../../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { filePages } from "../../mm/filemap";
import { FAULT_FLAG_WRITE, VM_FAULT_NOPAGE, VM_FAULT_OOM, VM_FAULT_SIGBUS, VmFault } from "../../mm/fault";
import { finishCow } from "../../mm/memory";
import { pageAddress } from "../../mm/page";
import { insertPfn, mappingWrprotect } from "../../mm/pfn-map";
import { mmState } from "../../mm/state";
import { unmapMappingRange } from "../../mm/truncate";
import { copyFromUserInatomic, copyToUser, faultInReadable } from "../../mm/uaccess";
import { VM_SHARED } from "../../mm/vma";
import { C_COPY_USER_PAGE, C_PAGE_COPY, chargeCost } from "../../sched/cost";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { currentTask, sched } from "../../sched/state";
import { O_APPEND, VfsFile, fileUpdateTime, noteWrittenTo } from "../file";
import { Inode, currentTimeNs, iput } from "../inode";
import { SuperBlock, sbEndPagefault, sbStartPagefault } from "../super";
import { nextInode } from "../sync";
import { daxAddress, daxBeforeStore, daxSizeExtend, daxZeroBlock } from "./dax-image";
import {
  MAP_ERROR, MAP_HOLE, MAP_WRITTEN, extentConvert, extentCredits, extentLookup, mapDisk, mapState, metaClaim, metaDrop, metaTrim,
} from "./extents";
import { failChange, inodeWrite } from "./inode-table";
import { journalStart, journalStop } from "./journal";
import { spaceShrink } from "./reserve";
import { BlockInode, Handle, blockInodeOf } from "./state";
import { blockSyncFs, syncMetadata } from "./super";
import { SPACE_TRIES, allocateRun } from "./write";

/** No block of a file: the superblock has it. */
const NO_BLOCK: i64 = 0;

/** The written block at that place of the file, NO_BLOCK where it reads as zeros, or -EIO. */
function daxLookup(bi: BlockInode, block: u32): i64 {
  downRead(bi.sem);
  const map = extentLookup(bi, block);
  upRead(bi.sem);
  if (mapState(map) == MAP_ERROR) return -EIO;
  return mapState(map) == MAP_WRITTEN ? <i64>mapDisk(map) : NO_BLOCK;
}

/** A hole or an unwritten block becomes a written one of zeros. Returns 0 or -errno. */
function fillHole(handle: Handle, bi: BlockInode, block: u32): i32 {
  downRead(bi.sem);
  const map = extentLookup(bi, block);
  upRead(bi.sem);
  if (mapState(map) == MAP_ERROR) return -EIO;
  if (mapState(map) == MAP_HOLE) {
    const got = allocateRun(handle, bi, block, 1, MAP_WRITTEN);
    return got < 0 ? got : 0;
  }
  if (!metaClaim(bi)) return -ENOSPC;
  daxZeroBlock(bi.fs, mapDisk(map));
  downWrite(bi.sem);
  const next = extentConvert(handle, bi, block, block + 1);
  upWrite(bi.sem);
  metaDrop(bi);
  return failChange(bi.fs, next < 0 ? <i32>next : 0);
}

/** As daxLookup, but there is a block, or -errno. Preconditions: MMAPLOCK is held exclusively: no zero page is mapped meanwhile. */
function daxAllocate(bi: BlockInode, block: u32): i64 {
  const there = daxLookup(bi, block);
  if (there != NO_BLOCK) return there;
  const got = journalStart(bi.fs, extentCredits(bi, 2) + 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  let error = fillHole(handle, bi, block);
  if (error == 0) error = failChange(bi.fs, inodeWrite(handle, bi, true));
  journalStop(handle);
  metaTrim(bi);
  if (error != 0) return error;
  unmapMappingRange(bi.inode.mapping, block, block, false);
  return daxLookup(bi, block);
}

/** A fault's code for a failure. */
function failedFault(error: i64): u32 {
  return error == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

function beyondEnd(vmf: VmFault): bool {
  return vmf.pgoff >= filePages(vmf.file.mapping.sizeBytes);
}

/** The bytes of a block, or those of a hole. */
function bytesOf(bi: BlockInode, disk: i64): usize {
  return disk == NO_BLOCK ? mmState().zeroPage : daxAddress(bi.fs, <u32>disk);
}

function loadFault(vmf: VmFault, bi: BlockInode): u32 {
  const disk: i64 = beyondEnd(vmf) ? -EFAULT : daxLookup(bi, vmf.pgoff);
  if (disk < 0) return failedFault(disk);
  const at = bytesOf(bi, disk);
  if (changetype<usize>(vmf.cowPage) != 0) {
    chargeCost(C_PAGE_COPY);
    memory.copy(pageAddress(vmf.cowPage), at, PAGE_SIZE);
    return finishCow(vmf);
  }
  insertPfn(vmf, <u32>(at >> PAGE_SHIFT), false);
  return VM_FAULT_NOPAGE;
}

/** The frame becomes writable where it is, `allocate`: with a new block. Returns a block, NO_BLOCK or -errno. MMAPLOCK is held. */
function mapForStore(vmf: VmFault, bi: BlockInode, allocate: bool): i64 {
  if (bi.fs.aborted != 0) return -EIO;
  if (beyondEnd(vmf)) return -EFAULT;
  const disk = allocate ? daxAllocate(bi, vmf.pgoff) : daxLookup(bi, vmf.pgoff);
  if (disk <= 0) return disk;
  daxBeforeStore(bi.fs, <u32>disk);
  insertPfn(vmf, <u32>(daxAddress(bi.fs, <u32>disk) >> PAGE_SHIFT), true);
  return disk;
}

function storeLocked(vmf: VmFault, bi: BlockInode): u32 {
  const lock = bi.inode.mapping.invalidateLock;
  downRead(lock);
  let disk = mapForStore(vmf, bi, false);
  upRead(lock);
  let tries: u32 = 1;
  while (disk == NO_BLOCK) {
    downWrite(lock);
    disk = mapForStore(vmf, bi, true);
    upWrite(lock);
    if (disk == -ENOSPC && tries++ < SPACE_TRIES && spaceShrink(bi.fs)) disk = NO_BLOCK;
  }
  return disk < 0 ? failedFault(disk) : VM_FAULT_NOPAGE;
}

function storeFault(vmf: VmFault): u32 {
  const inode = changetype<Inode>(vmf.file.inode);
  sbStartPagefault(inode.sb);
  const error = fileUpdateTime(vmf.file);
  const ret = error != 0 ? failedFault(error) : storeLocked(vmf, blockInodeOf(inode));
  sbEndPagefault(inode.sb);
  assert(vmf.dropped == 0, "[dax-2] a DAX fault keeps its lock");
  return ret;
}

/** ->fault: maps the frame itself, and returns NOPAGE, DONE_COW or an error. */
export function daxFault(vmf: VmFault): u32 {
  if ((vmf.flags & FAULT_FLAG_WRITE) != 0 && (vmf.vma.flags & VM_SHARED) != 0) return storeFault(vmf);
  const bi = blockInodeOf(changetype<Inode>(vmf.file.inode));
  downRead(bi.inode.mapping.invalidateLock);
  const ret = loadFault(vmf, bi);
  upRead(bi.inode.mapping.invalidateLock);
  return ret;
}

/** ->pfnMkwrite: a store to a frame that is mapped read-only, or to the zero page of a hole. */
export function daxPfnMkwrite(vmf: VmFault): u32 {
  traceEmit(sched().clockNs, TP_DAX_INSERT_PFN_MKWRITE, sched().cpu.id, sched().current.id, vmf.address, vmf.pgoff);
  return storeFault(vmf);
}

/** How much of n bytes at pos lies in one page. */
function inPage(pos: u64, n: u64): u32 {
  const room = PAGE_SIZE - (<u32>pos & (PAGE_SIZE - 1));
  return n < room ? <u32>n : room;
}

/** ->read. i_rwsem keeps the blocks the file's while the copy faults. */
export function daxRead(file: VfsFile, user: u64, count: u32, pos: u64): i64 {
  const inode = file.host;
  const bi = blockInodeOf(inode);
  downRead(inode.rwsem);
  const size = inode.mapping.sizeBytes;
  const want: u64 = pos >= size ? 0 : size - pos < count ? size - pos : count;
  let done: u32 = 0;
  let error: i32 = 0;
  while (done < <u32>want && error == 0) {
    const at = pos + done;
    const n = inPage(at, want - done);
    const disk = daxLookup(bi, <u32>(at >> PAGE_SHIFT));
    if (disk < 0 || currentTask().fatalSignal != 0) {
      error = disk < 0 ? -EIO : -EINTR;
      break;
    }
    chargeCost(C_COPY_USER_PAGE);
    const left = copyToUser(user + done, bytesOf(bi, disk) + (<u32>at & (PAGE_SIZE - 1)), n);
    done += n - left;
    if (left != 0) error = -EFAULT;
  }
  upRead(inode.rwsem);
  // Never written to a disk, as with lazytime.
  inode.atimeNs = currentTimeNs();
  return done != 0 ? <i64>done : <i64>error;
}

/** A block to write to, with MMAPLOCK taken to allocate it. Preconditions: i_rwsem is held for writing. */
function blockForWrite(bi: BlockInode, block: u32): i64 {
  if (bi.fs.aborted != 0) return -EIO;
  let disk = daxLookup(bi, block);
  let tries: u32 = 1;
  while (disk == NO_BLOCK) {
    downWrite(bi.inode.mapping.invalidateLock);
    disk = daxAllocate(bi, block);
    upWrite(bi.inode.mapping.invalidateLock);
    if (disk == -ENOSPC && tries++ < SPACE_TRIES && spaceShrink(bi.fs)) disk = NO_BLOCK;
  }
  return disk;
}

/** The bytes before `end` are in: i_size and i_disksize follow. What is between the old end and pos becomes zero. */
function growTo(bi: BlockInode, pos: u64, end: u64): i32 {
  if (end <= bi.inode.mapping.sizeBytes) return 0;
  const got = journalStart(bi.fs, 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  daxSizeExtend(bi, end, pos);
  bi.diskSize = end;
  const error = failChange(bi.fs, inodeWrite(handle, bi, true));
  journalStop(handle);
  return error;
}

/** n bytes within one page, from kernel memory (kernel != 0) or from the user's. Returns the bytes written, 0: try again, or -errno. */
function writeOnce(bi: BlockInode, kernel: usize, user: u64, n: u32, pos: u64): i32 {
  if (kernel == 0 && faultInReadable(user, n) == n) return -EFAULT;
  const disk = blockForWrite(bi, <u32>(pos >> PAGE_SHIFT));
  if (disk < 0) return <i32>disk;
  chargeCost(C_COPY_USER_PAGE);
  daxBeforeStore(bi.fs, <u32>disk);
  const target = daxAddress(bi.fs, <u32>disk) + (<u32>pos & (PAGE_SIZE - 1));
  let copied = n;
  if (kernel != 0) memory.copy(target, kernel, n);
  else copied = n - copyFromUserInatomic(target, user, n);
  const error = copied != 0 ? growTo(bi, pos, pos + copied) : 0;
  return error != 0 ? error : <i32>copied;
}

function writeLocked(file: VfsFile, kernel: usize, user: u64, count: u32, pos: u64): i64 {
  const inode = file.host;
  if (count == 0) return 0;
  if (pos >= inode.sb.maxBytes) return -EFBIG;
  let error = fileUpdateTime(file);
  let done: u32 = 0;
  while (done < count && error == 0) {
    const n = inPage(pos + done, count - done);
    if (currentTask().fatalSignal != 0) error = -EINTR;
    else if (pos + done + n > inode.sb.maxBytes) error = -EFBIG;
    if (error != 0) break;
    const wrote = writeOnce(blockInodeOf(inode), kernel == 0 ? 0 : kernel + done, user + done, n, pos + done);
    if (wrote < 0) error = wrote;
    else done += wrote;
  }
  return done != 0 ? <i64>done : <i64>error;
}

/** ->write: into the image. */
export function daxWrite(file: VfsFile, user: u64, count: u32, pos: u64): i64 {
  const inode = file.host;
  downWrite(inode.rwsem);
  const start = (file.flags & O_APPEND) != 0 ? inode.mapping.sizeBytes : pos;
  const result = writeLocked(file, 0, user, count, start);
  upWrite(inode.rwsem);
  if (result > 0) noteWrittenTo(start + <u64>result);
  return result;
}

/** ->readKernel. */
export function daxReadKernel(file: VfsFile, target: usize, n: u32, pos: u64): i32 {
  const bi = blockInodeOf(file.host);
  downRead(file.host.rwsem);
  const disk = daxLookup(bi, <u32>(pos >> PAGE_SHIFT));
  if (disk >= 0) memory.copy(target, bytesOf(bi, disk) + (<u32>pos & (PAGE_SIZE - 1)), n);
  upRead(file.host.rwsem);
  return disk < 0 ? <i32>disk : <i32>n;
}

/** ->writeKernel. */
export function daxWriteKernel(file: VfsFile, source: usize, n: u32, pos: u64): i32 {
  downWrite(file.host.rwsem);
  const result = writeLocked(file, source, 0, n, pos);
  upWrite(file.host.rwsem);
  return <i32>result;
}

/** Stores from here on fault and are logged anew; those before are for the next flush to make durable. */
function writeback(inode: Inode, first: u32, last: u32): void {
  const found = mappingWrprotect(inode.mapping, first, last);
  traceEmit(sched().clockNs, TP_DAX_WRITEBACK_RANGE, sched().cpu.id, sched().current.id, first, found);
}

/** ->fsync, and so msync. */
export function daxFsync(file: VfsFile, startBytes: u64, endBytes: u64, dataOnly: u32): i32 {
  const last = endBytes >> PAGE_SHIFT;
  const inode = file.host;
  writeback(inode, <u32>(startBytes >> PAGE_SHIFT), last > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>last);
  return syncMetadata(blockInodeOf(inode).fs, inode, dataOnly != 0);
}

/** ->syncFs. A freeze comes here with page faults held off: a store after this faults, and waits for the thaw. */
export function daxSyncFs(sb: SuperBlock, wait: u32): i32 {
  let inode = nextInode(sb, changetype<usize>(sb.inodes));
  while (changetype<usize>(inode) != 0) {
    writeback(inode, 0, u32.MAX_VALUE);
    const next = nextInode(sb, changetype<usize>(inode.sbLink));
    iput(inode);
    inode = next;
  }
  return blockSyncFs(sb, wait);
}
