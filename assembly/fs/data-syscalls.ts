/*
 * System calls that change a file's extent, bring it to the disk, or close it to stores: truncate, fallocate, fsync, sync, ioctl, swapon.
 *
 * Interface: sysTruncate, sysFtruncate, sysFallocate, sysFsync, sysFdatasync, sysSync, sysSyncfs, sysIoctl, sysSwapon,
 *            sysSwapoff (six u64) => value or -errno; IOCTL numbers FICLONE, FICLONERANGE, FIFREEZE, FITHAW, FS_IOC_SHUTDOWN.
 * Invariants: [dsys-1] a range is checked here for what every filesystem asks; what depends on block size is the filesystem's.
 * Locks: sb_writers -> i_rwsem around changes; none for syncs.
 * Why not fallocate's modes here: collapse and insert move extents, which the VFS does not know.
 */
import { EBADF, EBUSY, EFAULT, EFBIG, EINVAL, EISDIR, ENODEV, ENOMEM, ENOTTY, EOPNOTSUPP, isErr, ptrErr } from "../lib/errno";
import { downWrite, upWrite } from "../sched/rwsem";
import { AS_SWAPFILE, AS_UNEVICTABLE, putFile } from "../mm/address-space";
import { copyFromUser } from "../mm/uaccess";
import { filemapWriteAndWait } from "../mm/writeback";
import { VfsFile } from "./file";
import { Inode, S_SWAPFILE, isDirectory, isRegular } from "./inode";
import { AT_FDCWD, WALK_FOLLOW } from "./namei";
import {
  FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
} from "./operations";
import { cloneRange } from "./remap";
import { scratchAlloc, scratchFree } from "./scratch";
import { freezeSuper, sbEndWrite, sbStartWrite, shutdownSuper, thawSuper } from "./super";
import { fsyncFile, syncAll, syncfsFile } from "./sync";
import { inodeAtPath, putPathInode } from "./stat-syscalls";
import { fdHold, fileIsNull, mayWrite, setSizeOf } from "./syscalls";

export const FICLONE: u32 = 0x4004_9409;
export const FICLONERANGE: u32 = 0x4020_940d;
export const FIFREEZE: u32 = 0xc004_5877;
export const FITHAW: u32 = 0xc004_5878;
/** XFS_IOC_GOINGDOWN, ext4's EXT4_IOC_SHUTDOWN: the filesystem stops as it is. */
export const FS_IOC_SHUTDOWN: u32 = 0x8004_587d;

export function sysTruncate(path: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (<i64>lenBytes < 0) return -EINVAL;
  const found = inodeAtPath(AT_FDCWD, path, WALK_FOLLOW);
  if (isErr(found)) return ptrErr(found);
  const inode = changetype<Inode>(found);
  let result: i64 = isDirectory(inode) ? -EISDIR : -EINVAL;
  if (isRegular(inode)) result = setSizeOf(inode, lenBytes);
  putPathInode(inode);
  return result;
}

export function sysFtruncate(fd: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (<i64>lenBytes < 0) return -EINVAL;
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  let result: i64 = -EINVAL;
  if (mayWrite(file) && isRegular(file.host)) result = setSizeOf(file.host, lenBytes);
  putFile(file);
  return result;
}

/** What the mode may combine (fallocate(2)). */
function checkFallocMode(mode: u64): i32 {
  const known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE;
  if ((mode & ~(<u64>known)) != 0) return -EOPNOTSUPP;
  const m = <u32>mode;
  if ((m & FALLOC_FL_PUNCH_HOLE) != 0 && m != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
  if ((m & FALLOC_FL_COLLAPSE_RANGE) != 0 && m != FALLOC_FL_COLLAPSE_RANGE) return -EINVAL;
  return (m & FALLOC_FL_INSERT_RANGE) != 0 && m != FALLOC_FL_INSERT_RANGE ? -EINVAL : 0;
}

export function sysFallocate(fd: u64, mode: u64, offset: u64, lenBytes: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  let result: i64 = <i64>offset < 0 || <i64>lenBytes <= 0 ? -EINVAL : checkFallocMode(mode);
  if (result == 0) result = fallocateFile(file, <u32>mode, offset, lenBytes);
  putFile(file);
  return result;
}

function fallocateFile(file: VfsFile, mode: u32, offset: u64, lenBytes: u64): i64 {
  if (!mayWrite(file)) return -EBADF;
  const inode = file.host;
  if (!isRegular(inode)) return isDirectory(inode) ? -EISDIR : -ENODEV;
  if (offset > inode.sb.maxBytes || lenBytes > inode.sb.maxBytes - offset) return -EFBIG;
  const f = inode.sb.inodeOps.fallocate;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  sbStartWrite(inode.sb);
  downWrite(inode.rwsem);
  const error = f(inode, mode, offset, lenBytes);
  upWrite(inode.rwsem);
  sbEndWrite(inode.sb);
  return error;
}

function syncFile(fd: u64, dataOnly: u32): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const error = fsyncFile(file, 0, u64.MAX_VALUE, dataOnly);
  putFile(file);
  return error;
}

