/*
 * Ordered extents: data on its way to a new place on the disk, until the trees know of it.
 *
 *     orderedAlloc: space taken --pages added, checksums--> submitted --endIo--> done list --worker: finishOrdered-->
 *         one transaction: old items of the range go, EXTENT_DATA, EXTENT_ITEM and EXTENT_CSUM come --> gone, waiters woken
 *
 * Interface: OrderedExtent, orderedInit, orderedAlloc, orderedAddPage, orderedSubmit, orderedOfDone, finishOrdered, hasOrdered,
 *            waitOrderedRange.
 * Invariants:
 *   [or-1] from orderedAlloc to its end an ordered extent is in its inode's list; who reads the range, or wants to store to it
 *          again, waits for it.
 *   [or-2] the trees never refer to data that is not on the disk: items are inserted after the IO, in one transaction.
 *   [or-3] its blocks are delalloc no more: dataReserved was used up by the space, metaBlocks is held until the items are in.
 * Locks: endIo none (event handler); the worker: a handle -> fs tree -> extent tree, csum tree. It never waits for a page.
 * Why not finish in endIo: a handler must not sleep, and trees are read from the disk.
 */
import { crc32c } from "../../lib/crc32c";
import { EIO } from "../../lib/errno";
import { sitesHold } from "../../lib/fault-sites";
import { ListHead, listAddTail, listDelInit, listEmpty } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_ORDERED_ADD, TP_COWFS_ORDERED_WAIT } from "../../tracepoints";
import { BIO_WRITE, Bio, bioAddPage, bioAlloc, bioFree, bioVec, isNullBio } from "../../block/bio";
import { submitBio } from "../../block/request-queue";
import { Page, addressToPage, pageAddress } from "../../mm/page";
import { mappingSetError } from "../../mm/writeback";
import { C_CSUM_PAGE, C_ORDERED_LOOKUP, chargeCost, cost } from "../../sched/cost";
import { LC_COWFS_TRANS } from "../../sched/lock-class";
import { lockOrder } from "../../sched/lockdep";
import { downWrite, upWrite } from "../../sched/rwsem";
import { TASK_UNINTERRUPTIBLE, charge, nowNs, sched } from "../../sched/state";
import { sleepOn, sleepOnTimeout, wakeAll } from "../../sched/wait-queue";
import { Inode } from "../inode";
import { csumInsert, dataExtentInsert } from "./extent-tree";
import { dropExtents, insertFileExtent } from "./file-extent";
import { cowInode, infoOf, inodeChanged } from "./inode-item";
import { MAX_EXTENT_BLOCKS } from "./layout";
import { pageWriteDone, pageWriteStarted } from "./page-state";
import { itemsOfBlocks, releaseSpace } from "./reserve";
import { dataFill, dataReturn, freeNow } from "./space";
import { CACHE_ORDERED, CACHE_SUMS, CowHandle, CowInode, CowfsInfo, cowCache, cowCacheInit, cowfsState } from "./state";
import { handleAlloc, isNullHandle, transactionAbort, transactionBegin, transactionEnd } from "./transaction";

/** Checksums that an ordered extent holds itself. */
const SHORT_SUMS: u32 = 8;
/** Pause of the worker when there is no memory for a handle: 1 ms. */
const RETRY_NS: u64 = 1_000_000;

@unmanaged
export class OrderedExtent {
  fileStart: u64;
  inode: Inode;
  bio: Bio;
  /** First sector of the filesystem that it has, blocks it was given, and blocks filled so far. */
  sector: u32;
  allocated: u32;
  blocks: u32;
  status: i32;
  /** One u32 a block: here, or in an object of its own. */
  sums: usize;
  /** Links: CowInode.orderedList, CowfsState.doneList. */
  next: u32;
  prev: u32;
  doneNext: u32;
  donePrev: u32;
  pad: u32;
  sum0: u64; sum1: u64; sum2: u64; sum3: u64;

  get link(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<OrderedExtent>("next"));
  }
  get doneLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<OrderedExtent>("doneNext"));
  }
  get ownSums(): usize {
    return changetype<usize>(this) + offsetof<OrderedExtent>("sum0");
  }
}

export function orderedInit(): void {
  cowCacheInit(CACHE_ORDERED, <u32>offsetof<OrderedExtent>());
  cowCacheInit(CACHE_SUMS, MAX_EXTENT_BLOCKS * 4);
}

