/*
 * Filesystem types, their options, mount and unmount.
 *
 * Interface: FileSystemType, registerFilesystem, superForType, filesystemsInit; MountParams, optionNumber, optionFlag, optionsKnown;
 *            doMount, doUmount, doMkfs, doFsck.
 * Invariants:
 *   [mnt-1] two mounted filesystems never share a block of the disk; mkfs never writes into a mounted one.
 *   [mnt-2] a filesystem with open files, mappings, pinned calls or filesystems mounted on it is not unmounted (EBUSY).
 * Locks: the namespace mutex is held across mount, mkfs and unmount.
 * Why not a block device per filesystem: a machine has one disk; `start=` and `blocks=` cut it.
 */
import { EBUSY, EINVAL, ENODEV, ENOENT, ENOMEM, ENOTDIR, ENXIO, EOPNOTSUPP, isErr, ptrErr } from "../lib/errno";
import { ListHead } from "../lib/list";
import { bootAlloc } from "../memlayout";
import { SECTORS_PER_BLOCK, blockState } from "../block/state";
import { AddressSpaceOperations, VmOperations } from "../mm/address-space";
import { dcacheShrink } from "./dcache";
import { Dentry, dentryAlloc, dentryFree, isNullDentry } from "./dentry";
import { Inode, iput, isDirectory } from "./inode";
import { WALK_FOLLOW, isMountRoot, lookupAt, namespaceLock, namespaceUnlock, pathWalk } from "./namei";
import { FileOperations, InodeOperations, SuperOperations } from "./operations";
import { PathName } from "./scratch";
import { fsState } from "./state";
import { SB_UNFROZEN, SuperBlock, isNullSuper, sbWaitUnpinned, superAlloc, superFree, superOfLink } from "./super";
import { checkClean, syncFilesystem } from "./sync";

/** The type lives on the disk: mount and mkfs get a range of it. */
export const FS_REQUIRES_DEV: u32 = 1;
export const MAX_FILESYSTEM_TYPES: u32 = 16;

/** What mount and mkfs get. */
@unmanaged
export class MountParams {
  type: FileSystemType;
  /** "blocksize=1024,dax": ASCII, not NUL-terminated; start= and blocks= are read already. */
  options: usize;
  optionsBytes: u32;
  /** The range of the disk, in blocks of 4 KiB, that is the filesystem's: it lies on the disk. 0, 0 without FS_REQUIRES_DEV. */
  startBlock: u32;
  nrBlocks: u32;
}

@unmanaged
export class FileSystemType {
  /** Static string. */
  name: usize;
  flags: u32;
  /** A SuperBlock (superAlloc) with its tables, rootInode (referenced, nlink set) and fsPrivate, or ERR_PTR. May block. */
  mount: (params: MountParams) => usize;
  /** Makes an empty filesystem. Returns 0 or -errno. May block. Null: mkfs is EOPNOTSUPP. */
  mkfs: (params: MountParams) => i32;
  /** Checks one that is not mounted: 0, the number of the first law that is broken, or -errno. May block. Null: EOPNOTSUPP. */
  fsck: (params: MountParams) => i32;
  /** The tables of every super block of the type (superForType); zero until the type fills them at boot. */
  inodeOps: InodeOperations;
  fileOps: FileOperations;
  aops: AddressSpaceOperations;
  vmOps: VmOperations;
  superOps: SuperOperations;
}

export function isNullType(type: FileSystemType): bool {
  return changetype<usize>(type) == 0;
}

export function filesystemsInit(): bool {
  fsState().types = bootAlloc(MAX_FILESYSTEM_TYPES * offsetof<FileSystemType>(), 8);
  fsState().mountParams = bootAlloc(offsetof<MountParams>(), 8);
  fsState().nrTypes = 0;
  return fsState().types != 0 && fsState().mountParams != 0;
}

