/*
 * Directories: names as DIR_ITEM (found by hash), DIR_INDEX (the order of getdents), INODE_REF (from the inode back).
 *
 *     name "a" of inode 300 in directory 256, its index 7:
 *         (256, DIR_ITEM, hash("a"))   -> 300      (256, DIR_INDEX, 7) -> 300, "a"      (300, INODE_REF, 256) -> 7, "a"
 *
 * Interface: reserveName, nameItemBytes, dirLookup, nameFits, nameInsert, nameRemove, dirIterate, dirIsEmpty, nameHash.
 * Invariants:
 *   [cd-1] the three items of a name are there together or not at all, in one transaction.
 *   [cd-2] a directory's size is the sum of its names' lengths, twice; 0 means empty.
 *   [cd-3] indexes go up and are not used again while the directory is in memory: a getdents cookie stays good.
 * Locks: fs tree: for reading in lookups, for writing in changes (the caller's).
 * Why not hash collisions in separate items: the key is all there is to an item; btrfs packs them, too.
 */
import { crc32c } from "../../lib/crc32c";
import { EIO, EMLINK, ENOMEM, EOVERFLOW } from "../../lib/errno";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Inode, iSizeWrite, isDirectory } from "../inode";
import { DirEntry } from "../operations";
import {
  atItem, isNullPath, nextItem, pathAlloc, pathFree, pathItem, pathItemSize, pathKey, pathKeyIs, pathRelease, prevItem, searchSlot,
} from "./btree";
import { deleteItems, extendItem, insertItem, shrinkItem } from "./btree-edit";
import { cowInode } from "./inode-item";
import {
  DIR_INDEX_KEY, DIR_ITEM_KEY, DIR_START_INDEX, DI_NAME, DI_NAME_LEN, DI_TRANSID, DI_TYPE, FT_DIR, FT_REG_FILE, FT_SYMLINK,
  INODE_ITEM_KEY, INODE_REF_KEY, IR_INDEX, IR_NAME, IR_NAME_LEN, ITEM_BYTES, KEY_OFFSET, KEY_TYPE, MAX_ITEM_BYTES, keyStore,
} from "./layout";
import { TREE_FS, CowHandle, CowPath, CowRoot, cowfsState } from "./state";
import { handleReserve, transactionAbort } from "./transaction";

/** Items that a name takes. */
const NAME_ITEMS: u32 = 3;

/** Bytes of the two directory items of a name. */
export function nameItemBytes(nameBytes: u32): u32 {
  return 2 * (ITEM_BYTES + DI_NAME + nameBytes);
}

/** Reserves the items of a new name. */
export function reserveName(handle: CowHandle, nameBytes: u32): void {
  handleReserve(handle, TREE_FS, NAME_ITEMS, nameItemBytes(nameBytes) + ITEM_BYTES + IR_NAME + nameBytes);
}

/** btrfs_name_hash: crc32c from ~1, without the last inversion. */
export function nameHash(name: usize, lenBytes: u32): u64 {
  return <u64>(~crc32c(cowfsState().crcTable, 1, name, lenBytes));
}

function typeOf(inode: Inode): u8 {
  const type = inode.mode & S_IFMT;
  return type == S_IFDIR ? FT_DIR : type == S_IFLNK ? FT_SYMLINK : FT_REG_FILE;
}

/** Offset of the entry with this name in packed directory entries, or -1. */
function findEntry(item: usize, size: u32, name: usize, lenBytes: u32): i32 {
  let at: u32 = 0;
  while (at + DI_NAME <= size) {
    const length = load<u16>(item + at, DI_NAME_LEN);
    if (length == <u16>lenBytes && memory.compare(item + at + DI_NAME, name, lenBytes) == 0) return at;
    at += DI_NAME + length;
  }
  return -1;
}

