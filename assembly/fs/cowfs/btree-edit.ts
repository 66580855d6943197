/*
 * Changing items of a tree: insertion, deletion, change of an item's size; and the balance that deletions disturb.
 *
 *     leaf below a quarter full:   sum with a neighbour fits one block -> merged, the other block is given up
 *                                  else                                -> items move until both are as even as sizes allow
 *     node with few pointers:      the same;  root with one child -> the child is the root
 *
 * Interface: insertItem, deleteItems, deleteKey, shrinkItem, extendItem.
 * Invariants:
 *   [bt-2] every block but the root is at least a quarter full.
 *   [bt-5] itemBytes of a tree is the sum of its items with their headers.
 *   [cow-5] an insertion is paid for by the handle's reservation; a deletion needs none: it copies only what C counts.
 * Locks: the tree's rwsem for writing.
 * Why not lazy deletion: the quarter is what bounds the number of blocks, and the bound is what makes ENOSPC exact.
 */
import { EEXIST, ENOMEM } from "../../lib/errno";
import { isNullPage, pageAddress } from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { C_BTREE_ITEM, chargeCost } from "../../sched/cost";
import { cowBlock, fixLowKeys, pathRelease, readChild, searchSlot } from "./btree";
import { copyItems } from "./btree-split";
import {
  HEADER_BYTES, ITEM_BYTES, ITEM_OFFSET, ITEM_SIZE, KEY_BYTES, LEAF_BYTES, NODE_PTRS, NODE_SIZE, PTR_BYTES, blockCluster,
  blockGeneration, dataStart, itemAt, itemData, itemSize, keyAt, keyStore, leafFill, nrItems, ptrAt, setNrItems,
} from "./layout";
import { TREES, CowHandle, CowPath, CowRoot } from "./state";
import { allocMetaPage, treeBlockFree, treeBlockPut } from "./tree-block";

/** The reservation pays for one insertion. */
function consume(handle: CowHandle, root: CowRoot, bytes: u32): void {
  assert(root.index < TREES, "snapshots do not change");
  handle.reserve.add(root.index, -1, -(<i32>bytes));
  handle.info.handles.add(root.index, -1, -(<i32>bytes));
}

/** Makes room for `size` bytes of data of a new item at the path's slot, which gets the path's key. */
function placeItem(path: CowPath, size: u32): void {
  const leaf = path.leaf;
  const slot = path.slot0;
  const count = nrItems(leaf);
  const start = dataStart(leaf);
  // Data of the items before the slot lies above `end`.
  const end = slot == 0 ? LEAF_BYTES : load<u32>(itemAt(leaf, slot - 1), ITEM_OFFSET);
  const base = leaf + HEADER_BYTES;
  memory.copy(base + start - size, base + start, end - start);
  for (let i = slot; i < count; i++) store<u32>(itemAt(leaf, i), load<u32>(itemAt(leaf, i), ITEM_OFFSET) - size, ITEM_OFFSET);
  const at = itemAt(leaf, slot);
  memory.copy(at + ITEM_BYTES, at, (count - slot) * ITEM_BYTES);
  keyStore(at, path.objectid, path.type, path.offset);
  store<u32>(at, end - size, ITEM_OFFSET);
  store<u32>(at, size, ITEM_SIZE);
  setNrItems(leaf, count + 1);
  memory.fill(base + end - size, 0, size);
}

/** A new item of zeros under the key; the path is at it on return. Returns 0, -EEXIST or another -errno, the path released. */
export function insertItem(handle: CowHandle, root: CowRoot, objectid: u64, type: u8, offset: u64, size: u32, path: CowPath): i32 {
  return insertPaying(handle, root, objectid, type, offset, size, path, size + ITEM_BYTES);
}

/** As insertItem, at the price of `paid` bytes of the reservation. */
function insertPaying(
  handle: CowHandle, root: CowRoot, objectid: u64, type: u8, offset: u64, size: u32, path: CowPath, paid: u32,
): i32 {
  chargeCost(C_BTREE_ITEM);
  // Without data the item still takes its header, and the search must know that something comes.
  const result = searchSlot(handle, root, objectid, type, offset, path, size == 0 ? 1 : size);
  if (result < 0) return result;
  if (result == 0) {
    pathRelease(path);
    return -EEXIST;
  }
  consume(handle, root, paid);
  root.itemBytes += size + ITEM_BYTES;
  placeItem(path, size);
  if (path.slot0 == 0) fixLowKeys(root, path);
  return 0;
}

