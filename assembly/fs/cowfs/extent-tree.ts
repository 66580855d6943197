/*
 * The extent tree and the checksum tree: who refers to a data extent, and what its blocks must sum up to.
 *
 *     references of a data extent   insert (ordered extent ends)      1
 *                                   a file's middle is cut out        += 1   (two items refer to it now)
 *                                   reflink                           += 1
 *                                   a leaf shared with a snapshot     += 1   for each item of the leaf that refers to it
 *                                     is copied
 *                                   an item that refers to it goes    -= 1
 *                                   0: EXTENT_ITEM and EXTENT_CSUM go, the space is pinned
 *
 * Interface: dataExtentInsert, dataExtentRef, refsOfLeaf, csumInsert, csumLookup.
 * Invariants:
 *   [cow-7] refs of an EXTENT_ITEM is the number of EXTENT_DATA items, in distinct leaves, that refer to it.
 *   [cow-8] each block of a data extent in use has a checksum, in one item for the whole extent.
 * Locks: fs tree -> extent tree -> csum tree (rwsems).
 * Why not back references by name: nothing here asks who refers; btrfs's EXTENT_DATA_REFs would go where refs is written.
 */
import { EIO, ENOMEM } from "../../lib/errno";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { isNullPath, pathAlloc, pathFree, pathItem, pathItemSize, pathKey, pathKeyIs, pathRelease, prevItem, searchSlot } from "./btree";
import { deleteItems, deleteKey, insertItem } from "./btree-edit";
import {
  ED_DISK_BYTENR, ED_DISK_BYTES, ED_TYPE, EI_FLAGS, EI_GENERATION, EI_REFS, EXTENT_CSUM_KEY, EXTENT_CSUM_OBJECTID, EXTENT_DATA_KEY,
  EXTENT_FLAG_DATA, EXTENT_INLINE, EXTENT_ITEM_BYTES, EXTENT_ITEM_KEY, KEY_OFFSET, KEY_TYPE, itemAt, itemData, nrItems,
} from "./layout";
import { pinFreed } from "./space";
import { TREE_CSUM, TREE_EXTENT, CowHandle, CowPath, CowfsInfo } from "./state";

const SECTOR_SHIFT: u32 = 9;

/** A data extent with one reference comes to be. Returns 0 or -errno. */
export function dataExtentInsert(handle: CowHandle, bytenr: u64, lenBytes: u64, path: CowPath): i32 {
  const root = handle.info.root(TREE_EXTENT);
  downWrite(root.rwsem);
  const error = insertItem(handle, root, bytenr, EXTENT_ITEM_KEY, lenBytes, EXTENT_ITEM_BYTES, path);
  if (error == 0) {
    const item = pathItem(path);
    store<u64>(item, 1, EI_REFS);
    store<u64>(item, handle.transid, EI_GENERATION);
    store<u64>(item, EXTENT_FLAG_DATA, EI_FLAGS);
    pathRelease(path);
  }
  upWrite(root.rwsem);
  return error;
}

/** delta references more or less; the last one takes the extent with it. Returns 0 or -errno (-EIO: the extent is not there). */
export function dataExtentRef(handle: CowHandle, bytenr: u64, lenBytes: u64, delta: i32): i32 {
  const info = handle.info;
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  const root = info.root(TREE_EXTENT);
  downWrite(root.rwsem);
  let error = searchSlot(handle, root, bytenr, EXTENT_ITEM_KEY, lenBytes, path, 0);
  let gone = false;
  if (error == 1) error = -EIO;
  if (error == 0) {
    const refs = load<u64>(pathItem(path), EI_REFS) + <u64>(<i64>delta);
    assert(<i64>refs >= 0, "[cow-7] a reference is given up once");
    gone = refs == 0;
    if (gone) error = deleteItems(handle, root, path, 1);
    else store<u64>(pathItem(path), refs, EI_REFS);
  }
  pathRelease(path);
  upWrite(root.rwsem);
  if (error == 0 && gone) {
    error = csumDelete(handle, bytenr, path);
    if (error == 0) pinFreed(info, <u32>(bytenr >> SECTOR_SHIFT), <u32>(lenBytes >> SECTOR_SHIFT));
  }
  pathFree(path);
  return error;
}

/** Every data extent that an item of the leaf refers to gets one more reference: the leaf has been copied. */
export function refsOfLeaf(handle: CowHandle, leaf: usize): i32 {
  for (let slot: u32 = 0; slot < nrItems(leaf); slot++) {
    if (load<u8>(itemAt(leaf, slot), KEY_TYPE) != EXTENT_DATA_KEY) continue;
    const item = itemData(leaf, slot);
    if (load<u8>(item, ED_TYPE) == EXTENT_INLINE) continue;
    const error = dataExtentRef(handle, load<u64>(item, ED_DISK_BYTENR), load<u64>(item, ED_DISK_BYTES), 1);
    if (error != 0) return error;
  }
  return 0;
}

/** Checksums of the extent's blocks: `count` u32 at `sums`. Returns 0 or -errno. */
export function csumInsert(handle: CowHandle, bytenr: u64, sums: usize, count: u32, path: CowPath): i32 {
  const root = handle.info.root(TREE_CSUM);
  downWrite(root.rwsem);
  const error = insertItem(handle, root, EXTENT_CSUM_OBJECTID, EXTENT_CSUM_KEY, bytenr, count * 4, path);
  if (error == 0) {
    memory.copy(pathItem(path), sums, count * 4);
    pathRelease(path);
  }
  upWrite(root.rwsem);
  return error;
}

function csumDelete(handle: CowHandle, bytenr: u64, path: CowPath): i32 {
  const root = handle.info.root(TREE_CSUM);
  downWrite(root.rwsem);
  const result = deleteKey(handle, root, EXTENT_CSUM_OBJECTID, EXTENT_CSUM_KEY, bytenr, path);
  upWrite(root.rwsem);
  // [cow-8] An extent without checksums is a broken tree.
  return result == 1 ? -EIO : result;
}

/** Copies the checksums of `count` blocks from bytenr on, all of one extent, to `sums`. Returns 0 or -errno. May sleep. */
export function csumLookup(info: CowfsInfo, bytenr: u64, count: u32, sums: usize): i32 {
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  const root = info.root(TREE_CSUM);
  downRead(root.rwsem);
  let result = searchSlot(changetype<CowHandle>(0), root, EXTENT_CSUM_OBJECTID, EXTENT_CSUM_KEY, bytenr, path, 0);
  if (result == 1) result = prevItem(root, path);
  if (result == 1) result = -EIO;
  if (result == 0) {
    const first = load<u64>(pathKey(path), KEY_OFFSET);
    const skip = <u32>((bytenr - first) >> info.blockShift);
    if (!pathKeyIs(path, EXTENT_CSUM_OBJECTID, EXTENT_CSUM_KEY) || (skip + count) * 4 > pathItemSize(path)) result = -EIO;
    else memory.copy(sums, pathItem(path) + skip * 4, count * 4);
  }
  pathFree(path);
  upRead(root.rwsem);
  return result;
}
