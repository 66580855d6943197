/*
 * fsck of iomapfs and jbdfs: walks everything on the disk of a filesystem that is not mounted and names the first broken law.
 *
 *     superblock -> ring: what a replay would put in place -> orphans -> every inode: record, tree, directory -> links, reach
 *     -> refcounts and bitmap against the owners that were found
 *
 * What was walked is told by one event each (TP_BLOCK_FSCK): FOUND_* and how many; then BROKEN + law and where: a block, for laws 35
 * a slot, for those of inodes and names the inode's number.
 *
 * Interface: blockFsck(params, magic). Laws and state: fsck-state.ts; the walk over inodes: fsck-inodes.ts, fsck-names.ts.
 * Invariants: those of fsck-state.ts; a law that is broken is a positive result, an error of the disk or memory a negative one.
 * Locks: the namespace mutex (the VFS's): nobody mounts meanwhile.
 * Why not repair: a crash leaves nothing to repair, the log sees to it; what is broken is a bug, to be found.
 */
import { EINVAL, ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { bitmapTest } from "../../lib/bitmap";
import { crc32c } from "../../lib/crc32c";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { xaInit, xaLoad, xaStore } from "../../lib/xarray";
import { BIO_READ } from "../../block/bio";
import { SECTORS_PER_BLOCK } from "../../block/state";
import { currentTask, nowNs, sched } from "../../sched/state";
import { TP_BLOCK_FSCK } from "../../tracepoints";
import { MountParams } from "../mount";
import { scratchAlloc, scratchFree } from "../scratch";
import { logBlockOf } from "./commit";
import { checkInodes } from "./fsck-inodes";
import { checkLinks } from "./fsck-names";
import {
  BLOCK_FSCK_BASE, BLOCK_FSCK_BLOCK_MAP, BLOCK_FSCK_JOURNAL, BLOCK_FSCK_ORPHANS, BLOCK_FSCK_REFCOUNTS, BLOCK_FSCK_SUPER, BlockFsck,
  F_LOOK, F_MAP, F_REFS, F_TABLE, OWNER_META, fsckForget, fsckFrames, fsckFree, fsckRead,
} from "./fsck-state";
import { LEAST_CREDITS, RECORD_BLOCKS, journalFree } from "./journal";
import {
  BLOCKFS_MAX_BLOCK, BLOCKFS_MIN_BLOCK, DINODE_BYTES, IOMAPFS_MAGIC, JH_COUNT, JH_CRC, JH_MAGIC, JH_SEQUENCE, JH_TYPE, JOURNAL_HEADER,
  JOURNAL_MAGIC, JT_SUPER, ORPHAN_BYTES, ORPHAN_SLOTS, SBF_SHARED, SB_BITMAP, SB_BLOCK_SIZE, SB_CRC, SB_DATA_START, SB_FLAGS,
  SB_INODE_BITMAP, SB_INODE_TABLE, SB_JOURNAL, SB_MAGIC, SB_NR_BLOCKS, SB_NR_INODES, SB_ORPHANS, SB_REFCOUNTS,
} from "./layout";
import { blocksFor } from "./mkfs";
import { blockTransfer, checkTransaction } from "./recovery";
import { BlockFs, CACHE_BLOCKFS, blockCache, blockFsState } from "./state";
import { openDevice } from "./super";

/** Events: how many of each were walked, and which law is broken where. */
const FOUND_TRANSACTIONS: u64 = 0;
const FOUND_NODES: u64 = 1;
const FOUND_EXTENTS: u64 = 2;
const FOUND_DATA: u64 = 3;
const FOUND_INODES: u64 = 4;
const FOUND_NAMES: u64 = 5;
const FOUND_ORPHANS: u64 = 6;
const FOUND_SHARED: u64 = 7;
const BROKEN: u64 = 256;

/** ->fsck. Returns 0, the number of a law, or -errno. */
export function blockFsck(params: MountParams, magic: u64): i32 {
  const f = changetype<BlockFsck>(scratchAlloc());
  if (changetype<usize>(f) == 0) return -ENOMEM;
  const fs = changetype<BlockFs>(kmemCacheAlloc(blockCache(CACHE_BLOCKFS)));
  f.fs = fs;
  xaInit(f.owners);
  xaInit(f.ring);
  xaInit(f.orphans);
  xaInit(f.links);
  xaInit(f.parents);
  xaInit(f.hashes);
  let result: i32 = -ENOMEM;
  if (changetype<usize>(fs) != 0 && fsckFrames(f)) {
    result = checkAll(f, params, magic);
    tell(f, result);
  }
  fsckFree(f);
  if (changetype<usize>(fs) != 0) {
    if (changetype<usize>(fs.journal) != 0) journalFree(fs.journal);
    kmemCacheFree(blockCache(CACHE_BLOCKFS), changetype<usize>(fs));
  }
  scratchFree(changetype<usize>(f));
  return result;
}

function tellOne(what: u64, value: u64): void {
  traceEmit(nowNs(), TP_BLOCK_FSCK, sched().cpu.id, currentTask().id, what, value);
}

function tell(f: BlockFsck, result: i32): void {
  tellOne(FOUND_TRANSACTIONS, f.transactions);
  tellOne(FOUND_NODES, f.allNodes);
  tellOne(FOUND_EXTENTS, f.allExtents);
  tellOne(FOUND_DATA, f.allData);
  tellOne(FOUND_INODES, f.inodes);
  tellOne(FOUND_NAMES, f.names);
  tellOne(FOUND_ORPHANS, f.nrOrphans);
  tellOne(FOUND_SHARED, f.shared);
  if (result > BLOCK_FSCK_BASE) tellOne(BROKEN + result, f.place);
}

function checkAll(f: BlockFsck, params: MountParams, magic: u64): i32 {
  let result = checkDevice(f, params, magic);
  if (result == 0) result = checkRing(f);
  if (result == 0) result = checkSuperAgain(f, params, magic);
  if (result == 0) result = checkOrphans(f);
  if (result == 0) result = checkInodes(f);
  if (result == 0) result = checkLinks(f);
  return result == 0 ? checkSpace(f) : result;
}

/** An area's start and blocks are as they must be. */
function areaIs(at: usize, field: u32, start: u32, blocks: u32): bool {
  return load<u32>(at + field) == start && load<u32>(at + field, 4) == blocks;
}

/** Is it the superblock of a filesystem with that magic, on so many blocks of 4 KiB? */
function superIsSound(at: usize, magic: u64, params: MountParams): bool {
  if (load<u64>(at, SB_MAGIC) != magic || load<u32>(at, SB_CRC) != crc32c(blockFsState().crcTable, 0, at, SB_CRC)) return false;
  const size = load<u32>(at, SB_BLOCK_SIZE);
  if (size < BLOCKFS_MIN_BLOCK || size > BLOCKFS_MAX_BLOCK || (size & (size - 1)) != 0) return false;
  const blocks = load<u32>(at, SB_NR_BLOCKS);
  const inodes = load<u32>(at, SB_NR_INODES);
  const journal = load<u32>(at + SB_JOURNAL, 4);
  if (<u64>blocks * size > (<u64>params.nrBlocks) << 12 || journal >= blocks || inodes == 0 || inodes > blocks * 16) return false;
  if (journal / 2 < LEAST_CREDITS + RECORD_BLOCKS) return false;
  const refcounts = magic == IOMAPFS_MAGIC ? blocksFor(blocks, size / 2) : 0;
  let next: u32 = 1;
  if (!areaIs(at, SB_JOURNAL, next, journal)) return false;
  next += journal;
  if (!areaIs(at, SB_ORPHANS, next, ORPHAN_BYTES / size)) return false;
  next += ORPHAN_BYTES / size;
  if (!areaIs(at, SB_BITMAP, next, blocksFor(blocks, size * 8))) return false;
  next += blocksFor(blocks, size * 8);
  if (!areaIs(at, SB_REFCOUNTS, next, refcounts)) return false;
  next += refcounts;
  if (!areaIs(at, SB_INODE_BITMAP, next, blocksFor(inodes, size * 8))) return false;
  next += blocksFor(inodes, size * 8);
  if (load<u32>(at, SB_INODE_TABLE) != next) return false;
  next += blocksFor(inodes, size / DINODE_BYTES);
  return load<u32>(at, SB_DATA_START) == next && next < blocks && (load<u32>(at, SB_FLAGS) & ~SBF_SHARED) == 0;
}

/** The superblock in its place; afterwards the geometry and the journal are known. */
function checkDevice(f: BlockFsck, params: MountParams, magic: u64): i32 {
  const fs = f.fs;
  const at = f.frame(F_TABLE);
  fs.blockSize = BLOCKFS_MIN_BLOCK;
  fs.blockShift = 9;
  fs.startSector = <u64>params.startBlock * SECTORS_PER_BLOCK;
  const error = blockTransfer(fs, BIO_READ, 0, at);
  if (error != 0) return error;
  if (!superIsSound(at, magic, params)) return BLOCK_FSCK_SUPER;
  const opened = openDevice(fs, params, magic);
  f.mayShare = fs.refcountBlocks;
  return opened == -EINVAL ? BLOCK_FSCK_SUPER : opened;
}

/** The superblock that a replay would leave: the same but for its flags. */
function checkSuperAgain(f: BlockFsck, params: MountParams, magic: u64): i32 {
  fsckForget(f);
  const at = fsckRead(f, F_TABLE, 0);
  if (isErr(at)) return ptrErr(at);
  f.fs.hasShared = (load<u32>(at, SB_FLAGS) & SBF_SHARED) != 0 ? 1 : 0;
  return superIsSound(at, magic, params) && load<u32>(at, SB_BLOCK_SIZE) == f.fs.blockSize ? 0 : BLOCK_FSCK_SUPER;
}

/** The copies of the transaction at a place of the ring stand for their blocks. The descriptor is at `d`. */
function noteCopies(f: BlockFsck, place: u32, count: u32, d: usize): i32 {
  const fs = f.fs;
  for (let i: u32 = 0; i < count; i++) {
    const block = load<u32>(d + JOURNAL_HEADER + (i << 2));
    f.place = logBlockOf(fs.journal, place);
    if (block >= fs.nrBlocks || (block != 0 && block < fs.orphanStart)) return BLOCK_FSCK_JOURNAL;
    if (xaStore(f.ring, block, logBlockOf(fs.journal, place + 1 + i) + 1) != 0) return -ENOMEM;
  }
  return 0;
}

function checkRing(f: BlockFsck): i32 {
  const fs = f.fs;
  const j = fs.journal;
  const d = f.frame(F_LOOK);
  f.place = j.start;
  const error = blockTransfer(fs, BIO_READ, j.start, d);
  if (error != 0) return error;
  const good = load<u32>(d, JH_MAGIC) == JOURNAL_MAGIC && load<u32>(d, JH_TYPE) == JT_SUPER && load<u32>(d, JH_COUNT) < j.ringBlocks;
  if (!good || load<u32>(d, JH_CRC) != crc32c(blockFsState().crcTable, 0, d, JH_CRC)) return BLOCK_FSCK_JOURNAL;
  let sequence = load<u32>(d, JH_SEQUENCE);
  let place = load<u32>(d, JH_COUNT);
  while (true) {
    const count = checkTransaction(fs, place, sequence, d, f.frame(F_MAP));
    if (count < -1) return count + 1;
    if (count < 0) return 0;
    const law = noteCopies(f, place, <u32>count, d);
    if (law != 0) return law;
    place = (place + <u32>count + RECORD_BLOCKS) % j.ringBlocks;
    sequence++;
    f.transactions++;
  }
}

/** Each slot is empty or names an inode of its own; whether the inode is in use is seen with the inodes. */
function checkOrphans(f: BlockFsck): i32 {
  const fs = f.fs;
  const perBlock = fs.blockSize / 4;
  for (let slot: u32 = 0; slot < ORPHAN_SLOTS; slot++) {
    const at = fsckRead(f, F_MAP, fs.orphanStart + slot / perBlock);
    if (isErr(at)) return ptrErr(at);
    const ino = load<u32>(at + (slot % perBlock) * 4);
    if (ino == 0) continue;
    f.place = slot;
    if (ino > fs.nrInodes || xaLoad(f.orphans, ino) != 0) return BLOCK_FSCK_ORPHANS;
    if (xaStore(f.orphans, ino, slot + 1) != 0) return -ENOMEM;
    f.nrOrphans++;
  }
  return 0;
}

/** What the refcount of a block must be, by the owners that were found. */
function refcountFor(owners: u32): u32 {
  return owners != 0 && owners < OWNER_META ? owners - 1 : 0;
}

/** Refcounts and bitmap against the owners. */
function checkSpace(f: BlockFsck): i32 {
  const fs = f.fs;
  const bits = fs.blockSize * 8;
  const perTable = fs.blockSize / 2;
  const end = fs.bitmapBlocks * bits;
  for (let block: u32 = 0; block < end; block++) {
    const inData = block >= fs.dataStart && block < fs.nrBlocks;
    const owners = inData ? <u32>xaLoad(f.owners, block) : 0;
    f.place = block;
    if (f.mayShare != 0 && block < fs.nrBlocks) {
      const table = fsckRead(f, F_REFS, fs.refcountStart + block / perTable);
      if (isErr(table)) return ptrErr(table);
      const refs: u32 = load<u16>(table + (block % perTable) * 2);
      if (refs != refcountFor(owners) || (refs != 0 && fs.hasShared == 0)) return BLOCK_FSCK_REFCOUNTS;
      if (refs != 0) f.shared++;
    }
    const map = fsckRead(f, F_MAP, fs.bitmapStart + block / bits);
    if (isErr(map)) return ptrErr(map);
    if (bitmapTest(map, block % bits) != (!inData || owners != 0)) return BLOCK_FSCK_BLOCK_MAP;
  }
  return 0;
}
