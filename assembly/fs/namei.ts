/*
 * Paths to dentries.
 *
 *     component: "." stay, ".." up (out of a mount to the directory it covers), a name: dcache, else ->lookup, which attaches
 *     a mounted directory is its filesystem's root; a symbolic link's target takes the place of what was walked
 *
 * Interface: Lookup, lookupAt, pathWalk, walkForChange, endChange, namespaceLock, namespaceUnlock, WALK_*.
 * Invariants:
 *   [nm-1] a path is at most PATH_MAX, a component at most NAME_MAX, links followed at most 40; the errors are Linux's.
 *   [nm-2] every call that walks a path holds the namespace mutex, so what a walk found stays until the call is done.
 *   [nm-4] the namespace mutex is never held while the filesystem is frozen or user memory faults; IO may be waited for.
 * Locks: namespace mutex (s_vfs_rename_mutex) -> directory i_rwsem for reading, around ->lookup.
 *        sb_writers stands before the mutex in the order, so under the mutex it is only tried (walkForChange).
 * Why not RCU walks and dentry references: names are off the fault path; one mutex makes every walk a plain walk.
 * Why not negative dentries: a missing name costs a look into the filesystem's cached tree, and nobody has to drop them.
 */
import { EBADF, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, isErr, ptrErr } from "../lib/errno";
import { NAME_MAX, PATH_MAX } from "../config";
import { C_PATH_COMPONENT, chargeCost } from "../sched/cost";
import { mutexLock, mutexUnlock } from "../sched/mutex";
import { downRead, upRead } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { dcacheMakeRoom, dcachePrune } from "./dcache";
import { Dentry, dentryAlloc, dentryAttach, dentryLookup, isNullDentry, rootDentry } from "./dentry";
import { fdGet } from "./fdtable";
import { Inode, iput, isDirectory, isSymlink } from "./inode";
import { PathName } from "./scratch";
import { fsState } from "./state";
import { SuperBlock, sbEndWrite, sbPin, sbStartWrite, sbTryStartWrite, sbUnpin } from "./super";

/** Links followed in one walk, as in Linux. */
const MAX_LINKS: u32 = 40;
const SLASH: u8 = 0x2f;
const DOT: u8 = 0x2e;
/** AT_FDCWD as a system call's argument carries it. */
export const AT_FDCWD: u64 = <u64>-100;

/** Follow a symbolic link in the last component as well. */
export const WALK_FOLLOW: u32 = 1;
/** The name is to be made: "file/" that exists is the caller's EEXIST, not ENOTDIR. */
export const WALK_CREATE: u32 = 2;

/** Result of a walk: the parent, the last component, and its dentry when it exists. The path bytes follow. */
@unmanaged
export class Lookup {
  parent: Dentry;
  dentry: Dentry;
  name: usize;
  /** 0: the path is the start itself ("/"). */
  nameLength: u32;
  /** 1: slashes follow the last component. */
  trailing: u32;
  end: usize;
  links: u32;
  /** The inode that lost its name in this call (unlink, rename), for endChange to put; or null. */
  victim: Inode;

  get path(): usize {
    return changetype<usize>(this) + offsetof<Lookup>();
  }
}

const LOOKUP_BYTES: u32 = offsetof<Lookup>() + PATH_MAX;
/** Two lookups (rename has two) and a buffer for the target of a link. All three belong to the holder of the mutex. */
export const NAMEI_BYTES: u32 = LOOKUP_BYTES * 2 + PATH_MAX;

export function lookupAt(index: u32): Lookup {
  return changetype<Lookup>(fsState().path + index * LOOKUP_BYTES);
}

function linkBuffer(): usize {
  return fsState().path + LOOKUP_BYTES * 2;
}

/** True for what the walks of the mutex's holder have found: it stays in the cache. */
export function isWalked(dentry: Dentry): bool {
  const at = changetype<usize>(dentry);
  for (let i: u32 = 0; i < 2; i++) {
    if (changetype<usize>(lookupAt(i).parent) == at || changetype<usize>(lookupAt(i).dentry) == at) return true;
  }
  return false;
}

