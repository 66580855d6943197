/*
 * The extents of a file: lookup, insertion, removal, conversion, and what they may cost.
 *
 *     mapping = state | length | disk block, as one number:   MAP_HOLE (length: up to the next extent), MAP_WRITTEN, MAP_UNWRITTEN
 *
 *     promises for the tree (blocks), in the life of one delalloc block:
 *       dirty              delalloc +1     metaReserved covers extents + 3 * delalloc + 2 * converting
 *       written back       delalloc -1, extents +1, converting +1                      (the sum does not grow)
 *       converted          converting -1, extents + at most 2                          (nor here)
 *
 * Interface: extentLookup, mapState, mapLength, mapDisk, extentInsert, extentRemove, extentRewrite, extentConvert, extentCredits,
 *            metaEnsure, metaTrim, metaClaim, metaDrop.
 * Invariants:
 *   [bl-1] extents ascend and do not overlap.
 *   [xt-4] whoever inserts, removes or converts has called metaEnsure or metaClaim: the tree never lacks a block.
 * Locks: i_data_sem: for reading to look up, for writing under a handle to change.
 * Why not a cache of mappings: a lookup costs a few buffer lookups; a second copy would have to be kept true.
 */
import { EIO, isErr } from "../../lib/errno";
import { Buffer, bufferPut, bufferRead, isNullBuffer } from "./buffer";
import {
  checkNode, entryAt, entryWrite, nodeCount, nodeDelete, nodeInsert, pathSlot, searchEntries, searchIndex, setPathSlot, treeDescend,
  treeRelease, treeWorst,
} from "./extent-node";
import { ENTRY_BYTES, EN_BLOCK, EN_KEY, EN_LEN, EXTENT_MAX_LEN, EXTENT_UNWRITTEN, ND_COUNT, NODE_HEADER } from "./layout";
import { spaceRelease, spaceReserve } from "./space";
import { BlockInode, Handle } from "./state";

export const MAP_HOLE: u32 = 0;
export const MAP_WRITTEN: u32 = 1;
export const MAP_UNWRITTEN: u32 = 2;
/** A block of the tree could not be read. */
export const MAP_ERROR: u32 = 3;

function packMap(state: u32, length: u32, disk: u32): u64 {
  const len = length > EXTENT_MAX_LEN ? EXTENT_MAX_LEN : length;
  return ((<u64>state) << 62) | ((<u64>len) << 32) | disk;
}

export function mapState(map: u64): u32 {
  return <u32>(map >> 62);
}

export function mapLength(map: u64): u32 {
  return <u32>(map >> 32) & EXTENT_MAX_LEN;
}

export function mapDisk(map: u64): u32 {
  return <u32>map;
}

function extentLen(entry: usize): u32 {
  return load<u32>(entry, EN_LEN) & ~EXTENT_UNWRITTEN;
}

function extentState(entry: usize): u32 {
  return (load<u32>(entry, EN_LEN) & EXTENT_UNWRITTEN) != 0 ? MAP_UNWRITTEN : MAP_WRITTEN;
}

/** What a block of the file is mapped to, and for how long from there. Preconditions: i_data_sem is held. May sleep for IO. */
export function extentLookup(bi: BlockInode, block: u32): u64 {
  let entries = bi.root;
  let count = bi.count;
  let next: u32 = u32.MAX_VALUE;
  let node = changetype<Buffer>(0);
  for (let level = bi.level; level != 0; level--) {
    const slot = searchIndex(entries, count, block);
    if (slot + 1 < count) next = load<u32>(entries + (slot + 1) * ENTRY_BYTES, EN_KEY);
    const child = load<u32>(entries + slot * ENTRY_BYTES, EN_BLOCK);
    if (!isNullBuffer(node)) bufferPut(node);
    const got = bufferRead(bi.fs, child);
    if (isErr(got)) return packMap(MAP_ERROR, 0, 0);
    node = changetype<Buffer>(got);
    if (checkNode(bi, node, level - 1) != 0) {
      bufferPut(node);
      return packMap(MAP_ERROR, 0, 0);
    }
    entries = node.data + NODE_HEADER;
    count = load<u16>(node.data, ND_COUNT);
  }
  const map = lookInLeaf(entries, count, block, next);
  if (!isNullBuffer(node)) bufferPut(node);
  return map;
}

