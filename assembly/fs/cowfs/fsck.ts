/*
 * fsck: walks everything on the disk of a filesystem that is not mounted, and names the first law that is broken.
 *
 *     0  clean
 *     1  superblock       no copy is valid
 *     2  tree block       checksum, place, level or generation is not what its pointer says
 *     3  order            keys across blocks, [bt-1]
 *     4  space            two things in one place, or outside the filesystem; a live tree's block with two pointers
 *     5  fill             a block that is not a root is less than a quarter full, a root node has one child, [bt-2]
 *     6  counts           a ROOT_ITEM's blocks or bytes are not the tree's, [bt-5]
 *     7  references       an EXTENT_ITEM's refs, or an item that refers to no extent, [cow-7]
 *     8  checksums        an extent without its EXTENT_CSUM, the reverse, or data that sums up differently, [cow-8]
 *     9  inode            no INODE_ITEM, or one that makes no sense; extents that overlap or lie beyond the end; nbytes, [cf-1]
 *    10  names            DIR_ITEM, DIR_INDEX and INODE_REF do not say the same, [cd-1]
 *    11  links            nlink is not the number of names, or 0 without an ORPHAN_ITEM, [cn-1]
 *    12  directory size   is not the sum of the names, [cd-2]
 *    13  reach            a directory that the root does not lead to, an orphan without an inode
 *
 * What was walked is told by one event each (TP_COWFS_FSCK): FOUND_* and how many; then BROKEN + law and where: the cluster of a
 * tree block, the byte of an extent, or the number of an inode.
 *
 * Interface: cowfsFsck(params), fsckLaw(n), FSCK_*. The walk over items of inodes is in fsck-inodes.ts.
 * Invariants: [fk-3] nothing is written; a law that is broken is a positive result, an error of the disk or memory a negative one.
 * Locks: the namespace mutex (the VFS's): nobody mounts meanwhile. Tree rwsems for form.
 * Why not repair: a filesystem whose blocks are never overwritten is repaired by going back to one that was whole.
 */