export function filesystemType(index: u32): FileSystemType {
  return changetype<FileSystemType>(fsState().types + index * offsetof<FileSystemType>());
}

/** A new type with empty tables, for the filesystem's boot function to fill. Null when memory is too small. */
export function registerFilesystem(name: string): FileSystemType {
  assert(fsState().nrTypes < MAX_FILESYSTEM_TYPES, "a filesystem type has a place in the table");
  const type = filesystemType(fsState().nrTypes);
  const inodeOps = bootAlloc(offsetof<InodeOperations>(), 8);
  const fileOps = bootAlloc(offsetof<FileOperations>(), 8);
  const aops = bootAlloc(offsetof<AddressSpaceOperations>(), 8);
  const vmOps = bootAlloc(offsetof<VmOperations>(), 8);
  const superOps = bootAlloc(offsetof<SuperOperations>(), 8);
  if (superOps == 0) return changetype<FileSystemType>(0);
  type.name = changetype<usize>(name);
  type.inodeOps = changetype<InodeOperations>(inodeOps);
  type.fileOps = changetype<FileOperations>(fileOps);
  type.aops = changetype<AddressSpaceOperations>(aops);
  type.vmOps = changetype<VmOperations>(vmOps);
  type.superOps = changetype<SuperOperations>(superOps);
  fsState().nrTypes++;
  return type;
}

/** A super block with the type's tables. Null on ENOMEM. */
export function superForType(type: FileSystemType): SuperBlock {
  const sb = superAlloc();
  if (isNullSuper(sb)) return sb;
  sb.inodeOps = type.inodeOps;
  sb.fileOps = type.fileOps;
  sb.aops = type.aops;
  sb.vmOps = type.vmOps;
  sb.superOps = type.superOps;
  sb.typeName = type.name;
  return sb;
}

/** Length of the option at `at`, up to the comma or the end. */
function optionLength(at: usize, end: usize): u32 {
  let length: u32 = 0;
  while (at + length < end && load<u8>(at + length) != 0x2c) length++;
  return length;
}

/** True when the bytes begin with the static string. */
function startsWith(at: usize, lenBytes: u32, text: string): bool {
  const n = <u32>text.length;
  if (n > lenBytes) return false;
  for (let i: u32 = 0; i < n; i++) {
    if (load<u8>(at + i) != <u8>load<u16>(changetype<usize>(text) + (i << 1))) return false;
  }
  return true;
}

/** The address of the option's text when it is `name` or starts with `name=`, else 0. */
function findOption(params: MountParams, name: string): usize {
  let at = params.options;
  const end = at + params.optionsBytes;
  const n = <u32>name.length;
  while (at < end) {
    const length = optionLength(at, end);
    if (startsWith(at, length, name) && (length == n || load<u8>(at + n) == 0x3d)) return at;
    at += length + 1;
  }
  return 0;
}

/** True when the option is there. */
export function optionFlag(params: MountParams, name: string): bool {
  return findOption(params, name) != 0;
}

/** The decimal value of `name=`, `missing` when it is not there, or -EINVAL when it is no number below 2^53. */
export function optionNumber(params: MountParams, name: string, missing: i64): i64 {
  const at = findOption(params, name);
  if (at == 0) return missing;
  const length = optionLength(at, params.options + params.optionsBytes);
  const n = <u32>name.length;
  if (length < n + 2 || length > n + 16) return -EINVAL;
  let value: i64 = 0;
  for (let i = n + 1; i < length; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    if (digit > 9) return -EINVAL;
    value = value * 10 + digit;
  }
  return value;
}

