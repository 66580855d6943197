/*
 * Nodes of an extent tree: the root in the inode, the others in blocks; insertion with splits, deletion with merges.
 *
 *     root (16 entries, level n) -> index nodes -> leaves (level 0, extents)        level 0: the root itself holds the extents
 *
 *     full node  --split: the new half's key goes up; at the end of the file: only the new entry-->  two nodes
 *     root full  --its entries move into a node of their own-->  the root has one child and a level more
 *     two neighbours fit one  --merge-->  one; the root's only child fits the root  --> a level less
 *
 * Interface: treeDescend, treeRelease, nodeInsert, nodeDelete, entryWrite, treeWorst, entryAt, nodeCount, pathSlot, searchEntries,
 *            searchIndex, checkNode.
 * Invariants:
 *   [xt-1] keys ascend; the entries below an index entry lie in [its key, the next one's), the first one's key counting as 0.
 *   [xt-2] neighbours under one parent hold more together than a node can; so nodes never exceed treeWorst(extents).
 *   [xt-3] a tree of at most 16 extents is its root.
 * Locks: i_data_sem for writing, and a handle; the path lives in BlockInode.
 * Why not the path on the stack: Asyncify saves scalars only, and a writer of i_data_sem is alone.
 */
import { EIO, errPtr, isErr, ptrErr } from "../../lib/errno";
import { Buffer, bufferNew, bufferPut, bufferRead, isNullBuffer } from "./buffer";
import { journalGetWrite } from "./journal";
import {
  ENTRY_BYTES, EN_BLOCK, EN_KEY, EN_LEN, MAX_LEVEL, ND_COUNT, ND_INO, ND_LEVEL, ND_MAGIC, NODE_HEADER, NODE_MAGIC, ROOT_ENTRIES,
} from "./layout";
import { bitmapUpdate, blocksFree, runStart, spaceTake } from "./space";
import { BlockInode, Handle } from "./state";

/** The node of the path at a level: its buffer, null for the root. */
function pathNode(bi: BlockInode, level: u32): Buffer {
  assert(level <= bi.level, "a level of the tree");
  return changetype<Buffer>(<usize>load<u32>(changetype<usize>(bi) + offsetof<BlockInode>("path0") + (level << 2)));
}

function setPathNode(bi: BlockInode, level: u32, buffer: Buffer): void {
  store<u32>(changetype<usize>(bi) + offsetof<BlockInode>("path0") + (level << 2), <u32>changetype<usize>(buffer));
}

export function pathSlot(bi: BlockInode, level: u32): i32 {
  return load<i32>(changetype<usize>(bi) + offsetof<BlockInode>("slot0") + (level << 2));
}

export function setPathSlot(bi: BlockInode, level: u32, slot: i32): void {
  store<i32>(changetype<usize>(bi) + offsetof<BlockInode>("slot0") + (level << 2), slot);
}

/** Entries of a node: null stands for the root. */
function entriesOf(bi: BlockInode, node: Buffer): usize {
  return isNullBuffer(node) ? bi.root : node.data + NODE_HEADER;
}

function countOf(bi: BlockInode, node: Buffer): u32 {
  return isNullBuffer(node) ? bi.count : load<u16>(node.data, ND_COUNT);
}

function setCountOf(bi: BlockInode, node: Buffer, count: u32): void {
  if (isNullBuffer(node)) bi.count = count;
  else store<u16>(node.data, <u16>count, ND_COUNT);
}

function capacityOf(bi: BlockInode, node: Buffer): u32 {
  return isNullBuffer(node) ? ROOT_ENTRIES : bi.fs.nodeCapacity;
}

/** Address of the path's nth entry at a level. */
export function entryAt(bi: BlockInode, level: u32, slot: u32): usize {
  return entriesOf(bi, pathNode(bi, level)) + slot * ENTRY_BYTES;
}

export function nodeCount(bi: BlockInode, level: u32): u32 {
  return countOf(bi, pathNode(bi, level));
}

/** The last of `count` entries whose key is not above `key`, or -1. */
export function searchEntries(entries: usize, count: u32, key: u32): i32 {
  let low: i32 = 0;
  let high = <i32>count - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (load<u32>(entries + middle * ENTRY_BYTES, EN_KEY) <= key) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}

/** The entry of an index node below which `key` lies; the first key counts as 0, whatever it says ([xt-1]). */
export function searchIndex(entries: usize, count: u32, key: u32): u32 {
  assert(count != 0, "[xt-1] an index node has an entry");
  return <u32>(searchEntries(entries + ENTRY_BYTES, count - 1, key) + 1);
}