function lookInLeaf(entries: usize, count: u32, block: u32, bound: u32): u64 {
  const slot = searchEntries(entries, count, block);
  if (slot >= 0) {
    const entry = entries + <u32>slot * ENTRY_BYTES;
    const offset = block - load<u32>(entry, EN_KEY);
    if (offset < extentLen(entry)) {
      return packMap(extentState(entry), extentLen(entry) - offset, load<u32>(entry, EN_BLOCK) + offset);
    }
  }
  const next = slot + 1 < <i32>count ? load<u32>(entries + <u32>(slot + 1) * ENTRY_BYTES, EN_KEY) : bound;
  return packMap(MAP_HOLE, next - block, 0);
}

/** Blocks that the tree may still need; none while nothing is going to be added ([mk-6]). */
function metaNeed(bi: BlockInode): u32 {
  if (bi.delalloc + bi.converting == 0) return 0;
  const worst = treeWorst(bi.fs.nodeCapacity, bi.extents + 3 * bi.delalloc + 2 * bi.converting);
  return worst > bi.treeBlocks ? worst - bi.treeBlocks : 0;
}

/** Promises the tree what it may need. False: there is no space. */
export function metaEnsure(bi: BlockInode): bool {
  const need = metaNeed(bi);
  if (need <= bi.metaReserved) return true;
  if (!spaceReserve(bi.fs, need - bi.metaReserved)) return false;
  bi.metaReserved = need;
  return true;
}

/** Gives back what the tree cannot need any more. */
export function metaTrim(bi: BlockInode): void {
  const need = metaNeed(bi);
  if (bi.metaReserved <= need) return;
  spaceRelease(bi.fs, bi.metaReserved - need);
  bi.metaReserved = need;
}

/**
 * Promises the tree two extents more until metaDrop: a change at once, which may sleep while completions trim what nobody claims.
 * False: there is no space.
 */
export function metaClaim(bi: BlockInode): bool {
  bi.converting++;
  if (metaEnsure(bi)) return true;
  bi.converting--;
  return false;
}

/** The change is made, or not going to be. */
export function metaDrop(bi: BlockInode): void {
  assert(bi.converting != 0, "[ps-2] a claim is dropped once");
  bi.converting--;
  metaTrim(bi);
}

/** Credits of `ops` changes of the tree: its nodes, their splits, bitmap blocks, the inode. */
export function extentCredits(bi: BlockInode, ops: u32): u32 {
  const levels = bi.level + 1;
  const bitmaps = bi.fs.bitmapBlocks < 2 * ops ? bi.fs.bitmapBlocks : 2 * ops;
  return 1 + ops * 2 * levels + bitmaps;
}

/** Maps [block, block + length), a hole, to the disk blocks from `disk` on. Returns 0 or -errno. */
export function extentInsert(handle: Handle, bi: BlockInode, block: u32, disk: u32, length: u32, state: u32): i32 {
  let error = treeDescend(bi, block);
  if (error == 0) error = insertHere(handle, bi, block, disk, length, state == MAP_UNWRITTEN ? EXTENT_UNWRITTEN : 0);
  treeRelease(bi);
  return error;
}

