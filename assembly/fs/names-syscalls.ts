/*
 * System calls that change names: unlink, mkdir, link, symlink, rename; mount, umount, and mkfs.
 *
 * Interface: sysUnlinkat, sysMkdirat, sysLinkat, sysSymlinkat, sysRenameat2, sysMount, sysUmount2 (six u64) => 0 or -errno;
 *            mkfs(type, options), fsck(type, options), operations of scripted guests.
 * Invariants: [nsys-1] every path is in kernel memory before the namespace mutex is taken ([nm-4]).
 * Locks: walkForChange takes the namespace mutex and sb_writers, endChange gives them up.
 * Why not walk inside namespace.ts: there it shows what an operation does, here what a call checks and how it fails.
 */
import { EINVAL, ENAMETOOLONG, ENOENT, isErr, ptrErr } from "../lib/errno";
import { S_IFDIR } from "./inode";
import {
  AT_FDCWD, WALK_CREATE, WALK_FOLLOW, endChange, lookupAt, namespaceLock, namespaceUnlock, pathWalk, startChange, walkForChange,
} from "./namei";
import { nameCreate, nameLink, nameRename, nameSymlink, nameUnlink } from "./namespace";
import { doFsck, doMkfs, doMount, doUmount } from "./mount";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "./operations";
import { PathName, getname, putname } from "./scratch";

const AT_REMOVEDIR: u64 = 0x200;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
/** umount2(2) with it does not follow a link. Forced and lazy unmounts are not known. */
const UMOUNT_NOFOLLOW: u64 = 8;
/** Longest target of a symbolic link: a page with its NUL, as most filesystems of Linux have it. */
const SYMLINK_MAX: u32 = 4095;

export function sysUnlinkat(dirfd: u64, path: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  if ((flags & ~AT_REMOVEDIR) != 0) return -EINVAL;
  const got = getname(path);
  if (isErr(got)) return ptrErr(got);
  const name = changetype<PathName>(got);
  let error = walkForChange(dirfd, name, 0);
  putname(name);
  if (error != 0) return error;
  error = nameUnlink(lookupAt(0), (flags & AT_REMOVEDIR) != 0);
  endChange(lookupAt(0));
  return error;
}

export function sysMkdirat(dirfd: u64, path: u64, mode: u64, a3: u64, a4: u64, a5: u64): i64 {
  const got = getname(path);
  if (isErr(got)) return ptrErr(got);
  const name = changetype<PathName>(got);
  let error = walkForChange(dirfd, name, WALK_CREATE);
  putname(name);
  if (error != 0) return error;
  error = nameCreate(lookupAt(0), S_IFDIR | (<u32>mode & 0xfff));
  endChange(lookupAt(0));
  return error;
}

export function sysSymlinkat(target: u64, dirfd: u64, path: u64, a3: u64, a4: u64, a5: u64): i64 {
  const gotTarget = getname(target);
  if (isErr(gotTarget)) return ptrErr(gotTarget);
  const got = getname(path);
  const result = isErr(got) ? ptrErr(got) : symlinkPath(changetype<PathName>(gotTarget), dirfd, changetype<PathName>(got));
  if (!isErr(got)) putname(changetype<PathName>(got));
  putname(changetype<PathName>(gotTarget));
  return result;
}

function symlinkPath(target: PathName, dirfd: u64, path: PathName): i32 {
  if (target.lenBytes > SYMLINK_MAX) return -ENAMETOOLONG;
  let error = walkForChange(dirfd, path, WALK_CREATE);
  if (error != 0) return error;
  error = nameSymlink(lookupAt(0), target.bytes, target.lenBytes);
  endChange(lookupAt(0));
  return error;
}

/**
 * Walks two paths for a change of both: lookup 0 and lookup 1. On success the mutex and sb_writers of the second one's filesystem
 * are held, else neither.
 */
function walkTwoForChange(fromDir: u64, from: PathName, fromFlags: u32, toDir: u64, to: PathName, toFlags: u32): i32 {
  while (true) {
    namespaceLock();
    let error = pathWalk(fromDir, from, lookupAt(0), fromFlags);
    if (error == 0) error = pathWalk(toDir, to, lookupAt(1), toFlags);
    if (error != 0) {
      namespaceUnlock();
      return error;
    }
    if (startChange(lookupAt(1).parent.inode.sb)) return 0;
  }
}