/** A node as it must be, or -EIO. */
export function checkNode(bi: BlockInode, node: Buffer, level: u32): i32 {
  if (load<u32>(node.data, ND_MAGIC) != NODE_MAGIC || load<u16>(node.data, ND_LEVEL) != level) return -EIO;
  const count = load<u16>(node.data, ND_COUNT);
  return count == 0 || count > bi.fs.nodeCapacity || load<u32>(node.data, ND_INO) != bi.inode.ino ? -EIO : 0;
}

/** Fills the path to where `key` is or belongs. Returns 0 or -errno. treeRelease follows either way. */
export function treeDescend(bi: BlockInode, key: u32): i32 {
  let level = bi.level;
  setPathNode(bi, level, changetype<Buffer>(0));
  while (true) {
    const node = pathNode(bi, level);
    const entries = entriesOf(bi, node);
    const count = countOf(bi, node);
    setPathSlot(bi, level, level != 0 ? <i32>searchIndex(entries, count, key) : searchEntries(entries, count, key));
    if (level == 0) return 0;
    const child = load<u32>(entryAt(bi, level, <u32>pathSlot(bi, level)), EN_BLOCK);
    const got = bufferRead(bi.fs, child);
    if (isErr(got)) return ptrErr(got);
    level--;
    setPathNode(bi, level, changetype<Buffer>(got));
    const error = checkNode(bi, changetype<Buffer>(got), level);
    if (error != 0) return error;
  }
}

/** Gives the path's buffers back. */
export function treeRelease(bi: BlockInode): void {
  for (let level: u32 = 0; level < MAX_LEVEL; level++) {
    const slot = changetype<usize>(bi) + offsetof<BlockInode>("path0") + (level << 2);
    const node = changetype<Buffer>(<usize>load<u32>(slot));
    store<u32>(slot, 0);
    if (!isNullBuffer(node)) bufferPut(node);
  }
}

function touch(handle: Handle, node: Buffer): void {
  if (!isNullBuffer(node)) journalGetWrite(handle, node);
}

/** Most nodes below the root that a tree of so many extents has ([xt-2]). */
export function treeWorst(capacity: u32, extents: u32): u32 {
  if (extents <= ROOT_ENTRIES) return 0;
  let nodes: u32 = (extents * 2) / (capacity + 1) + 1;
  let total = nodes;
  while (nodes > ROOT_ENTRIES) {
    // An odd node under each parent has no neighbour to merge with.
    const parents: u32 = (nodes * 2) / (capacity + 1) + 1;
    total += parents * 2;
    nodes = parents;
  }
  return total;
}

/** A new, empty node at a level, out of what is reserved for the inode's tree: a referenced Buffer, or ERR_PTR. */
function newNode(handle: Handle, bi: BlockInode, level: u32): usize {
  const fs = bi.fs;
  assert(bi.metaReserved != 0, "[sp-3] a node of the tree was promised a block");
  bi.metaReserved--;
  const block = runStart(spaceTake(fs, 1, 0));
  const error = bitmapUpdate(handle, block, 1, true);
  if (error != 0) return errPtr(error);
  const got = bufferNew(fs, block);
  if (isErr(got)) return got;
  const node = changetype<Buffer>(got);
  journalGetWrite(handle, node);
  store<u32>(node.data, NODE_MAGIC, ND_MAGIC);
  store<u16>(node.data, <u16>level, ND_LEVEL);
  store<u16>(node.data, 0, ND_COUNT);
  store<u32>(node.data, bi.inode.ino, ND_INO);
  bi.treeBlocks++;
  return got;
}

/** The root's entries move into a node of their own: a level more. The path goes along. */
function growRoot(handle: Handle, bi: BlockInode): i32 {
  const level = bi.level;
  assert(level + 1 < MAX_LEVEL, "[xt-1] the tree is no higher than 2^32 blocks need");
  const got = newNode(handle, bi, level);
  if (isErr(got)) return ptrErr(got);
  const node = changetype<Buffer>(got);
  memory.copy(node.data + NODE_HEADER, bi.root, bi.count * ENTRY_BYTES);
  setCountOf(bi, node, bi.count);
  bi.level = level + 1;
  bi.count = 1;
  store<u32>(bi.root, node.block, EN_BLOCK);
  store<u32>(bi.root, 0, EN_LEN);
  setPathNode(bi, level, node);
  setPathNode(bi, level + 1, changetype<Buffer>(0));
  setPathSlot(bi, level + 1, 0);
  return 0;
}

