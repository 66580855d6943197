/*
 * The system calls of files, with Linux's checks and errnos. Entries of the table in kernel/syscall.ts.
 *
 * Interface: sysOpenat, sysClose, sysRead ... each (six u64) => value or -errno.
 * Invariants: [fsys-1] the file a call works on is referenced for the length of the call, whatever other threads close.
 * Locks: as the parts take them; f_pos_lock around calls that use the position.
 * Why not in each part's file: here one can read beside each other what the calls check.
 */
import {
  EBADF, EFAULT, EFBIG, EINVAL, EISDIR, EMFILE, ENODEV, ENOENT, ENOMEM, ENOTDIR, EEXIST, EOPNOTSUPP, EROFS,
} from "../lib/errno";
import { mutexLock, mutexUnlock } from "../sched/mutex";
import { downRead, downWrite, upRead, upWrite } from "../sched/rwsem";
import { currentTask, nowNs } from "../sched/state";
import { getFile, putFile } from "../mm/address-space";
import { syncFileRange } from "../mm/mincore";
import { copyToUser } from "../mm/uaccess";
import { fdClose, fdGet, fdInstall } from "./fdtable";
import { O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_TRUNC, O_WRONLY, VfsFile, fileOpen } from "./file";
import { Inode, S_IFREG, isDirectory } from "./inode";
import { directoryMode, lookupAt, nameCreate, nameRename, nameUnlink, nthChild, pathLookup } from "./namei";
import { isNullDentry } from "./dentry";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "./operations";
import { fsState } from "./state";

const AT_REMOVEDIR: u32 = 0x200;
const MAX_RW_COUNT: u64 = 0x7fff_f000;
const DT_DIR: u8 = 4;
const DT_REG: u8 = 8;

/** The file behind a number with a reference, or null. */
function fdHold(fd: u64): VfsFile {
  const file = fdGet(currentTask().files, fd);
  if (changetype<usize>(file) != 0) getFile(file);
  return file;
}

function isNull(file: VfsFile): bool {
  return changetype<usize>(file) == 0;
}

function mayRead(file: VfsFile): bool {
  return (file.flags & O_ACCMODE) != O_WRONLY;
}

function mayWrite(file: VfsFile): bool {
  return (file.flags & O_ACCMODE) != O_RDONLY;
}

/** openat(2); dirfd is not looked at, paths are absolute or start at the root. */
export function sysOpenat(dirfd: u64, path: u64, flags: u64, mode: u64, a4: u64, a5: u64): i64 {
  mutexLock(fsState().namespaceMutex);
  const result = openLocked(path, <u32>flags, <u32>mode);
  mutexUnlock(fsState().namespaceMutex);
  return result;
}

function openLocked(path: u64, flags: u32, mode: u32): i64 {
  if ((flags & O_ACCMODE) == O_ACCMODE) return -EINVAL;
  const lookup = lookupAt(0);
  let error = pathLookup(path, lookup);
  if (error != 0) return error;
  if (isNullDentry(lookup.dentry)) {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    error = nameCreate(lookup, S_IFREG | (mode & 0xfff));
    if (error != 0) return error;
  } else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return -EEXIST;
  return openInode(lookup.dentry.inode, flags);
}

