/*
 * Open files.
 *
 * Interface: VfsFile, O_*, fileOpen(inode, flags), filePutFinal (MmState.fputFn), fput, fileUpdateTime, noteWrittenTo, writtenTo.
 * Invariants: [file-1] an open file holds one reference of its inode; the last reference of the file gives it back.
 * Locks: f_pos_lock (mutex) around read and write that use the position.
 * Why not separate struct and mm view: mm's File is the head of this one, so a VMA's file is this file.
 */
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { LC_F_POS_LOCK } from "../sched/lock-class";
import { Mutex, mutexInit } from "../sched/mutex";
import { C_FILE_OPEN, chargeCost } from "../sched/cost";
import { currentTask } from "../sched/state";
import { AddressSpace, File, putFile } from "../mm/address-space";
import { errseqSample } from "../mm/errseq";
import { Inode, currentTimeNs, ihold, iput, isDirectory, touchTimes } from "./inode";
import { CACHE_FILE, fsState } from "./state";
import { SuperBlock } from "./super";

export const O_RDONLY: u32 = 0;
export const O_WRONLY: u32 = 1;
export const O_RDWR: u32 = 2;
export const O_ACCMODE: u32 = 3;
export const O_CREAT: u32 = 0x40;
export const O_EXCL: u32 = 0x80;
export const O_TRUNC: u32 = 0x200;
export const O_APPEND: u32 = 0x400;
export const O_DIRECTORY: u32 = 0x10000;
export const O_NOFOLLOW: u32 = 0x20000;
export const O_CLOEXEC: u32 = 0x80000;

@unmanaged
export class VfsFile extends File {
  posLock0: u64;
  posLock1: u64;
  posLock2: u64;
  posLock3: u64;
  posLock4: u64;
  /** The filesystem's writeback errors up to here were reported to this file by syncfs. */
  sbErr: u32;
  /** f_pos: bytes, or a directory's cookie (readdir.ts). */
  pos: u64;

  get posLock(): Mutex {
    return changetype<Mutex>(changetype<usize>(this) + offsetof<VfsFile>("posLock0"));
  }
  get host(): Inode {
    return changetype<Inode>(this.inode);
  }
}

/** Opens an inode. Null on ENOMEM. */
export function fileOpen(inode: Inode, flags: u32): VfsFile {
  const file = changetype<VfsFile>(kmemCacheAlloc(fsState().cache(CACHE_FILE)));
  if (changetype<usize>(file) == 0) return file;
  assert(offsetof<Mutex>() <= 40, "a Mutex fits its space");
  chargeCost(C_FILE_OPEN);
  ihold(inode);
  file.refcount = 1;
  file.inode = changetype<usize>(inode);
  file.mapping = inode.mapping;
  // A directory cannot be mapped (ENODEV, after mmap has looked at the rights).
  if (!isDirectory(inode)) file.vmOps = inode.sb.vmOps;
  file.flags = flags;
  file.raPrev = u32.MAX_VALUE;
  file.wbErr = errseqSample(changetype<usize>(inode.mapping) + offsetof<AddressSpace>("wbErr"));
  file.sbErr = errseqSample(changetype<usize>(inode.sb) + offsetof<SuperBlock>("wbErr"));
  mutexInit(file.posLock, LC_F_POS_LOCK);
  inode.sb.nrFiles++;
  fsState().nrFiles++;
  return file;
}

/** The last reference goes. May sleep: the inode may be evicted. */
export function filePutFinal(at: usize): void {
  const file = changetype<VfsFile>(at);
  assert(file.refcount == 1, "[file-1] the last reference goes");
  const inode = file.host;
  const release = inode.sb.fileOps.release;
  if (changetype<usize>(release) != 0) release(file);
  file.refcount = 0;
  fsState().nrFiles--;
  kmemCacheFree(fsState().cache(CACHE_FILE), at);
  // Unmount must not overtake an eviction that sleeps.
  const sb = inode.sb;
  iput(inode);
  sb.nrFiles--;
}

/** A change of the file's content: mtime and ctime follow, once a tick. May need a transaction. Returns 0 or -errno. */
export function fileUpdateTime(file: File): i32 {
  const inode = changetype<Inode>(file.inode);
  const now = currentTimeNs();
  if (inode.mtimeNs == now && inode.ctimeNs == now) return 0;
  touchTimes(inode);
  const f = inode.sb.inodeOps.dirtyInode;
  return changetype<usize>(f) != 0 ? f(inode) : 0;
}

export function fput(file: VfsFile): void {
  putFile(file);
}

/** Where the task's last write ended, in its scratch: write(2) moves the position there, pwrite(2) leaves the position alone. */
export function noteWrittenTo(pos: u64): void {
  store<u64>(currentTask().gather + 80, pos);
}

export function writtenTo(): u64 {
  return load<u64>(currentTask().gather + 80);
}
