/*
 * Tree blocks in memory: pages of CowfsInfo.treeMapping, at the index of their cluster.
 *
 *     absent --treeBlockRead: read, verified--> clean --evicted by reclaim--> absent
 *       \--treeBlockAlloc--> dirty (one more reference, ClusterState.dirty) --commit writes it--> clean
 *                              \--treeBlockFree in the same transaction--> absent from the tree, the page is forgotten
 *
 * Interface: treeBlockRead, treeBlockPut, treeBlockAlloc, treeBlockFree, treeBlockChecksum, treeBlockVerify, treeMappingInit,
 *            treeBlockRefs, treeBlockRefAdd, isFresh.
 * Invariants:
 *   [tb-1] a block changes in memory only while its generation is the running transaction's: what is being written stands still.
 *   [tb-2] what is read from the disk is used only if checksum, place, generation and level are those expected, else EIO.
 *   [tb-3] a dirty block holds a reference of its page, so reclaim leaves it alone.
 * Locks: the tree's rwsem (read to read, write to allocate and free). Page locks are taken by trying only: a data page's lock is
 * held outside a tree's, so no tree lock may be held outside a page lock.
 * Why not buffers of our own: the page cache reclaims what is clean when frames run short.
 */
import { crc32c } from "../../lib/crc32c";
import { EIO, ENOMEM, errPtr, isErr } from "../../lib/errno";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_BAD_BLOCK } from "../../tracepoints";
import { BIO_READ, REQ_META, REQ_SYNC, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { submitBioWait } from "../../block/request-queue";
import { AddressSpace, AddressSpaceOperations, addressSpaceInit } from "../../mm/address-space";
import { addToPageCache, findGetPage } from "../../mm/filemap";
import { markPageAccessed } from "../../mm/lru";
import {
  PG_UPTODATE, Page, addressToPage, getPage, isNullPage, pageAddress, trylockPage, unlockPage, waitOnPageLocked,
} from "../../mm/page";
import { GFP_ATOMIC, GFP_KERNEL, allocPage, putPage } from "../../mm/page-alloc";
import { mmState } from "../../mm/state";
import { C_BTREE_NODE, C_CSUM_PAGE, chargeCost } from "../../sched/cost";
import { TF_MEMALLOC, currentTask, nowNs, sched } from "../../sched/state";
import {
  BH_BYTENR, BH_CSUM, BH_FSID, BH_GENERATION, BH_LEVEL, BH_NRITEMS, BH_OWNER, CLUSTER_SECTORS, CLUSTER_SHIFT, CSUM_BYTES, HEADER_BYTES,
  LEAF_BYTES, NODE_PTRS, NODE_SIZE, blockCluster, blockGeneration, itemAt, itemSize, keyAt, keysCompare, nrItems,
} from "./layout";
import { freeNow, pinFreed, treeClusterAlloc } from "./space";
import { CowHandle, CowRoot, CowfsInfo, cowfsState, dirtyBit } from "./state";
import { waitForCommitting } from "./transaction";

export function treeMappingInit(info: CowfsInfo, ops: AddressSpaceOperations): void {
  addressSpaceInit(info.treeMapping, changetype<usize>(info), ops);
}

/** A frame for metadata: clean pages are reclaimed for it, the reserve is used, before anybody is killed. */
export function allocMetaPage(): Page {
  let page = allocPage(GFP_ATOMIC);
  if (!isNullPage(page)) return page;
  const reclaim = mmState().reclaimFn;
  reclaim(32);
  const task = currentTask();
  const before = task.flags & TF_MEMALLOC;
  task.flags |= TF_MEMALLOC;
  page = allocPage(GFP_ATOMIC);
  task.flags = (task.flags & ~TF_MEMALLOC) | before;
  return isNullPage(page) ? allocPage(GFP_KERNEL) : page;
}

/** A new page at a cluster, locked, with a reference. Null when another was first, or on ENOMEM (*failed is 1 then). */
function addPage(mapping: AddressSpace, cluster: u32): usize {
  const page = allocMetaPage();
  if (isNullPage(page)) return errPtr(-ENOMEM);
  const locked = trylockPage(page);
  assert(locked, "a new page is nobody's");
  const result = addToPageCache(page, mapping, cluster);
  if (result == 0) return changetype<usize>(page);
  unlockPage(page);
  putPage(page);
  return result == -ENOMEM ? errPtr(-ENOMEM) : 0;
}

/** Reads a cluster into a page that this task has locked. Returns 0 or -errno. */
function readCluster(info: CowfsInfo, cluster: u32, page: Page): i32 {
  const bio = bioAlloc(BIO_READ, REQ_META | REQ_SYNC, info.startSector + <u64>cluster * CLUSTER_SECTORS);
  if (isNullBio(bio)) return -ENOMEM;
  bioAddPage(bio, pageAddress(page), NODE_SIZE, 0);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

/** The checksum of a block: crc32c of all behind the checksum field. */
export function treeBlockChecksum(block: usize): u32 {
  chargeCost(C_CSUM_PAGE);
  return crc32c(cowfsState().crcTable, 0, block + CSUM_BYTES, NODE_SIZE - CSUM_BYTES);
}

/** [cl-1]: true when the items of a block are in order and packed. */
function itemsAreSound(block: usize, level: u32): bool {
  const count = nrItems(block);
  if (count > (level == 0 ? LEAF_BYTES / 25 : NODE_PTRS)) return false;
  for (let i: u32 = 1; i < count; i++) if (keysCompare(keyAt(block, i - 1), keyAt(block, i)) >= 0) return false;
  if (level != 0) return true;
  let end: u32 = LEAF_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    const size = itemSize(block, i);
    const start = load<u32>(itemAt(block, i), 17);
    if (size > end || start != end - size) return false;
    end = start;
  }
  return count * 25 <= end;
}

/** [tb-2]: true when the block is the one expected. A generation of 0 takes any up to the running one. */
export function treeBlockVerify(info: CowfsInfo, block: usize, cluster: u32, level: u32, generation: u64): bool {
  if (load<u32>(block, BH_CSUM) != treeBlockChecksum(block)) return false;
  if (load<u64>(block, BH_BYTENR) != (<u64>cluster) << CLUSTER_SHIFT || load<u8>(block, BH_LEVEL) != <u8>level) return false;
  if (load<u64>(block, BH_FSID) != info.fsid0 || load<u64>(block, BH_FSID + 8) != info.fsid1) return false;
  if (generation != 0 && blockGeneration(block) != generation) return false;
  return blockGeneration(block) <= info.transid && itemsAreSound(block, level);
}

/** A block of a tree, with a reference: the address of its frame, or ERR_PTR. May sleep for the disk. */
export function treeBlockRead(info: CowfsInfo, cluster: u32, level: u32, generation: u64): usize {
  chargeCost(C_BTREE_NODE);
  if (cluster >= info.clusters) return errPtr(-EIO);
  while (true) {
    const page = findGetPage(info.treeMapping, cluster);
    if (!isNullPage(page)) {
      if (page.test(PG_UPTODATE)) {
        markPageAccessed(page);
        return pageAddress(page);
      }
      if (trylockPage(page)) return readLocked(info, cluster, level, generation, page);
      waitOnPageLocked(page);
      putPage(page);
      continue;
    }
    const added = addPage(info.treeMapping, cluster);
    if (isErr(added)) return added;
    if (added != 0) return readLocked(info, cluster, level, generation, changetype<Page>(added));
  }
}

/** Reads and verifies a page that is locked by this task; unlocks it. */
function readLocked(info: CowfsInfo, cluster: u32, level: u32, generation: u64, page: Page): usize {
  let error: i32 = 0;
  // Somebody else may have read it, or reclaim taken it, before the lock was ours.
  if (page.mapping == 0) error = -ENOMEM;
  else if (!page.test(PG_UPTODATE)) {
    error = readCluster(info, cluster, page);
    if (error == 0 && !treeBlockVerify(info, pageAddress(page), cluster, level, generation)) {
      traceEmit(nowNs(), TP_COWFS_BAD_BLOCK, sched().cpu.id, currentTask().id, cluster, level);
      info.csumErrors++;
      error = -EIO;
    }
    if (error == 0) page.set(PG_UPTODATE);
  }
  const vanished = page.mapping == 0;
  unlockPage(page);
  if (error == 0) return pageAddress(page);
  putPage(page);
  return vanished ? treeBlockRead(info, cluster, level, generation) : errPtr(error);
}

export function treeBlockPut(block: usize): void {
  putPage(addressToPage(block));
}

/** Times that something points to the tree block. */
export function treeBlockRefs(info: CowfsInfo, cluster: u32): u32 {
  return info.cluster(cluster).refs;
}

/** One pointer more, or less, to a tree block. btrfs would note it in the block's METADATA_ITEM at commit. */
export function treeBlockRefAdd(info: CowfsInfo, cluster: u32, delta: i32): void {
  const c = info.cluster(cluster);
  const refs = <i32>c.refs + delta;
  assert(refs > 0 && refs <= <i32>u16.MAX_VALUE, "[cow-3] a tree block's references stay in range");
  c.refs = <u16>refs;
}

/** True when the block was made in this transaction: it may change where it is ([tb-1]). */
export function isFresh(handle: CowHandle, block: usize): bool {
  return blockGeneration(block) == handle.transid;
}

/** A free cluster, waiting for the transaction being written when its pinned space is all there is. */
function clusterForTree(info: CowfsInfo): u32 {
  while (true) {
    const cluster = treeClusterAlloc(info);
    if (cluster != info.clusters) return cluster;
    assert(info.committing != 0, "[cow-5] a tree block that was promised cannot be had");
    waitForCommitting(info);
    if (info.aborted != 0) return info.clusters;
  }
}

/** A new block of the handle's transaction: header filled in, empty, dirty, one reference for the caller. Or ERR_PTR. */
export function treeBlockAlloc(handle: CowHandle, root: CowRoot, level: u32): usize {
  const info = handle.info;
  const cluster = clusterForTree(info);
  if (cluster == info.clusters) return errPtr(-EIO);
  let page = findGetPage(info.treeMapping, cluster);
  while (isNullPage(page)) {
    const added = addPage(info.treeMapping, cluster);
    if (isErr(added)) {
      info.cluster(cluster).refs = 0;
      freeNow(info, cluster * CLUSTER_SECTORS, CLUSTER_SECTORS);
      return added;
    }
    if (added == 0) page = findGetPage(info.treeMapping, cluster);
    else {
      page = changetype<Page>(added);
      unlockPage(page);
    }
  }
  // Whatever this cluster held is history; the frame is ours alone.
  page.set(PG_UPTODATE);
  getPage(page);
  info.cluster(cluster).dirty |= dirtyBit(handle.transid);
  info.dirtyCount++;
  const block = pageAddress(page);
  memory.fill(block, 0, NODE_SIZE);
  store<u64>(block, info.fsid0, BH_FSID);
  store<u64>(block, info.fsid1, BH_FSID + 8);
  store<u64>(block, (<u64>cluster) << CLUSTER_SHIFT, BH_BYTENR);
  store<u64>(block, handle.transid, BH_GENERATION);
  store<u64>(block, root.objectid, BH_OWNER);
  store<u8>(block, <u8>level, BH_LEVEL);
  root.blocks++;
  return block;
}

/** Copies a block's content into a new one of the same level. */
export function treeBlockCopy(to: usize, from: usize): void {
  store<u32>(to, nrItems(from), BH_NRITEMS);
  memory.copy(to + HEADER_BYTES, from + HEADER_BYTES, NODE_SIZE - HEADER_BYTES);
}

/** The tree no longer has this block, which nothing else points to. The caller keeps its reference of the page. */
export function treeBlockFree(handle: CowHandle, root: CowRoot, block: usize): void {
  const info = handle.info;
  const cluster = blockCluster(block);
  const c = info.cluster(cluster);
  assert(c.refs == 1, "[cow-3] a tree block goes with its last reference");
  c.refs = 0;
  root.blocks--;
  if (!isFresh(handle, block)) {
    info.cleanBlocks--;
    pinFreed(info, cluster * CLUSTER_SECTORS, CLUSTER_SECTORS);
    return;
  }
  c.dirty &= ~dirtyBit(handle.transid);
  info.dirtyCount--;
  freeNow(info, cluster * CLUSTER_SECTORS, CLUSTER_SECTORS);
  putPage(addressToPage(block));
}
