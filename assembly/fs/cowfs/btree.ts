/*
 * The copy-on-write B-tree: finding places, and copying the blocks on the way when they are going to change.
 *
 *     root block --slot--> node --slot--> leaf --slot--> item            CowPath: the blocks and slots, leaf first
 *
 *     copy on write, from the root down: a block of an older transaction is copied to a new place and its parent (a copy
 *     already) points there. The old block: given up, or, when a snapshot points to it as well, left to the snapshot; then the
 *     copy is one more pointer to each of its children.
 *
 * Interface: pathAlloc, pathFree, pathRelease, searchSlot, cowBlock, nextItem, prevItem, lookupItem, pathItem, pathItemSize, pathKeyIs,
 *            blockSearch, fixLowKeys.
 * Invariants:
 *   [bt-1] a key in a node is not above the lowest key of its child, and above every key of the child before.
 *   [bt-2] every block but the root is at least a quarter full; a root that is a node has two children or more.
 *   [bt-3] with a handle, every block in the path is fresh: it was made in the handle's transaction.
 * Locks: the tree's rwsem, for reading without a handle, for writing with one.
 * Why not a lock a block: what waits for a tree here waits for the disk, which a finer lock would not shorten.
 */
import { EROFS, isErr, ptrErr } from "../../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { C_BTREE_COW, chargeCost } from "../../sched/cost";
import { rwsemIsLocked } from "../../sched/rwsem";
import { growForInsert } from "./btree-split";
import { refsOfLeaf } from "./extent-tree";
import {
  BH_BYTENR, KEY_BYTES, MAX_LEVEL, PTR_BLOCK, PTR_GENERATION, blockCluster, blockGeneration, itemAt, itemData, itemSize, keyAt,
  keyCompare, nrItems, ptrAt, ptrCluster,
} from "./layout";
import { CACHE_PATH, TREE_FS, CowHandle, CowPath, CowRoot, cowCache } from "./state";
import { transactionAbort } from "./transaction";
import {
  isFresh, treeBlockAlloc, treeBlockCopy, treeBlockFree, treeBlockPut, treeBlockRead, treeBlockRefAdd, treeBlockRefs,
} from "./tree-block";

/** Null on ENOMEM. */
export function pathAlloc(): CowPath {
  return changetype<CowPath>(kmemCacheAlloc(cowCache(CACHE_PATH)));
}

export function isNullPath(path: CowPath): bool {
  return changetype<usize>(path) == 0;
}

/** Drops the path's blocks. */
export function pathRelease(path: CowPath): void {
  for (let level: u32 = 0; level < MAX_LEVEL; level++) {
    if (path.block(level) == 0) continue;
    treeBlockPut(path.block(level));
    path.setBlock(level, 0);
  }
}

export function pathFree(path: CowPath): void {
  pathRelease(path);
  kmemCacheFree(cowCache(CACHE_PATH), changetype<usize>(path));
}

/** Drops what the path has below `level`. */
function releaseBelow(path: CowPath, level: u32): void {
  for (let l: u32 = 0; l < level; l++) {
    if (path.block(l) == 0) continue;
    treeBlockPut(path.block(l));
    path.setBlock(l, 0);
  }
}