/** Makes room in the path's node at a level, which is full; the path then leads to the half where the entry goes. */
function split(handle: Handle, bi: BlockInode, level: u32, key: u32): i32 {
  if (level == bi.level) return growRoot(handle, bi);
  if (nodeCount(bi, level + 1) == capacityOf(bi, pathNode(bi, level + 1))) {
    const error = split(handle, bi, level + 1, key);
    if (error != 0) return error;
    // The root may have grown, and still be where the parent's room is missing.
    if (nodeCount(bi, level + 1) == capacityOf(bi, pathNode(bi, level + 1))) return split(handle, bi, level, key);
  }
  const node = pathNode(bi, level);
  const count = countOf(bi, node);
  const slot = pathSlot(bi, level);
  const keep = slot == <i32>count - 1 ? count : count / 2;
  const got = newNode(handle, bi, level);
  if (isErr(got)) return ptrErr(got);
  const right = changetype<Buffer>(got);
  touch(handle, node);
  memory.copy(right.data + NODE_HEADER, entriesOf(bi, node) + keep * ENTRY_BYTES, (count - keep) * ENTRY_BYTES);
  setCountOf(bi, right, count - keep);
  setCountOf(bi, node, keep);
  const rightKey = keep == count ? key : load<u32>(right.data + NODE_HEADER, EN_KEY);
  putEntry(handle, bi, level + 1, rightKey, right.block, 0);
  if (slot >= <i32>keep || keep == count) {
    setPathNode(bi, level, right);
    bufferPut(node);
    setPathSlot(bi, level, slot - <i32>keep);
  } else {
    bufferPut(right);
    setPathSlot(bi, level + 1, pathSlot(bi, level + 1) - 1);
  }
  return 0;
}

/** Puts an entry behind the path's slot at a level that has room, and moves the slot onto it. */
function putEntry(handle: Handle, bi: BlockInode, level: u32, key: u32, block: u32, len: u32): void {
  const node = pathNode(bi, level);
  const count = countOf(bi, node);
  assert(count < capacityOf(bi, node), "[xt-2] a node has room for the entry");
  touch(handle, node);
  const slot = <u32>(pathSlot(bi, level) + 1);
  const at = entriesOf(bi, node) + slot * ENTRY_BYTES;
  memory.copy(at + ENTRY_BYTES, at, (count - slot) * ENTRY_BYTES);
  store<u32>(at, key, EN_KEY);
  store<u32>(at, block, EN_BLOCK);
  store<u32>(at, len, EN_LEN);
  setCountOf(bi, node, count + 1);
  setPathSlot(bi, level, <i32>slot);
}

/** Rewrites an extent of the path's leaf. */
export function entryWrite(handle: Handle, bi: BlockInode, slot: u32, key: u32, block: u32, len: u32): void {
  touch(handle, pathNode(bi, 0));
  const entry = entryAt(bi, 0, slot);
  store<u32>(entry, key, EN_KEY);
  store<u32>(entry, block, EN_BLOCK);
  store<u32>(entry, len, EN_LEN);
}

/** Inserts an extent behind the path's slot. Returns 0 or -errno. Preconditions: the tree's worst growth is reserved. */
export function nodeInsert(handle: Handle, bi: BlockInode, key: u32, block: u32, len: u32): i32 {
  while (nodeCount(bi, 0) == capacityOf(bi, pathNode(bi, 0))) {
    const error = split(handle, bi, 0, key);
    if (error != 0) return error;
  }
  putEntry(handle, bi, 0, key, block, len);
  bi.extents++;
  return 0;
}

/** Takes the path's entry out of its node at a level. */
function takeEntry(handle: Handle, bi: BlockInode, level: u32): void {
  const node = pathNode(bi, level);
  touch(handle, node);
  const count = countOf(bi, node);
  const slot = <u32>pathSlot(bi, level);
  const at = entriesOf(bi, node) + slot * ENTRY_BYTES;
  memory.copy(at, at + ENTRY_BYTES, (count - slot - 1) * ENTRY_BYTES);
  setCountOf(bi, node, count - 1);
}

function freeNode(handle: Handle, bi: BlockInode, block: u32): i32 {
  assert(bi.treeBlocks != 0, "[xt-2] the nodes of a tree are counted");
  bi.treeBlocks--;
  return blocksFree(handle, block, 1, true);
}