/** True when the option's name (up to "=") is among the comma-separated names of the static string. */
function isKnown(at: usize, lenBytes: u32, known: string): bool {
  let n: u32 = 0;
  while (n < lenBytes && load<u8>(at + n) != 0x3d) n++;
  const total = <u32>known.length;
  const text = changetype<usize>(known);
  let start: u32 = 0;
  while (start < total) {
    let length: u32 = 0;
    let same = true;
    while (start + length < total && load<u16>(text + ((start + length) << 1)) != 0x2c) {
      if (length >= n || load<u8>(at + length) != <u8>load<u16>(text + ((start + length) << 1))) same = false;
      length++;
    }
    if (same && length == n) return true;
    start += length + 1;
  }
  return false;
}

/** 0 when every option is one of the comma-separated `known` names, or start or blocks; else -EINVAL. */
export function optionsKnown(params: MountParams, known: string): i32 {
  let at = params.options;
  const end = at + params.optionsBytes;
  while (at < end) {
    const length = optionLength(at, end);
    if (length != 0 && !isKnown(at, length, known) && !isKnown(at, length, "start,blocks")) return -EINVAL;
    at += length + 1;
  }
  return 0;
}

/** The type of that name, or null. */
function findType(name: PathName): FileSystemType {
  for (let i: u32 = 0; i < fsState().nrTypes; i++) {
    const type = filesystemType(i);
    const text = changetype<string>(type.name);
    if (<u32>text.length == name.lenBytes && startsWith(name.bytes, name.lenBytes, text)) return type;
  }
  return changetype<FileSystemType>(0);
}

/** [mnt-1] True when a mounted filesystem has a block of the range. */
function rangeInUse(startBlock: u32, nrBlocks: u32): bool {
  const head = changetype<usize>(fsState().superList);
  for (let link: usize = fsState().superList.next; link != head; link = changetype<ListHead>(link).next) {
    const sb = superOfLink(link);
    if (sb.nrBlocks == 0) continue;
    if (startBlock < sb.startBlock + sb.nrBlocks && sb.startBlock < startBlock + nrBlocks) return true;
  }
  return false;
}

/** Fills the parameters from the type and its options (null: none). Returns 0 or -errno. */
function readParams(type: FileSystemType, options: PathName, params: MountParams): i32 {
  const none = changetype<usize>(options) == 0;
  params.type = type;
  params.options = none ? 0 : options.bytes;
  params.optionsBytes = none ? 0 : options.lenBytes;
  params.startBlock = 0;
  params.nrBlocks = 0;
  if ((type.flags & FS_REQUIRES_DEV) == 0) return 0;
  const total = <i64>(blockState().sectors / SECTORS_PER_BLOCK);
  if (total == 0) return -ENXIO;
  const start = optionNumber(params, "start", 0);
  if (start < 0 || start >= total) return -EINVAL;
  const blocks = optionNumber(params, "blocks", total - start);
  if (blocks <= 0 || blocks > total - start) return -EINVAL;
  params.startBlock = <u32>start;
  params.nrBlocks = <u32>blocks;
  return rangeInUse(params.startBlock, params.nrBlocks) ? -EBUSY : 0;
}

/** mkfs: writes an empty filesystem of a type. Returns 0 or -errno. */
export function doMkfs(typeName: PathName, options: PathName): i32 {
  const type = findType(typeName);
  if (changetype<usize>(type) == 0) return -ENODEV;
  const f = type.mkfs;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  namespaceLock();
  const params = changetype<MountParams>(fsState().mountParams);
  let error = readParams(type, options, params);
  if (error == 0) error = f(params);
  namespaceUnlock();
  return error;
}

/** fsck: checks a filesystem of a type that is not mounted. Returns 0, the number of a law, or -errno. */
export function doFsck(typeName: PathName, options: PathName): i32 {
  const type = findType(typeName);
  if (changetype<usize>(type) == 0) return -ENODEV;
  const f = type.fsck;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  namespaceLock();
  const params = changetype<MountParams>(fsState().mountParams);
  let result = readParams(type, options, params);
  if (result == 0) result = f(params);
  namespaceUnlock();
  return result;
}

