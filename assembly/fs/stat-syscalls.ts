/*
 * System calls that ask: fstat, newfstatat, readlinkat, statfs, fstatfs.
 *
 * Interface: inodeAtPath, inodeAtName, putPathInode, isEmptyPath; sysFstat, sysNewfstatat, sysReadlinkat, sysStatfs, sysFstatfs (six u64)
 *            => value or -errno.
 * Invariants: [stat-1] an answer is made whole in scratch memory before it is copied: a fault in between changes nothing of it.
 * Locks: the namespace mutex for the walk; none while the answer is copied.
 * Why not statx: every field that the machine knows is in struct stat.
 */
import { EBADF, EFAULT, EINVAL, ENOENT, ENOMEM, errPtr, isErr, ptrErr } from "../lib/errno";
import { NAME_MAX, PATH_MAX } from "../config";
import { PAGE_SIZE } from "../memlayout";
import { putFile } from "../mm/address-space";
import { copyToUser, strncpyFromUser } from "../mm/uaccess";
import { isNullDentry } from "./dentry";
import { Inode, ihold, iput, isSymlink } from "./inode";
import { AT_FDCWD, WALK_FOLLOW, lookupAt, namespaceLock, namespaceUnlock, pathWalk } from "./namei";
import { Kstatfs } from "./operations";
import { PathName, SCRATCH_SHORT_BYTES, getname, putname, scratchAlloc, scratchAllocLong, scratchFree } from "./scratch";
import { SuperBlock, sbPin, sbUnpin } from "./super";
import { fdHold, fileIsNull } from "./syscalls";

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_NO_AUTOMOUNT: u64 = 0x800;
const AT_EMPTY_PATH: u64 = 0x1000;
/** struct stat and struct statfs of riscv64. */
const STAT_BYTES: u32 = 128;
const STATFS_BYTES: u32 = 120;
/** Bits of st_dev for the tree of inodes (a subvolume has a device of its own, as in btrfs). */
const DEV_TREE_SHIFT: u32 = 12;

/** The inode at the end of a path: referenced, its super block pinned; or ERR_PTR. */
export function inodeAtPath(dirfd: u64, path: u64, walkFlags: u32): usize {
  const got = getname(path);
  if (isErr(got)) return got;
  const name = changetype<PathName>(got);
  const found = inodeAtName(dirfd, name, walkFlags);
  putname(name);
  return found;
}

/** As inodeAtPath, of a path in kernel memory. */
export function inodeAtName(dirfd: u64, name: PathName, walkFlags: u32): usize {
  namespaceLock();
  let error = pathWalk(dirfd, name, lookupAt(0), walkFlags);
  if (error == 0 && isNullDentry(lookupAt(0).dentry)) error = -ENOENT;
  let found: usize = 0;
  if (error == 0) {
    const inode = lookupAt(0).dentry.inode;
    ihold(inode);
    sbPin(inode.sb);
    found = changetype<usize>(inode);
  }
  namespaceUnlock();
  return error != 0 ? errPtr(error) : found;
}

/** Gives back what inodeAtPath returned. */
export function putPathInode(inode: Inode): void {
  const sb = inode.sb;
  iput(inode);
  sbUnpin(sb);
}

function storeTime(at: usize, ns: u64): void {
  store<u64>(at, ns / 1_000_000_000);
  store<u64>(at + 8, ns % 1_000_000_000);
}

/** i_blocks, 512 bytes each: what the disk holds, or in memory the pages. */
function blocksOf(inode: Inode): u64 {
  return inode.sb.nrBlocks != 0 ? inode.blocks : (<u64>inode.mapping.nrPages * PAGE_SIZE) >> 9;
}

function copyStat(inode: Inode, user: u64): i64 {
  const stat = scratchAlloc();
  if (stat == 0) return -ENOMEM;
  store<u64>(stat, <u64>inode.sb.dev + ((<u64>inode.tree) << DEV_TREE_SHIFT));
  store<u64>(stat, inode.ino, 8);
  store<u32>(stat, inode.mode, 16);
  store<u32>(stat, inode.nlink, 20);
  store<u64>(stat, inode.mapping.sizeBytes, 48);
  store<u32>(stat, inode.sb.blockSize, 56);
  store<u64>(stat, blocksOf(inode), 64);
  storeTime(stat + 72, inode.atimeNs);
  storeTime(stat + 88, inode.mtimeNs);
  storeTime(stat + 104, inode.ctimeNs);
  const left = copyToUser(user, stat, STAT_BYTES);
  scratchFree(stat);
  return left != 0 ? -EFAULT : 0;
}