/** The path leads to the extent before the hole, if there is one in the leaf. */
function insertHere(handle: Handle, bi: BlockInode, block: u32, disk: u32, length: u32, flag: u32): i32 {
  const slot = pathSlot(bi, 0);
  if (slot >= 0) {
    const left = entryAt(bi, 0, <u32>slot);
    const end = load<u32>(left, EN_KEY) + extentLen(left);
    assert(end <= block, "[bl-1] an extent is inserted into a hole");
    const joins = end == block && load<u32>(left, EN_BLOCK) + extentLen(left) == disk;
    if (joins && (load<u32>(left, EN_LEN) & EXTENT_UNWRITTEN) == flag) {
      entryWrite(handle, bi, <u32>slot, load<u32>(left, EN_KEY), load<u32>(left, EN_BLOCK), (extentLen(left) + length) | flag);
      return joinRight(handle, bi);
    }
  }
  if (slot + 1 < <i32>nodeCount(bi, 0)) {
    const right = entryAt(bi, 0, <u32>(slot + 1));
    assert(block + length <= load<u32>(right, EN_KEY), "[bl-1] an extent is inserted into a hole");
    const joins = block + length == load<u32>(right, EN_KEY) && disk + length == load<u32>(right, EN_BLOCK);
    if (joins && (load<u32>(right, EN_LEN) & EXTENT_UNWRITTEN) == flag) {
      entryWrite(handle, bi, <u32>(slot + 1), block, disk, (extentLen(right) + length) | flag);
      return 0;
    }
  }
  return nodeInsert(handle, bi, block, disk, length | flag);
}

/** The path's extent has grown: it may touch the next one of its leaf now. */
function joinRight(handle: Handle, bi: BlockInode): i32 {
  const slot = <u32>pathSlot(bi, 0);
  if (slot + 1 >= nodeCount(bi, 0)) return 0;
  const left = entryAt(bi, 0, slot);
  const right = entryAt(bi, 0, slot + 1);
  const len = extentLen(left);
  const flag = load<u32>(left, EN_LEN) & EXTENT_UNWRITTEN;
  if (load<u32>(left, EN_KEY) + len != load<u32>(right, EN_KEY) || load<u32>(left, EN_BLOCK) + len != load<u32>(right, EN_BLOCK)) return 0;
  if ((load<u32>(right, EN_LEN) & EXTENT_UNWRITTEN) != flag) return 0;
  entryWrite(handle, bi, slot, load<u32>(left, EN_KEY), load<u32>(left, EN_BLOCK), (len + extentLen(right)) | flag);
  setPathSlot(bi, 0, <i32>(slot + 1));
  return nodeDelete(handle, bi);
}

/** The first mapped block of [block, end), or end; -1 when the tree cannot be read. */
function firstMapped(bi: BlockInode, block: u32, end: u32): i64 {
  let at = block;
  while (at < end) {
    const map = extentLookup(bi, at);
    if (mapState(map) == MAP_ERROR) return -1;
    if (mapState(map) != MAP_HOLE) return at;
    if (mapLength(map) >= end - at) return end;
    at += mapLength(map);
  }
  return end;
}

/**
 * Unmaps at most `most` blocks of the first extent in [block, end): what went is in handle.piece* (pieceBlocks 0: nothing is
 * mapped there). Returns 0 or -errno.
 */
export function extentRemove(handle: Handle, bi: BlockInode, block: u32, end: u32, most: u32): i32 {
  handle.pieceBlocks = 0;
  const found = firstMapped(bi, block, end);
  if (found < 0) return -EIO;
  const from = <u32>found;
  if (from == end) return 0;
  let error = treeDescend(bi, from);
  if (error == 0) error = removeHere(handle, bi, from, end, most);
  treeRelease(bi);
  return error;
}

/** The path leads to the extent that maps `from`. */
function removeHere(handle: Handle, bi: BlockInode, from: u32, end: u32, most: u32): i32 {
  const slot = <u32>pathSlot(bi, 0);
  const entry = entryAt(bi, 0, slot);
  const key = load<u32>(entry, EN_KEY);
  const disk = load<u32>(entry, EN_BLOCK);
  const len = extentLen(entry);
  const flag = load<u32>(entry, EN_LEN) & EXTENT_UNWRITTEN;
  assert(key <= from && from < key + len, "[bl-1] the extent maps the block");
  let to = key + len < end ? key + len : end;
  let start = from;
  // Of more than is wanted the end goes first, if the extent ends there: what stays is one piece.
  if (to - from > most && to == key + len) start = to - most;
  else if (to - from > most) to = from + most;
  handle.pieceBlock = start;
  handle.pieceBlocks = to - start;
  handle.pieceDisk = disk + (start - key);
  handle.pieceState = extentState(entry);
  const left = start - key;
  const right = key + len - to;
  if (left == 0 && right == 0) return nodeDelete(handle, bi);
  if (left != 0) entryWrite(handle, bi, slot, key, disk, left | flag);
  else entryWrite(handle, bi, slot, to, disk + (to - key), right | flag);
  return left != 0 && right != 0 ? nodeInsert(handle, bi, to, disk + (to - key), right | flag) : 0;
}