/** Offset of the name in packed INODE_REF names, or -1. */
function findRef(item: usize, size: u32, name: usize, lenBytes: u32): i32 {
  let at: u32 = 0;
  while (at + IR_NAME <= size) {
    const length = load<u16>(item + at, IR_NAME_LEN);
    if (length == <u16>lenBytes && memory.compare(item + at + IR_NAME, name, lenBytes) == 0) return at;
    at += IR_NAME + length;
  }
  return -1;
}

/**
 * What a name in a directory leads to: the objectid of its location, with the location's key type left in path.type. 0: no such
 * name; negative: -errno. Preconditions: the tree is locked.
 */
export function dirLookup(root: CowRoot, dir: u32, name: usize, lenBytes: u32, path: CowPath): i64 {
  const result = searchSlot(changetype<CowHandle>(0), root, dir, DIR_ITEM_KEY, nameHash(name, lenBytes), path, 0);
  if (result < 0) return result;
  let found: i64 = 0;
  if (result == 0) {
    const item = pathItem(path);
    const at = findEntry(item, pathItemSize(path), name, lenBytes);
    if (at >= 0) {
      found = <i64>load<u64>(item + at);
      path.type = load<u8>(item + at, KEY_TYPE);
    }
  }
  pathRelease(path);
  return found;
}

function fillEntry(at: usize, handle: CowHandle, location: u64, locationType: u8, name: usize, lenBytes: u32, type: u8): void {
  keyStore(at, location, locationType, 0);
  store<u64>(at, handle.transid, DI_TRANSID);
  store<u16>(at, <u16>lenBytes, DI_NAME_LEN);
  store<u8>(at, type, DI_TYPE);
  memory.copy(at + DI_NAME, name, lenBytes);
}

/** The index of a directory's next entry. Returns -errno as a negative number. Preconditions: the fs tree is locked. */
function nextDirIndex(dir: Inode, path: CowPath): i64 {
  const ci = cowInode(dir);
  if (ci.dirIndex == 0) {
    let result = searchSlot(changetype<CowHandle>(0), ci.root, dir.ino, DIR_INDEX_KEY, u64.MAX_VALUE, path, 0);
    if (result == 1) result = prevItem(ci.root, path);
    if (result < 0) return result;
    ci.dirIndex = DIR_START_INDEX;
    if (result == 0 && pathKeyIs(path, dir.ino, DIR_INDEX_KEY)) ci.dirIndex = load<u64>(pathKey(path), KEY_OFFSET) + 1;
    pathRelease(path);
  }
  return ci.dirIndex++;
}

/** Adds `extra` bytes for one more name to the packed item under the key, or makes the item. Returns 0 or -errno; the path is there. */
function packedRoom(handle: CowHandle, root: CowRoot, objectid: u64, type: u8, offset: u64, extra: u32, full: i32, path: CowPath): i32 {
  const result = searchSlot(handle, root, objectid, type, offset, path, 0);
  if (result < 0) return result;
  if (result == 1) {
    pathRelease(path);
    return insertItem(handle, root, objectid, type, offset, extra, path);
  }
  if (pathItemSize(path) + extra + ITEM_BYTES > MAX_ITEM_BYTES) {
    pathRelease(path);
    return full;
  }
  const error = extendItem(handle, root, path, extra);
  return error == 0 ? 0 : transactionAbort(handle.info, error);
}

/**
 * A name for an inode in a directory: its three items, and the directory's size. `location` is the inode's number, or a tree's
 * (locationType ROOT_ITEM, no INODE_REF). Returns 0, or -errno (-EOVERFLOW, -EMLINK, -ENOMEM) with nothing changed.
 * Preconditions: the fs tree is locked for writing; the name is not there.
 */