export function sysFstat(fd: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const result = copyStat(file.host, user);
  putFile(file);
  return result;
}

/** Whether a path of user memory is "". */
export function isEmptyPath(path: u64): bool {
  const scratch = scratchAlloc();
  if (scratch == 0) return false;
  const length = strncpyFromUser(scratch, path, 1);
  scratchFree(scratch);
  return length == 0;
}

/** newfstatat(2): stat, and lstat with AT_SYMLINK_NOFOLLOW. */
export function sysNewfstatat(dirfd: u64, path: u64, user: u64, flags: u64, a4: u64, a5: u64): i64 {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0) return -EINVAL;
  // The file behind dirfd itself, as glibc's fstat asks for it.
  if ((flags & AT_EMPTY_PATH) != 0 && isEmptyPath(path)) return sysFstat(dirfd, user, 0, 0, 0, 0);
  const found = inodeAtPath(dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) == 0 ? WALK_FOLLOW : 0);
  if (isErr(found)) return ptrErr(found);
  const result = copyStat(changetype<Inode>(found), user);
  putPathInode(changetype<Inode>(found));
  return result;
}

/** readlinkat(2): the target, cut off at lenBytes, without a NUL. */
export function sysReadlinkat(dirfd: u64, path: u64, user: u64, lenBytes: u64, a4: u64, a5: u64): i64 {
  if (<i64>lenBytes <= 0) return -EINVAL;
  const found = inodeAtPath(dirfd, path, 0);
  if (isErr(found)) return ptrErr(found);
  const inode = changetype<Inode>(found);
  const result: i64 = isSymlink(inode) ? copyLink(inode, user, lenBytes < PATH_MAX ? <u32>lenBytes : PATH_MAX) : -EINVAL;
  putPathInode(inode);
  return result;
}

function copyLink(inode: Inode, user: u64, lenBytes: u32): i64 {
  const buffer = scratchAllocLong();
  if (buffer == 0) return -ENOMEM;
  const f = inode.sb.inodeOps.readlink;
  assert(changetype<usize>(f) != 0, "a filesystem with symbolic links reads them");
  const length = f(inode, buffer, lenBytes);
  const left = length > 0 ? copyToUser(user, buffer, length) : 0;
  scratchFree(buffer);
  return left != 0 ? -EFAULT : length;
}

if (STATFS_BYTES + offsetof<Kstatfs>() > SCRATCH_SHORT_BYTES) ERROR("struct statfs and Kstatfs fit a short scratch");

function copyStatfs(sb: SuperBlock, user: u64): i64 {
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  const k = changetype<Kstatfs>(scratch + STATFS_BYTES);
  k.blockSize = sb.blockSize;
  const f = sb.superOps.statfs;
  const error = changetype<usize>(f) != 0 ? f(sb, k) : 0;
  store<u64>(scratch, sb.magic);
  store<u64>(scratch, k.blockSize, 8);
  store<u64>(scratch, k.blocks, 16);
  store<u64>(scratch, k.blocksFree, 24);
  store<u64>(scratch, k.blocksAvailable, 32);
  store<u64>(scratch, k.files, 40);
  store<u64>(scratch, k.filesFree, 48);
  store<u64>(scratch, sb.dev, 56);
  store<u64>(scratch, NAME_MAX, 64);
  store<u64>(scratch, k.blockSize, 72);
  const left = error == 0 ? copyToUser(user, scratch, STATFS_BYTES) : 0;
  scratchFree(scratch);
  return error != 0 ? error : left != 0 ? -EFAULT : 0;
}

export function sysStatfs(path: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const found = inodeAtPath(AT_FDCWD, path, WALK_FOLLOW);
  if (isErr(found)) return ptrErr(found);
  const inode = changetype<Inode>(found);
  const result = copyStatfs(inode.sb, user);
  putPathInode(inode);
  return result;
}

export function sysFstatfs(fd: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const file = fdHold(fd);
  if (fileIsNull(file)) return -EBADF;
  const result = copyStatfs(file.host.sb, user);
  putFile(file);
  return result;
}