/**
 * Blocks [from, from + n), which lie in one extent, are mapped to `disk` in a state now. Nothing is removed before something is
 * inserted: a node that a removal frees is free for others only when it is committed, and the tree was not promised another one.
 * Returns 0 or -errno. Preconditions: promises for two extents ([xt-4]).
 */
export function extentRewrite(handle: Handle, bi: BlockInode, from: u32, n: u32, disk: u32, state: u32): i32 {
  assert(n != 0, "[bl-1] no extent is empty");
  let error = treeDescend(bi, from);
  if (error == 0) error = rewriteHere(handle, bi, from, n, disk, state == MAP_UNWRITTEN ? EXTENT_UNWRITTEN : 0);
  treeRelease(bi);
  return error;
}

/** The path leads to the extent that maps the blocks. */
function rewriteHere(handle: Handle, bi: BlockInode, from: u32, n: u32, disk: u32, flag: u32): i32 {
  const slot = <u32>pathSlot(bi, 0);
  const entry = entryAt(bi, 0, slot);
  const key = load<u32>(entry, EN_KEY);
  const old = load<u32>(entry, EN_BLOCK);
  const oldFlag = load<u32>(entry, EN_LEN) & EXTENT_UNWRITTEN;
  const to = from + n;
  const left = from - key;
  assert(key <= from && to <= key + extentLen(entry), "[bl-1] one extent maps the blocks");
  const right = key + extentLen(entry) - to;
  if (left == 0 && right == 0) {
    entryWrite(handle, bi, slot, key, disk, n | flag);
    return joinBoth(handle, bi, slot);
  }
  if (left == 0) {
    entryWrite(handle, bi, slot, to, old + n, right | oldFlag);
    setPathSlot(bi, 0, <i32>slot - 1);
    return insertHere(handle, bi, from, disk, n, flag);
  }
  entryWrite(handle, bi, slot, key, old, left | oldFlag);
  if (right == 0) return insertHere(handle, bi, from, disk, n, flag);
  let error = nodeInsert(handle, bi, to, old + left + n, right | oldFlag);
  treeRelease(bi);
  if (error == 0) error = treeDescend(bi, from);
  return error != 0 ? error : insertHere(handle, bi, from, disk, n, flag);
}

/** The path's extent has changed: it may touch the next one of its leaf now, and the one before. */
function joinBoth(handle: Handle, bi: BlockInode, slot: u32): i32 {
  const key = load<u32>(entryAt(bi, 0, slot), EN_KEY);
  let error = joinRight(handle, bi);
  if (error != 0 || slot == 0) return error;
  // A join leaves the path of no use.
  treeRelease(bi);
  error = treeDescend(bi, key);
  if (error != 0 || pathSlot(bi, 0) <= 0) return error;
  setPathSlot(bi, 0, pathSlot(bi, 0) - 1);
  return joinRight(handle, bi);
}

/** The first unwritten piece of [block, end) becomes written. Returns the block behind what was looked at, or -errno. */
export function extentConvert(handle: Handle, bi: BlockInode, block: u32, end: u32): i64 {
  const map = extentLookup(bi, block);
  const state = mapState(map);
  if (state == MAP_ERROR) return -EIO;
  const to = mapLength(map) < end - block ? block + mapLength(map) : end;
  if (state != MAP_UNWRITTEN) return to;
  const error = extentRewrite(handle, bi, block, to - block, mapDisk(map), MAP_WRITTEN);
  return error != 0 ? <i64>error : <i64>to;
}
