/*
 * The EXTENT_DATA items of a file: which bytes of it lie where on the disk.
 *
 *     before        [ a ...................... ) one item, extent A
 *     drop [s, e)   [ a .. s )   hole   [ e .. )  two items, both refer to A: its references go up by one
 *
 * Interface: extentAt, dropSome, dropExtents, insertFileExtent, ExtentRange.
 * Invariants:
 *   [cow-7] each item that comes or goes is one reference of its extent more or less.
 *   [em-1] what changes items drops the extent maps of the range under the tree's lock.
 *   [cf-1] items of a file do not overlap and are whole blocks; nbytes is their sum.
 * Locks: fs tree for writing (dropExtents, insertFileExtent: the caller's), for reading (extentAt takes it).
 * Why not hole items: btrfs has done without them, too (NO_HOLES).
 */
import { EIO, ENOMEM } from "../../lib/errno";
import { C_EXTENT_MAP, chargeCost } from "../../sched/cost";
import { downRead, upRead } from "../../sched/rwsem";
import { Inode } from "../inode";
import {
  atItem, fixLowKeys, isNullPath, nextItem, pathAlloc, pathFree, pathItem, pathKey, pathKeyIs, pathRelease, prevItem, searchSlot,
} from "./btree";
import { deleteItems, insertItem } from "./btree-edit";
import { addExtentMap, dropExtentMaps, findExtentMap, isNullMap } from "./extent-map";
import { dataExtentRef } from "./extent-tree";
import { cowInode } from "./inode-item";
import {
  ED_BYTES, ED_DISK_BYTENR, ED_DISK_BYTES, ED_GENERATION, ED_OFFSET, ED_RAM_BYTES, ED_TYPE, EXTENT_DATA_BYTES, EXTENT_DATA_KEY,
  EXTENT_REG, KEY_OFFSET,
} from "./layout";
import { CowHandle, CowPath, CowRoot } from "./state";

/** Where a range of a file lies. */
@unmanaged
export class ExtentRange {
  fileStart: u64;
  fileEnd: u64;
  /** Byte of the disk that holds fileStart; 0: a hole. */
  diskStart: u64;
}

/** An EXTENT_DATA item, copied out. */
@unmanaged
export class CowItem {
  fileStart: u64;
  fileEnd: u64;
  diskBytenr: u64;
  diskBytes: u64;
  diskOffset: u64;
}

/** The file's place in the tree just before or at a byte: path at the last item at or before it. 0, 1 (none), -errno. */
function seekBefore(root: CowRoot, ino: u32, fileByte: u64, path: CowPath): i32 {
  let result = searchSlot(changetype<CowHandle>(0), root, ino, EXTENT_DATA_KEY, fileByte, path, 0);
  if (result == 1) result = prevItem(root, path);
  if (result == 0 && !pathKeyIs(path, ino, EXTENT_DATA_KEY)) {
    pathRelease(path);
    result = 1;
  }
  return result;
}

/** Where a byte of the file lies, and how far that goes. Returns 0 with `range` filled in, or -errno. May sleep. */
export function extentAt(inode: Inode, fileByte: u64, range: ExtentRange): i32 {
  chargeCost(C_EXTENT_MAP);
  const ci = cowInode(inode);
  const map = findExtentMap(ci, fileByte);
  if (!isNullMap(map)) {
    range.fileStart = map.node.start;
    range.fileEnd = map.node.last + 1;
    range.diskStart = map.diskStart;
    return 0;
  }
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  downRead(ci.root.rwsem);
  const error = readExtent(inode, fileByte, range, path);
  if (error == 0) addExtentMap(ci, range.fileStart, range.fileEnd - range.fileStart, range.diskStart);
  pathFree(path);
  upRead(ci.root.rwsem);
  return error;
}