export function isNullOrdered(ordered: OrderedExtent): bool {
  return changetype<usize>(ordered) == 0;
}

export function orderedOfDone(link: usize): OrderedExtent {
  return changetype<OrderedExtent>(link - offsetof<OrderedExtent>("doneNext"));
}

function orderedOfLink(link: usize): OrderedExtent {
  return changetype<OrderedExtent>(link - offsetof<OrderedExtent>("next"));
}

/** An ordered extent for space that was allocated (space.ts), with its bio. Null on ENOMEM: the space is the caller's still. */
export function orderedAlloc(info: CowfsInfo, inode: Inode, fileStart: u64, sector: u32, blocks: u32): OrderedExtent {
  assert(blocks != 0 && blocks <= MAX_EXTENT_BLOCKS, "[cl-2] a data extent is short");
  const ordered = changetype<OrderedExtent>(kmemCacheAlloc(cowCache(CACHE_ORDERED)));
  if (isNullOrdered(ordered)) return ordered;
  const bio = bioAlloc(BIO_WRITE, 0, info.startSector + sector);
  const sums = blocks <= SHORT_SUMS ? ordered.ownSums : kmemCacheAlloc(cowCache(CACHE_SUMS));
  if (isNullBio(bio) || sums == 0) {
    if (!isNullBio(bio)) bioFree(bio);
    if (sums != 0 && blocks > SHORT_SUMS) kmemCacheFree(cowCache(CACHE_SUMS), sums);
    kmemCacheFree(cowCache(CACHE_ORDERED), changetype<usize>(ordered));
    return changetype<OrderedExtent>(0);
  }
  ordered.inode = inode;
  ordered.fileStart = fileStart;
  ordered.sector = sector;
  ordered.allocated = blocks;
  ordered.bio = bio;
  ordered.sums = sums;
  bio.privateData = changetype<usize>(ordered);
  listAddTail(ordered.link, cowInode(inode).orderedList);
  info.orderedCount++;
  traceEmit(nowNs(), TP_COWFS_ORDERED_ADD, sched().cpu.id, sched().current.id, fileStart, (<u64>sector << 32) | blocks);
  return ordered;
}

/** The file's byte behind what it holds so far. */
export function orderedEnd(info: CowfsInfo, ordered: OrderedExtent): u64 {
  return ordered.fileStart + ((<u64>ordered.blocks) << info.blockShift);
}

/** Adds `count` blocks of a page, from block `first` on: checksums now, for the page stands still from here on (stable pages). */
export function orderedAddPage(info: CowfsInfo, ordered: OrderedExtent, page: Page, first: u32, count: u32): bool {
  assert(ordered.blocks + count <= ordered.allocated, "[or-3] no more blocks than space");
  const size = info.blockSize;
  if (!bioAddPage(ordered.bio, pageAddress(page), count * size, first * size)) return false;
  const table = cowfsState().crcTable;
  for (let i: u32 = 0; i < count; i++) {
    charge(cost(C_CSUM_PAGE) / info.clusterBlocks);
    store<u32>(ordered.sums + ((ordered.blocks + i) << 2), crc32c(table, 0, pageAddress(page) + (first + i) * size, size));
  }
  ordered.blocks += count;
  dataFill(info, count);
  pageWriteStarted(page);
  return true;
}

/** Sends it to the disk; space that was not needed goes back. An empty one vanishes. */
export function orderedSubmit(info: CowfsInfo, ordered: OrderedExtent): void {
  const unused = ordered.allocated - ordered.blocks;
  if (unused != 0) dataReturn(info, ordered.sector + ordered.blocks * info.blockSectors, unused);
  ordered.allocated = ordered.blocks;
  if (ordered.blocks == 0) {
    bioFree(ordered.bio);
    orderedFree(info, ordered);
    return;
  }
  ordered.bio.endIo = dataWriteDone;
  submitBio(ordered.bio);
}

/** The IO is done (event handler): pages are clean, the rest is the worker's. */
function dataWriteDone(bio: Bio): void {
  const ordered = changetype<OrderedExtent>(bio.privateData);
  ordered.status = bio.status;
  if (bio.status != 0) mappingSetError(ordered.inode.mapping, -EIO);
  const vecs = bio.vecs;
  for (let i: u32 = 0; i < vecs; i++) pageWriteDone(addressToPage(bioVec(bio, i).addr & ~0xfff));
  bioFree(bio);
  listAddTail(ordered.doneLink, cowfsState().doneList);
  wakeAll(cowfsState().workWait);
}

