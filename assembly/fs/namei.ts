/*
 * Paths to dentries, and the operations on names: create, mkdir, unlink, rmdir, rename.
 *
 * Interface: Lookup, pathLookup(user path), nameCreate, nameUnlink, nameRename.
 * Invariants:
 *   [nm-1] a path is at most PATH_MAX, a component at most NAME_MAX; the errors are Linux's.
 *   [nm-2] every call that walks a path holds the namespace mutex, so what a walk found stays until the call is done.
 *   [nm-3] a name changes under its directory's i_rwsem for writing.
 * Locks: namespace mutex (s_vfs_rename_mutex) -> directory i_rwsem (i_rwsem/dir, i_rwsem/dir/1 for the second of a rename).
 * Why not RCU walks and dentry references: names are off the fault path; one mutex makes every walk a plain walk.
 * Why not cwd and symlinks: scripted guests use absolute paths; the walk has the place where both go.
 */
import { EBUSY, EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, ENOTEMPTY, EXDEV, isErr, ptrErr } from "../lib/errno";
import { ListHead } from "../lib/list";
import { NAME_MAX, PATH_MAX } from "../config";
import { C_PATH_COMPONENT, chargeCost } from "../sched/cost";
import { LC_DIR_I_RWSEM, LC_DIR_I_RWSEM_NESTED } from "../sched/lock-class";
import { downWrite, upWrite } from "../sched/rwsem";
import { nowNs } from "../sched/state";
import { strncpyFromUser } from "../mm/uaccess";
import { Dentry, dentryAlloc, dentryFree, dentryLink, dentryLookup, dentryMove, dentryUnlink, isNullDentry, rootDentry } from "./dentry";
import { Inode, S_IFDIR, iput, isDirectory, isNullInode } from "./inode";
import { fsState } from "./state";

/** Result of a walk: the parent, the last component, and its dentry when it exists. */
@unmanaged
export class Lookup {
  parent: Dentry;
  dentry: Dentry;
  name: usize;
  nameLength: u32;
}

/** The two lookups of a call (rename has two), each with a path buffer behind it. */
export const LOOKUP_BYTES: u32 = 16 + PATH_MAX;

export function lookupAt(index: u32): Lookup {
  return changetype<Lookup>(fsState().path + index * LOOKUP_BYTES);
}

function mountOf(dentry: Dentry): Dentry {
  return dentry.mounted == 0 ? dentry : changetype<Dentry>(dentry.mounted);
}

/** One step down from a directory; null when there is no such name. */
function step(parent: Dentry, name: usize, lenBytes: u32): Dentry {
  chargeCost(C_PATH_COMPONENT);
  if (lenBytes == 1 && load<u8>(name) == 0x2e) return parent;
  if (lenBytes == 2 && load<u8>(name) == 0x2e && load<u8>(name + 1) == 0x2e) {
    return isNullDentry(parent.parent) ? parent : parent.parent;
  }
  const child = dentryLookup(parent, name, lenBytes);
  return isNullDentry(child) ? child : mountOf(child);
}

/**
 * Walks a path of user memory. Returns 0 with lookup.parent and name set, and lookup.dentry if the last component exists;
 * or -errno. Preconditions: the namespace mutex is held ([nm-2]).
 */
export function pathLookup(user: u64, lookup: Lookup): i32 {
  const path = changetype<usize>(lookup) + 16;
  const length = strncpyFromUser(path, user, PATH_MAX);
  if (length < 0) return length;
  if (length == 0) return -ENOENT;
  let at = path;
  const end = path + length;
  lookup.parent = rootDentry();
  lookup.dentry = rootDentry();
  lookup.name = path;
  lookup.nameLength = 0;
  while (true) {
    while (at < end && load<u8>(at) == 0x2f) at++;
    if (at == end) break;
    if (isNullDentry(lookup.dentry)) return -ENOENT;
    if (!isDirectory(lookup.dentry.inode)) return -ENOTDIR;
    const name = at;
    while (at < end && load<u8>(at) != 0x2f) at++;
    if (at - name > NAME_MAX) return -ENAMETOOLONG;
    lookup.parent = lookup.dentry;
    lookup.name = name;
    lookup.nameLength = <u32>(at - name);
    lookup.dentry = step(lookup.parent, name, lookup.nameLength);
  }
  if (load<u8>(end - 1) == 0x2f && !isNullDentry(lookup.dentry) && !isDirectory(lookup.dentry.inode)) return -ENOTDIR;
  return 0;
}

