/*
 * fsck's walk over the table of inodes: each record against its bit, its own fields, and its extent tree.
 *
 * Interface: checkInodes(f), fsckRecord(f, frame, ino), fsckLookup(f, block).
 * Invariants: laws 35 to 43 of fsck-state.ts; directories go on in fsck-names.ts.
 * Locks: as fsck.ts.
 * Why not the code that reads a mounted tree: it trusts what this must doubt.
 */
import { isErr, ptrErr } from "../../lib/errno";
import { bitmapTest } from "../../lib/bitmap";
import { xaLoad } from "../../lib/xarray";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../inode";
import { searchEntries, searchIndex, treeWorst } from "./extent-node";
import { checkDirectory } from "./fsck-names";
import {
  BLOCK_FSCK_BEYOND, BLOCK_FSCK_COUNTS, BLOCK_FSCK_EXTENTS, BLOCK_FSCK_INODE, BLOCK_FSCK_INODE_MAP, BLOCK_FSCK_JOURNAL, BLOCK_FSCK_NODE,
  BLOCK_FSCK_ORPHANS, BLOCK_FSCK_OWNERS, BLOCK_FSCK_SHAPE, BlockFsck, F_LOOK, F_MAP, F_NODE, F_TABLE, fsckOwn, fsckRead,
} from "./fsck-state";
import {
  DIF_INLINE, DINODE_BYTES, DI_COUNT, DI_DATA_BLOCKS, DI_EXTENTS, DI_FLAGS, DI_LEVEL, DI_MODE, DI_ROOT, DI_SIZE, DI_TREE_BLOCKS,
  ENTRY_BYTES, EN_BLOCK, EN_KEY, EN_LEN, EXTENT_UNWRITTEN, MAX_LEVEL, ND_COUNT, ND_INO, ND_LEVEL, ND_MAGIC, NODE_HEADER, NODE_MAGIC,
  ROOT_BYTES, ROOT_ENTRIES, ROOT_INO,
} from "./layout";

/** Blocks of a file: one less than its highest block's number can say. */
const MAX_BLOCKS: u64 = 0x7fff_ffff;

/** The record of an inode in the frame of a use, or ERR_PTR. */
export function fsckRecord(f: BlockFsck, frame: u32, ino: u32): usize {
  assert(ino != 0 && ino <= f.fs.nrInodes, "an inode has a record");
  const perBlock = f.fs.blockSize / DINODE_BYTES;
  const at = fsckRead(f, frame, f.fs.inodeTableStart + (ino - 1) / perBlock);
  return isErr(at) ? at : at + ((ino - 1) % perBlock) * DINODE_BYTES;
}

/** Every inode. Returns 0, a law, or -errno. */
export function checkInodes(f: BlockFsck): i32 {
  const fs = f.fs;
  const bits = fs.blockSize * 8;
  for (let ino: u32 = 1; ino <= fs.nrInodes; ino++) {
    const record = fsckRecord(f, F_TABLE, ino);
    const map = isErr(record) ? record : fsckRead(f, F_MAP, fs.inodeBitmapStart + (ino - 1) / bits);
    if (isErr(map)) return ptrErr(map);
    f.place = ino;
    const used = load<u32>(record, DI_MODE) != 0;
    if (bitmapTest(map, (ino - 1) % bits) != used) return BLOCK_FSCK_INODE_MAP;
    if (!used && ino == ROOT_INO) return BLOCK_FSCK_INODE;
    if (!used && xaLoad(f.orphans, ino) != 0) {
      f.place = xaLoad(f.orphans, ino) - 1;
      return BLOCK_FSCK_ORPHANS;
    }
    if (!used) continue;
    f.ino = ino;
    f.record = record;
    f.inodes++;
    const law = checkInode(f);
    if (law != 0) return law;
  }
  return 0;
}