/** The number of keys of the block that are below the path's key; bit 31: the next one is it. */
export function blockSearch(block: usize, path: CowPath): u32 {
  let low: u32 = 0;
  let high = nrItems(block);
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = keyCompare(keyAt(block, middle), path.objectid, path.type, path.offset);
    if (order == 0) return middle | 0x8000_0000;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Children of a copied block have one more pointer: tree blocks, or the data extents of a leaf of the fs tree. */
function shareChildren(handle: CowHandle, root: CowRoot, block: usize, level: u32): i32 {
  if (level == 0) return root.index == TREE_FS ? refsOfLeaf(handle, block) : 0;
  for (let slot: u32 = 0; slot < nrItems(block); slot++) treeBlockRefAdd(handle.info, ptrCluster(block, slot), 1);
  return 0;
}

/** Makes the path's block at `level` one of this transaction ([bt-3]); the block above is already. Returns 0 or -errno. */
export function cowBlock(handle: CowHandle, root: CowRoot, path: CowPath, level: u32): i32 {
  const old = path.block(level);
  if (isFresh(handle, old)) return 0;
  const info = handle.info;
  if (info.aborted != 0) return -EROFS;
  chargeCost(C_BTREE_COW);
  const cluster = blockCluster(old);
  const isShared = treeBlockRefs(info, cluster) > 1;
  const block = treeBlockAlloc(handle, root, level);
  if (isErr(block)) return ptrErr(block);
  treeBlockCopy(block, old);
  if (isShared) {
    const error = shareChildren(handle, root, old, level);
    // Some of the children are counted twice now: nothing of this may reach the disk.
    if (error != 0) {
      treeBlockPut(block);
      return transactionAbort(info, error);
    }
    treeBlockRefAdd(info, cluster, -1);
    root.blocks--;
    info.cleanBlocks--;
    if (root.shared != 0) root.shared--;
  } else treeBlockFree(handle, root, old);
  if (level == root.level) {
    root.cluster = blockCluster(block);
    root.generation = handle.transid;
  } else setChild(path.block(level + 1), path.slot(level + 1), block);
  treeBlockPut(old);
  path.setBlock(level, block);
  return 0;
}

/** The nth pointer of the node leads to `child`. */
export function setChild(node: usize, slot: u32, child: usize): void {
  const ptr = ptrAt(node, slot);
  store<u64>(ptr, load<u64>(child, BH_BYTENR), PTR_BLOCK);
  store<u64>(ptr, blockGeneration(child), PTR_GENERATION);
}

/** Reads the child that the path's slot at `level` leads to into the path. Returns 0 or -errno. */
export function readChild(root: CowRoot, path: CowPath, level: u32): i32 {
  const node = path.block(level);
  const slot = path.slot(level);
  assert(slot < nrItems(node), "[bt-1] a slot of the node");
  const child = treeBlockRead(root.info, ptrCluster(node, slot), level - 1, load<u64>(ptrAt(node, slot), PTR_GENERATION));
  if (isErr(child)) return ptrErr(child);
  path.setBlock(level - 1, child);
  return 0;
}

function setKey(path: CowPath, objectid: u64, type: u8, offset: u64): void {
  path.objectid = objectid;
  path.type = type;
  path.offset = offset;
}

/**
 * Finds a key. With a handle the blocks on the way are copied; with insertBytes != 0 there is room afterwards for an item with
 * that much data at the path's place. Returns 0: found; 1: not there, the path's slot is where it would be (perhaps behind the
 * leaf's last item); or -errno. The path is empty on entry, and after an error.
 */
export function searchSlot(
  handle: CowHandle, root: CowRoot, objectid: u64, type: u8, offset: u64, path: CowPath, insertBytes: u32,
): i32 {
  assert(path.block0 == 0 && path.block(root.level) == 0, "a path is used for one place at a time");
  assert(rwsemIsLocked(root.rwsem), "a tree is searched under its lock");
  setKey(path, objectid, type, offset);
  const result = descend(handle, root, path, insertBytes);
  if (result < 0) pathRelease(path);
  return result;
}

function descend(handle: CowHandle, root: CowRoot, path: CowPath, insertBytes: u32): i32 {
  const top = treeBlockRead(root.info, root.cluster, root.level, root.generation);
  if (isErr(top)) return ptrErr(top);
  let level = root.level;
  path.setBlock(level, top);
  while (true) {
    if (changetype<usize>(handle) != 0) {
      const error = cowBlock(handle, root, path, level);
      if (error != 0) return error;
    }
    const at = blockSearch(path.block(level), path);
    const found = (at >> 31) != 0;
    const slot = at & 0x7fff_ffff;
    // In a node the child is the one before the first key above.
    path.setSlot(level, level == 0 || found || slot == 0 ? slot : slot - 1);
    if (insertBytes != 0 && !(level == 0 && found)) {
      const error = growForInsert(handle, root, path, level, insertBytes);
      if (error != 0) return error;
    }
    if (level == 0) return found ? 0 : 1;
    const error = readChild(root, path, level);
    if (error != 0) return error;
    level--;
  }
}

/** After the path's leaf got a new first key: the keys above follow ([bt-1]). */
export function fixLowKeys(root: CowRoot, path: CowPath): void {
  const key = keyAt(path.leaf, 0);
  for (let level: u32 = 1; level <= root.level; level++) {
    const at = ptrAt(path.block(level), path.slot(level));
    memory.copy(at, key, KEY_BYTES);
    if (path.slot(level) != 0) return;
  }
}

/** Goes to the next leaf. Returns 0, 1 at the end of the tree (the path is released), or -errno. Reading only. */
function nextLeaf(root: CowRoot, path: CowPath): i32 {
  let level: u32 = 1;
  while (level <= root.level && path.slot(level) + 1 >= nrItems(path.block(level))) level++;
  if (level > root.level) {
    pathRelease(path);
    return 1;
  }
  path.setSlot(level, path.slot(level) + 1);
  return descendEdge(root, path, level, false);
}

/** From the child at `level`'s slot down to a leaf along its first or last slots. */
function descendEdge(root: CowRoot, path: CowPath, from: u32, last: bool): i32 {
  releaseBelow(path, from);
  for (let level = from; level != 0; level--) {
    const error = readChild(root, path, level);
    if (error != 0) {
      pathRelease(path);
      return error;
    }
    const count = nrItems(path.block(level - 1));
    path.setSlot(level - 1, last && count != 0 ? count - 1 : 0);
  }
  return 0;
}

/** After searchSlot without a handle: makes the path point at an item, the first at or behind its place. 0, 1 (none), -errno. */
export function atItem(root: CowRoot, path: CowPath): i32 {
  if (path.slot0 < nrItems(path.leaf)) return 0;
  return nextLeaf(root, path);
}

/** The next item. Returns 0, 1 at the end (the path is released), or -errno. */
export function nextItem(root: CowRoot, path: CowPath): i32 {
  path.slot0++;
  return atItem(root, path);
}

/** The item before the path's place. Returns 0, 1 at the beginning (the path is released), or -errno. */
export function prevItem(root: CowRoot, path: CowPath): i32 {
  if (path.slot0 != 0) {
    path.slot0--;
    return 0;
  }
  let level: u32 = 1;
  while (level <= root.level && path.slot(level) == 0) level++;
  if (level > root.level) {
    pathRelease(path);
    return 1;
  }
  path.setSlot(level, path.slot(level) - 1);
  return descendEdge(root, path, level, true);
}

/** Address of the data of the path's item. */
export function pathItem(path: CowPath): usize {
  assert(path.slot0 < nrItems(path.leaf), "the path is at an item");
  return itemData(path.leaf, path.slot0);
}

export function pathItemSize(path: CowPath): u32 {
  return itemSize(path.leaf, path.slot0);
}

/** Address of the key of the path's item. */
export function pathKey(path: CowPath): usize {
  assert(path.slot0 < nrItems(path.leaf), "the path is at an item");
  return itemAt(path.leaf, path.slot0);
}

/** True when the path's item is of this object and type. */
export function pathKeyIs(path: CowPath, objectid: u64, type: u8): bool {
  const key = pathKey(path);
  return load<u64>(key) == objectid && load<u8>(key, 8) == type;
}

/** Looks a key up for reading. Returns 0 with the path at it, -ENOENT as 1, or -errno; the path is released unless 0. */
export function lookupItem(root: CowRoot, objectid: u64, type: u8, offset: u64, path: CowPath): i32 {
  const result = searchSlot(changetype<CowHandle>(0), root, objectid, type, offset, path, 0);
  if (result == 1) pathRelease(path);
  return result;
}
