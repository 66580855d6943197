/*
 * The operations on names: create, mkdir, symlink, link, unlink, rmdir, rename.
 *
 *     check -> the filesystem (on a disk) -> the dentries and link counts -> times (in memory; on a disk it has set them)
 *
 * Interface: nameCreate, nameSymlink, nameLink, nameUnlink, nameRename. They work on what pathWalk found.
 * Invariants:
 *   [nm-3] a name changes under its directory's i_rwsem for writing.
 *   [nm-5] memory changes only after the filesystem has said yes; nothing that can fail comes after that.
 * Locks: the caller holds the namespace mutex and sb_writers (walkForChange); directory i_rwsem is taken here, of two
 *        directories (rename) in the order of their addresses.
 * Why not re-check names after taking i_rwsem: all changes hold the namespace mutex since the walk.
 */
import {
  EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOMEM, ENOTDIR, ENOTEMPTY, EPERM, EXDEV, errPtr, isErr, ptrErr,
} from "../lib/errno";
import { LC_DIR_I_RWSEM_NESTED } from "../sched/lock-class";
import { downWrite, downWriteNested, upWrite } from "../sched/rwsem";
import { dcacheMakeRoom, dcachePrune } from "./dcache";
import { Dentry, dentryAlloc, dentryExchange, dentryFree, dentryLink, dentryMove, dentryUnlink, isNullDentry } from "./dentry";
import { Inode, currentTimeNs, iput, isDirectory, touchTimes } from "./inode";
import { Lookup, isDots, isMountRoot } from "./namei";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "./operations";

/** True when the dentry tree is the directory: the VFS alone knows its names. */
function inMemory(directory: Inode): bool {
  return changetype<usize>(directory.sb.inodeOps.lookup) == 0;
}

/** A dentry for the last component; memory that is short makes the cache give up names. Null on ENOMEM. */
function allocName(lookup: Lookup): Dentry {
  dcacheMakeRoom();
  const dentry = dentryAlloc(lookup.name, lookup.nameLength);
  if (!isNullDentry(dentry) || !dcachePrune()) return dentry;
  return dentryAlloc(lookup.name, lookup.nameLength);
}

/** Links a new name to an inode that comes with a reference, and gives that back. */
function enterName(lookup: Lookup, dentry: Dentry, inode: Inode): void {
  dentryLink(lookup.parent, dentry, inode);
  iput(inode);
  lookup.dentry = dentry;
}

/** Makes parent/name, a file or a directory as the mode says. Returns 0 with lookup.dentry set, or -errno. */
export function nameCreate(lookup: Lookup, mode: u32): i32 {
  if (!isNullDentry(lookup.dentry) || isDots(lookup)) return -EEXIST;
  const dentry = allocName(lookup);
  if (isNullDentry(dentry)) return -ENOMEM;
  const directory = lookup.parent.inode;
  const f = directory.sb.inodeOps.create;
  downWrite(directory.rwsem);
  let made = f(directory, dentry.name, dentry.nameLength, mode);
  if (made == errPtr(-ENOMEM) && dcachePrune()) made = f(directory, dentry.name, dentry.nameLength, mode);
  if (!isErr(made)) enterName(lookup, dentry, changetype<Inode>(made));
  upWrite(directory.rwsem);
  if (!isErr(made)) return 0;
  dentryFree(dentry);
  return ptrErr(made);
}

/** Makes a symbolic link. `target` is a kernel address. */
export function nameSymlink(lookup: Lookup, target: usize, targetBytes: u32): i32 {
  if (!isNullDentry(lookup.dentry) || isDots(lookup)) return -EEXIST;
  if (lookup.trailing != 0) return -ENOENT;
  const directory = lookup.parent.inode;
  const f = directory.sb.inodeOps.symlink;
  if (changetype<usize>(f) == 0) return -EPERM;
  const dentry = allocName(lookup);
  if (isNullDentry(dentry)) return -ENOMEM;
  downWrite(directory.rwsem);
  const made = f(directory, dentry.name, dentry.nameLength, target, targetBytes);
  if (!isErr(made)) enterName(lookup, dentry, changetype<Inode>(made));
  upWrite(directory.rwsem);
  if (!isErr(made)) return 0;
  dentryFree(dentry);
  return ptrErr(made);
}