/** The record at f.record by itself, its tree, what a directory holds. */
function checkInode(f: BlockFsck): i32 {
  const at = f.record;
  const type = load<u32>(at, DI_MODE) & S_IFMT;
  const flags = load<u32>(at, DI_FLAGS);
  const size = load<u64>(at, DI_SIZE);
  const isFile = type == S_IFREG;
  if (!isFile && type != S_IFDIR && type != S_IFLNK) return BLOCK_FSCK_INODE;
  if (f.ino == ROOT_INO && type != S_IFDIR) return BLOCK_FSCK_INODE;
  if (load<u16>(at, DI_LEVEL) >= MAX_LEVEL || load<u16>(at, DI_COUNT) > ROOT_ENTRIES) return BLOCK_FSCK_INODE;
  if ((flags & ~DIF_INLINE) != 0 || size >> f.fs.blockShift > MAX_BLOCKS) return BLOCK_FSCK_INODE;
  if ((flags & DIF_INLINE) != 0) {
    const empty = load<u16>(at, DI_COUNT) == 0 && load<u16>(at, DI_LEVEL) == 0 && load<u32>(at, DI_EXTENTS) == 0;
    if (type != S_IFLNK || size == 0 || size > ROOT_BYTES || !empty) return BLOCK_FSCK_INODE;
  } else if (type == S_IFLNK && size <= ROOT_BYTES) return BLOCK_FSCK_INODE;
  if (type == S_IFDIR && (size & (f.fs.blockSize - 1)) != 0) return BLOCK_FSCK_INODE;
  const law = (flags & DIF_INLINE) != 0 ? 0 : checkTree(f, size, isFile);
  if (law != 0 && law != BLOCK_FSCK_OWNERS && law != BLOCK_FSCK_JOURNAL) f.place = f.ino;
  if (law != 0 || type != S_IFDIR) return law;
  // An orphan's blocks are on their way out, and nobody looks for its names.
  return xaLoad(f.orphans, f.ino) != 0 ? 0 : checkDirectory(f);
}

/** The whole tree, then what the record says of it. */
function checkTree(f: BlockFsck, size: u64, isFile: bool): i32 {
  const at = f.record;
  f.extents = 0;
  f.treeBlocks = 0;
  f.dataBlocks = 0;
  f.mappedEnd = 0;
  f.writtenEnd = 0;
  f.unwritten = 0;
  const level: u32 = load<u16>(at, DI_LEVEL);
  const count: u32 = load<u16>(at, DI_COUNT);
  if (level != 0 && count == 0) return BLOCK_FSCK_NODE;
  const law = walkEntries(f, isFile, level, at + DI_ROOT, count, 0, u32.MAX_VALUE);
  if (law != 0) return law;
  f.allExtents += f.extents;
  f.allNodes += f.treeBlocks;
  f.allData += f.dataBlocks;
  if (load<u32>(at, DI_EXTENTS) != f.extents || load<u32>(at, DI_TREE_BLOCKS) != f.treeBlocks) return BLOCK_FSCK_COUNTS;
  if (load<u32>(at, DI_DATA_BLOCKS) != f.dataBlocks) return BLOCK_FSCK_COUNTS;
  if (f.treeBlocks > treeWorst(f.fs.nodeCapacity, f.extents)) return BLOCK_FSCK_SHAPE;
  if (xaLoad(f.orphans, f.ino) != 0) return 0;
  const sizeBlocks = (size + f.fs.blockSize - 1) >> f.fs.blockShift;
  if (<u64>f.writtenEnd > sizeBlocks) return BLOCK_FSCK_BEYOND;
  if (isFile) return 0;
  const filled = <u64>f.dataBlocks == sizeBlocks && <u64>f.mappedEnd == sizeBlocks && f.unwritten == 0;
  return filled ? 0 : BLOCK_FSCK_EXTENTS;
}