/** Deletes the path's extent and restores [xt-2] and [xt-3]. The path is of no use afterwards. Returns 0 or -errno. */
export function nodeDelete(handle: Handle, bi: BlockInode): i32 {
  assert(bi.extents != 0, "[xt-1] an extent that is deleted is in the tree");
  takeEntry(handle, bi, 0);
  bi.extents--;
  for (let level: u32 = 0; level < bi.level; level++) {
    const lost = rebalance(handle, bi, level);
    if (lost < 0) return lost;
    if (lost == 0) break;
  }
  while (bi.level != 0 && bi.count == 1) {
    const lowered = lowerRoot(handle, bi);
    if (lowered <= 0) return lowered;
  }
  return 0;
}

/** The root's only child goes into the root if it fits. Returns 1 when it did, 0 when not, -errno. */
function lowerRoot(handle: Handle, bi: BlockInode): i32 {
  const child = load<u32>(bi.root, EN_BLOCK);
  const got = bufferRead(bi.fs, child);
  if (isErr(got)) return ptrErr(got);
  const node = changetype<Buffer>(got);
  const count = countOf(bi, node);
  let result: i32 = 0;
  if (count <= ROOT_ENTRIES) {
    memory.copy(bi.root, node.data + NODE_HEADER, count * ENTRY_BYTES);
    bi.count = count;
    bi.level--;
    result = 1;
  }
  bufferPut(node);
  if (result == 0) return 0;
  const error = freeNode(handle, bi, child);
  return error != 0 ? error : 1;
}

/** Looks whether the node below the path's slot at `level + 1` is empty or fits a neighbour. Returns 1 when the parent lost an entry. */
function rebalance(handle: Handle, bi: BlockInode, level: u32): i32 {
  const parent = level + 1;
  const slot = <u32>pathSlot(bi, parent);
  const node = pathNode(bi, level);
  let lost = false;
  if (countOf(bi, node) == 0) {
    const error = dropChild(handle, bi, parent, slot);
    if (error != 0) return error;
    lost = true;
    if (slot == 0 || slot >= nodeCount(bi, parent)) return 1;
    const merged = mergeAt(handle, bi, parent, slot - 1);
    return merged < 0 ? merged : 1;
  }
  if (slot + 1 < nodeCount(bi, parent)) {
    const merged = mergeAt(handle, bi, parent, slot);
    if (merged < 0) return merged;
    lost = merged != 0;
  }
  if (slot != 0) {
    const merged = mergeAt(handle, bi, parent, slot - 1);
    if (merged < 0) return merged;
    if (merged != 0) lost = true;
  }
  return lost ? 1 : 0;
}

/** Removes the parent's entry and its child's block. */
function dropChild(handle: Handle, bi: BlockInode, parent: u32, slot: u32): i32 {
  setPathSlot(bi, parent, <i32>slot);
  const block = load<u32>(entryAt(bi, parent, slot), EN_BLOCK);
  takeEntry(handle, bi, parent);
  return freeNode(handle, bi, block);
}

/** The children at slot and slot + 1 become one if they fit. Returns 1 when they did, 0, or -errno. */
function mergeAt(handle: Handle, bi: BlockInode, parent: u32, slot: u32): i32 {
  const leftGot = bufferRead(bi.fs, load<u32>(entryAt(bi, parent, slot), EN_BLOCK));
  if (isErr(leftGot)) return ptrErr(leftGot);
  const left = changetype<Buffer>(leftGot);
  const rightGot = bufferRead(bi.fs, load<u32>(entryAt(bi, parent, slot + 1), EN_BLOCK));
  if (isErr(rightGot)) {
    bufferPut(left);
    return ptrErr(rightGot);
  }
  const right = changetype<Buffer>(rightGot);
  const count = countOf(bi, left);
  const more = countOf(bi, right);
  const fits = count + more <= bi.fs.nodeCapacity;
  if (fits) {
    journalGetWrite(handle, left);
    const seam = left.data + NODE_HEADER + count * ENTRY_BYTES;
    memory.copy(seam, right.data + NODE_HEADER, more * ENTRY_BYTES);
    // An index node's first key counts for less than it says ([xt-1]); behind others it must say so.
    if (parent > 1) store<u32>(seam, load<u32>(entryAt(bi, parent, slot + 1), EN_KEY), EN_KEY);
    setCountOf(bi, left, count + more);
  }
  bufferPut(left);
  bufferPut(right);
  if (!fits) return 0;
  const error = dropChild(handle, bi, parent, slot + 1);
  return error != 0 ? error : 1;
}