import { crc32c } from "../../lib/crc32c";
import { EIO, ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { XArray, XaCursor, xaErase, xaFind, xaInit, xaLoad, xaStore } from "../../lib/xarray";
import { BIO_READ, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { submitBioWait } from "../../block/request-queue";
import { TP_COWFS_FSCK } from "../../tracepoints";
import { downRead, upRead } from "../../sched/rwsem";
import { currentTask, nowNs, sched } from "../../sched/state";
import { MountParams } from "../mount";
import { scratchAlloc, scratchFree } from "../scratch";
import { atItem, isNullPath, nextItem, pathAlloc, pathFree, pathItem, pathItemSize, pathKey, pathRelease, searchSlot } from "./btree";
import { checkInodes } from "./fsck-inodes";
import {
  BH_NRITEMS, CLUSTER_SECTORS, CSUM_TREE_OBJECTID, ED_DISK_BYTENR, ED_TYPE, EI_REFS, EXTENT_CSUM_KEY, EXTENT_CSUM_OBJECTID,
  EXTENT_DATA_KEY, EXTENT_INLINE, EXTENT_ITEM_BYTES, EXTENT_ITEM_KEY, EXTENT_TREE_OBJECTID, FIRST_FREE_OBJECTID, FS_TREE_OBJECTID,
  KEY_OFFSET, KEY_TYPE, LEAF_BYTES, NODE_PTRS, PTR_GENERATION, ROOT_ITEM_KEY, itemAt, itemData, keyAt, keysCompare, leafFill, nrItems,
  ptrAt, ptrCluster,
} from "./layout";
import { checkGeometry, readNewestSuper, rootAlloc, rootFromItem, takeSuper } from "./load";
import { infoAlloc, infoFree } from "./mount";
import { dataMarkUsed, spaceInit, spaceReserveFixed, treeMarkUsed } from "./space";
import {
  CACHE_ROOT, TREES, TREE_CSUM, TREE_EXTENT, TREE_FS, TREE_ROOT, CowHandle, CowPath, CowRoot, CowfsInfo, cowCache, cowfsState,
} from "./state";
import { treeBlockPut, treeBlockRead } from "./tree-block";

export const FSCK_SUPER: i32 = 1;
export const FSCK_BLOCK: i32 = 2;
export const FSCK_ORDER: i32 = 3;
export const FSCK_SPACE: i32 = 4;
export const FSCK_FILL: i32 = 5;
export const FSCK_COUNTS: i32 = 6;
export const FSCK_REFERENCES: i32 = 7;
export const FSCK_CHECKSUMS: i32 = 8;
export const FSCK_INODE: i32 = 9;
export const FSCK_NAMES: i32 = 10;
export const FSCK_LINKS: i32 = 11;
export const FSCK_DIR_SIZE: i32 = 12;
export const FSCK_REACH: i32 = 13;
const LAWS: i32 = 14;

/** What a law is about; empty beyond the last. */
export function fsckLaw(n: i32): string {
  switch (n) {
    case 0: return "clean";
    case FSCK_SUPER: return "superblock";
    case FSCK_BLOCK: return "tree block";
    case FSCK_ORDER: return "order of keys";
    case FSCK_SPACE: return "space";
    case FSCK_FILL: return "fill of blocks";
    case FSCK_COUNTS: return "counts of a tree";
    case FSCK_REFERENCES: return "references of extents";
    case FSCK_CHECKSUMS: return "checksums of data";
    case FSCK_INODE: return "inode";
    case FSCK_NAMES: return "names";
    case FSCK_LINKS: return "link counts";
    case FSCK_DIR_SIZE: return "directory size";
    case FSCK_REACH: return "reachability";
    default: assert(n >= LAWS || n < 0, "every law has a name"); return "";
  }
}

/** Events: how many of each were walked, and which law is broken where. */
const FOUND_BLOCKS: u64 = 0;
const FOUND_EXTENTS: u64 = 1;
const FOUND_DATA: u64 = 2;
const FOUND_INODES: u64 = 3;
const FOUND_NAMES: u64 = 4;
const FOUND_SNAPSHOTS: u64 = 5;
const FOUND_GENERATION: u64 = 6;
const BROKEN: u64 = 256;

/** The state of one check; all in memory that it frees. */
@unmanaged
export class Fsck {
  /** First sector of a data extent -> times an item refers to it. */
  refs0: u64; refs1: u64;
  cursor0: u64; cursor1: u64;
  /** Sums of the tree that is being walked. */
  itemBytes: u64;
  extents: u64;
  info: CowfsInfo;
  /** The tree's walk, and two paths for looking things up beside it. */
  walk: CowPath;
  path: CowPath;
  look: CowPath;
  scratchRoot: CowRoot;
  /** The tree whose inodes are being checked. */
  tree: CowRoot;
  blocks: u32;
  /** What is being looked at: a cluster, a byte of the disk, an inode. */
  place: u64;
  /** Sums of the whole check. */
  allBlocks: u32;
  dataBlocks: u32;
  inodes: u32;
  names: u32;
  snapshots: u32;

  get refs(): XArray {
    return changetype<XArray>(changetype<usize>(this));
  }
  get cursor(): XaCursor {
    return changetype<XaCursor>(changetype<usize>(this) + offsetof<Fsck>("cursor0"));
  }
}

if (offsetof<Fsck>() > 128) ERROR("a Fsck fits a call's scratch");

/** FileSystemType.fsck. Returns 0, the number of a law, or -errno. */
export function cowfsFsck(params: MountParams): i32 {
  if (checkGeometry(params.nrBlocks, 4096) != 0) return FSCK_SUPER;
  const f = changetype<Fsck>(scratchAlloc());
  const info = infoAlloc(params);
  let result: i32 = -ENOMEM;
  if (changetype<usize>(f) != 0 && changetype<usize>(info) != 0) {
    f.info = info;
    f.walk = pathAlloc();
    f.path = pathAlloc();
    f.look = pathAlloc();
    f.scratchRoot = rootAlloc(info, TREES, 0);
    xaInit(f.refs);
    if (!isNullPath(f.walk) && !isNullPath(f.path) && !isNullPath(f.look) && changetype<usize>(f.scratchRoot) != 0) {
      result = checkAll(f);
      tell(f, result);
    }
    release(f);
  }
  if (changetype<usize>(info) != 0) infoFree(info);
  if (changetype<usize>(f) != 0) scratchFree(changetype<usize>(f));
  return result;
}

function tellOne(what: u64, value: u64): void {
  traceEmit(nowNs(), TP_COWFS_FSCK, sched().cpu.id, currentTask().id, what, value);
}

function tell(f: Fsck, result: i32): void {
  tellOne(FOUND_GENERATION, f.info.committed);
  tellOne(FOUND_BLOCKS, f.allBlocks);
  tellOne(FOUND_EXTENTS, f.extents);
  tellOne(FOUND_DATA, f.dataBlocks);
  tellOne(FOUND_INODES, f.inodes);
  tellOne(FOUND_NAMES, f.names);
  tellOne(FOUND_SNAPSHOTS, f.snapshots);
  if (result > 0) tellOne(BROKEN + result, f.place);
}

function release(f: Fsck): void {
  while (xaFind(f.refs, 0, u32.MAX_VALUE, f.cursor) != 0) xaErase(f.refs, f.cursor.index);
  if (!isNullPath(f.walk)) pathFree(f.walk);
  if (!isNullPath(f.path)) pathFree(f.path);
  if (!isNullPath(f.look)) pathFree(f.look);
  if (changetype<usize>(f.scratchRoot) != 0) kmemCacheFree(cowCache(CACHE_ROOT), changetype<usize>(f.scratchRoot));
}

function checkAll(f: Fsck): i32 {
  const info = f.info;
  const error = readNewestSuper(info);
  if (error != 0) return error == -EIO || error == -ENOMEM ? error : FSCK_SUPER;
  takeSuper(info);
  spaceInit(info);
  spaceReserveFixed(info);
  let result = checkTrees(f);
  if (result == 0) result = checkExtents(f);
  if (result == 0) result = checkCsums(f);
  if (result == 0) result = checkInodes(f, info.root(TREE_FS));
  return result == 0 ? checkSnapshotInodes(f) : result;
}

/** The root tree, the trees it names, and the snapshots: blocks, order, space, fill, counts. */
function checkTrees(f: Fsck): i32 {
  const info = f.info;
  const top = rootAlloc(info, TREE_ROOT, 1);
  if (changetype<usize>(top) == 0) return -ENOMEM;
  info.setRoot(TREE_ROOT, top);
  top.cluster = info.superRoot;
  top.level = info.superLevel;
  top.generation = info.committed;
  let result = walkBlocks(f, top, false);
  if (result == 0) result = checkLiveTree(f, TREE_FS, FS_TREE_OBJECTID);
  if (result == 0) result = checkLiveTree(f, TREE_EXTENT, EXTENT_TREE_OBJECTID);
  if (result == 0) result = checkLiveTree(f, TREE_CSUM, CSUM_TREE_OBJECTID);
  if (result != 0) return result;
  let found = seekSnapshot(f, FIRST_FREE_OBJECTID);
  while (found == 0 && result == 0) {
    const id = f.scratchRoot.objectid;
    f.snapshots++;
    result = walkBlocks(f, f.scratchRoot, true);
    if (result == 0) found = seekSnapshot(f, id + 1);
  }
  return result != 0 ? result : seekEnd(found);
}

/** A ROOT_ITEM that makes no sense. */
const SEEK_BAD: i32 = 2;

/** f.scratchRoot becomes the first snapshot with a number of at least `id`. 0, 1 (none), SEEK_BAD, or -errno. */
function seekSnapshot(f: Fsck, id: u64): i32 {
  const top = f.info.root(TREE_ROOT);
  downRead(top.rwsem);
  let result = searchSlot(changetype<CowHandle>(0), top, id, 0, 0, f.path, 0);
  if (result >= 0) result = atItem(top, f.path);
  if (result == 0) {
    const isRoot = load<u8>(pathKey(f.path), KEY_TYPE) == ROOT_ITEM_KEY;
    f.scratchRoot.objectid = load<u64>(pathKey(f.path));
    if (!isRoot || !rootFromItem(f.scratchRoot, pathItem(f.path), pathItemSize(f.path))) result = SEEK_BAD;
    pathRelease(f.path);
  }
  upRead(top.rwsem);
  return result;
}

/** What the last seekSnapshot says about the check. */
function seekEnd(found: i32): i32 {
  return found < 0 ? found : found == SEEK_BAD ? FSCK_COUNTS : 0;
}

/** One tree with a ROOT_ITEM of its own, and what that says of it. */
function checkLiveTree(f: Fsck, index: u32, objectid: u64): i32 {
  const info = f.info;
  const top = info.root(TREE_ROOT);
  const root = rootAlloc(info, index, objectid);
  if (changetype<usize>(root) == 0) return -ENOMEM;
  info.setRoot(index, root);
  downRead(top.rwsem);
  const result = searchSlot(changetype<CowHandle>(0), top, objectid, ROOT_ITEM_KEY, 0, f.path, 0);
  const sound = result == 0 && rootFromItem(root, pathItem(f.path), pathItemSize(f.path));
  pathRelease(f.path);
  upRead(top.rwsem);
  if (result < 0) return result;
  if (!sound) return FSCK_COUNTS;
  const walked = walkBlocks(f, root, index == TREE_FS);
  if (walked != 0) return walked;
  return f.blocks == root.blocks && f.itemBytes == root.itemBytes ? 0 : FSCK_COUNTS;
}

/** Notes a pointer to a block. 1: the first; 0: seen before; or a law. */
function notePointer(f: Fsck, cluster: u32, mayShare: bool): i32 {
  const info = f.info;
  f.place = cluster;
  if (cluster >= info.clusters) return -FSCK_SPACE;
  const c = info.cluster(cluster);
  assert(c.pinnedEven == 0 && c.pinnedOdd == 0, "[fk-3] a check gives nothing up");
  if (c.refs != 0) {
    if (!mayShare) return -FSCK_SPACE;
    c.refs++;
    return 0;
  }
  return treeMarkUsed(info, cluster) ? 1 : -FSCK_SPACE;
}

/** What one block must be by itself. `low`, `high`: keys of its parent around it, or 0. */
function checkBlock(f: Fsck, root: CowRoot, block: usize, level: u32, low: usize, high: usize): i32 {
  const count = nrItems(block);
  const isRoot = level == root.level;
  if (count != 0 && low != 0 && keysCompare(low, keyAt(block, 0)) > 0) return FSCK_ORDER;
  if (count != 0 && high != 0 && keysCompare(keyAt(block, count - 1), high) >= 0) return FSCK_ORDER;
  if (isRoot && level != 0 && count < 2) return FSCK_FILL;
  if (!isRoot && level == 0 && leafFill(block) * 4 < LEAF_BYTES) return FSCK_FILL;
  if (!isRoot && level != 0 && count * 4 < NODE_PTRS) return FSCK_FILL;
  if (level != 0) return 0;
  f.itemBytes += leafFill(block);
  return root.index == TREE_FS || root.index == TREES ? countRefs(f, block) : 0;
}

/** Counts what the leaf's items refer to. */
function countRefs(f: Fsck, leaf: usize): i32 {
  for (let slot: u32 = 0; slot < load<u32>(leaf, BH_NRITEMS); slot++) {
    if (load<u8>(itemAt(leaf, slot), KEY_TYPE) != EXTENT_DATA_KEY || load<u8>(itemData(leaf, slot), ED_TYPE) == EXTENT_INLINE) continue;
    const sector = load<u64>(itemData(leaf, slot), ED_DISK_BYTENR) >> 9;
    if (sector >= <u64>f.info.clusters * CLUSTER_SECTORS) return FSCK_REFERENCES;
    const error = xaStore(f.refs, <u32>sector, xaLoad(f.refs, <u32>sector) + 1);
    if (error != 0) return error;
  }
  return 0;
}

/** Reads a block; law 2 when it is not what its pointer says. */
function readBlock(f: Fsck, cluster: u32, level: u32, generation: u64): usize {
  f.place = cluster;
  f.allBlocks++;
  const block = treeBlockRead(f.info, cluster, level, generation);
  return isErr(block) && ptrErr(block) == -EIO ? 0 : block;
}

/** Every block of a tree that was not seen before. f.blocks and f.itemBytes are the tree's afterwards. */
function walkBlocks(f: Fsck, root: CowRoot, mayShare: bool): i32 {
  const path = f.walk;
  f.blocks = 0;
  f.itemBytes = 0;
  const first = notePointer(f, root.cluster, mayShare && root.index == TREES);
  if (first <= 0) return -first;
  let level = root.level;
  let block = readBlock(f, root.cluster, level, root.generation);
  if (block == 0 || isErr(block)) return block == 0 ? FSCK_BLOCK : ptrErr(block);
  f.blocks = 1;
  let result = checkBlock(f, root, block, level, 0, 0);
  path.setBlock(level, block);
  path.setSlot(level, 0);
  while (result == 0 && level <= root.level) {
    block = path.block(level);
    const slot = path.slot(level);
    if (level == 0 || slot >= nrItems(block)) {
      treeBlockPut(block);
      path.setBlock(level, 0);
      level++;
      continue;
    }
    path.setSlot(level, slot + 1);
    const child = ptrCluster(block, slot);
    const seen = notePointer(f, child, mayShare);
    if (seen < 0) result = -seen;
    if (seen <= 0) continue;
    f.blocks++;
    const next = readBlock(f, child, level - 1, load<u64>(ptrAt(block, slot), PTR_GENERATION));
    if (next == 0 || isErr(next)) {
      result = next == 0 ? FSCK_BLOCK : ptrErr(next);
      continue;
    }
    const high = slot + 1 < nrItems(block) ? keyAt(block, slot + 1) : <usize>0;
    level--;
    path.setBlock(level, next);
    path.setSlot(level, 0);
    result = checkBlock(f, root, next, level, keyAt(block, slot), high);
  }
  pathRelease(path);
  return result;
}

/** Every data extent: its place, its references, its checksums. */
function checkExtents(f: Fsck): i32 {
  const root = f.info.root(TREE_EXTENT);
  downRead(root.rwsem);
  let result = searchSlot(changetype<CowHandle>(0), root, 0, 0, 0, f.path, 0);
  if (result >= 0) result = atItem(root, f.path);
  let law: i32 = 0;
  while (result == 0 && law == 0) {
    law = checkExtent(f);
    if (law == 0) result = nextItem(root, f.path);
  }
  pathRelease(f.path);
  upRead(root.rwsem);
  if (law != 0) return law;
  if (result < 0) return result;
  // References that are left lead to no extent.
  return xaFind(f.refs, 0, u32.MAX_VALUE, f.cursor) != 0 ? FSCK_REFERENCES : 0;
}

function checkExtent(f: Fsck): i32 {
  const info = f.info;
  const key = pathKey(f.path);
  const bytenr = load<u64>(key);
  const lenBytes = load<u64>(key, KEY_OFFSET);
  f.place = bytenr;
  const mask = <u64>info.blockSize - 1;
  if (load<u8>(key, KEY_TYPE) != EXTENT_ITEM_KEY || pathItemSize(f.path) != EXTENT_ITEM_BYTES) return FSCK_REFERENCES;
  if (lenBytes == 0 || ((bytenr | lenBytes) & mask) != 0 || bytenr + lenBytes > <u64>info.clusters << 12) return FSCK_SPACE;
  if (!dataMarkUsed(info, <u32>(bytenr >> 9), <u32>(lenBytes >> 9))) return FSCK_SPACE;
  const found = xaLoad(f.refs, <u32>(bytenr >> 9));
  if (found == 0 || load<u64>(pathItem(f.path), EI_REFS) != found) return FSCK_REFERENCES;
  xaErase(f.refs, <u32>(bytenr >> 9));
  f.extents++;
  f.dataBlocks += <u32>(lenBytes >> info.blockShift);
  return checkData(f, bytenr, <u32>(lenBytes >> info.blockShift));
}

/** The extent's checksums against its data. */
function checkData(f: Fsck, bytenr: u64, blocks: u32): i32 {
  const info = f.info;
  const root = info.root(TREE_CSUM);
  downRead(root.rwsem);
  const result = searchSlot(changetype<CowHandle>(0), root, EXTENT_CSUM_OBJECTID, EXTENT_CSUM_KEY, bytenr, f.look, 0);
  let law: i32 = result < 0 ? result : result == 1 || pathItemSize(f.look) != blocks * 4 ? FSCK_CHECKSUMS : 0;
  for (let i: u32 = 0; i < blocks && law == 0; i++) {
    law = checkDataBlock(info, bytenr + (<u64>i << info.blockShift), load<u32>(pathItem(f.look) + (i << 2)));
  }
  pathRelease(f.look);
  upRead(root.rwsem);
  return law;
}

function checkDataBlock(info: CowfsInfo, byte: u64, sum: u32): i32 {
  const bio = bioAlloc(BIO_READ, 0, info.startSector + (byte >> 9));
  if (isNullBio(bio)) return -ENOMEM;
  bioAddPage(bio, info.superFrame, info.blockSize, 0);
  const status = submitBioWait(bio);
  bioFree(bio);
  if (status != 0) return status;
  return crc32c(cowfsState().crcTable, 0, info.superFrame, info.blockSize) == sum ? 0 : FSCK_CHECKSUMS;
}

/** As many EXTENT_CSUM items as extents. */
function checkCsums(f: Fsck): i32 {
  const root = f.info.root(TREE_CSUM);
  downRead(root.rwsem);
  let items: u64 = 0;
  let result = searchSlot(changetype<CowHandle>(0), root, 0, 0, 0, f.path, 0);
  if (result >= 0) result = atItem(root, f.path);
  while (result == 0) {
    items++;
    result = nextItem(root, f.path);
  }
  upRead(root.rwsem);
  return result < 0 ? result : items == f.extents ? 0 : FSCK_CHECKSUMS;
}

function checkSnapshotInodes(f: Fsck): i32 {
  let result: i32 = 0;
  let found = seekSnapshot(f, FIRST_FREE_OBJECTID);
  while (found == 0 && result == 0) {
    const id = f.scratchRoot.objectid;
    result = checkInodes(f, f.scratchRoot);
    if (result == 0) found = seekSnapshot(f, id + 1);
  }
  return result != 0 ? result : seekEnd(found);
}