export function nameInsert(
  handle: CowHandle, dir: Inode, name: usize, lenBytes: u32, location: u64, locationType: u8, inode: Inode, path: CowPath,
): i32 {
  const root = cowInode(dir).root;
  const index = nextDirIndex(dir, path);
  if (index < 0) return <i32>index;
  const bytes = DI_NAME + lenBytes;
  const type = changetype<usize>(inode) != 0 ? typeOf(inode) : FT_DIR;
  let error = packedRoom(handle, root, dir.ino, DIR_ITEM_KEY, nameHash(name, lenBytes), bytes, -EOVERFLOW, path);
  if (error != 0) return error;
  fillEntry(pathItem(path) + pathItemSize(path) - bytes, handle, location, locationType, name, lenBytes, type);
  pathRelease(path);
  if (locationType == INODE_ITEM_KEY) {
    error = refInsert(handle, root, <u32>location, dir.ino, <u64>index, name, lenBytes, path);
    if (error == -EMLINK) {
      // The one error that a name can meet here; take its first item back.
      const undo = entryRemove(handle, root, dir.ino, DIR_ITEM_KEY, nameHash(name, lenBytes), name, lenBytes, path);
      return undo != 0 ? transactionAbort(handle.info, undo) : error;
    }
  }
  if (error == 0) error = insertItem(handle, root, dir.ino, DIR_INDEX_KEY, <u64>index, bytes, path);
  if (error != 0) return transactionAbort(handle.info, error);
  fillEntry(pathItem(path), handle, location, locationType, name, lenBytes, type);
  pathRelease(path);
  iSizeWrite(dir, dir.mapping.sizeBytes + 2 * lenBytes);
  return 0;
}

/** 0 when the packed item under the key has room for `extra` bytes, else `full`; -errno. */
function packedFits(root: CowRoot, objectid: u64, type: u8, offset: u64, extra: u32, full: i32, path: CowPath): i32 {
  const result = searchSlot(changetype<CowHandle>(0), root, objectid, type, offset, path, 0);
  if (result < 0) return result;
  const fits = result == 1 || pathItemSize(path) + extra + ITEM_BYTES <= MAX_ITEM_BYTES;
  pathRelease(path);
  return fits ? 0 : full;
}

/** 0 when a name can be inserted; `isNew` is false when the same name goes first. */
export function nameFits(dir: Inode, name: usize, lenBytes: u32, inode: Inode, isNew: bool, path: CowPath): i32 {
  const root = cowInode(dir).root;
  let error: i32 = 0;
  if (isNew) error = packedFits(root, dir.ino, DIR_ITEM_KEY, nameHash(name, lenBytes), DI_NAME + lenBytes, -EOVERFLOW, path);
  return error != 0 ? error : packedFits(root, inode.ino, INODE_REF_KEY, dir.ino, IR_NAME + lenBytes, -EMLINK, path);
}

function refInsert(handle: CowHandle, root: CowRoot, ino: u32, dir: u32, index: u64, name: usize, lenBytes: u32, path: CowPath): i32 {
  const bytes = IR_NAME + lenBytes;
  const error = packedRoom(handle, root, ino, INODE_REF_KEY, dir, bytes, -EMLINK, path);
  if (error != 0) return error;
  const at = pathItem(path) + pathItemSize(path) - bytes;
  store<u64>(at, index, IR_INDEX);
  store<u16>(at, <u16>lenBytes, IR_NAME_LEN);
  memory.copy(at + IR_NAME, name, lenBytes);
  pathRelease(path);
  return 0;
}

/** Takes `bytes` at `at` out of the path's packed item, which goes with its last name. The path is released. */
function cutPacked(handle: CowHandle, root: CowRoot, path: CowPath, at: u32, bytes: u32): i32 {
  const size = pathItemSize(path);
  if (size == bytes) return deleteItems(handle, root, path, 1);
  const item = pathItem(path);
  memory.copy(item + at, item + at + bytes, size - at - bytes);
  return shrinkItem(handle, root, path, size - bytes);
}