export function sysFsync(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return syncFile(fd, 0);
}

export function sysFdatasync(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return syncFile(fd, 1);
}

export function sysSync(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  syncAll();
  return 0;
}

export function sysSyncfs(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const error = syncfsFile(file);
  putFile(file);
  return error;
}

export function sysIoctl(fd: u64, cmd: u64, arg: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const result = ioctlFile(file, <u32>cmd, arg);
  putFile(file);
  return result;
}

function ioctlFile(file: VfsFile, cmd: u32, arg: u64): i64 {
  switch (cmd) {
    case FIFREEZE: return freezeSuper(file.host.sb);
    case FITHAW: return thawSuper(file.host.sb);
    case FICLONE: return cloneFrom(arg, 0, 0, file, 0);
    case FICLONERANGE: return ioctlCloneRange(file, arg);
    case FS_IOC_SHUTDOWN: return shutdownSuper(file.host.sb);
    default: {
      const f = file.host.sb.fileOps.ioctl;
      return changetype<usize>(f) != 0 ? f(file, cmd, arg) : -ENOTTY;
    }
  }
}

/** struct file_clone_range: source fd (s64), source offset, length, target offset. */
function ioctlCloneRange(file: VfsFile, arg: u64): i64 {
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  const left = copyFromUser(scratch, arg, 32);
  const fd = load<u64>(scratch);
  const srcPos = load<u64>(scratch, 8);
  const lenBytes = load<u64>(scratch, 16);
  const dstPos = load<u64>(scratch, 24);
  scratchFree(scratch);
  return left != 0 ? -EFAULT : cloneFrom(fd, srcPos, lenBytes, file, dstPos);
}

function cloneFrom(fd: u64, srcPos: u64, lenBytes: u64, dst: VfsFile, dstPos: u64): i64 {
  const src = fdHold(fd);
  if (fileIsNull(src)) return -EBADF;
  const result = cloneRange(src, srcPos, dst, dstPos, lenBytes);
  putFile(src);
  return result < 0 ? result : 0;
}

/**
 * swapon(2), as far as mappings are concerned: nothing becomes writable any more, what was is cleaned and write-protected. No page is ever
 * swapped out (the machine has no swap), and the file is a swap file for as long as its inode is in memory, or until swapoff.
 */
export function sysSwapon(path: u64, flags: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return flags != 0 ? -EINVAL : setSwapfile(path, true);
}

export function sysSwapoff(path: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return setSwapfile(path, false);
}

function setSwapfile(path: u64, on: bool): i64 {
  const found = inodeAtPath(AT_FDCWD, path, WALK_FOLLOW);
  if (isErr(found)) return ptrErr(found);
  const inode = changetype<Inode>(found);
  let result: i64 = -EINVAL;
  if (isRegular(inode) && (inode.mapping.flags & AS_UNEVICTABLE) == 0) {
    sbStartWrite(inode.sb);
    downWrite(inode.rwsem);
    result = changeSwapfile(inode, on);
    upWrite(inode.rwsem);
    sbEndWrite(inode.sb);
  }
  putPathInode(inode);
  return result;
}

/** i_rwsem is held for writing. */
function changeSwapfile(inode: Inode, on: bool): i64 {
  const mapping = inode.mapping;
  if (((inode.flags & S_SWAPFILE) != 0) == on) return on ? -EBUSY : -EINVAL;
  if (!on) {
    inode.flags &= ~S_SWAPFILE;
    mapping.flags &= ~AS_SWAPFILE;
    return 0;
  }
  inode.flags |= S_SWAPFILE;
  // First the flag, then the pages: what page_mkwrite has allowed until now is written and write-protected here.
  mapping.flags |= AS_SWAPFILE;
  return filemapWriteAndWait(mapping, 0, u32.MAX_VALUE);
}
