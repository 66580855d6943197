/*
 * mkfs: the layout of an empty filesystem, and its first blocks.
 *
 * Interface: blockMkfs(params, magic, refcounts), geometryFor, blocksFor.
 * Invariants:
 *   [mkf-1] a filesystem of at least MIN_CLUSTERS clusters of 4 KiB holds its tables, its journal and files.
 *   [mkf-2] the superblock is written last, behind a flush: a mkfs that a crash cuts off leaves what was there, or nothing.
 * Locks: the namespace mutex; nobody has the range mounted.
 * Why not the host: an image made inside is made by the same code that reads it.
 *
 * options: blocksize=512|1024|2048|4096 (4096), inodes=N (one for 2 KiB, at most 8192), journal=blocks (an eighth, 40 to 1024)
 */
import { EINVAL, ENOMEM, ENOSPC } from "../../lib/errno";
import { bitmapSet } from "../../lib/bitmap";
import { crc32c } from "../../lib/crc32c";
import { PAGE_SIZE } from "../../memlayout";
import { BIO_WRITE, REQ_META, bioAddPage, bioFree, isNullBio } from "../../block/bio";
import { blkdevIssueFlush, submitBioWait } from "../../block/request-queue";
import { SECTORS_PER_BLOCK } from "../../block/state";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "../../mm/page-alloc";
import { isNullPage, pageAddress } from "../../mm/page";
import { mmState } from "../../mm/state";
import { S_IFDIR, currentTimeNs } from "../inode";
import { MountParams, optionNumber, optionsKnown } from "../mount";
import { blockBio } from "./buffer";
import { LEAST_CREDITS, journalAlloc, journalFree } from "./journal";
import { journalSuperFill } from "./commit";
import {
  BLOCKFS_MAX_BLOCK, BLOCKFS_MIN_BLOCK, DINODE_BYTES, DI_ATIME, DI_CTIME, DI_GENERATION, DI_MODE, DI_MTIME, DI_NLINK, ORPHAN_BYTES,
  ROOT_INO, SB_BITMAP, SB_BLOCK_SIZE, SB_CRC, SB_DATA_START, SB_INODE_BITMAP, SB_INODE_TABLE, SB_JOURNAL, SB_MAGIC, SB_NR_BLOCKS,
  SB_NR_INODES, SB_ORPHANS, SB_REFCOUNTS,
} from "./layout";
import { blockTransfer } from "./recovery";
import { BlockFs, CACHE_BLOCKFS, blockCache, blockFsState } from "./state";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";

const MIN_CLUSTERS: u32 = 64;
/** Clusters of 4 KiB come in fours, so that maps of neighbours do not share a word. */
export const CLUSTER_STEP: u32 = 4;

export function blocksFor(bits: u32, perBlock: u32): u32 {
  return (bits + perBlock - 1) / perBlock;
}

function optionOr(params: MountParams, name: string, missing: u32, least: u32, most: u32): u32 {
  const value = optionNumber(params, name, missing);
  if (value < <i64>least || value > <i64>most) return 0;
  return <u32>value;
}

/** Fills a superblock for the range. Returns 0, -EINVAL for bad options, -ENOSPC when it is too small. */
export function geometryFor(params: MountParams, magic: u64, refcounts: bool, at: usize): i32 {
  if (optionsKnown(params, "blocksize,inodes,journal") != 0) return -EINVAL;
  const blockSize = optionOr(params, "blocksize", BLOCKFS_MAX_BLOCK, BLOCKFS_MIN_BLOCK, BLOCKFS_MAX_BLOCK);
  if (blockSize == 0 || (blockSize & (blockSize - 1)) != 0) return -EINVAL;
  const clusters = params.nrBlocks & ~(CLUSTER_STEP - 1);
  if (clusters < MIN_CLUSTERS) return -ENOSPC;
  const blocks = clusters * (PAGE_SIZE / blockSize);
  let inodes = clusters * 2;
  if (inodes > 8192) inodes = 8192;
  inodes = optionOr(params, "inodes", inodes, 16, 65536);
  let journal = blocks / 8;
  if (journal < 40) journal = 40;
  if (journal > 1024) journal = 1024;
  journal = optionOr(params, "journal", journal, 40, 65536);
  if (inodes == 0 || journal == 0) return -EINVAL;
  store<u64>(at, magic, SB_MAGIC);
  store<u32>(at, blockSize, SB_BLOCK_SIZE);
  store<u32>(at, blocks, SB_NR_BLOCKS);
  let next: u32 = 1;
  next = area(at, SB_JOURNAL, next, journal);
  next = area(at, SB_ORPHANS, next, ORPHAN_BYTES / blockSize);
  next = area(at, SB_BITMAP, next, blocksFor(blocks, blockSize * 8));
  next = area(at, SB_REFCOUNTS, next, refcounts ? blocksFor(blocks, blockSize / 2) : 0);
  next = area(at, SB_INODE_BITMAP, next, blocksFor(inodes, blockSize * 8));
  store<u32>(at, next, SB_INODE_TABLE);
  store<u32>(at, inodes, SB_NR_INODES);
  next += blocksFor(inodes, blockSize / DINODE_BYTES);
  store<u32>(at, next, SB_DATA_START);
  sealSuper(at);
  return next + 16 > blocks ? -ENOSPC : 0;
}

function area(at: usize, field: u32, start: u32, blocks: u32): u32 {
  store<u32>(at + field, start);
  store<u32>(at + field, blocks, 4);
  return start + blocks;
}