/** Removes a name from a DIR_ITEM or a DIR_INDEX. Returns 0 or -errno (-EIO: it is not there). */
function entryRemove(handle: CowHandle, root: CowRoot, dir: u32, type: u8, offset: u64, name: usize, lenBytes: u32, path: CowPath): i32 {
  const result = searchSlot(handle, root, dir, type, offset, path, 0);
  if (result < 0) return result;
  const at = result == 0 ? findEntry(pathItem(path), pathItemSize(path), name, lenBytes) : -1;
  if (at < 0) {
    pathRelease(path);
    return -EIO;
  }
  return cutPacked(handle, root, path, at, DI_NAME + lenBytes);
}

/** Removes the INODE_REF of a name; its index goes to *index (u64). */
function refRemove(handle: CowHandle, root: CowRoot, ino: u32, dir: u32, name: usize, lenBytes: u32, index: usize, path: CowPath): i32 {
  const result = searchSlot(handle, root, ino, INODE_REF_KEY, dir, path, 0);
  if (result < 0) return result;
  const at = result == 0 ? findRef(pathItem(path), pathItemSize(path), name, lenBytes) : -1;
  if (at < 0) {
    pathRelease(path);
    return -EIO;
  }
  store<u64>(index, load<u64>(pathItem(path) + at, IR_INDEX));
  return cutPacked(handle, root, path, at, IR_NAME + lenBytes);
}

/**
 * The name of an inode goes: its three items, and the directory's size. Returns 0 or -errno, after which the transaction must
 * abort. Preconditions: the fs tree is locked for writing.
 */
export function nameRemove(handle: CowHandle, dir: Inode, name: usize, lenBytes: u32, inode: Inode, path: CowPath): i32 {
  const root = cowInode(dir).root;
  const spare = changetype<usize>(handle) + offsetof<CowHandle>("spare");
  let error = refRemove(handle, root, inode.ino, dir.ino, name, lenBytes, spare, path);
  if (error == 0) error = entryRemove(handle, root, dir.ino, DIR_INDEX_KEY, load<u64>(spare), name, lenBytes, path);
  if (error == 0) error = entryRemove(handle, root, dir.ino, DIR_ITEM_KEY, nameHash(name, lenBytes), name, lenBytes, path);
  if (error == 0) {
    assert(dir.mapping.sizeBytes >= 2 * lenBytes, "[cd-2] a directory's size counts its names");
    iSizeWrite(dir, dir.mapping.sizeBytes - 2 * lenBytes);
  }
  return error;
}

/** 1 when no entry is there that the directory shows. */
export function dirIsEmpty(dir: Inode): i32 {
  assert(isDirectory(dir), "a directory is asked");
  return dir.mapping.sizeBytes == 0 ? 1 : 0;
}

/** FileOperations.iterate: fills the first entry at or behind the cookie. */
export function dirIterate(dir: Inode, pos: u64, entry: DirEntry, live: bool): i64 {
  const ci = cowInode(dir);
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  const from = pos < DIR_START_INDEX ? DIR_START_INDEX : pos;
  let result = searchSlot(changetype<CowHandle>(0), ci.root, dir.ino, DIR_INDEX_KEY, from, path, 0);
  if (result == 1) result = atItem(ci.root, path);
  let cookie: i64 = 0;
  while (result == 0 && pathKeyIs(path, dir.ino, DIR_INDEX_KEY)) {
    const item = pathItem(path);
    // Trees inside a snapshot are not shown: see snapshot.ts.
    if (live || load<u8>(item, KEY_TYPE) == INODE_ITEM_KEY) {
      cookie = <i64>load<u64>(pathKey(path), KEY_OFFSET) + 1;
      fillDirEntry(item, entry);
      break;
    }
    result = nextItem(ci.root, path);
  }
  pathFree(path);
  return result < 0 ? result : cookie;
}

function fillDirEntry(item: usize, entry: DirEntry): void {
  const type = load<u8>(item, DI_TYPE);
  entry.ino = load<u64>(item);
  entry.type = type == FT_DIR ? S_IFDIR : type == FT_SYMLINK ? S_IFLNK : S_IFREG;
  entry.nameLength = load<u16>(item, DI_NAME_LEN);
  memory.copy(entry.name, item + DI_NAME, entry.nameLength);
}