/** True for the names that nobody may create or remove. */
function isDots(lookup: Lookup): bool {
  const n = lookup.nameLength;
  if (n == 0) return true;
  if (load<u8>(lookup.name) != 0x2e) return false;
  return n == 1 || (n == 2 && load<u8>(lookup.name + 1) == 0x2e);
}

/** Makes parent/name with the given mode. Returns 0 with lookup.dentry set, or -errno. */
export function nameCreate(lookup: Lookup, mode: u32): i32 {
  if (!isNullDentry(lookup.dentry) || isDots(lookup)) return -EEXIST;
  const parent = lookup.parent;
  const dentry = dentryAlloc(lookup.name, lookup.nameLength);
  if (isNullDentry(dentry)) return -ENOMEM;
  downWrite(parent.inode.rwsem);
  const error = createLocked(parent, dentry, mode);
  upWrite(parent.inode.rwsem);
  if (error != 0) dentryFree(dentry);
  else lookup.dentry = dentry;
  return error;
}

function createLocked(parent: Dentry, dentry: Dentry, mode: u32): i32 {
  if (parent.linked == 0 && changetype<usize>(parent) != changetype<usize>(rootDentry()) && !isNullDentry(parent.parent)) return -ENOENT;
  if (!isNullDentry(dentryLookup(parent, dentry.name, dentry.nameLength))) return -EEXIST;
  const f = parent.inode.sb.inodeOps.create;
  const made = f(parent.inode, dentry.name, dentry.nameLength, mode);
  if (isErr(made)) return ptrErr(made);
  const inode = changetype<Inode>(made);
  dentryLink(parent, dentry, inode);
  parent.inode.mtimeNs = nowNs();
  parent.inode.ctimeNs = nowNs();
  // The dentry has its own reference now.
  iput(inode);
  return 0;
}

/** Removes a name: a file's, or an empty directory's with `directory`. */
export function nameUnlink(lookup: Lookup, directory: bool): i32 {
  if (isNullDentry(lookup.dentry)) return -ENOENT;
  if (lookup.nameLength == 0) return directory ? -EBUSY : -EISDIR;
  if (isDots(lookup)) return directory ? -EINVAL : -EISDIR;
  const dentry = lookup.dentry;
  const parent = lookup.parent;
  const parentInode = parent.inode;
  downWrite(parentInode.rwsem);
  const error = checkUnlink(dentry, parent, directory);
  if (error != 0) {
    upWrite(parentInode.rwsem);
    return error;
  }
  const inode = dentryUnlink(dentry);
  dentryFree(dentry);
  parentInode.mtimeNs = nowNs();
  inode.ctimeNs = nowNs();
  upWrite(parentInode.rwsem);
  iput(inode);
  return 0;
}

function checkUnlink(dentry: Dentry, parent: Dentry, directory: bool): i32 {
  // Between the walk and the lock somebody may have been here.
  if (dentry.linked == 0 || changetype<usize>(dentry.parent) != changetype<usize>(parent)) return -ENOENT;
  if (dentry.mounted != 0 || isNullDentry(dentry.parent)) return -EBUSY;
  const isDir = isDirectory(dentry.inode);
  if (directory && !isDir) return -ENOTDIR;
  if (!directory && isDir) return -EISDIR;
  return directory && dentry.inode.entries != 0 ? -ENOTEMPTY : 0;
}

const RENAME_NOREPLACE: u32 = 1;

