/*
 * System calls of open files: open, close, read, write, seek, dup. Entries of the table in kernel/syscall.ts.
 *
 * Interface: sysOpenat, sysClose, sysRead ... each (six u64) => value or -errno; fdHold, fileIsNull, mayRead, mayWrite, setSizeOf
 *            for the other files of system calls (names-, data-, stat-syscalls, readdir, remap); fileForMmap.
 * Invariants: [fsys-1] the file a call works on is referenced for the length of the call, whatever other threads close.
 * Locks: as the parts take them; f_pos_lock around calls that use the position; sb_writers around those that write.
 * Why not in each part's file: here one can read beside each other what the calls check.
 */
import {
  EBADF, EEXIST, EINVAL, EISDIR, ELOOP, EMFILE, ENOENT, ENOMEM, ENOTDIR, EROFS, errPtr, isErr, ptrErr,
} from "../lib/errno";
import { MAX_FDS } from "../config";
import { mutexLock, mutexUnlock } from "../sched/mutex";
import { downWrite, upWrite } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { getFile, putFile } from "../mm/address-space";
import { isNullDentry } from "./dentry";
import { deviceTransfer, isDevice } from "./devices";
import { fdClose, fdGet, fdInstall, fdReplace, fdsFull } from "./fdtable";
import {
  O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY, VfsFile, fileOpen, writtenTo,
} from "./file";
import { Inode, S_IFREG, ihold, iput, isDirectory, isSymlink } from "./inode";
import {
  Lookup, WALK_CREATE, WALK_FOLLOW, endChange, isDots, lookupAt, namespaceLock, namespaceUnlock, pathWalk, startChange,
} from "./namei";
import { nameCreate } from "./namespace";
import { PathName, getname, putname } from "./scratch";
import { sbEndWrite, sbPin, sbStartWrite, sbUnpin } from "./super";

const MAX_RW_COUNT: u64 = 0x7fff_f000;
const SEEK_CUR: u64 = 1;
const SEEK_END: u64 = 2;

/** The file behind a number with a reference, or null. */
export function fdHold(fd: u64): VfsFile {
  const file = fdGet(currentTask().files, fd);
  if (changetype<usize>(file) != 0) getFile(file);
  return file;
}

export function fileIsNull(file: VfsFile): bool {
  return changetype<usize>(file) == 0;
}

export function mayRead(file: VfsFile): bool {
  return (file.flags & O_ACCMODE) != O_WRONLY;
}

export function mayWrite(file: VfsFile): bool {
  return (file.flags & O_ACCMODE) != O_RDONLY;
}