/** Takes `count` items from the path's slot on out of its leaf. */
function removeItems(root: CowRoot, path: CowPath, count: u32): void {
  const leaf = path.leaf;
  const slot = path.slot0;
  const total = nrItems(leaf);
  assert(count != 0 && slot + count <= total, "items to delete are there");
  const start = dataStart(leaf);
  const end = slot == 0 ? LEAF_BYTES : load<u32>(itemAt(leaf, slot - 1), ITEM_OFFSET);
  const low = load<u32>(itemAt(leaf, slot + count - 1), ITEM_OFFSET);
  const gone = end - low;
  const base = leaf + HEADER_BYTES;
  memory.copy(base + start + gone, base + start, low - start);
  for (let i = slot + count; i < total; i++) store<u32>(itemAt(leaf, i), load<u32>(itemAt(leaf, i), ITEM_OFFSET) + gone, ITEM_OFFSET);
  const at = itemAt(leaf, slot);
  memory.copy(at, at + count * ITEM_BYTES, (total - slot - count) * ITEM_BYTES);
  setNrItems(leaf, total - count);
  root.itemBytes -= gone + count * ITEM_BYTES;
}

/**
 * Deletes `count` items from the path's place on, all in its leaf; the path was found with a handle. The path is released.
 * Returns 0 or -errno.
 */
export function deleteItems(handle: CowHandle, root: CowRoot, path: CowPath, count: u32): i32 {
  chargeCost(C_BTREE_ITEM);
  removeItems(root, path, count);
  if (path.slot0 == 0 && nrItems(path.leaf) != 0) fixLowKeys(root, path);
  const error = balance(handle, root, path);
  pathRelease(path);
  return error;
}

/** Deletes the item under a key. Returns 0, 1 when there is none, or -errno. */
export function deleteKey(handle: CowHandle, root: CowRoot, objectid: u64, type: u8, offset: u64, path: CowPath): i32 {
  const result = searchSlot(handle, root, objectid, type, offset, path, 0);
  if (result < 0) return result;
  if (result != 0) {
    pathRelease(path);
    return 1;
  }
  return deleteItems(handle, root, path, 1);
}

/** Bytes a block's content takes, and what it may take at most, in bytes (leaf) or pointers (node). */
function fillOf(block: usize, level: u32): u32 {
  return level == 0 ? leafFill(block) : nrItems(block);
}

function capacityOf(level: u32): u32 {
  return level == 0 ? LEAF_BYTES : NODE_PTRS;
}

/** [bt-2] from the path's leaf up, after something was taken out of it. */
function balance(handle: CowHandle, root: CowRoot, path: CowPath): i32 {
  for (let level: u32 = 0; level < root.level; level++) {
    const block = path.block(level);
    if (fillOf(block, level) * 4 >= capacityOf(level)) return 0;
    const error = joinNeighbour(handle, root, path, level);
    if (error != 0) return error;
  }
  return lowerRoot(handle, root, path);
}

/** A root with one child gives way to it. */
function lowerRoot(handle: CowHandle, root: CowRoot, path: CowPath): i32 {
  while (root.level != 0) {
    const top = path.block(root.level);
    if (nrItems(top) > 1) return 0;
    assert(nrItems(top) == 1, "[bt-2] a node has children");
    const level = root.level - 1;
    // The child is fresh: it was merged into, or is on the path.
    let child = path.block(level);
    if (child == 0) {
      path.setSlot(root.level, 0);
      const error = readChild(root, path, root.level);
      if (error != 0) return error;
      child = path.block(level);
    }
    const error = cowBlock(handle, root, path, level);
    if (error != 0) return error;
    child = path.block(level);
    root.level = level;
    root.cluster = blockCluster(child);
    root.generation = blockGeneration(child);
    path.setBlock(level + 1, 0);
    treeBlockFree(handle, root, top);
    treeBlockPut(top);
  }
  return 0;
}