/** True when `ancestor` is `dentry` or above it. */
function isAncestor(ancestor: Dentry, dentry: Dentry): bool {
  let at = dentry;
  while (!isNullDentry(at)) {
    if (changetype<usize>(at) == changetype<usize>(ancestor)) return true;
    at = at.parent;
  }
  return false;
}

/** rename: `from` becomes `to`, replacing a file or an empty directory of the same kind. */
export function nameRename(from: Lookup, to: Lookup, flags: u32): i32 {
  if (isNullDentry(from.dentry)) return -ENOENT;
  if (isDots(from) || isDots(to)) return -EBUSY;
  if (changetype<usize>(from.parent.inode.sb) != changetype<usize>(to.parent.inode.sb)) return -EXDEV;
  const target = dentryAlloc(to.name, to.nameLength);
  if (isNullDentry(target)) return -ENOMEM;
  const a = from.parent.inode;
  const b = to.parent.inode;
  lockTwo(a, b);
  const replaced = dentryLookup(to.parent, target.name, target.nameLength);
  const error = checkRename(from, to, replaced, flags);
  let victim = changetype<Inode>(0);
  const same = error == 0 && changetype<usize>(replaced) == changetype<usize>(from.dentry);
  if (error == 0 && !same) {
    if (!isNullDentry(replaced)) {
      victim = dentryUnlink(replaced);
      dentryFree(replaced);
    }
    dentryMove(from.dentry, to.parent, target);
    a.mtimeNs = nowNs();
    b.mtimeNs = nowNs();
  }
  unlockTwo(a, b);
  if (error != 0 || same) dentryFree(target);
  if (!isNullInode(victim)) iput(victim);
  return error;
}

function checkRename(from: Lookup, to: Lookup, replaced: Dentry, flags: u32): i32 {
  const moved = from.dentry;
  if (moved.linked == 0 || changetype<usize>(moved.parent) != changetype<usize>(from.parent)) return -ENOENT;
  if (moved.mounted != 0) return -EBUSY;
  if (isDirectory(moved.inode) && isAncestor(moved, to.parent)) return -EINVAL;
  if (isNullDentry(replaced) || changetype<usize>(replaced) == changetype<usize>(moved)) return 0;
  if ((flags & RENAME_NOREPLACE) != 0) return -EEXIST;
  if (isDirectory(replaced.inode) && !isDirectory(moved.inode)) return -EISDIR;
  if (!isDirectory(replaced.inode) && isDirectory(moved.inode)) return -ENOTDIR;
  return isDirectory(replaced.inode) && replaced.inode.entries != 0 ? -ENOTEMPTY : 0;
}

/** Two directories in the order of their addresses; the second under the nested class. */
function lockTwo(a: Inode, b: Inode): void {
  if (changetype<usize>(a) == changetype<usize>(b)) {
    downWrite(a.rwsem);
    return;
  }
  const first = changetype<usize>(a) < changetype<usize>(b) ? a : b;
  const second = changetype<usize>(a) < changetype<usize>(b) ? b : a;
  downWrite(first.rwsem);
  second.rwsem.classId = LC_DIR_I_RWSEM_NESTED;
  downWrite(second.rwsem);
  second.rwsem.classId = LC_DIR_I_RWSEM;
}

function unlockTwo(a: Inode, b: Inode): void {
  upWrite(a.rwsem);
  if (changetype<usize>(a) != changetype<usize>(b)) upWrite(b.rwsem);
}

/** A walk over a directory's entries: the nth child, or null. */
export function nthChild(directory: Inode, nth: u32): Dentry {
  const head = changetype<usize>(directory.children);
  let link: usize = directory.children.next;
  for (let i: u32 = 0; i < nth && link != head; i++) link = changetype<ListHead>(link).next;
  return link == head ? changetype<Dentry>(0) : changetype<Dentry>(link - offsetof<Dentry>("siblingNext"));
}

export function directoryMode(mode: u32): u32 {
  return S_IFDIR | (mode & 0xfff);
}