export function namespaceLock(): void {
  mutexLock(fsState().namespaceMutex);
}

export function namespaceUnlock(): void {
  mutexUnlock(fsState().namespaceMutex);
}

/** The root of what is mounted on the directory, or the directory. */
function mountOf(dentry: Dentry): Dentry {
  return dentry.mounted == 0 ? dentry : changetype<Dentry>(dentry.mounted);
}

/** True for the root of a mounted filesystem, "/" included. */
export function isMountRoot(dentry: Dentry): bool {
  return changetype<usize>(dentry) == dentry.inode.sb.root;
}

/** ".." of a directory. */
export function parentOf(dentry: Dentry): Dentry {
  const covered = isMountRoot(dentry) ? changetype<Dentry>(dentry.inode.sb.covers) : dentry;
  if (isNullDentry(covered)) return dentry;
  return isNullDentry(covered.parent) ? covered : covered.parent;
}

/** True for "." and "..". */
function dots(name: usize, lenBytes: u32): u32 {
  if (lenBytes > 2 || load<u8>(name) != DOT) return 0;
  return lenBytes == 1 ? 1 : load<u8>(name + 1) == DOT ? 2 : 0;
}

/** True for the names that nobody may create or remove. */
export function isDots(lookup: Lookup): bool {
  return lookup.nameLength == 0 || dots(lookup.name, lookup.nameLength) != 0;
}

/** Asks the filesystem for a name that the dcache does not have, and attaches it. A dentry, 0, or ERR_PTR. */
function lookupSlow(parent: Dentry, name: usize, lenBytes: u32): usize {
  const directory = parent.inode;
  const f = directory.sb.inodeOps.lookup;
  if (changetype<usize>(f) == 0) return 0;
  downRead(directory.rwsem);
  const found = f(directory, name, lenBytes);
  upRead(directory.rwsem);
  if (found == 0 || isErr(found)) return found;
  const inode = changetype<Inode>(found);
  dcacheMakeRoom();
  let dentry = dentryAlloc(name, lenBytes);
  if (isNullDentry(dentry) && dcachePrune()) dentry = dentryAlloc(name, lenBytes);
  if (isNullDentry(dentry)) {
    iput(inode);
    return <usize>(<u32>-ENOMEM);
  }
  dentryAttach(parent, dentry, inode);
  return changetype<usize>(dentry);
}

/** One step down from a directory. Returns 0 with lookup.dentry set, null when there is no such name, or -errno. */
function step(lookup: Lookup): i32 {
  chargeCost(C_PATH_COMPONENT);
  const parent = lookup.parent;
  const special = dots(lookup.name, lookup.nameLength);
  if (special != 0) {
    lookup.dentry = special == 1 ? parent : parentOf(parent);
    return 0;
  }
  let child = dentryLookup(parent, lookup.name, lookup.nameLength);
  if (isNullDentry(child)) {
    const found = lookupSlow(parent, lookup.name, lookup.nameLength);
    if (isErr(found)) return ptrErr(found);
    child = changetype<Dentry>(found);
  }
  lookup.dentry = isNullDentry(child) ? child : mountOf(child);
  return 0;
}

/** Puts a link's target in front of the rest of the path, which starts at `rest`. Returns 0 or -errno. */
function followLink(lookup: Lookup, rest: usize): i32 {
  const inode = lookup.dentry.inode;
  if (++lookup.links > MAX_LINKS) return -ELOOP;
  const f = inode.sb.inodeOps.readlink;
  assert(changetype<usize>(f) != 0, "a filesystem with symbolic links reads them");
  const buffer = linkBuffer();
  const length = f(inode, buffer, PATH_MAX);
  if (length <= 0) return length == 0 ? -ENOENT : length;
  const restBytes = <u32>(lookup.end - rest);
  if (<u32>length + restBytes > PATH_MAX - 1) return -ENAMETOOLONG;
  memory.copy(buffer + <u32>length, rest, restBytes);
  memory.copy(lookup.path, buffer, <u32>length + restBytes);
  lookup.end = lookup.path + <u32>length + restBytes;
  lookup.dentry = load<u8>(lookup.path) == SLASH ? rootDentry() : lookup.parent;
  return 0;
}