/** As extentAt, from the tree. */
function readExtent(inode: Inode, fileByte: u64, range: ExtentRange, path: CowPath): i32 {
  const root = cowInode(inode).root;
  let result = seekBefore(root, inode.ino, fileByte, path);
  range.fileStart = fileByte;
  range.diskStart = 0;
  if (result == 0) {
    const item = pathItem(path);
    const start = load<u64>(pathKey(path), KEY_OFFSET);
    const end = start + load<u64>(item, ED_BYTES);
    if (load<u8>(item, ED_TYPE) != EXTENT_REG) return -EIO;
    if (fileByte < end) {
      range.fileStart = start;
      range.fileEnd = end;
      range.diskStart = load<u64>(item, ED_DISK_BYTENR) + load<u64>(item, ED_OFFSET);
      return 0;
    }
    range.fileStart = end;
    result = nextItem(root, path);
  } else if (result == 1) {
    result = searchSlot(changetype<CowHandle>(0), root, inode.ino, EXTENT_DATA_KEY, fileByte, path, 0);
    if (result == 1) result = atItem(root, path);
  }
  if (result < 0) return result;
  // A hole, up to the next item.
  range.fileEnd = u64.MAX_VALUE;
  if (result == 0 && pathKeyIs(path, inode.ino, EXTENT_DATA_KEY)) range.fileEnd = load<u64>(pathKey(path), KEY_OFFSET);
  return 0;
}

/** The item that covers a byte, or the first behind it. 0 with `out` filled in; 1: none; -errno. The fs tree is locked. */
export function itemAtOrBehind(inode: Inode, fileByte: u64, out: CowItem): i32 {
  const root = cowInode(inode).root;
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  let result = seekBefore(root, inode.ino, fileByte, path);
  if (result == 0 && load<u64>(pathKey(path), KEY_OFFSET) + load<u64>(pathItem(path), ED_BYTES) <= fileByte) result = nextItem(root, path);
  else if (result == 1) {
    result = searchSlot(changetype<CowHandle>(0), root, inode.ino, EXTENT_DATA_KEY, fileByte, path, 0);
    if (result == 1) result = atItem(root, path);
  }
  if (result == 0 && !pathKeyIs(path, inode.ino, EXTENT_DATA_KEY)) result = 1;
  if (result == 0) {
    const item = pathItem(path);
    out.fileStart = load<u64>(pathKey(path), KEY_OFFSET);
    out.fileEnd = out.fileStart + load<u64>(item, ED_BYTES);
    out.diskBytenr = load<u64>(item, ED_DISK_BYTENR);
    out.diskBytes = load<u64>(item, ED_DISK_BYTES);
    out.diskOffset = load<u64>(item, ED_OFFSET);
    if (load<u8>(item, ED_TYPE) != EXTENT_REG) result = -EIO;
  }
  pathFree(path);
  return result;
}

/** A new item for a range of the file, which no item covers. Returns 0 or -errno. */
export function insertFileExtent(
  handle: CowHandle, inode: Inode, fileStart: u64, lenBytes: u64, diskBytenr: u64, diskBytes: u64, diskOffset: u64,
): i32 {
  const ci = cowInode(inode);
  const path = handle.path;
  const error = insertItem(handle, ci.root, inode.ino, EXTENT_DATA_KEY, fileStart, EXTENT_DATA_BYTES, path);
  if (error != 0) return error;
  const item = pathItem(path);
  store<u64>(item, handle.transid, ED_GENERATION);
  store<u64>(item, diskBytes, ED_RAM_BYTES);
  store<u8>(item, EXTENT_REG, ED_TYPE);
  store<u64>(item, diskBytenr, ED_DISK_BYTENR);
  store<u64>(item, diskBytes, ED_DISK_BYTES);
  store<u64>(item, diskOffset, ED_OFFSET);
  store<u64>(item, lenBytes, ED_BYTES);
  pathRelease(path);
  dropExtentMaps(ci, fileStart, fileStart + lenBytes);
  ci.nbytes += lenBytes;
  return 0;
}