/** Takes the pointer at `slot` out of a node. */
function removePtr(node: usize, slot: u32): void {
  const count = nrItems(node);
  const at = ptrAt(node, slot);
  memory.copy(at, at + PTR_BYTES, (count - slot - 1) * PTR_BYTES);
  setNrItems(node, count - 1);
}

/** The path's block at `level` is too empty: merges it with a neighbour below the same node, or evens the two out. */
function joinNeighbour(handle: CowHandle, root: CowRoot, path: CowPath, level: u32): i32 {
  const parent = path.block(level + 1);
  const slot = path.slot(level + 1);
  assert(nrItems(parent) > 1, "[bt-2] a node has two children or more");
  // The left of the pair: the path's own block, or its left neighbour.
  const leftSlot = slot + 1 < nrItems(parent) ? slot : slot - 1;
  const mine = path.block(level);
  const mineIsLeft = leftSlot == slot;
  // Copy the neighbour on write, through the path.
  path.setSlot(level + 1, mineIsLeft ? slot + 1 : slot - 1);
  path.setBlock(level, 0);
  let error = readChild(root, path, level + 1);
  if (error == 0) error = cowBlock(handle, root, path, level);
  const other = path.block(level);
  path.setBlock(level, mine);
  path.setSlot(level + 1, slot);
  if (error != 0) {
    if (other != 0) treeBlockPut(other);
    return error;
  }
  const left = mineIsLeft ? mine : other;
  const right = mineIsLeft ? other : mine;
  if (fillOf(left, level) + fillOf(right, level) <= capacityOf(level)) {
    if (level == 0) copyItems(left, right, 0, nrItems(right));
    else copyPtrs(left, right);
    removePtr(parent, leftSlot + 1);
    treeBlockFree(handle, root, right);
    // The path keeps the block that stays.
    path.setSlot(level + 1, leftSlot);
    path.setBlock(level, left);
    treeBlockPut(right);
  } else {
    error = level == 0 ? evenLeaves(left, right) : evenNodes(left, right);
    treeBlockPut(other);
    if (error != 0) return error;
    memory.copy(ptrAt(parent, leftSlot + 1), keyAt(right, 0), KEY_BYTES);
  }
  // What was taken out, or came in, may have been its lowest key.
  refreshKeys(root, path, level, left, leftSlot);
  return 0;
}

/** The keys above `left`, which is at `slot` of the path's node at level + 1, follow its first key. */
function refreshKeys(root: CowRoot, path: CowPath, level: u32, left: usize, slot: u32): void {
  const key = keyAt(left, 0);
  let at = slot;
  for (let l = level + 1; l <= root.level; l++) {
    memory.copy(ptrAt(path.block(l), at), key, KEY_BYTES);
    if (at != 0) return;
    if (l < root.level) at = path.slot(l + 1);
  }
}

function copyPtrs(to: usize, from: usize): void {
  const have = nrItems(to);
  const count = nrItems(from);
  memory.copy(ptrAt(to, have), ptrAt(from, 0), count * PTR_BYTES);
  setNrItems(to, have + count);
}

/** Moves pointers so that both nodes have as many. */
function evenNodes(left: usize, right: usize): i32 {
  const a = nrItems(left);
  const b = nrItems(right);
  const keep = (a + b) / 2;
  if (keep < a) {
    const move = a - keep;
    memory.copy(ptrAt(right, move), ptrAt(right, 0), b * PTR_BYTES);
    memory.copy(ptrAt(right, 0), ptrAt(left, keep), move * PTR_BYTES);
  } else {
    const move = keep - a;
    memory.copy(ptrAt(left, a), ptrAt(right, 0), move * PTR_BYTES);
    memory.copy(ptrAt(right, 0), ptrAt(right, move), (b - move) * PTR_BYTES);
  }
  setNrItems(left, keep);
  setNrItems(right, a + b - keep);
  return 0;
}

/** Bytes of the nth item of the two leaves taken as one. */
function pairItem(left: usize, right: usize, n: u32): u32 {
  const a = nrItems(left);
  return ITEM_BYTES + (n < a ? itemSize(left, n) : itemSize(right, n - a));
}

