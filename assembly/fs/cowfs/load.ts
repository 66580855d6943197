/*
 * From the disk into memory: superblocks, roots, and the space map that a walk over the trees' inner nodes and the extent tree gives.
 *
 *     superblocks --newest valid--> root tree --ROOT_ITEMs--> trees --inner nodes--> references of tree blocks
 *                                                     extent tree --EXTENT_ITEMs--> data in use
 *
 * Interface: readSuper, loadTrees, rootOf, walkTree.
 * Invariants:
 *   [cm-1] a filesystem whose trees overlap, point outside it or count differently than their ROOT_ITEM says is not mounted (EIO).
 *   [cm-2] of two valid superblocks the one with the higher generation is used.
 * Locks: none: nobody else has the filesystem yet; tree rwsems are taken for form.
 * Why not trust the counts alone: mounting reads the inner nodes anyway, and a wrong count would be a wrong promise.
 */
import { crc32c } from "../../lib/crc32c";
import { EINVAL, EIO, ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { kmemCacheAlloc } from "../../lib/slab";
import { BIO_READ, REQ_META, REQ_SYNC, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { submitBioWait } from "../../block/request-queue";
import { LC_COWFS_CSUM_TREE, LC_COWFS_EXTENT_TREE, LC_COWFS_FS_TREE, LC_COWFS_ROOT_TREE } from "../../sched/lock-class";
import { downRead, rwsemInit, upRead } from "../../sched/rwsem";
import { atItem, lookupItem, nextItem, pathItem, pathItemSize, pathKey, pathRelease, searchSlot } from "./btree";
import {
  CLUSTER_SECTORS, CLUSTER_SHIFT, COWFS_MAGIC, CSUM_BYTES, CSUM_TREE_OBJECTID, EXTENT_ITEM_BYTES, EXTENT_ITEM_KEY, EXTENT_TREE_OBJECTID,
  FIRST_FREE_OBJECTID, FS_TREE_OBJECTID, ITEM_BYTES, KEY_OFFSET, KEY_TYPE, MAX_LEVEL, NODE_SIZE, PTR_GENERATION, ROOT_BYTENR,
  ROOT_BYTES_USED, ROOT_GENERATION, ROOT_ITEM_BYTES, ROOT_ITEM_KEY, ROOT_ITEM_SUM, ROOT_LEVEL, ROOT_TREE_OBJECTID, SB_BYTENR, SB_FSID,
  SB_GENERATION, SB_MAGIC, SB_NODESIZE, SB_ROOT, SB_ROOT_LEVEL, SB_SECTORSIZE, SB_TOTAL_BYTES, SUPER_CLUSTER, nrItems, ptrAt, ptrCluster,
} from "./layout";
import { dataMarkUsed, spaceInit, spaceReserveFixed, treeMarkUsed } from "./space";
import {
  CACHE_ROOT, TREES, TREE_CSUM, TREE_EXTENT, TREE_FS, TREE_ROOT, CowHandle, CowPath, CowRoot, CowfsInfo, cowCache, cowfsState,
} from "./state";
import { treeBlockPut, treeBlockRead } from "./tree-block";

/** Reads a superblock copy into info.superFrame. Returns its generation, 0 when it is not valid, or -errno of the read. */
export function readSuper(info: CowfsInfo, cluster: u32): i64 {
  const bio = bioAlloc(BIO_READ, REQ_META | REQ_SYNC, info.startSector + <u64>cluster * CLUSTER_SECTORS);
  if (isNullBio(bio)) return -ENOMEM;
  const block = info.superFrame;
  bioAddPage(bio, block, NODE_SIZE, 0);
  const status = submitBioWait(bio);
  bioFree(bio);
  if (status != 0) return status;
  if (load<u64>(block, SB_MAGIC) != COWFS_MAGIC || load<u64>(block, SB_BYTENR) != (<u64>cluster) << CLUSTER_SHIFT) return 0;
  if (load<u32>(block) != crc32c(cowfsState().crcTable, 0, block + CSUM_BYTES, NODE_SIZE - CSUM_BYTES)) return 0;
  const size = load<u32>(block, SB_SECTORSIZE);
  if (size < 512 || size > NODE_SIZE || (size & (size - 1)) != 0 || load<u32>(block, SB_NODESIZE) != NODE_SIZE) return 0;
  if (load<u64>(block, SB_TOTAL_BYTES) != (<u64>info.clusters) << CLUSTER_SHIFT) return 0;
  if (load<u8>(block, SB_ROOT_LEVEL) >= <u8>MAX_LEVEL) return 0;
  const generation = load<i64>(block, SB_GENERATION);
  return generation > 0 ? generation : 0;
}

/** Leaves the newest valid superblock in info.superFrame ([cm-2]). Returns 0, -EINVAL when there is none, or -EIO. */
export function readNewestSuper(info: CowfsInfo): i32 {
  const first = readSuper(info, SUPER_CLUSTER);
  const second = readSuper(info, info.mirrorCluster);
  if (first <= 0 && second <= 0) return first < 0 || second < 0 ? -EIO : -EINVAL;
  if (first >= second && readSuper(info, SUPER_CLUSTER) != first) return -EIO;
  return 0;
}

/** What mount takes from the superblock in info.superFrame. */
export function takeSuper(info: CowfsInfo): void {
  const block = info.superFrame;
  info.fsid0 = load<u64>(block, SB_FSID);
  info.fsid1 = load<u64>(block, SB_FSID + 8);
  info.committed = load<u64>(block, SB_GENERATION);
  info.transid = info.committed + 1;
  info.blockSize = load<u32>(block, SB_SECTORSIZE);
  info.blockShift = <u32>ctz(info.blockSize);
  info.blockSectors = info.blockSize >> 9;
  info.clusterBlocks = NODE_SIZE / info.blockSize;
  info.superRoot = <u32>(load<u64>(block, SB_ROOT) >> CLUSTER_SHIFT);
  info.superLevel = load<u8>(block, SB_ROOT_LEVEL);
}

function classOf(index: u32): u32 {
  switch (index) {
    case TREE_EXTENT: return LC_COWFS_EXTENT_TREE;
    case TREE_CSUM: return LC_COWFS_CSUM_TREE;
    case TREE_ROOT: return LC_COWFS_ROOT_TREE;
    default: return LC_COWFS_FS_TREE;
  }
}

/** A tree in memory; null on ENOMEM. */
export function rootAlloc(info: CowfsInfo, index: u32, objectid: u64): CowRoot {
  const root = changetype<CowRoot>(kmemCacheAlloc(cowCache(CACHE_ROOT)));
  if (changetype<usize>(root) == 0) return root;
  rwsemInit(root.rwsem, classOf(index));
  root.info = info;
  root.index = index;
  root.objectid = objectid;
  return root;
}

/** Takes a tree's place from its ROOT_ITEM. False when the item makes no sense. */
export function rootFromItem(root: CowRoot, item: usize, size: u32): bool {
  if (size != ROOT_ITEM_BYTES) return false;
  root.generation = load<u64>(item, ROOT_GENERATION);
  root.cluster = <u32>(load<u64>(item, ROOT_BYTENR) >> CLUSTER_SHIFT);
  root.level = load<u8>(item, ROOT_LEVEL);
  root.blocks = <u32>(load<u64>(item, ROOT_BYTES_USED) >> CLUSTER_SHIFT);
  root.itemBytes = load<u32>(item, ROOT_ITEM_SUM);
  return root.level < MAX_LEVEL && root.cluster < root.info.clusters;
}

/** One more pointer to a tree block. Returns 1 when it is the first, 0 when not, or -EIO. */
function notePointer(info: CowfsInfo, cluster: u32): i32 {
  if (cluster >= info.clusters) return -EIO;
  const c = info.cluster(cluster);
  if (c.refs != 0) {
    if (c.refs == u16.MAX_VALUE) return -EIO;
    c.refs++;
    return 0;
  }
  return treeMarkUsed(info, cluster) ? 1 : -EIO;
}

/**
 * Counts the pointers of a tree, its root's own included: reads each inner node that was not seen before. Returns the blocks that
 * were new, or -errno.
 */
export function walkTree(root: CowRoot, path: CowPath): i32 {
  const info = root.info;
  const first = notePointer(info, root.cluster);
  if (first <= 0 || root.level == 0) return first;
  let blocks: i32 = 1;
  let level = root.level;
  let block = treeBlockRead(info, root.cluster, level, root.generation);
  if (isErr(block)) return ptrErr(block);
  path.setBlock(level, block);
  path.setSlot(level, 0);
  while (level <= root.level) {
    block = path.block(level);
    const slot = path.slot(level);
    if (slot >= nrItems(block)) {
      treeBlockPut(block);
      path.setBlock(level, 0);
      level++;
      continue;
    }
    path.setSlot(level, slot + 1);
    const child = ptrCluster(block, slot);
    const seen = notePointer(info, child);
    if (seen < 0) {
      pathRelease(path);
      return seen;
    }
    blocks += seen;
    if (seen == 0 || level == 1) continue;
    const next = treeBlockRead(info, child, level - 1, load<u64>(ptrAt(block, slot), PTR_GENERATION));
    if (isErr(next)) {
      pathRelease(path);
      return ptrErr(next);
    }
    level--;
    path.setBlock(level, next);
    path.setSlot(level, 0);
  }
  return blocks;
}

/** Bytes of the items of a tree, read from its leaves: for the root tree, which has no ROOT_ITEM. -errno as negative. */
function itemSum(root: CowRoot, path: CowPath): i64 {
  let sum: i64 = 0;
  let result = searchSlot(changetype<CowHandle>(0), root, 0, 0, 0, path, 0);
  if (result >= 0) result = atItem(root, path);
  while (result == 0) {
    sum += ITEM_BYTES + pathItemSize(path);
    result = nextItem(root, path);
  }
  return result < 0 ? result : sum;
}

/** Marks the data extents of the extent tree used. Returns 0 or -errno. */
function markData(root: CowRoot, path: CowPath): i32 {
  const info = root.info;
  let result = searchSlot(changetype<CowHandle>(0), root, 0, 0, 0, path, 0);
  if (result >= 0) result = atItem(root, path);
  while (result == 0) {
    const key = pathKey(path);
    const start = load<u64>(key) >> 9;
    const sectors = load<u64>(key, KEY_OFFSET) >> 9;
    const sound = load<u8>(key, KEY_TYPE) == EXTENT_ITEM_KEY && pathItemSize(path) == EXTENT_ITEM_BYTES;
    const fits = sectors != 0 && start + sectors <= <u64>info.clusters * CLUSTER_SECTORS;
    if (!sound || !fits || !dataMarkUsed(info, <u32>start, <u32>sectors)) {
      pathRelease(path);
      return -EIO;
    }
    result = nextItem(root, path);
  }
  return result < 0 ? result : 0;
}

/** Reads one live tree's place from the root tree. */
function loadRoot(info: CowfsInfo, index: u32, objectid: u64, path: CowPath): i32 {
  const root = rootAlloc(info, index, objectid);
  if (changetype<usize>(root) == 0) return -ENOMEM;
  info.setRoot(index, root);
  const top = info.root(TREE_ROOT);
  const result = lookupItem(top, objectid, ROOT_ITEM_KEY, 0, path);
  if (result != 0) return result == 1 ? -EIO : result;
  const sound = rootFromItem(root, pathItem(path), pathItemSize(path));
  pathRelease(path);
  return sound ? 0 : -EIO;
}

/** Walks the trees of all snapshots: ROOT_ITEMs from 256 on. */
function walkSnapshots(info: CowfsInfo, path: CowPath, walk: CowPath, scratch: CowRoot): i32 {
  const top = info.root(TREE_ROOT);
  let result = searchSlot(changetype<CowHandle>(0), top, FIRST_FREE_OBJECTID, 0, 0, path, 0);
  if (result >= 0) result = atItem(top, path);
  while (result == 0) {
    if (load<u8>(pathKey(path), KEY_TYPE) == ROOT_ITEM_KEY) {
      if (!rootFromItem(scratch, pathItem(path), pathItemSize(path))) result = -EIO;
      else result = walkTree(scratch, walk);
      if (result < 0) break;
    }
    result = nextItem(top, path);
  }
  pathRelease(path);
  return result < 0 ? result : 0;
}

/** All trees, and the space map ([cm-1]). `path`, `walk`: two free paths; `scratch`: a root for snapshots. Returns 0 or -errno. */
export function loadTrees(info: CowfsInfo, path: CowPath, walk: CowPath, scratch: CowRoot): i32 {
  const top = rootAlloc(info, TREE_ROOT, ROOT_TREE_OBJECTID);
  if (changetype<usize>(top) == 0) return -ENOMEM;
  info.setRoot(TREE_ROOT, top);
  top.cluster = info.superRoot;
  top.level = info.superLevel;
  top.generation = info.committed;
  spaceInit(info);
  spaceReserveFixed(info);
  downRead(top.rwsem);
  let error = loadRoot(info, TREE_FS, FS_TREE_OBJECTID, path);
  if (error == 0) error = loadRoot(info, TREE_EXTENT, EXTENT_TREE_OBJECTID, path);
  if (error == 0) error = loadRoot(info, TREE_CSUM, CSUM_TREE_OBJECTID, path);
  for (let tree: u32 = 0; tree < TREES && error == 0; tree++) {
    const root = info.root(tree);
    const blocks = walkTree(root, walk);
    if (blocks < 0) error = blocks;
    else if (tree == TREE_ROOT) root.blocks = blocks;
    else if (<u32>blocks != root.blocks) error = -EIO;
  }
  if (error == 0) {
    const sum = itemSum(top, path);
    if (sum < 0) error = <i32>sum;
    else top.itemBytes = <u32>sum;
  }
  if (error == 0) error = walkSnapshots(info, path, walk, scratch);
  upRead(top.rwsem);
  const extents = info.root(TREE_EXTENT);
  if (error == 0) {
    downRead(extents.rwsem);
    error = markData(extents, path);
    upRead(extents.rwsem);
  }
  return error == 0 ? countShared(info, walk) : error;
}

/** CowRoot.shared of the fs tree: its blocks that a snapshot has, too, directly or through a block above. Returns 0 or -errno. */
function countShared(info: CowfsInfo, path: CowPath): i32 {
  const root = info.root(TREE_FS);
  root.shared = 0;
  if (info.cluster(root.cluster).refs > 1) {
    root.shared = root.blocks;
    return 0;
  }
  if (root.level == 0) return 0;
  let level = root.level;
  let block = treeBlockRead(info, root.cluster, level, root.generation);
  if (isErr(block)) return ptrErr(block);
  path.setBlock(level, block);
  path.setSlot(level, 0);
  // The level from which on everything below is shared; 0: nothing is.
  let sharedFrom: u32 = 0;
  while (level <= root.level) {
    block = path.block(level);
    const slot = path.slot(level);
    if (slot >= nrItems(block)) {
      treeBlockPut(block);
      path.setBlock(level, 0);
      level++;
      if (sharedFrom != 0 && level > sharedFrom) sharedFrom = 0;
      continue;
    }
    path.setSlot(level, slot + 1);
    const child = ptrCluster(block, slot);
    const isShared = sharedFrom != 0 || info.cluster(child).refs > 1;
    if (isShared) root.shared++;
    if (level == 1) continue;
    const next = treeBlockRead(info, child, level - 1, load<u64>(ptrAt(block, slot), PTR_GENERATION));
    if (isErr(next)) {
      pathRelease(path);
      return ptrErr(next);
    }
    level--;
    if (isShared && sharedFrom == 0) sharedFrom = level;
    path.setBlock(level, next);
    path.setSlot(level, 0);
  }
  return 0;
}

/** -EINVAL for what mkfs and mount cannot take: fewer than 32 clusters, or a block size that is none. */
export function checkGeometry(clusters: u32, blockSize: i64): i32 {
  if (clusters < 32) return -EINVAL;
  return blockSize == 512 || blockSize == 1024 || blockSize == 2048 || blockSize == 4096 ? 0 : -EINVAL;
}