/** openat(2). */
export function sysOpenat(dirfd: u64, path: u64, flags: u64, mode: u64, a4: u64, a5: u64): i64 {
  const f = <u32>flags;
  if ((f & O_ACCMODE) == O_ACCMODE || (f & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) return -EINVAL;
  if (fdsFull(currentTask().files)) return -EMFILE;
  const got = getname(path);
  if (isErr(got)) return ptrErr(got);
  const name = changetype<PathName>(got);
  const found = openLookup(dirfd, name, f, <u32>mode);
  putname(name);
  if (isErr(found)) return ptrErr(found);
  const inode = changetype<Inode>(found);
  const sb = inode.sb;
  const result = openInode(inode, f);
  iput(inode);
  sbUnpin(sb);
  return result;
}

/** The inode to open, made if it must be: referenced, its super block pinned; or ERR_PTR. */
function openLookup(dirfd: u64, name: PathName, flags: u32, mode: u32): usize {
  const exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  let walkFlags = exclusive || (flags & O_NOFOLLOW) != 0 ? 0 : WALK_FOLLOW;
  if ((flags & O_CREAT) != 0) walkFlags |= WALK_CREATE;
  while (true) {
    namespaceLock();
    const lookup = lookupAt(0);
    let error = pathWalk(dirfd, name, lookup, walkFlags);
    const missing = error == 0 && isNullDentry(lookup.dentry);
    if (missing && (flags & O_CREAT) != 0) {
      if (!startChange(lookup.parent.inode.sb)) continue;
      return openCreate(lookup, mode);
    }
    if (missing) error = -ENOENT;
    // "name/" is never made, and never opened to be made.
    if (error == 0 && (flags & O_CREAT) != 0 && lookup.trailing != 0 && !isDots(lookup)) error = -EISDIR;
    if (error == 0) error = checkOpen(lookup.dentry.inode, flags);
    if (error == 0) pinInode(lookup.dentry.inode);
    namespaceUnlock();
    return error != 0 ? errPtr(error) : changetype<usize>(lookup.dentry.inode);
  }
}

function pinInode(inode: Inode): void {
  ihold(inode);
  sbPin(inode.sb);
}

/** Makes the file; the mutex and sb_writers are held and released. */
function openCreate(lookup: Lookup, mode: u32): usize {
  // "name/" asks for a directory.
  const error = lookup.trailing != 0 ? -EISDIR : nameCreate(lookup, S_IFREG | (mode & 0xfff));
  const inode = error == 0 ? lookup.dentry.inode : changetype<Inode>(0);
  if (error == 0) pinInode(inode);
  endChange(lookup);
  return error != 0 ? errPtr(error) : changetype<usize>(inode);
}

/** What an inode that exists may be opened for. */
function checkOpen(inode: Inode, flags: u32): i32 {
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return -EEXIST;
  if (isSymlink(inode)) return (flags & O_DIRECTORY) != 0 ? -ENOTDIR : -ELOOP;
  if (!isDirectory(inode)) return (flags & O_DIRECTORY) != 0 ? -ENOTDIR : 0;
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0 ? -EISDIR : 0;
}

function openInode(inode: Inode, flags: u32): i64 {
  if ((flags & O_TRUNC) != 0) {
    const error = setSizeOf(inode, 0);
    if (error != 0) return error;
  }
  const file = fileOpen(inode, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
  if (fileIsNull(file)) return -ENOMEM;
  const fd = fdInstall(currentTask().files, file);
  if (fd >= 0) return fd;
  putFile(file);
  return -EMFILE;
}

/** i_size becomes sizeBytes. Returns 0 or -errno. */
export function setSizeOf(inode: Inode, sizeBytes: u64): i32 {
  const f = inode.sb.inodeOps.setSize;
  if (changetype<usize>(f) == 0) return -EROFS;
  sbStartWrite(inode.sb);
  downWrite(inode.rwsem);
  const error = f(inode, sizeBytes);
  upWrite(inode.rwsem);
  sbEndWrite(inode.sb);
  return error;
}

export function sysClose(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return fdClose(currentTask().files, fd);
}

/** Reads or writes at pos; the caller has checked the mode. */
function transfer(file: VfsFile, user: u64, count: u64, pos: u64, write: bool): i64 {
  const n = <u32>(count < MAX_RW_COUNT ? count : MAX_RW_COUNT);
  if (isDirectory(file.host)) return -EISDIR;
  if (isDevice(file.host)) return deviceTransfer(file.host, user, n, write);
  const sb = file.host.sb;
  if (!write) {
    const r = sb.fileOps.read;
    return r(file, user, n, pos);
  }
  const w = sb.fileOps.write;
  sbStartWrite(sb);
  const result = w(file, user, n, pos);
  sbEndWrite(sb);
  return result;
}

function readWrite(fd: u64, user: u64, count: u64, write: bool): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  let result: i64 = -EBADF;
  if (write ? mayWrite(file) : mayRead(file)) {
    mutexLock(file.posLock);
    const pos = file.pos;
    result = transfer(file, user, count, pos, write);
    // O_APPEND starts elsewhere.
    if (result > 0 && !isDevice(file.host)) file.pos = write ? writtenTo() : pos + <u64>result;
    mutexUnlock(file.posLock);
  }
  putFile(file);
  return result;
}

export function sysRead(fd: u64, user: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  return readWrite(fd, user, count, false);
}

export function sysWrite(fd: u64, user: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  return readWrite(fd, user, count, true);
}

function readWriteAt(fd: u64, user: u64, count: u64, pos: u64, write: bool): i64 {
  if (<i64>pos < 0) return -EINVAL;
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  let result: i64 = -EBADF;
  if (write ? mayWrite(file) : mayRead(file)) result = transfer(file, user, count, pos, write);
  putFile(file);
  return result;
}

export function sysPread64(fd: u64, user: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return readWriteAt(fd, user, count, pos, false);
}

export function sysPwrite64(fd: u64, user: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return readWriteAt(fd, user, count, pos, true);
}

/** lseek(2); a directory's position is what getdents64 gave as d_off. */
export function sysLseek(fd: u64, offset: u64, whence: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdGet(currentTask().files, fd);
  if (fileIsNull(file)) return -EBADF;
  let base: i64 = 0;
  if (whence == SEEK_CUR) base = <i64>file.pos;
  else if (whence == SEEK_END) base = <i64>file.mapping.sizeBytes;
  else if (whence != 0) return -EINVAL;
  const target = base + <i64>offset;
  if (target < 0) return -EINVAL;
  if (!isDirectory(file.host) && <u64>target > file.host.sb.maxBytes) return -EINVAL;
  file.pos = <u64>target;
  return target;
}

export function sysDup(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const copy = fdInstall(currentTask().files, file);
  if (copy < 0) putFile(file);
  return copy;
}

/** dup3(2): the file at newFd as well; what was there is closed. */
export function sysDup3(fd: u64, newFd: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (fd == newFd || (flags & ~(<u64>O_CLOEXEC)) != 0) return -EINVAL;
  if (newFd >= MAX_FDS) return -EBADF;
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  fdReplace(currentTask().files, <u32>newFd, file);
  return <i64>newFd;
}

/** The file of an mmap, with a reference. Null: EBADF. */
export function fileForMmap(fd: u64): VfsFile {
  return fdHold(fd);
}