/** linkat(2). */
export function sysLinkat(fromDir: u64, from: u64, toDir: u64, to: u64, flags: u64, a5: u64): i64 {
  if ((flags & ~AT_SYMLINK_FOLLOW) != 0) return -EINVAL;
  return twoPaths(fromDir, from, toDir, to, <u32>flags, true);
}

/** renameat2(2) with flags 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
export function sysRenameat2(fromDir: u64, from: u64, toDir: u64, to: u64, flags: u64, a5: u64): i64 {
  const f = <u32>flags;
  if (flags >> 32 != 0 || (f & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 || f == (RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
  return twoPaths(fromDir, from, toDir, to, f, false);
}

function twoPaths(fromDir: u64, from: u64, toDir: u64, to: u64, flags: u32, link: bool): i64 {
  const gotFrom = getname(from);
  if (isErr(gotFrom)) return ptrErr(gotFrom);
  const gotTo = getname(to);
  let result = isErr(gotTo) ? ptrErr(gotTo) : 0;
  if (result == 0) {
    // rename looks at slashes behind a name itself, after both parents were found.
    const first = !link ? WALK_CREATE : flags != 0 ? WALK_FOLLOW : 0;
    result = walkTwoForChange(fromDir, changetype<PathName>(gotFrom), first, toDir, changetype<PathName>(gotTo), WALK_CREATE);
    if (result == 0) {
      result = link ? nameLink(lookupAt(0), lookupAt(1)) : nameRename(lookupAt(0), lookupAt(1), flags);
      endChange(lookupAt(1));
    }
    putname(changetype<PathName>(gotTo));
  }
  putname(changetype<PathName>(gotFrom));
  return result;
}

/** Runs mount (with a path), mkfs or fsck with a type and options that may be absent (null or ""). */
function withOptions(type: u64, options: u64, dirfd: u64, path: PathName, check: bool): i64 {
  const gotType = getname(type);
  if (isErr(gotType)) return ptrErr(gotType);
  const gotOptions: usize = options == 0 ? <usize>0 : getname(options);
  const failed = isErr(gotOptions) && ptrErr(gotOptions) != -ENOENT;
  const text = isErr(gotOptions) ? changetype<PathName>(0) : changetype<PathName>(gotOptions);
  let result: i32 = 0;
  if (failed) result = ptrErr(gotOptions);
  else if (changetype<usize>(path) != 0) result = doMount(changetype<PathName>(gotType), dirfd, path, text);
  else if (check) result = doFsck(changetype<PathName>(gotType), text);
  else result = doMkfs(changetype<PathName>(gotType), text);
  if (changetype<usize>(text) != 0) putname(text);
  putname(changetype<PathName>(gotType));
  return result;
}

/** mount(2): the source is not looked at (there is one disk), options are the filesystem's. */
export function sysMount(source: u64, target: u64, type: u64, flags: u64, options: u64, a5: u64): i64 {
  if (flags != 0) return -EINVAL;
  const got = getname(target);
  if (isErr(got)) return ptrErr(got);
  const result = withOptions(type, options, AT_FDCWD, changetype<PathName>(got), false);
  putname(changetype<PathName>(got));
  return result;
}

export function sysUmount2(target: u64, flags: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if ((flags & ~UMOUNT_NOFOLLOW) != 0) return -EINVAL;
  const got = getname(target);
  if (isErr(got)) return ptrErr(got);
  const result = doUmount(AT_FDCWD, changetype<PathName>(got), flags == 0 ? WALK_FOLLOW : 0);
  putname(changetype<PathName>(got));
  return result;
}

/** mkfs: makes an empty filesystem of a type, with options, on the disk. Returns 0 or -errno. */
export function mkfs(type: u64, options: u64): i64 {
  return withOptions(type, options, 0, changetype<PathName>(0), false);
}

/** fsck: checks a filesystem of a type that is not mounted. Returns 0, the number of the first broken law, or -errno. */
export function fsck(type: u64, options: u64): i64 {
  return withOptions(type, options, 0, changetype<PathName>(0), true);
}
