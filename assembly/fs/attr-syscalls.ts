/*
 * System calls that change an inode's attributes: chmod and the times.
 *
 * Interface: sysFchmod, sysFchmodat, sysUtimensat (six u64) => 0 or -errno.
 * Invariants: [attr-1] attributes change under i_rwsem for writing; the filesystem hears of it (->dirtyInode) before the call returns.
 * Locks: sb_writers -> i_rwsem.
 * Why not owners: the machine has one user.
 */
import { EBADF, EFAULT, EINVAL, ENOMEM, isErr, ptrErr } from "../lib/errno";
import { downWrite, upWrite } from "../sched/rwsem";
import { putFile } from "../mm/address-space";
import { copyFromUser } from "../mm/uaccess";
import { Inode, S_IFMT, currentTimeNs } from "./inode";
import { WALK_FOLLOW } from "./namei";
import { scratchAlloc, scratchFree } from "./scratch";
import { inodeAtPath, putPathInode } from "./stat-syscalls";
import { sbEndWrite, sbStartWrite } from "./super";
import { fdHold, fileIsNull } from "./syscalls";

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;
const NS_PER_S: u64 = 1_000_000_000;
/** Permission bits, set-id and sticky. */
const MODE_BITS: u32 = 0xfff;

/** Tells the filesystem that the inode changed; ctime is now. */
function changed(inode: Inode): i32 {
  inode.ctimeNs = currentTimeNs();
  const f = inode.sb.inodeOps.dirtyInode;
  return changetype<usize>(f) != 0 ? f(inode) : 0;
}

function setMode(inode: Inode, mode: u32): i32 {
  sbStartWrite(inode.sb);
  downWrite(inode.rwsem);
  inode.mode = (inode.mode & S_IFMT) | (mode & MODE_BITS);
  const error = changed(inode);
  upWrite(inode.rwsem);
  sbEndWrite(inode.sb);
  return error;
}

export function sysFchmod(fd: u64, mode: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const error = setMode(file.host, <u32>mode);
  putFile(file);
  return error;
}

export function sysFchmodat(dirfd: u64, path: u64, mode: u64, a3: u64, a4: u64, a5: u64): i64 {
  const found = inodeAtPath(dirfd, path, WALK_FOLLOW);
  if (isErr(found)) return ptrErr(found);
  const error = setMode(changetype<Inode>(found), <u32>mode);
  putPathInode(changetype<Inode>(found));
  return error;
}

/** True for a timespec that utimensat takes. */
function validTime(at: usize): bool {
  const ns = load<u64>(at, 8);
  if (ns == UTIME_NOW || ns == UTIME_OMIT) return true;
  return ns < NS_PER_S && load<i64>(at) >= 0 && load<u64>(at) < u64.MAX_VALUE / NS_PER_S;
}

/** The time that a timespec asks for. */
function timeOf(at: usize, present: u64): u64 {
  const ns = load<u64>(at, 8);
  if (ns == UTIME_OMIT) return present;
  return ns == UTIME_NOW ? currentTimeNs() : load<u64>(at) * NS_PER_S + ns;
}

/** Sets atime and mtime from two timespecs at `times`, kernel memory. */
function setTimes(inode: Inode, times: usize): i32 {
  if (!validTime(times) || !validTime(times + 16)) return -EINVAL;
  if (load<u64>(times, 8) == UTIME_OMIT && load<u64>(times, 24) == UTIME_OMIT) return 0;
  sbStartWrite(inode.sb);
  downWrite(inode.rwsem);
  inode.atimeNs = timeOf(times, inode.atimeNs);
  inode.mtimeNs = timeOf(times + 16, inode.mtimeNs);
  const error = changed(inode);
  upWrite(inode.rwsem);
  sbEndWrite(inode.sb);
  return error;
}

/** utimensat(2): times null: both are now; path null: the file behind dirfd. */
export function sysUtimensat(dirfd: u64, path: u64, times: u64, flags: u64, a4: u64, a5: u64): i64 {
  if ((flags & ~AT_SYMLINK_NOFOLLOW) != 0) return -EINVAL;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  store<u64>(scratch, UTIME_NOW, 8);
  store<u64>(scratch, UTIME_NOW, 24);
  const left = times != 0 ? copyFromUser(scratch, times, 32) : 0;
  const result = left != 0 ? -EFAULT : setTimesAt(dirfd, path, flags == 0 ? WALK_FOLLOW : 0, scratch);
  scratchFree(scratch);
  return result;
}

function setTimesAt(dirfd: u64, path: u64, walkFlags: u32, times: usize): i32 {
  if (path == 0) {
    const file = fdHold(dirfd);
    if (fileIsNull(file)) return -EBADF;
    const error = setTimes(file.host, times);
    putFile(file);
    return error;
  }
  const found = inodeAtPath(dirfd, path, walkFlags);
  if (isErr(found)) return ptrErr(found);
  const error = setTimes(changetype<Inode>(found), times);
  putPathInode(changetype<Inode>(found));
  return error;
}