/** mount(2): a filesystem of a type on a directory. Returns 0 or -errno. */
export function doMount(typeName: PathName, dirfd: u64, path: PathName, options: PathName): i32 {
  const type = findType(typeName);
  if (changetype<usize>(type) == 0) return -ENODEV;
  namespaceLock();
  const error = mountLocked(type, dirfd, path, options);
  namespaceUnlock();
  return error;
}

function mountLocked(type: FileSystemType, dirfd: u64, path: PathName, options: PathName): i32 {
  const lookup = lookupAt(0);
  let error = pathWalk(dirfd, path, lookup, WALK_FOLLOW);
  if (error != 0) return error;
  if (isNullDentry(lookup.dentry)) return -ENOENT;
  if (!isDirectory(lookup.dentry.inode)) return -ENOTDIR;
  if (isMountRoot(lookup.dentry)) return -EBUSY;
  const params = changetype<MountParams>(fsState().mountParams);
  error = readParams(type, options, params);
  if (error != 0) return error;
  const f = type.mount;
  const mounted = f(params);
  if (isErr(mounted)) return ptrErr(mounted);
  const sb = changetype<SuperBlock>(mounted);
  assert(isDirectory(sb.rootInode) && sb.rootInode.nlink >= 2, "a mounted filesystem has a root directory");
  sb.typeName = type.name;
  sb.startBlock = params.startBlock;
  sb.nrBlocks = params.nrBlocks;
  const root = rootDentryOf(sb);
  if (isNullDentry(root)) {
    killSuper(sb);
    return -ENOMEM;
  }
  sb.covers = changetype<usize>(lookup.dentry);
  lookup.dentry.mounted = changetype<usize>(root);
  lookup.dentry.inode.sb.nrMounts++;
  return 0;
}

/** A root dentry for the super block's root inode, whose reference is the super block's. Null on ENOMEM. */
export function rootDentryOf(sb: SuperBlock): Dentry {
  const root = dentryAlloc(0, 0);
  if (isNullDentry(root)) return root;
  root.inode = sb.rootInode;
  sb.rootInode.dentry = changetype<usize>(root);
  sb.root = changetype<usize>(root);
  return root;
}

/** Nothing reaches the filesystem any more: its root, what it keeps, and the super block go. */
function killSuper(sb: SuperBlock): void {
  const root = sb.rootInode;
  root.dentry = 0;
  sb.rootInode = changetype<Inode>(0);
  iput(root);
  const f = sb.superOps.putSuper;
  if (changetype<usize>(f) != 0) f(sb);
  superFree(sb);
}

/** umount2(2). Returns 0, -EINVAL where nothing is mounted, -EBUSY ([mnt-2]). An error of the last sync is returned, too late. */
export function doUmount(dirfd: u64, path: PathName, walkFlags: u32): i32 {
  namespaceLock();
  const lookup = lookupAt(0);
  let error = pathWalk(dirfd, path, lookup, walkFlags);
  if (error == 0) error = umountLocked(lookup.dentry);
  namespaceUnlock();
  return error;
}

function umountLocked(root: Dentry): i32 {
  if (isNullDentry(root)) return -ENOENT;
  const sb = root.inode.sb;
  if (!isMountRoot(root)) return -EINVAL;
  // "/" stays.
  if (sb.covers == 0 || sb.nrFiles != 0 || sb.nrMounts != 0 || sb.frozen != SB_UNFROZEN) return -EBUSY;
  // From here on sync(2) passes it by, and nobody can find it: the mutex is held.
  sb.root = 0;
  sbWaitUnpinned(sb);
  const error = syncFilesystem(sb);
  // The flusher may have been at it as well.
  sbWaitUnpinned(sb);
  if (error == 0) checkClean(sb);
  const covered = changetype<Dentry>(sb.covers);
  covered.mounted = 0;
  covered.inode.sb.nrMounts--;
  dcacheShrink(root);
  dentryFree(root);
  killSuper(sb);
  return error;
}
