/*
 * What one check of an iomapfs or jbdfs knows, and its laws.
 *
 *    33  superblock      not valid, or areas that do not follow each other, [mkf-1]
 *    34  journal         its super block; a transaction that names a block it must not, or a block that is file data now, [sp-2]
 *    35  orphans         a slot names no inode, or one that another slot names, [bi-3]
 *    36  inode map       a bit and the record do not say the same
 *    37  inode           a record that makes no sense
 *    38  extent node     not what its parent says
 *    39  extents         order, overlap, bounds of the parent, outside the data area; a directory's or link's with holes, [bl-1] [xt-1]
 *    40  tree shape      more nodes than needed, neighbours that fit one, [xt-2] [xt-3]
 *    41  counts          extents, blocks, nodes of an inode are not the tree's
 *    42  behind the end  written blocks beyond the size of what is no orphan, [bl-3]
 *    43  owners          a block with two owners that does not count them
 *    44  refcounts       are not the number of owners less one, or are there without the superblock's flag, [bl-2]
 *    45  block map       a bit does not say whether the block has an owner, [bl-2]
 *    46  records         a directory block that is not filled by its records, a name twice, [di-1]
 *    47  names           a name of no inode, or of another type
 *    48  links           nlink is not the number of names, or 0 without an orphan slot
 *    49  reach           a directory that the root does not lead to, or with two names
 *
 * Interface: BlockFsck, BLOCK_FSCK_*, blockFsckLaw(n), fsckRead, fsckOwn, F_*.
 * Invariants: [fk-1] a block that the ring holds is read from there: what is checked is what a mount would see. [fk-3] nothing is written.
 * Locks: the namespace mutex (the VFS's).
 * Why not the buffer cache: it is a mount's, and a check needs ten blocks at a time.
 */
import { ENOMEM, errPtr } from "../../lib/errno";
import { XArray, XaCursor, xaErase, xaFind, xaLoad, xaStore } from "../../lib/xarray";
import { BIO_READ } from "../../block/bio";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "../../mm/page-alloc";
import { addressToPage, isNullPage, pageAddress } from "../../mm/page";
import { SCRATCH_SHORT_BYTES } from "../scratch";
import { blockTransfer } from "./recovery";
import { BlockFs } from "./state";

/** Before the first of these laws lie those of cowfs. */
export const BLOCK_FSCK_BASE: i32 = 32;
export const BLOCK_FSCK_SUPER: i32 = 33;
export const BLOCK_FSCK_JOURNAL: i32 = 34;
export const BLOCK_FSCK_ORPHANS: i32 = 35;
export const BLOCK_FSCK_INODE_MAP: i32 = 36;
export const BLOCK_FSCK_INODE: i32 = 37;
export const BLOCK_FSCK_NODE: i32 = 38;
export const BLOCK_FSCK_EXTENTS: i32 = 39;
export const BLOCK_FSCK_SHAPE: i32 = 40;
export const BLOCK_FSCK_COUNTS: i32 = 41;
export const BLOCK_FSCK_BEYOND: i32 = 42;
export const BLOCK_FSCK_OWNERS: i32 = 43;
export const BLOCK_FSCK_REFCOUNTS: i32 = 44;
export const BLOCK_FSCK_BLOCK_MAP: i32 = 45;
export const BLOCK_FSCK_RECORDS: i32 = 46;
export const BLOCK_FSCK_NAMES: i32 = 47;
export const BLOCK_FSCK_LINKS: i32 = 48;
export const BLOCK_FSCK_REACH: i32 = 49;

/** What a law is about; empty for what is none. */
export function blockFsckLaw(n: i32): string {
  switch (n) {
    case BLOCK_FSCK_SUPER: return "superblock";
    case BLOCK_FSCK_JOURNAL: return "journal";
    case BLOCK_FSCK_ORPHANS: return "list of orphans";
    case BLOCK_FSCK_INODE_MAP: return "map of inodes";
    case BLOCK_FSCK_INODE: return "inode";
    case BLOCK_FSCK_NODE: return "extent node";
    case BLOCK_FSCK_EXTENTS: return "extents";
    case BLOCK_FSCK_SHAPE: return "shape of an extent tree";
    case BLOCK_FSCK_COUNTS: return "counts of an inode";
    case BLOCK_FSCK_BEYOND: return "blocks behind the end of a file";
    case BLOCK_FSCK_OWNERS: return "owners of a block";
    case BLOCK_FSCK_REFCOUNTS: return "refcounts";
    case BLOCK_FSCK_BLOCK_MAP: return "map of blocks";
    case BLOCK_FSCK_RECORDS: return "records of a directory";
    case BLOCK_FSCK_NAMES: return "names";
    case BLOCK_FSCK_LINKS: return "link counts";
    case BLOCK_FSCK_REACH: return "reachability";
    default: return "";
  }
}

/** Frames of the check, by what is read into them: a block stays until the next one for the same use. */
export const F_TABLE: u32 = 0;
/** Nodes of levels 0 to 2. */
export const F_NODE: u32 = 1;
export const F_LOOK: u32 = 4;
export const F_DIR: u32 = 5;
export const F_TWIN: u32 = 6;
export const F_TARGET: u32 = 7;
export const F_MAP: u32 = 8;
export const F_REFS: u32 = 9;
const FRAMES: u32 = 10;

/** BlockFsck.owners: files that have the block, or this for metadata. */
export const OWNER_META: u32 = 0x4000_0000;