/** A second name, `to`, for the file that `from` found. */
export function nameLink(from: Lookup, to: Lookup): i32 {
  if (isNullDentry(from.dentry)) return -ENOENT;
  if (!isNullDentry(to.dentry) || isDots(to)) return -EEXIST;
  if (to.trailing != 0) return -ENOENT;
  const inode = from.dentry.inode;
  const directory = to.parent.inode;
  if (changetype<usize>(inode.sb) != changetype<usize>(directory.sb)) return -EXDEV;
  const f = directory.sb.inodeOps.link;
  if (isDirectory(inode) || (changetype<usize>(f) == 0 && !inMemory(directory))) return -EPERM;
  const dentry = allocName(to);
  if (isNullDentry(dentry)) return -ENOMEM;
  downWrite(directory.rwsem);
  const error = changetype<usize>(f) != 0 ? f(inode, directory, dentry.name, dentry.nameLength) : 0;
  if (error == 0) {
    dentryLink(to.parent, dentry, inode);
    if (changetype<usize>(f) == 0) {
      touchTimes(directory);
      inode.ctimeNs = currentTimeNs();
    }
  }
  upWrite(directory.rwsem);
  if (error != 0) dentryFree(dentry);
  else to.dentry = dentry;
  return error;
}

/** 1 when the directory has no entries, 0, or -errno. */
function isEmptyDirectory(directory: Inode): i32 {
  const f = directory.sb.inodeOps.isEmpty;
  if (changetype<usize>(f) != 0) return f(directory);
  return directory.entries == 0 ? 1 : 0;
}

/** 0 when the directory may be removed or replaced. */
function checkEmpty(directory: Inode): i32 {
  const empty = isEmptyDirectory(directory);
  return empty < 0 ? empty : empty == 0 ? -ENOTEMPTY : 0;
}

function checkUnlink(lookup: Lookup, directory: bool): i32 {
  const dentry = lookup.dentry;
  if (isNullDentry(dentry)) return -ENOENT;
  if (lookup.nameLength == 0) return directory ? -EBUSY : -EISDIR;
  if (isDots(lookup)) return directory ? (lookup.nameLength == 1 ? -EINVAL : -ENOTEMPTY) : -EISDIR;
  if (isMountRoot(dentry)) return directory ? -EBUSY : -EISDIR;
  const isDir = isDirectory(dentry.inode);
  if (directory && !isDir) return -ENOTDIR;
  return !directory && isDir ? -EISDIR : 0;
}

/** Removes a name: a file's, or an empty directory's with `directory`. The inode goes to lookup.victim. */
export function nameUnlink(lookup: Lookup, directory: bool): i32 {
  let error = checkUnlink(lookup, directory);
  if (error != 0) return error;
  const dentry = lookup.dentry;
  const parent = lookup.parent.inode;
  const inode = dentry.inode;
  downWrite(parent.rwsem);
  if (directory) error = checkEmpty(inode);
  const f = parent.sb.inodeOps.unlink;
  if (error == 0 && changetype<usize>(f) != 0) error = f(parent, dentry.name, dentry.nameLength, inode);
  if (error == 0) {
    dentryUnlink(dentry);
    dentryFree(dentry);
    lookup.dentry = changetype<Dentry>(0);
    lookup.victim = inode;
    if (changetype<usize>(f) == 0) {
      touchTimes(parent);
      inode.ctimeNs = currentTimeNs();
    }
  }
  upWrite(parent.rwsem);
  return error;
}

/** True when `ancestor` is `dentry` or above it, within one filesystem. */
function isAncestor(ancestor: Dentry, dentry: Dentry): bool {
  let at = dentry;
  while (!isNullDentry(at)) {
    if (changetype<usize>(at) == changetype<usize>(ancestor)) return true;
    at = at.parent;
  }
  return false;
}

