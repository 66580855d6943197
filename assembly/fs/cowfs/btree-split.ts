/*
 * Making room in a tree: splits of full nodes on the way down, of a full leaf at the end.
 *
 *     full leaf, new item N:     [ a b c d e f ]  +N between b and c  ->  [ a b N ] [ c d e f ]     as even as the sizes allow
 *     full node:                 split before its child is looked at, so that a child's split always has room above
 *     full root:                 a new root above it first
 *
 * Interface: growForInsert.
 * Invariants:
 *   [bt-2] both halves of a split are at least a quarter full, whatever the sizes: no item is above half a leaf.
 *   [bt-4] a split takes at most one block a level and one for a new root, which is what reserve.ts counts.
 * Locks: the tree's rwsem for writing.
 * Why not push items into neighbours first: it saves blocks and costs two more blocks copied; the bound needs neither.
 */
import { isErr, ptrErr } from "../../lib/errno";
import { setChild } from "./btree";
import {
  HEADER_BYTES, ITEM_BYTES, ITEM_OFFSET, KEY_BYTES, LEAF_BYTES, MAX_ITEM_BYTES, MAX_LEVEL, NODE_PTRS, PTR_BYTES, blockCluster, dataStart,
  itemAt, itemSize, keyAt, keyStore, leafFill, nrItems, ptrAt, setNrItems,
} from "./layout";
import { CowHandle, CowPath, CowRoot } from "./state";
import { treeBlockAlloc, treeBlockPut } from "./tree-block";

/** Makes room at `level` of the path for what an insertion of insertBytes puts there; the path's slot follows. 0 or -errno. */
export function growForInsert(handle: CowHandle, root: CowRoot, path: CowPath, level: u32, insertBytes: u32): i32 {
  if (level != 0) return nrItems(path.block(level)) < NODE_PTRS ? 0 : splitNode(handle, root, path, level);
  assert(insertBytes + ITEM_BYTES <= MAX_ITEM_BYTES, "[bt-2] no item is above half a leaf");
  if (leafFill(path.leaf) + insertBytes + ITEM_BYTES <= LEAF_BYTES) return 0;
  return splitLeaf(handle, root, path, insertBytes + ITEM_BYTES);
}

/** A new root above the present one, which is its only child for now. */
function growRoot(handle: CowHandle, root: CowRoot, path: CowPath): i32 {
  const level = root.level + 1;
  assert(level < MAX_LEVEL, "a tree has few levels");
  const old = path.block(root.level);
  const block = treeBlockAlloc(handle, root, level);
  if (isErr(block)) return ptrErr(block);
  memory.copy(ptrAt(block, 0), keyAt(old, 0), KEY_BYTES);
  setChild(block, 0, old);
  setNrItems(block, 1);
  root.level = level;
  root.cluster = blockCluster(block);
  root.generation = handle.transid;
  path.setBlock(level, block);
  path.setSlot(level, 0);
  return 0;
}

/** The node above gets a pointer to `child`, whose lowest key is at `key`, behind the path's slot. It has room. */
function insertPtr(path: CowPath, level: u32, key: usize, child: usize): void {
  const node = path.block(level);
  const count = nrItems(node);
  assert(count < NODE_PTRS, "a node is split before its child");
  const slot = path.slot(level) + 1;
  const at = ptrAt(node, slot);
  memory.copy(at + PTR_BYTES, at, (count - slot) * PTR_BYTES);
  memory.copy(at, key, KEY_BYTES);
  setChild(node, slot, child);
  setNrItems(node, count + 1);
}

/** The new right half becomes the path's block when the key belongs there. */
function takeHalf(path: CowPath, level: u32, right: usize, goesRight: bool): void {
  if (!goesRight) {
    treeBlockPut(right);
    return;
  }
  treeBlockPut(path.block(level));
  path.setBlock(level, right);
  path.setSlot(level + 1, path.slot(level + 1) + 1);
}