@unmanaged
export class BlockFsck {
  /** Block -> owners; block -> place in the ring + 1; inode -> orphan slot + 1. */
  owners0: u64; owners1: u64;
  ring0: u64; ring1: u64;
  orphans0: u64; orphans1: u64;
  /** Inode -> names of a file, subdirectories of a directory; directory -> its parent; hash of a directory's name -> 1. */
  links0: u64; links1: u64;
  parents0: u64; parents1: u64;
  hashes0: u64; hashes1: u64;
  cursor0: u64; cursor1: u64;
  /** What is being looked at: a block, an inode, a slot. */
  place: u64;
  fs: BlockFs;
  /** Size of the table of refcounts is 0: nothing is shared. */
  mayShare: u32;
  /** The inode that is being checked: number, record, what its tree adds up to. */
  ino: u32;
  record: usize;
  extents: u32;
  treeBlocks: u32;
  dataBlocks: u32;
  /** Block behind the last extent, and behind the last written one. */
  mappedEnd: u32;
  writtenEnd: u32;
  unwritten: u32;
  /** Sums of the check. */
  transactions: u32;
  allExtents: u32;
  allNodes: u32;
  allData: u32;
  inodes: u32;
  names: u32;
  nrOrphans: u32;
  shared: u32;
  /** u32[FRAMES] addresses, u32[FRAMES] blocks + 1 follow. */

  get owners(): XArray {
    return changetype<XArray>(changetype<usize>(this));
  }
  get ring(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFsck>("ring0"));
  }
  get orphans(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFsck>("orphans0"));
  }
  get links(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFsck>("links0"));
  }
  get parents(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFsck>("parents0"));
  }
  get hashes(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFsck>("hashes0"));
  }
  get cursor(): XaCursor {
    return changetype<XaCursor>(changetype<usize>(this) + offsetof<BlockFsck>("cursor0"));
  }
  frame(index: u32): usize {
    assert(index < FRAMES, "a frame of the check");
    return load<u32>(changetype<usize>(this) + offsetof<BlockFsck>() + (index << 2));
  }
}

if (<u32>offsetof<BlockFsck>() + FRAMES * 8 > SCRATCH_SHORT_BYTES) ERROR("a BlockFsck and its frames fit a call's scratch");

/** Frames to read into. False on ENOMEM. */
export function fsckFrames(f: BlockFsck): bool {
  for (let i: u32 = 0; i < FRAMES; i++) {
    const page = allocPage(GFP_KERNEL | GFP_ZERO);
    if (isNullPage(page)) return false;
    store<u32>(changetype<usize>(f) + offsetof<BlockFsck>() + (i << 2), <u32>pageAddress(page));
  }
  return true;
}

export function fsckEmpty(f: BlockFsck, xa: XArray): void {
  while (xaFind(xa, 0, u32.MAX_VALUE, f.cursor) != 0) xaErase(xa, f.cursor.index);
}

export function fsckFree(f: BlockFsck): void {
  fsckEmpty(f, f.owners);
  fsckEmpty(f, f.ring);
  fsckEmpty(f, f.orphans);
  fsckEmpty(f, f.links);
  fsckEmpty(f, f.parents);
  fsckEmpty(f, f.hashes);
  for (let i: u32 = 0; i < FRAMES; i++) if (f.frame(i) != 0) putPage(addressToPage(f.frame(i)));
}

/** A block as a mount would find it, in the frame of a use: its address, or ERR_PTR. */
export function fsckRead(f: BlockFsck, frame: u32, block: u32): usize {
  assert(block < f.fs.nrBlocks, "a block of the filesystem is read");
  const known = changetype<usize>(f) + offsetof<BlockFsck>() + (FRAMES + frame) * 4;
  const at = f.frame(frame);
  if (load<u32>(known) == block + 1) return at;
  store<u32>(known, 0);
  const copy = <u32>xaLoad(f.ring, block);
  assert(copy <= f.fs.orphanStart, "[fk-1] a copy lies in the ring");
  const error = blockTransfer(f.fs, BIO_READ, copy != 0 ? copy - 1 : block, at);
  if (error != 0) return errPtr(error);
  store<u32>(known, block + 1);
  return at;
}

/** The superblock was read before the ring was known: nothing read so far counts. */
export function fsckForget(f: BlockFsck): void {
  memory.fill(changetype<usize>(f) + offsetof<BlockFsck>() + FRAMES * 4, 0, FRAMES * 4);
}

/** Notes that blocks have an owner: a file's data, or metadata. Returns 0, a law, or -ENOMEM. */
export function fsckOwn(f: BlockFsck, start: u32, length: u32, isMeta: bool): i32 {
  const fs = f.fs;
  const end = <u64>start + length;
  f.place = start;
  if (start < fs.dataStart || end > fs.nrBlocks) return BLOCK_FSCK_EXTENTS;
  for (let block = start; block < <u32>end; block++) {
    f.place = block;
    const owners = <u32>xaLoad(f.owners, block);
    assert(owners <= OWNER_META, "metadata has one owner");
    if (owners != 0 && (isMeta || owners >= OWNER_META || f.mayShare == 0)) return BLOCK_FSCK_OWNERS;
    if (!isMeta && xaLoad(f.ring, block) != 0) return BLOCK_FSCK_JOURNAL;
    if (xaStore(f.owners, block, isMeta ? OWNER_META : owners + 1) != 0) return -ENOMEM;
  }
  return 0;
}