function checkRename(from: Lookup, to: Lookup, flags: u32): i32 {
  const moved = from.dentry;
  if (changetype<usize>(from.parent.inode.sb) != changetype<usize>(to.parent.inode.sb)) return -EXDEV;
  if (isDots(from)) return -EBUSY;
  if (isDots(to)) return (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
  if (isNullDentry(moved)) return -ENOENT;
  const replaced = to.dentry;
  if (!isNullDentry(replaced) && (flags & RENAME_NOREPLACE) != 0) return -EEXIST;
  if (isMountRoot(moved) || (!isNullDentry(replaced) && isMountRoot(replaced))) return -EBUSY;
  const isDir = isDirectory(moved.inode);
  const exchange = (flags & RENAME_EXCHANGE) != 0;
  if (isNullDentry(replaced) && exchange) return -ENOENT;
  if (!isDir && (from.trailing != 0 || (to.trailing != 0 && !exchange))) return -ENOTDIR;
  if (isDir && isAncestor(moved, to.parent)) return -EINVAL;
  if (isNullDentry(replaced)) return 0;
  // A target that holds the source is a directory with entries.
  if (isDirectory(replaced.inode) && isAncestor(replaced, from.parent)) return exchange ? -EINVAL : -ENOTEMPTY;
  if (exchange || changetype<usize>(replaced.inode) == changetype<usize>(moved.inode)) return 0;
  if (isDirectory(replaced.inode) != isDir) return isDir ? -ENOTDIR : -EISDIR;
  return 0;
}

/** rename(2): `from` becomes `to`. The inode that lost its name goes to to.victim. */
export function nameRename(from: Lookup, to: Lookup, flags: u32): i32 {
  const error = checkRename(from, to, flags);
  if (error != 0) return error;
  const replaced = to.dentry;
  // Two names of one file: POSIX says that nothing happens.
  if (!isNullDentry(replaced) && changetype<usize>(replaced.inode) == changetype<usize>(from.dentry.inode)) return 0;
  const target = allocName(to);
  if (isNullDentry(target)) return -ENOMEM;
  const a = from.parent.inode;
  const b = to.parent.inode;
  lockTwo(a, b);
  const result = renameLocked(from, to, target, flags);
  unlockTwo(a, b);
  if (result != 0 || (flags & RENAME_EXCHANGE) != 0) dentryFree(target);
  return result;
}

function renameLocked(from: Lookup, to: Lookup, target: Dentry, flags: u32): i32 {
  const moved = from.dentry;
  const replaced = to.dentry;
  const a = from.parent.inode;
  const b = to.parent.inode;
  const inode = moved.inode;
  const victim = isNullDentry(replaced) ? changetype<Inode>(0) : replaced.inode;
  const exchange = (flags & RENAME_EXCHANGE) != 0;
  if (!exchange && changetype<usize>(victim) != 0 && isDirectory(victim)) {
    const error = checkEmpty(victim);
    if (error != 0) return error;
  }
  const f = a.sb.inodeOps.rename;
  if (changetype<usize>(f) != 0) {
    const error = f(a, moved.name, moved.nameLength, b, target.name, target.nameLength, inode, victim, flags);
    if (error != 0) return error;
  }
  if (exchange) dentryExchange(moved, replaced);
  else {
    if (!isNullDentry(replaced)) {
      dentryUnlink(replaced);
      dentryFree(replaced);
      to.victim = victim;
    }
    dentryMove(moved, to.parent, target);
  }
  if (changetype<usize>(f) != 0) return 0;
  touchTimes(a);
  touchTimes(b);
  inode.ctimeNs = currentTimeNs();
  if (changetype<usize>(victim) != 0) victim.ctimeNs = currentTimeNs();
  return 0;
}

/** Two directories in the order of their addresses; the second under the nested class. */
function lockTwo(a: Inode, b: Inode): void {
  const aFirst = changetype<usize>(a) <= changetype<usize>(b);
  downWrite(aFirst ? a.rwsem : b.rwsem);
  if (changetype<usize>(a) != changetype<usize>(b)) downWriteNested(aFirst ? b.rwsem : a.rwsem, LC_DIR_I_RWSEM_NESTED);
}

function unlockTwo(a: Inode, b: Inode): void {
  upWrite(a.rwsem);
  if (changetype<usize>(a) != changetype<usize>(b)) upWrite(b.rwsem);
}