/** Moves items so that both leaves are as full as sizes allow. Needs a scratch frame; returns 0 or -ENOMEM. */
function evenLeaves(left: usize, right: usize): i32 {
  const a = nrItems(left);
  const total = a + nrItems(right);
  const bytes = leafFill(left) + leafFill(right);
  let keep: u32 = 0;
  let have: u32 = 0;
  let best: u32 = u32.MAX_VALUE;
  for (let n: u32 = 1; n < total; n++) {
    have += pairItem(left, right, n - 1);
    const rest = bytes - have;
    if (have > LEAF_BYTES || rest > LEAF_BYTES) continue;
    const uneven = have > rest ? have - rest : rest - have;
    if (uneven >= best) continue;
    best = uneven;
    keep = n;
  }
  assert(keep != 0, "[bt-2] two leaves can be evened out");
  if (keep >= a) {
    copyItems(left, right, 0, keep - a);
    dropFirst(right, keep - a);
    return 0;
  }
  return moveToRight(left, right, keep);
}

/** Takes the first `count` items out of a leaf. */
function dropFirst(leaf: usize, count: u32): void {
  if (count == 0) return;
  const total = nrItems(leaf);
  const start = dataStart(leaf);
  const low = load<u32>(itemAt(leaf, count - 1), ITEM_OFFSET);
  const gone = LEAF_BYTES - low;
  const base = leaf + HEADER_BYTES;
  memory.copy(base + start + gone, base + start, low - start);
  for (let i = count; i < total; i++) store<u32>(itemAt(leaf, i), load<u32>(itemAt(leaf, i), ITEM_OFFSET) + gone, ITEM_OFFSET);
  memory.copy(itemAt(leaf, 0), itemAt(leaf, count), (total - count) * ITEM_BYTES);
  setNrItems(leaf, total - count);
}

/** The items of `left` from `keep` on go before those of `right`. */
function moveToRight(left: usize, right: usize, keep: u32): i32 {
  const page = allocMetaPage();
  if (isNullPage(page)) return -ENOMEM;
  const scratch = pageAddress(page);
  memory.copy(scratch, right, NODE_SIZE);
  const moved = nrItems(left) - keep;
  setNrItems(right, 0);
  copyItems(right, left, keep, moved);
  copyItems(right, scratch, 0, nrItems(scratch));
  setNrItems(left, keep);
  putPage(page);
  return 0;
}

/** Shrinks the data of the path's item to its first newSize bytes. The path was found with a handle, and is released. */
export function shrinkItem(handle: CowHandle, root: CowRoot, path: CowPath, newSize: u32): i32 {
  const leaf = path.leaf;
  const slot = path.slot0;
  const old = itemSize(leaf, slot);
  assert(newSize < old, "an item shrinks");
  const gone = old - newSize;
  const start = dataStart(leaf);
  const at = load<u32>(itemAt(leaf, slot), ITEM_OFFSET);
  const base = leaf + HEADER_BYTES;
  // Everything below the item's kept bytes moves up, the kept bytes as well: the item's data stays adjacent to the one before.
  memory.copy(base + start + gone, base + start, at + newSize - start);
  for (let i = slot; i < nrItems(leaf); i++) store<u32>(itemAt(leaf, i), load<u32>(itemAt(leaf, i), ITEM_OFFSET) + gone, ITEM_OFFSET);
  store<u32>(itemAt(leaf, slot), newSize, ITEM_SIZE);
  root.itemBytes -= gone;
  const error = balance(handle, root, path);
  pathRelease(path);
  return error;
}

/**
 * The item under the path's key, found with a handle, gets `extra` more bytes at its end: the path is at it again on return, its
 * old bytes in front. The reservation pays for one item of `extra` bytes. Returns 0 or -errno, the path released.
 */
export function extendItem(handle: CowHandle, root: CowRoot, path: CowPath, extra: u32): i32 {
  const old = itemSize(path.leaf, path.slot0);
  const page = allocMetaPage();
  if (isNullPage(page)) {
    pathRelease(path);
    return -ENOMEM;
  }
  const scratch = pageAddress(page);
  memory.copy(scratch, itemData(path.leaf, path.slot0), old);
  let error = deleteItems(handle, root, path, 1);
  if (error == 0) error = insertPaying(handle, root, path.objectid, path.type, path.offset, old + extra, path, extra);
  if (error == 0) memory.copy(itemData(path.leaf, path.slot0), scratch, old);
  putPage(page);
  return error;
}