/** Entries of one node, which lie in [low, high); the first key of an index node counts as `low` ([xt-1]). */
function walkEntries(f: BlockFsck, isFile: bool, level: u32, entries: usize, count: u32, low: u32, high: u32): i32 {
  assert(level < MAX_LEVEL, "a level has a frame");
  let previous: u32 = 0;
  for (let slot: u32 = 0; slot < count; slot++) {
    const entry = entries + slot * ENTRY_BYTES;
    if (level == 0) {
      const law = checkExtent(f, isFile, entry, low, high);
      if (law != 0) return law;
      continue;
    }
    const from = slot == 0 ? low : load<u32>(entry, EN_KEY);
    const to = slot + 1 < count ? load<u32>(entry + ENTRY_BYTES, EN_KEY) : high;
    if (from < low || from >= to || to > high) return BLOCK_FSCK_EXTENTS;
    const law = walkChild(f, isFile, level - 1, load<u32>(entry, EN_BLOCK), from, to, previous);
    if (law != 0) return law;
    previous = load<u16>(f.frame(F_NODE + level - 1), ND_COUNT);
  }
  return 0;
}

/** A node below the root; `previous`: entries of its left neighbour, or 0. */
function walkChild(f: BlockFsck, isFile: bool, level: u32, block: u32, low: u32, high: u32, previous: u32): i32 {
  const law = fsckOwn(f, block, 1, true);
  if (law != 0) return law;
  const at = fsckRead(f, F_NODE + level, block);
  if (isErr(at)) return ptrErr(at);
  f.treeBlocks++;
  const count: u32 = load<u16>(at, ND_COUNT);
  if (load<u32>(at, ND_MAGIC) != NODE_MAGIC || load<u16>(at, ND_LEVEL) != level || load<u32>(at, ND_INO) != f.ino) return BLOCK_FSCK_NODE;
  if (count == 0 || count > f.fs.nodeCapacity) return BLOCK_FSCK_NODE;
  if (previous != 0 && previous + count <= f.fs.nodeCapacity) return BLOCK_FSCK_SHAPE;
  return walkEntries(f, isFile, level, at + NODE_HEADER, count, low, high);
}

function checkExtent(f: BlockFsck, isFile: bool, entry: usize, low: u32, high: u32): i32 {
  const key = load<u32>(entry, EN_KEY);
  const length = load<u32>(entry, EN_LEN) & ~EXTENT_UNWRITTEN;
  const isUnwritten = (load<u32>(entry, EN_LEN) & EXTENT_UNWRITTEN) != 0;
  const end = <u64>key + length;
  if (length == 0 || key < low || key < f.mappedEnd || end > <u64>high) return BLOCK_FSCK_EXTENTS;
  f.extents++;
  f.dataBlocks += length;
  f.mappedEnd = <u32>end;
  if (isUnwritten) f.unwritten += length;
  else f.writtenEnd = <u32>end;
  return fsckOwn(f, load<u32>(entry, EN_BLOCK), length, !isFile);
}

/** The disk block of the nth block of the inode at f.record, whose tree was found sound; 0: none, or -errno. */
export function fsckLookup(f: BlockFsck, block: u32): i32 {
  let entries = f.record + DI_ROOT;
  let count: u32 = load<u16>(f.record, DI_COUNT);
  for (let level: u32 = load<u16>(f.record, DI_LEVEL); level != 0; level--) {
    const slot = searchIndex(entries, count, block);
    const node = fsckRead(f, F_LOOK, load<u32>(entries + slot * ENTRY_BYTES, EN_BLOCK));
    if (isErr(node)) return ptrErr(node);
    entries = node + NODE_HEADER;
    count = load<u16>(node, ND_COUNT);
  }
  const slot = searchEntries(entries, count, block);
  if (slot < 0) return 0;
  const entry = entries + <u32>slot * ENTRY_BYTES;
  const offset = block - load<u32>(entry, EN_KEY);
  return offset < (load<u32>(entry, EN_LEN) & ~EXTENT_UNWRITTEN) ? <i32>(load<u32>(entry, EN_BLOCK) + offset) : 0;
}