/** Finds, for a change, the first item that overlaps [start, end). 0: handle.path is at it; 1: none; -errno. */
function firstOverlap(handle: CowHandle, inode: Inode, start: u64, end: u64): i32 {
  const root = cowInode(inode).root;
  const path = handle.path;
  let result = seekBefore(root, inode.ino, start, path);
  let at: u64 = 0;
  let found = false;
  if (result == 0) {
    at = load<u64>(pathKey(path), KEY_OFFSET);
    found = at + load<u64>(pathItem(path), ED_BYTES) > start;
    if (!found) result = nextItem(root, path);
  } else if (result == 1) {
    result = searchSlot(changetype<CowHandle>(0), root, inode.ino, EXTENT_DATA_KEY, start, path, 0);
    if (result == 1) result = atItem(root, path);
  }
  if (result < 0) return result;
  if (!found && result == 0 && pathKeyIs(path, inode.ino, EXTENT_DATA_KEY)) {
    at = load<u64>(pathKey(path), KEY_OFFSET);
    found = at < end;
  }
  pathRelease(path);
  if (!found) return 1;
  result = searchSlot(handle, root, inode.ino, EXTENT_DATA_KEY, at, path, 0);
  return result == 1 ? -EIO : result;
}

/** dropSome has not come to the end. */
export const DROP_MORE: i32 = 1;

/**
 * Up to `limit` items of the file in [start, end) become holes. The handle's reservation holds one more item of the fs tree (a middle
 * cut out). Preconditions: the fs tree is locked for writing; the range is whole blocks. Returns 0, DROP_MORE, or -errno, which
 * must abort.
 */
export function dropSome(handle: CowHandle, inode: Inode, start: u64, end: u64, limit: u32): i32 {
  const ci = cowInode(inode);
  dropExtentMaps(ci, start, end);
  for (let n: u32 = 0; n < limit; n++) {
    const result = firstOverlap(handle, inode, start, end);
    if (result != 0) return result < 0 ? result : 0;
    const item = pathItem(handle.path);
    const from = load<u64>(pathKey(handle.path), KEY_OFFSET);
    const to = from + load<u64>(item, ED_BYTES);
    if (load<u8>(item, ED_TYPE) != EXTENT_REG) return -EIO;
    // Maps may cover more than the range.
    dropExtentMaps(ci, from, to);
    const error = cutItem(handle, inode, from, to, start, end);
    if (error != 0) return error;
  }
  return DROP_MORE;
}

/** As dropSome, to the end. */
export function dropExtents(handle: CowHandle, inode: Inode, start: u64, end: u64): i32 {
  return dropSome(handle, inode, start, end, u32.MAX_VALUE);
}

/** Cuts [start, end) out of the path's item, which is [from, to). The path is released. */
function cutItem(handle: CowHandle, inode: Inode, from: u64, to: u64, start: u64, end: u64): i32 {
  const ci = cowInode(inode);
  const path = handle.path;
  const item = pathItem(path);
  const bytenr = load<u64>(item, ED_DISK_BYTENR);
  const diskBytes = load<u64>(item, ED_DISK_BYTES);
  const offset = load<u64>(item, ED_OFFSET);
  const keepsHead = from < start;
  const keepsTail = to > end;
  if (keepsHead) {
    store<u64>(item, start - from, ED_BYTES);
    pathRelease(path);
    if (!keepsTail) {
      ci.nbytes -= to - start;
      return 0;
    }
    // The middle goes: the tail is an item of its own, and one more reference.
    ci.nbytes -= to - start;
    const error = insertFileExtent(handle, inode, end, to - end, bytenr, diskBytes, offset + (end - from));
    return error == 0 ? dataExtentRef(handle, bytenr, diskBytes, 1) : error;
  }
  if (keepsTail) {
    store<u64>(pathKey(path), end, KEY_OFFSET);
    if (path.slot0 == 0) fixLowKeys(ci.root, path);
    store<u64>(item, offset + (end - from), ED_OFFSET);
    store<u64>(item, to - end, ED_BYTES);
    ci.nbytes -= end - from;
    pathRelease(path);
    return 0;
  }
  ci.nbytes -= to - from;
  const error = deleteItems(handle, ci.root, path, 1);
  return error == 0 ? dataExtentRef(handle, bytenr, diskBytes, -1) : error;
}
