/*
 * getdents64: the entries of a directory, in the order that its filesystem has them.
 *
 *     position:  0 "."   1 ".."   2 + cookie: the first entry at or behind the cookie
 *     a call:    directory locked -> records into scratch memory -> unlocked -> copied to the user -> the position moves on
 *
 * Interface: sysGetdents64.
 * Invariants:
 *   [rd-1] every entry that is there from the first call to the last is given out once, whatever else comes and goes.
 *   [rd-2] no lock of the directory is held while user memory faults: a path walk waits for readers of a directory.
 * Locks: f_pos_lock, around all of it; the directory's i_rwsem for reading, around the gathering.
 * Why not straight into user memory, as Linux: see [rd-2]; a call gives out nearly a page of records at most.
 */
import { EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, ENOTDIR } from "../lib/errno";
import { mutexLock, mutexUnlock } from "../sched/mutex";
import { downRead, upRead } from "../sched/rwsem";
import { putFile } from "../mm/address-space";
import { copyToUser } from "../mm/uaccess";
import { Dentry, dentryFrom, dentryNext, isNullDentry } from "./dentry";
import { VfsFile } from "./file";
import { Inode, S_IFDIR, S_IFMT, isDirectory } from "./inode";
import { parentOf } from "./namei";
import { DIR_ENTRY_BYTES, DirEntry } from "./operations";
import { SCRATCH_LONG_BYTES, scratchAllocLong, scratchFree } from "./scratch";
import { fdHold, fileIsNull } from "./syscalls";

/** Positions of the first real entry; "." and ".." come before. */
const FIRST: u64 = 2;
/** linux_dirent64 up to d_name. */
const RECORD_HEAD: u32 = 19;
/** What one call has gathered; its scratch memory goes on with a DirEntry and the records. */
@unmanaged
class Gather {
  /** Position behind the last record. */
  pos: u64;
  used: u32;
  room: u32;

  get entry(): DirEntry {
    return changetype<DirEntry>(changetype<usize>(this) + offsetof<Gather>());
  }
  get records(): usize {
    return changetype<usize>(this.entry) + DIR_ENTRY_BYTES;
  }
}

/** Adds gather.entry as a record whose d_off is `next`. False when it does not fit. */
function emit(gather: Gather, next: u64): bool {
  const entry = gather.entry;
  const length = (RECORD_HEAD + entry.nameLength + 1 + 7) & ~7;
  if (gather.used + length > gather.room) return false;
  const at = gather.records + gather.used;
  memory.fill(at, 0, length);
  store<u64>(at, entry.ino);
  store<u64>(at, next, 8);
  store<u16>(at, <u16>length, 16);
  // DT_* is the type part of the mode.
  store<u8>(at, <u8>(entry.type >> 12), 18);
  memory.copy(at + RECORD_HEAD, entry.name, entry.nameLength);
  gather.used += length;
  gather.pos = next;
  return true;
}

/** "." and "..". False when full. */
function emitDots(gather: Gather, directory: Inode): bool {
  const entry = gather.entry;
  while (gather.pos < FIRST) {
    const parent = directory.dentry != 0 && gather.pos == 1 ? parentOf(changetype<Dentry>(directory.dentry)).inode : directory;
    entry.ino = parent.ino;
    entry.type = S_IFDIR;
    entry.nameLength = <u32>gather.pos + 1;
    store<u16>(entry.name, 0x2e2e);
    if (!emit(gather, gather.pos + 1)) return false;
  }
  return true;
}

/** Entries of an in-memory directory, until the room or the directory ends. False when full. */
function gatherDentries(gather: Gather, directory: Inode): bool {
  let dentry = dentryFrom(directory, gather.pos - FIRST);
  while (!isNullDentry(dentry)) {
    const entry = gather.entry;
    entry.ino = dentry.inode.ino;
    entry.type = dentry.inode.mode & S_IFMT;
    entry.nameLength = dentry.nameLength;
    memory.copy(entry.name, dentry.name, dentry.nameLength);
    if (!emit(gather, FIRST + dentry.cookie + 1)) return false;
    dentry = dentryNext(dentry);
  }
  return true;
}

/** Entries that the filesystem gives. 1 when the directory ended, 0 when full, or -errno. */
function gatherEntries(gather: Gather, directory: Inode): i32 {
  const f = directory.sb.fileOps.iterate;
  if (changetype<usize>(f) == 0) return gatherDentries(gather, directory) ? 1 : 0;
  while (true) {
    const next = f(directory, gather.pos - FIRST, gather.entry);
    if (next <= 0) return next == 0 ? 1 : <i32>next;
    assert(<u64>next > gather.pos - FIRST, "[rd-1] cookies grow");
    if (!emit(gather, FIRST + <u64>next)) return 0;
  }
}

/** Fills the records. Returns 0 or -errno, of which EINVAL says that not one fits. */
function gatherLocked(gather: Gather, directory: Inode): i32 {
  // It was removed: not even dots are in it.
  if (directory.nlink == 0) return -ENOENT;
  const state = emitDots(gather, directory) ? gatherEntries(gather, directory) : 0;
  if (gather.used != 0) return 0;
  return state < 0 ? state : state == 0 ? -EINVAL : 0;
}

function readDirectory(file: VfsFile, user: u64, count: u64): i64 {
  const gather = changetype<Gather>(scratchAllocLong());
  if (changetype<usize>(gather) == 0) return -ENOMEM;
  const directory = file.host;
  const room = SCRATCH_LONG_BYTES - <u32>(gather.records - changetype<usize>(gather));
  gather.pos = file.pos;
  gather.used = 0;
  gather.room = count < room ? <u32>count : room;
  downRead(directory.rwsem);
  const error = gatherLocked(gather, directory);
  upRead(directory.rwsem);
  let result: i64 = error;
  if (error == 0) {
    result = gather.used;
    if (copyToUser(user, gather.records, gather.used) != 0) result = -EFAULT;
    else file.pos = gather.pos;
  }
  scratchFree(changetype<usize>(gather));
  return result;
}

/** getdents64(2). */
export function sysGetdents64(fd: u64, user: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  let result: i64 = -ENOTDIR;
  if (isDirectory(file.host)) {
    mutexLock(file.posLock);
    result = readDirectory(file, user, count);
    mutexUnlock(file.posLock);
  }
  putFile(file);
  return result;
}