function orderedFree(info: CowfsInfo, ordered: OrderedExtent): void {
  listDelInit(ordered.link);
  if (ordered.sums != ordered.ownSums) kmemCacheFree(cowCache(CACHE_SUMS), ordered.sums);
  kmemCacheFree(cowCache(CACHE_ORDERED), changetype<usize>(ordered));
  info.orderedCount--;
  wakeAll(info.orderedWait);
}

/** The worker's part. */
export function finishOrdered(ordered: OrderedExtent): void {
  const info = infoOf(ordered.inode);
  const blocks = ordered.blocks;
  let handle = handleAlloc(info);
  // Memory comes back as others give it back: nothing here may be given up for want of it (GFP_NOFAIL).
  while (isNullHandle(handle)) {
    sleepOnTimeout(info.orderedWait, TASK_UNINTERRUPTIBLE, RETRY_NS);
    sitesHold(true);
    handle = handleAlloc(info);
    sitesHold(false);
  }
  if (transactionBegin(handle) != 0) {
    // After an abort the data has no place to go.
    mappingSetError(ordered.inode.mapping, -EIO);
    freeNow(info, ordered.sector, blocks * info.blockSectors);
    releaseSpace(info, 0, blocks);
  } else {
    // [or-3] The ledger's metaBlocks become the handle's items.
    info.metaBlocks -= blocks;
    itemsOfBlocks(info.handles, blocks);
    itemsOfBlocks(handle.reserve, blocks);
    if (ordered.status != 0) freeNow(info, ordered.sector, blocks * info.blockSectors);
    else {
      const error = insertOrdered(handle, ordered);
      if (error != 0) {
        transactionAbort(info, error);
        mappingSetError(ordered.inode.mapping, -EIO);
      }
    }
    transactionEnd(handle);
  }
  orderedFree(info, ordered);
}

/** The trees learn of the data ([or-2]). */
function insertOrdered(handle: CowHandle, ordered: OrderedExtent): i32 {
  const info = handle.info;
  const inode = ordered.inode;
  const root = cowInode(inode).root;
  const path = handle.path;
  const bytenr = (<u64>ordered.sector) << 9;
  const lenBytes = (<u64>ordered.blocks) << info.blockShift;
  downWrite(root.rwsem);
  let error = dropExtents(handle, inode, ordered.fileStart, ordered.fileStart + lenBytes);
  if (error == 0) error = insertFileExtent(handle, inode, ordered.fileStart, lenBytes, bytenr, lenBytes, 0);
  if (error == 0) error = dataExtentInsert(handle, bytenr, lenBytes, path);
  if (error == 0) error = csumInsert(handle, bytenr, ordered.sums, ordered.blocks, path);
  if (error == 0) inodeChanged(handle, inode);
  upWrite(root.rwsem);
  return error;
}

/** The first ordered extent that overlaps [start, end) of the file, or null. */
function findOrdered(ci: CowInode, start: u64, end: u64): OrderedExtent {
  const shift = infoOf(ci.inode).blockShift;
  const head = changetype<usize>(ci.orderedList);
  for (let link: usize = ci.orderedList.next; link != head; link = changetype<ListHead>(link).next) {
    const ordered = orderedOfLink(link);
    const last = ordered.fileStart + ((<u64>ordered.allocated) << shift);
    if (ordered.fileStart < end && start < last) return ordered;
  }
  return changetype<OrderedExtent>(0);
}

export function hasOrdered(inode: Inode, start: u64, end: u64): bool {
  chargeCost(C_ORDERED_LOOKUP);
  const ci = cowInode(inode);
  return !listEmpty(ci.orderedList) && !isNullOrdered(findOrdered(ci, start, end));
}

/** Sleeps until no ordered extent overlaps [start, end). No handle is held: completion needs a transaction. */
export function waitOrderedRange(inode: Inode, start: u64, end: u64): void {
  const ci = cowInode(inode);
  if (listEmpty(ci.orderedList)) return;
  lockOrder(LC_COWFS_TRANS);
  while (!isNullOrdered(findOrdered(ci, start, end))) {
    traceEmit(nowNs(), TP_COWFS_ORDERED_WAIT, sched().cpu.id, sched().current.id, start, end);
    sleepOn(infoOf(inode).orderedWait, TASK_UNINTERRUPTIBLE);
  }
}
