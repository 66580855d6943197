/*
 * Commit: the running transaction settles, and goes to the disk while the next one runs.
 *
 *     settle (BLOCKED)   handles end -> inode items -> snapshot -> ROOT_ITEMs -> generation + 1, RUNNING
 *     write              tree blocks to their new places -> flush -> superblock (FUA) -> mirror -> flush -> unpin
 *
 *     crash before the superblock: the old trees, none of whose blocks was touched. After it: the new ones.
 *
 * Interface: commitTransaction, commitUpTo, writeSuper, rootItemFill, dropDirtyBlocks.
 * Invariants:
 *   [cow-1] what the superblock on the disk refers to is not written over: unpinAll comes after the last flush.
 *   [cow-9] a superblock is written when everything it refers to is on the medium: after a flush.
 *   [tx-3] one transaction is written at a time.
 * Locks: tree rwsems while settling; the committer holds no handle and may hold nothing that a handle's owner waits for.
 * Why not a log tree for fsync: it is a second way to the disk; what an fsync costs here is a commit, and is measured as one.
 */
import { crc32c } from "../../lib/crc32c";
import { EIO, ENOMEM, EROFS } from "../../lib/errno";
import { M_COMMIT_NO_BARRIER, M_SUPER_NOT_DURABLE, mutant } from "../../lib/mutant";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_COMMIT } from "../../tracepoints";
import { BIO_WRITE, REQ_FUA, REQ_META, REQ_SYNC, Bio, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { blkdevIssueFlush, submitBio, submitBioWait } from "../../block/request-queue";
import { findGetPage } from "../../mm/filemap";
import { isNullPage, pageAddress } from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { syncPoint } from "../../sched/core";
import { LC_COWFS_TRANS } from "../../sched/lock-class";
import { lockOrder } from "../../sched/lockdep";
import { downWrite, upWrite } from "../../sched/rwsem";
import { TASK_UNINTERRUPTIBLE, currentTask, nowNs, sched } from "../../sched/state";
import { sleepOn, wakeAll } from "../../sched/wait-queue";
import { pathItem, pathRelease, searchSlot } from "./btree";
import { writeDelayedInodes } from "./inode-item";
import {
  BH_CSUM, CLUSTER_SECTORS, CLUSTER_SHIFT, COWFS_MAGIC, CSUM_BYTES, FIRST_FREE_OBJECTID, NODE_SIZE, ROOT_BYTENR, ROOT_BYTES_USED,
  ROOT_GENERATION, ROOT_ITEM_KEY, ROOT_ITEM_SUM, ROOT_LEVEL, SB_BYTENR, SB_BYTES_USED, SB_FSID, SB_GENERATION, SB_MAGIC, SB_NODESIZE,
  SB_ROOT, SB_ROOT_DIR, SB_ROOT_LEVEL, SB_SECTORSIZE, SB_TOTAL_BYTES, SUPER_CLUSTER,
} from "./layout";
import { grantTickets, liveBlocks } from "./reserve";
import { makePendingSnapshot } from "./snapshot";
import { unpinAll } from "./space";
import { TREE_ROOT, CowHandle, CowPath, CowRoot, CowfsInfo, cowfsState, dirtyBit } from "./state";
import { TRANS_BLOCKED, TRANS_RUNNING, handleAlloc, handleFree, isNullHandle, transactionAbort } from "./transaction";
import { treeBlockChecksum } from "./tree-block";

/** Everything done up to now is on the disk on return. Returns 0 or -errno. */
export function commitTransaction(info: CowfsInfo): i32 {
  return commitUpTo(info, info.transid);
}

/** Transactions up to `transid` are on the disk on return. The caller holds no handle. */
export function commitUpTo(info: CowfsInfo, transid: u64): i32 {
  // Waiting for the handles of others is waiting for a lock.
  lockOrder(LC_COWFS_TRANS);
  while (true) {
    syncPoint();
    if (info.aborted != 0) return -EROFS;
    if (info.committed >= transid) return 0;
    if (info.state == TRANS_BLOCKED || info.committing != 0) {
      sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
      continue;
    }
    if (info.changed == 0) return 0;
    const error = runCommit(info);
    if (error != 0) return error;
  }
}

function runCommit(info: CowfsInfo): i32 {
  const handle = handleAlloc(info);
  if (isNullHandle(handle)) return -ENOMEM;
  info.state = TRANS_BLOCKED;
  while (info.writers != 0) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
  handle.transid = info.transid;
  let error = info.aborted != 0 ? -EROFS : settle(handle, handle.path);
  if (error != 0) transactionAbort(info, error);
  const dirty = info.dirtyCount != 0;
  if (error == 0) switchTransaction(info, dirty);
  info.state = TRANS_RUNNING;
  wakeAll(info.transWait);
  if (error == 0 && dirty) error = writeTransaction(info);
  handleFree(handle);
  return error;
}

/** The trees take their last form of this transaction. */
function settle(handle: CowHandle, path: CowPath): i32 {
  const info = handle.info;
  let error = writeDelayedInodes(handle, path);
  if (error == 0) error = makePendingSnapshot(handle, path);
  for (let tree: u32 = 0; tree < TREE_ROOT && error == 0; tree++) {
    if (info.root(tree).generation == info.transid) error = updateRootItem(handle, info.root(tree), path);
  }
  return error;
}

/** Writes where a tree is now into its ROOT_ITEM. */
function updateRootItem(handle: CowHandle, root: CowRoot, path: CowPath): i32 {
  const top = handle.info.root(TREE_ROOT);
  downWrite(top.rwsem);
  const result = searchSlot(handle, top, root.objectid, ROOT_ITEM_KEY, root.keyOffset, path, 0);
  if (result == 0) rootItemFill(pathItem(path), root);
  pathRelease(path);
  upWrite(top.rwsem);
  return result == 1 ? -EIO : result;
}

export function rootItemFill(item: usize, root: CowRoot): void {
  store<u64>(item, root.generation, ROOT_GENERATION);
  store<u64>(item, (<u64>root.cluster) << CLUSTER_SHIFT, ROOT_BYTENR);
  store<u64>(item, (<u64>root.blocks) << CLUSTER_SHIFT, ROOT_BYTES_USED);
  store<u8>(item, <u8>root.level, ROOT_LEVEL);
  store<u64>(item, root.itemBytes, ROOT_ITEM_SUM);
}

/** From here on changes belong to the next transaction. */
function switchTransaction(info: CowfsInfo, dirty: bool): void {
  info.changed = 0;
  info.commitDueNs = 0;
  if (!dirty) return;
  const top = info.root(TREE_ROOT);
  info.superRoot = top.cluster;
  info.superLevel = top.level;
  info.superGeneration = info.transid;
  info.superUsed = (<u64>(info.clusters - info.freeClusters)) << CLUSTER_SHIFT;
  info.committing = info.transid;
  info.pinnedCommitting = info.pinnedClusters;
  info.cleanBlocks = liveBlocks(info);
  info.dirtyCount = 0;
  info.transid++;
}

function writeTransaction(info: CowfsInfo): i32 {
  const transid = info.committing;
  traceEmit(nowNs(), TP_COWFS_COMMIT, sched().cpu.id, currentTask().id, transid, liveBlocks(info));
  let error = writeTreeBlocks(info, dirtyBit(transid));
  if (error == 0 && !(MUTANTS && mutant(M_COMMIT_NO_BARRIER))) error = blkdevIssueFlush();
  const careless = MUTANTS && mutant(M_SUPER_NOT_DURABLE);
  if (error == 0) error = writeSuper(info, SUPER_CLUSTER, careless ? 0 : REQ_FUA);
  if (error == 0) error = writeSuper(info, info.mirrorCluster, 0);
  if (error == 0 && !careless) error = blkdevIssueFlush();
  if (error != 0) transactionAbort(info, error);
  else {
    info.committed = transid;
    info.commits++;
    unpinAll(info, transid);
  }
  info.committing = 0;
  info.pinnedCommitting = 0;
  wakeAll(info.transWait);
  wakeAll(cowfsState().flushWait);
  grantTickets(info);
  return error;
}

/** A bio of tree blocks is done (event handler). */
function treeWriteDone(bio: Bio): void {
  const info = changetype<CowfsInfo>(bio.privateData);
  if (bio.status != 0) info.writeError = bio.status;
  bioFree(bio);
  if (--info.writesPending == 0) wakeAll(info.ioWait);
}

function waitForWrites(info: CowfsInfo): void {
  while (info.writesPending != 0) sleepOn(info.ioWait, TASK_UNINTERRUPTIBLE);
}

/** A bio for writing from a cluster on; waits for those under way when there is no memory for another. Null: there is none. */
function newWriteBio(info: CowfsInfo, cluster: u32): Bio {
  const sector = info.startSector + <u64>cluster * CLUSTER_SECTORS;
  const bio = bioAlloc(BIO_WRITE, REQ_META, sector);
  if (!isNullBio(bio) || info.writesPending == 0) return bio;
  waitForWrites(info);
  return bioAlloc(BIO_WRITE, REQ_META, sector);
}

function submitTreeBio(info: CowfsInfo, bio: Bio): void {
  bio.privateData = changetype<usize>(info);
  bio.endIo = treeWriteDone;
  info.writesPending++;
  submitBio(bio);
}

/** Writes every block whose dirty bit is set, neighbours in one bio, and waits. */
function writeTreeBlocks(info: CowfsInfo, bit: u8): i32 {
  let bio = changetype<Bio>(0);
  let next: u32 = 0;
  info.writeError = 0;
  let error: i32 = 0;
  for (let cluster: u32 = 0; cluster < info.clusters && error == 0; cluster++) {
    if ((info.cluster(cluster).dirty & bit) == 0) continue;
    const page = findGetPage(info.treeMapping, cluster);
    assert(!isNullPage(page), "[tb-3] a dirty block is in memory");
    const block = pageAddress(page);
    store<u32>(block, treeBlockChecksum(block), BH_CSUM);
    if (!isNullBio(bio) && (cluster != next || !bioAddPage(bio, block, NODE_SIZE, 0))) {
      submitTreeBio(info, bio);
      bio = changetype<Bio>(0);
    }
    if (isNullBio(bio)) {
      bio = newWriteBio(info, cluster);
      if (isNullBio(bio)) error = -ENOMEM;
      else bioAddPage(bio, block, NODE_SIZE, 0);
    }
    // The dirty block's own reference keeps the page until the write is done.
    putPage(page);
    next = cluster + 1;
  }
  if (!isNullBio(bio)) submitTreeBio(info, bio);
  waitForWrites(info);
  if (error == 0) error = info.writeError;
  if (error == 0) blocksAreClean(info, bit);
  return error;
}

/** The blocks are on the disk: reclaim may have them. */
function blocksAreClean(info: CowfsInfo, bit: u8): void {
  for (let cluster: u32 = 0; cluster < info.clusters; cluster++) {
    const c = info.cluster(cluster);
    if ((c.dirty & bit) == 0) continue;
    c.dirty &= ~bit;
    const page = findGetPage(info.treeMapping, cluster);
    assert(!isNullPage(page), "[tb-3] a dirty block is in memory");
    putPage(page);
    putPage(page);
  }
}

/** After an abort: what will never be written is let go. */
export function dropDirtyBlocks(info: CowfsInfo): void {
  blocksAreClean(info, 1);
  blocksAreClean(info, 2);
}

/** Writes one copy of the superblock of info.superGeneration and waits. */
export function writeSuper(info: CowfsInfo, cluster: u32, flags: u32): i32 {
  const bio = bioAlloc(BIO_WRITE, flags | REQ_META | REQ_SYNC, info.startSector + <u64>cluster * CLUSTER_SECTORS);
  if (isNullBio(bio)) return -ENOMEM;
  const block = info.superFrame;
  memory.fill(block, 0, NODE_SIZE);
  store<u64>(block, info.fsid0, SB_FSID);
  store<u64>(block, info.fsid1, SB_FSID + 8);
  store<u64>(block, (<u64>cluster) << CLUSTER_SHIFT, SB_BYTENR);
  store<u64>(block, COWFS_MAGIC, SB_MAGIC);
  store<u64>(block, info.superGeneration, SB_GENERATION);
  store<u64>(block, (<u64>info.superRoot) << CLUSTER_SHIFT, SB_ROOT);
  store<u64>(block, (<u64>info.clusters) << CLUSTER_SHIFT, SB_TOTAL_BYTES);
  store<u64>(block, info.superUsed, SB_BYTES_USED);
  store<u64>(block, FIRST_FREE_OBJECTID, SB_ROOT_DIR);
  store<u32>(block, info.blockSize, SB_SECTORSIZE);
  store<u32>(block, NODE_SIZE, SB_NODESIZE);
  store<u8>(block, <u8>info.superLevel, SB_ROOT_LEVEL);
  store<u32>(block, crc32c(cowfsState().crcTable, 0, block + CSUM_BYTES, NODE_SIZE - CSUM_BYTES));
  bioAddPage(bio, block, NODE_SIZE, 0);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}