function splitNode(handle: CowHandle, root: CowRoot, path: CowPath, level: u32): i32 {
  if (level == root.level) {
    const error = growRoot(handle, root, path);
    if (error != 0) return error;
  }
  const left = path.block(level);
  const right = treeBlockAlloc(handle, root, level);
  if (isErr(right)) return ptrErr(right);
  const count = nrItems(left);
  const keep = count / 2;
  memory.copy(ptrAt(right, 0), ptrAt(left, keep), (count - keep) * PTR_BYTES);
  setNrItems(right, count - keep);
  setNrItems(left, keep);
  insertPtr(path, level + 1, keyAt(right, 0), right);
  const slot = path.slot(level);
  takeHalf(path, level, right, slot >= keep);
  if (slot >= keep) path.setSlot(level, slot - keep);
  return 0;
}

/**
 * Where to split: the number of old items that stay left << 1 | 1 when the new item goes left. `slot` is the new item's place,
 * `size` what it takes.
 */
function splitPoint(leaf: usize, slot: u32, size: u32): u32 {
  const count = nrItems(leaf);
  const total = leafFill(leaf) + size;
  let best: u32 = u32.MAX_VALUE;
  let bestPoint: u32 = 0;
  let left: u32 = 0;
  for (let keep: u32 = 0; keep <= count; keep++) {
    for (let goesLeft: u32 = 0; goesLeft < 2; goesLeft++) {
      if (goesLeft != 0 ? slot > keep : slot < keep) continue;
      const leftBytes = left + (goesLeft != 0 ? size : 0);
      const rightBytes = total - leftBytes;
      if (leftBytes == 0 || rightBytes == 0 || leftBytes > LEAF_BYTES || rightBytes > LEAF_BYTES) continue;
      const uneven = leftBytes > rightBytes ? leftBytes - rightBytes : rightBytes - leftBytes;
      if (uneven >= best) continue;
      best = uneven;
      bestPoint = (keep << 1) | goesLeft;
    }
    if (keep < count) left += ITEM_BYTES + itemSize(leaf, keep);
  }
  assert(best != u32.MAX_VALUE, "[bt-2] a full leaf splits so that the new item fits");
  return bestPoint;
}

/** Copies items [from, from + count) of a leaf to the end of another, which has room. */
export function copyItems(to: usize, leaf: usize, from: u32, count: u32): void {
  let end = dataStart(to);
  let at = nrItems(to);
  for (let i: u32 = 0; i < count; i++) {
    const size = itemSize(leaf, from + i);
    const source = itemAt(leaf, from + i);
    end -= size;
    memory.copy(itemAt(to, at), source, ITEM_BYTES);
    store<u32>(itemAt(to, at), end, ITEM_OFFSET);
    memory.copy(to + HEADER_BYTES + end, leaf + HEADER_BYTES + load<u32>(source, ITEM_OFFSET), size);
    at++;
  }
  setNrItems(to, at);
}

function splitLeaf(handle: CowHandle, root: CowRoot, path: CowPath, size: u32): i32 {
  if (root.level == 0) {
    const error = growRoot(handle, root, path);
    if (error != 0) return error;
  }
  const left = path.leaf;
  const slot = path.slot0;
  const point = splitPoint(left, slot, size);
  const keep = point >> 1;
  const goesRight = (point & 1) == 0;
  const right = treeBlockAlloc(handle, root, 0);
  if (isErr(right)) return ptrErr(right);
  const count = nrItems(left);
  copyItems(right, left, keep, count - keep);
  setNrItems(left, keep);
  if (keep < count) insertPtr(path, 1, keyAt(right, 0), right);
  else {
    // Only the new item goes right: its key is the half's lowest. The header's room behind the last item holds it.
    const key = itemAt(right, 0);
    keyStore(key, path.objectid, path.type, path.offset);
    insertPtr(path, 1, key, right);
  }
  takeHalf(path, 0, right, goesRight);
  path.slot0 = goesRight ? slot - keep : slot;
  assert(nrItems(path.leaf) >= path.slot0, "the slot lies in its leaf");
  return 0;
}
