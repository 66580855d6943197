/*
 * Filesystem types, their options, mount and unmount.
 *
 * Interface: FileSystemType, registerFilesystem, MountParams, optionNumber, optionFlag, optionsKnown.
 * Invariants:
 *   [mnt-1] two mounted filesystems never share a block of the disk; mkfs never writes into a mounted one.
 *   [mnt-2] a filesystem with open files, mappings, pinned calls or filesystems mounted on it is not unmounted (EBUSY).
 * Locks: the namespace mutex is held across mount, mkfs and unmount.
 * Why not a block device per filesystem: a machine has one disk; `start=` and `blocks=` cut it.
 */
import { EINVAL } from "../lib/errno";
import { bootAlloc } from "../memlayout";
import { fsState } from "./state";

/** The type lives on the disk: mount and mkfs get a range of it. */
export const FS_REQUIRES_DEV: u32 = 1;
export const MAX_FILESYSTEM_TYPES: u32 = 16;

/** What mount and mkfs get. */
@unmanaged
export class MountParams {
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
}

export function filesystemsInit(): bool {
  fsState().types = bootAlloc(MAX_FILESYSTEM_TYPES * offsetof<FileSystemType>(), 8);
  fsState().nrTypes = 0;
  return fsState().types != 0;
}

export function filesystemType(index: u32): FileSystemType {
  return changetype<FileSystemType>(fsState().types + index * offsetof<FileSystemType>());
}

/** A new entry of the table, for the filesystem's boot function to fill. */
export function registerFilesystem(name: string): FileSystemType {
  assert(fsState().nrTypes < MAX_FILESYSTEM_TYPES, "a filesystem type has a place in the table");
  const type = filesystemType(fsState().nrTypes++);
  type.name = changetype<usize>(name);
  return type;
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

/** 0 when every option is one of the comma-separated `known` names, else -EINVAL. */
export function optionsKnown(params: MountParams, known: string): i32 {
  let at = params.options;
  const end = at + params.optionsBytes;
  while (at < end) {
    const length = optionLength(at, end);
    if (length != 0 && !isKnown(at, length, known)) return -EINVAL;
    at += length + 1;
  }
  return 0;
}