/** The checksum of a superblock follows its content. */
export function sealSuper(at: usize): void {
  store<u32>(at, crc32c(blockFsState().crcTable, 0, at, SB_CRC), SB_CRC);
}

/** Writes zeros over blocks [start, end). Returns 0 or -errno. */
function zeroBlocks(fs: BlockFs, start: u32, end: u32): i32 {
  let at = start;
  while (at < end) {
    const bio = blockBio(fs, BIO_WRITE, REQ_META, at);
    if (isNullBio(bio)) return -ENOMEM;
    const perPage = PAGE_SIZE / fs.blockSize;
    while (at < end) {
      const n = end - at < perPage ? end - at : perPage;
      if (!bioAddPage(bio, mmState().zeroPage, n * fs.blockSize, 0)) break;
      at += n;
    }
    const status = submitBioWait(bio);
    bioFree(bio);
    if (status != 0) return status;
  }
  return 0;
}

/** The bitmap says that everything before the data area is used, and what lies behind the last block. */
function writeBitmap(fs: BlockFs, sb: usize, at: usize): i32 {
  const bits = fs.blockSize * 8;
  const start = load<u32>(sb, SB_BITMAP);
  const count = load<u32>(sb + SB_BITMAP, 4);
  const used = load<u32>(sb, SB_DATA_START);
  for (let i: u32 = 0; i < count; i++) {
    memory.fill(at, 0, fs.blockSize);
    for (let bit: u32 = 0; bit < bits; bit++) {
      const block = i * bits + bit;
      if (block < used || block >= fs.nrBlocks) bitmapSet(at, bit);
    }
    const error = blockTransfer(fs, BIO_WRITE, start + i, at);
    if (error != 0) return error;
  }
  return 0;
}

/** The root directory: inode 1, empty. */
function writeRoot(fs: BlockFs, sb: usize, at: usize): i32 {
  memory.fill(at, 0, fs.blockSize);
  bitmapSet(at, ROOT_INO - 1);
  // Numbers behind the last inode are nobody's.
  const bits = fs.blockSize * 8;
  for (let i = load<u32>(sb, SB_NR_INODES); i < bits; i++) bitmapSet(at, i);
  const error = blockTransfer(fs, BIO_WRITE, load<u32>(sb, SB_INODE_BITMAP), at);
  if (error != 0) return error;
  memory.fill(at, 0, fs.blockSize);
  const now = currentTimeNs();
  store<u32>(at, S_IFDIR | 0x1ed, DI_MODE);
  store<u32>(at, 2, DI_NLINK);
  store<u64>(at, now, DI_ATIME);
  store<u64>(at, now, DI_MTIME);
  store<u64>(at, now, DI_CTIME);
  store<u32>(at, 1, DI_GENERATION);
  return blockTransfer(fs, BIO_WRITE, load<u32>(sb, SB_INODE_TABLE), at);
}

function writeAll(fs: BlockFs, sb: usize, at: usize): i32 {
  // The whole ring: a transaction of a filesystem that was here before has the sequence that the new one's next will have.
  const journal = load<u32>(sb, SB_JOURNAL);
  let error = zeroBlocks(fs, journal, load<u32>(sb, SB_DATA_START));
  if (error == 0) error = writeBitmap(fs, sb, at);
  if (error == 0) error = writeRoot(fs, sb, at);
  if (error != 0) return error;
  memory.fill(at, 0, fs.blockSize);
  journalSuperFill(at, 1, 0);
  error = blockTransfer(fs, BIO_WRITE, journal, at);
  if (error == 0) error = blkdevIssueFlush();
  if (error == 0) error = blockTransfer(fs, BIO_WRITE, 0, sb);
  return error == 0 ? blkdevIssueFlush() : error;
}

/** ->mkfs. */
export function blockMkfs(params: MountParams, magic: u64, refcounts: bool): i32 {
  const fs = changetype<BlockFs>(kmemCacheAlloc(blockCache(CACHE_BLOCKFS)));
  const sb = allocPage(GFP_KERNEL | GFP_ZERO);
  const page = allocPage(GFP_KERNEL | GFP_ZERO);
  let error: i32 = changetype<usize>(fs) == 0 || isNullPage(sb) || isNullPage(page) ? -ENOMEM : 0;
  if (error == 0) error = geometryFor(params, magic, refcounts, pageAddress(sb));
  if (error == 0) {
    const at = pageAddress(sb);
    fs.blockSize = load<u32>(at, SB_BLOCK_SIZE);
    fs.blockShift = ctz(fs.blockSize);
    fs.nrBlocks = load<u32>(at, SB_NR_BLOCKS);
    fs.startSector = <u64>params.startBlock * SECTORS_PER_BLOCK;
    const journal = journalAlloc(0, load<u32>(at + SB_JOURNAL, 4), fs.blockSize);
    error = changetype<usize>(journal) == 0 ? -ENOMEM : journal.maxCredits < LEAST_CREDITS ? -EINVAL : 0;
    if (changetype<usize>(journal) != 0) journalFree(journal);
  }
  if (error == 0) error = writeAll(fs, pageAddress(sb), pageAddress(page));
  if (!isNullPage(sb)) putPage(sb);
  if (!isNullPage(page)) putPage(page);
  if (changetype<usize>(fs) != 0) kmemCacheFree(blockCache(CACHE_BLOCKFS), changetype<usize>(fs));
  return error;
}