function openInode(inode: Inode, flags: u32): i64 {
  if (isDirectory(inode)) {
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0) return -EISDIR;
  } else if ((flags & O_DIRECTORY) != 0) return -ENOTDIR;
  if ((flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY) {
    const error = setSize(inode, 0);
    if (error != 0) return error;
  }
  const file = fileOpen(inode, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
  if (isNull(file)) return -ENOMEM;
  const fd = fdInstall(currentTask().files, file);
  if (fd < 0) {
    putFile(file);
    return -EMFILE;
  }
  return fd;
}

export function sysClose(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return fdClose(currentTask().files, fd);
}

/** Reads or writes at pos; the caller has checked the mode. */
function transfer(file: VfsFile, user: u64, count: u64, pos: u64, write: bool): i64 {
  const n = <u32>(count < MAX_RW_COUNT ? count : MAX_RW_COUNT);
  if (isDirectory(file.host)) return -EISDIR;
  const ops = file.host.sb.fileOps;
  if (write) {
    const w = ops.write;
    return w(file, user, n, pos);
  }
  const r = ops.read;
  return r(file, user, n, pos);
}

function readWrite(fd: u64, user: u64, count: u64, write: bool): i64 {
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  let result: i64 = -EBADF;
  if (write ? mayWrite(file) : mayRead(file)) {
    mutexLock(file.posLock);
    const pos = file.pos;
    result = transfer(file, user, count, pos, write);
    // A write has moved the position itself: O_APPEND starts elsewhere.
    if (result > 0 && !write) file.pos = pos + <u64>result;
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
  if (isNull(file)) return -EBADF;
  let result: i64 = -EBADF;
  if (write ? mayWrite(file) : mayRead(file)) {
    const before = file.pos;
    result = transfer(file, user, count, pos, write);
    file.pos = before;
  }
  putFile(file);
  return result;
}

export function sysPread64(fd: u64, user: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return readWriteAt(fd, user, count, pos, false);
}

export function sysPwrite64(fd: u64, user: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return readWriteAt(fd, user, count, pos, true);
}

export function sysLseek(fd: u64, offset: u64, whence: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdGet(currentTask().files, fd);
  if (isNull(file)) return -EBADF;
  let base: i64 = 0;
  if (whence == 1) base = <i64>file.pos;
  else if (whence == 2) base = <i64>file.mapping.sizeBytes;
  else if (whence != 0) return -EINVAL;
  const target = base + <i64>offset;
  if (target < 0 || <u64>target > file.host.sb.maxBytes) return -EINVAL;
  file.pos = <u64>target;
  if (isDirectory(file.host)) file.dirPos = <u32>target;
  return target;
}

/** Changes i_size under i_rwsem. */
function setSize(inode: Inode, sizeBytes: u64): i32 {
  const f = inode.sb.inodeOps.setSize;
  if (changetype<usize>(f) == 0) return -EROFS;
  downWrite(inode.rwsem);
  const error = f(inode, sizeBytes);
  if (error == 0) {
    inode.mtimeNs = nowNs();
    inode.ctimeNs = nowNs();
  }
  upWrite(inode.rwsem);
  return error;
}

export function sysFtruncate(fd: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (<i64>lenBytes < 0) return -EINVAL;
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  let result: i64 = -EINVAL;
  if (mayWrite(file) && !isDirectory(file.host)) result = setSize(file.host, lenBytes);
  putFile(file);
  return result;
}

export function sysFallocate(fd: u64, mode: u64, offset: u64, lenBytes: u64, a4: u64, a5: u64): i64 {
  if (<i64>offset < 0 || <i64>lenBytes <= 0) return -EINVAL;
  if ((mode & ~(<u64>(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))) != 0) return -EOPNOTSUPP;
  if (mode == FALLOC_FL_PUNCH_HOLE) return -EOPNOTSUPP;
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  const result = fallocateFile(file, <u32>mode, offset, lenBytes);
  putFile(file);
  return result;
}

function fallocateFile(file: VfsFile, mode: u32, offset: u64, lenBytes: u64): i64 {
  if (!mayWrite(file)) return -EBADF;
  const inode = file.host;
  if (isDirectory(inode)) return -EISDIR;
  if (offset > inode.sb.maxBytes || lenBytes > inode.sb.maxBytes - offset) return -EFBIG;
  const f = inode.sb.inodeOps.fallocate;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  downWrite(inode.rwsem);
  const error = f(inode, mode, offset, lenBytes);
  upWrite(inode.rwsem);
  return error;
}

function syncFile(fd: u64, dataOnly: u32): i64 {
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  const f = file.host.sb.fileOps.fsync;
  const error = changetype<usize>(f) != 0 ? f(file, 0, u64.MAX_VALUE, dataOnly) : syncFileRange(file, 0, u32.MAX_VALUE);
  putFile(file);
  return error;
}

export function sysFsync(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return syncFile(fd, 0);
}

export function sysFdatasync(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return syncFile(fd, 1);
}

export function sysUnlinkat(dirfd: u64, path: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  if ((flags & ~(<u64>AT_REMOVEDIR)) != 0) return -EINVAL;
  mutexLock(fsState().namespaceMutex);
  const lookup = lookupAt(0);
  let result = pathLookup(path, lookup);
  if (result == 0) result = nameUnlink(lookup, (flags & AT_REMOVEDIR) != 0);
  mutexUnlock(fsState().namespaceMutex);
  return result;
}

export function sysMkdirat(dirfd: u64, path: u64, mode: u64, a3: u64, a4: u64, a5: u64): i64 {
  mutexLock(fsState().namespaceMutex);
  const lookup = lookupAt(0);
  let result = pathLookup(path, lookup);
  if (result == 0) result = nameCreate(lookup, directoryMode(<u32>mode));
  mutexUnlock(fsState().namespaceMutex);
  return result;
}

/** renameat2(2) with flags 0 or RENAME_NOREPLACE. */
export function sysRenameat2(fromDir: u64, from: u64, toDir: u64, to: u64, flags: u64, a5: u64): i64 {
  if (flags > 1) return -EINVAL;
  mutexLock(fsState().namespaceMutex);
  let result = pathLookup(from, lookupAt(0));
  if (result == 0) result = pathLookup(to, lookupAt(1));
  if (result == 0) result = nameRename(lookupAt(0), lookupAt(1), <u32>flags);
  mutexUnlock(fsState().namespaceMutex);
  return result;
}

/** One linux_dirent64 into the gather scratch of the task, then to the user. Returns its length or -errno. */
function emitEntry(user: u64, room: u64, ino: u32, next: u32, type: u8, name: usize, nameLength: u32): i64 {
  const length = (19 + nameLength + 1 + 7) & ~7;
  if (<u64>length > room) return -EINVAL;
  const head = currentTask().gather + 32;
  memory.fill(head, 0, 24);
  store<u64>(head, ino);
  store<u64>(head, next, 8);
  store<u16>(head, <u16>length, 16);
  store<u8>(head, type, 18);
  if (copyToUser(user, head, 19) != 0) return -EFAULT;
  if (copyToUser(user + 19, name, nameLength) != 0) return -EFAULT;
  store<u64>(head, 0);
  return copyToUser(user + 19 + nameLength, head, length - 19 - nameLength) != 0 ? -EFAULT : length;
}

/** getdents64(2): ".", "..", then the entries in the order of their making. */
export function sysGetdents64(fd: u64, user: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  const directory = file.host;
  let result: i64 = -ENOTDIR;
  if (isDirectory(directory)) {
    mutexLock(fsState().namespaceMutex);
    downRead(directory.rwsem);
    result = readDirectory(file, directory, user, count);
    upRead(directory.rwsem);
    mutexUnlock(fsState().namespaceMutex);
  }
  putFile(file);
  return result;
}

function readDirectory(file: VfsFile, directory: Inode, user: u64, count: u64): i64 {
  let done: i64 = 0;
  while (true) {
    const length = emitNth(file.dirPos, directory, user + <u64>done, count - <u64>done);
    if (length == 0) return done;
    if (length < 0) return done != 0 ? done : length;
    done += length;
    file.dirPos++;
  }
}

/** The nth entry: 0 at the end. */
function emitNth(nth: u32, directory: Inode, user: u64, room: u64): i64 {
  if (nth < 2) {
    const dots = currentTask().gather + 64;
    store<u16>(dots, 0x2e2e);
    return emitEntry(user, room, directory.ino, nth + 1, DT_DIR, dots, nth + 1);
  }
  const child = nthChild(directory, nth - 2);
  if (isNullDentry(child)) return 0;
  const type = isDirectory(child.inode) ? DT_DIR : DT_REG;
  return emitEntry(user, room, child.inode.ino, nth + 1, type, child.name, child.nameLength);
}

/** struct stat of riscv64, 128 bytes, made in the gather scratch. */
export function sysFstat(fd: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdGet(currentTask().files, fd);
  if (isNull(file)) return -EBADF;
  const inode = file.host;
  const stat = currentTask().gather;
  memory.fill(stat, 0, 128);
  store<u64>(stat, 1);
  store<u64>(stat, inode.ino, 8);
  store<u32>(stat, inode.mode, 16);
  store<u32>(stat, inode.nlink, 20);
  store<u64>(stat, inode.mapping.sizeBytes, 48);
  store<u32>(stat, inode.sb.blockSize, 56);
  store<u64>(stat, <u64>inode.mapping.nrPages * 8, 64);
  storeTime(stat + 72, inode.atimeNs);
  storeTime(stat + 88, inode.mtimeNs);
  storeTime(stat + 104, inode.ctimeNs);
  const failed = copyToUser(user, stat, 128) != 0;
  // The scratch is a gather at rest again: its count must read zero.
  memory.fill(currentTask().gather, 0, 128);
  return failed ? -EFAULT : 0;
}

function storeTime(at: usize, ns: u64): void {
  store<u64>(at, ns / 1_000_000_000);
  store<u64>(at + 8, ns % 1_000_000_000);
}

export function sysDup(fd: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (isNull(file)) return -EBADF;
  const copy = fdInstall(currentTask().files, file);
  if (copy < 0) putFile(file);
  return copy;
}

/** The file of an mmap, with a reference. Null with *errno set to -EBADF or -ENODEV. */
export function fileForMmap(fd: u64, errno: usize): VfsFile {
  const file = fdHold(fd);
  store<i32>(errno, 0);
  if (isNull(file)) store<i32>(errno, -EBADF);
  else if (isDirectory(file.host)) {
    store<i32>(errno, -ENODEV);
    putFile(file);
    return changetype<VfsFile>(0);
  }
  return file;
}