/** Where a path starts: "/" for an absolute one and for AT_FDCWD, else the directory behind dirfd. A dentry or ERR_PTR. */
function startOf(dirfd: u64, name: PathName): usize {
  if (load<u8>(name.bytes) == SLASH || <u32>dirfd == <u32>AT_FDCWD) return changetype<usize>(rootDentry());
  const file = fdGet(currentTask().files, dirfd);
  if (changetype<usize>(file) == 0) return <usize>(<u32>-EBADF);
  if (!isDirectory(file.host)) return <usize>(<u32>-ENOTDIR);
  return file.host.dentry != 0 ? file.host.dentry : <usize>(<u32>-ENOENT);
}

/**
 * Walks a path. Returns 0 with lookup.parent and name set, and lookup.dentry if the last component exists; or -errno.
 * Preconditions: the namespace mutex is held ([nm-2]).
 */
export function pathWalk(dirfd: u64, name: PathName, lookup: Lookup, flags: u32): i32 {
  const start = startOf(dirfd, name);
  if (isErr(start)) return ptrErr(start);
  memory.copy(lookup.path, name.bytes, name.lenBytes);
  lookup.end = lookup.path + name.lenBytes;
  lookup.parent = changetype<Dentry>(start);
  lookup.dentry = lookup.parent;
  lookup.name = lookup.path;
  lookup.nameLength = 0;
  lookup.trailing = 0;
  lookup.links = 0;
  lookup.victim = changetype<Inode>(0);
  let at = lookup.path;
  while (true) {
    while (at < lookup.end && load<u8>(at) == SLASH) at++;
    if (at == lookup.end) break;
    if (isNullDentry(lookup.dentry)) return -ENOENT;
    if (!isDirectory(lookup.dentry.inode)) return -ENOTDIR;
    const first = at;
    while (at < lookup.end && load<u8>(at) != SLASH) at++;
    if (at - first > NAME_MAX) return -ENAMETOOLONG;
    lookup.parent = lookup.dentry;
    lookup.name = first;
    lookup.nameLength = <u32>(at - first);
    lookup.trailing = at < lookup.end ? 1 : 0;
    const error = step(lookup);
    if (error != 0) return error;
    if (isNullDentry(lookup.dentry) || !isSymlink(lookup.dentry.inode)) continue;
    if (at == lookup.end && (flags & WALK_FOLLOW) == 0) break;
    const followed = followLink(lookup, at);
    if (followed != 0) return followed;
    at = lookup.path;
  }
  if ((flags & WALK_CREATE) != 0) return 0;
  if (lookup.trailing != 0 && !isNullDentry(lookup.dentry) && !isDirectory(lookup.dentry.inode)) return -ENOTDIR;
  return 0;
}

/**
 * As pathWalk, for a call that will change the directory: on success the mutex and sb_writers of its filesystem are held
 * (endChange), else neither. A frozen filesystem is waited for without the mutex, and the path walked anew ([nm-4]).
 */
export function walkForChange(dirfd: u64, name: PathName, flags: u32): i32 {
  while (true) {
    namespaceLock();
    const error = pathWalk(dirfd, name, lookupAt(0), flags);
    if (error != 0) {
      namespaceUnlock();
      return error;
    }
    if (startChange(lookupAt(0).parent.inode.sb)) return 0;
  }
}

/** Tries for sb_writers under the mutex. False: the mutex is gone, the filesystem was frozen and is not any more. */
export function startChange(sb: SuperBlock): bool {
  if (sbTryStartWrite(sb)) return true;
  sbPin(sb);
  namespaceUnlock();
  sbStartWrite(sb);
  sbEndWrite(sb);
  sbUnpin(sb);
  return false;
}

/** Ends a change that lookup found: gives up the mutex, then the inode that lost its name, then sb_writers. */
export function endChange(lookup: Lookup): void {
  const sb = lookup.parent.inode.sb;
  const victim = lookup.victim;
  sbPin(sb);
  namespaceUnlock();
  if (changetype<usize>(victim) != 0) iput(victim);
  sbEndWrite(sb);
  sbUnpin(sb);
}
