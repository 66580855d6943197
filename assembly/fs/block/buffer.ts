/*
 * Buffers: metadata blocks in memory, in page frames of this cache's own, several blocks to a frame when they are small.
 *
 *     absent --bufferGet--> known --bufferRead: IO--> uptodate --journalGetWrite--> in a transaction --commit, checkpoint--> clean
 *
 * Interface: Buffer, bufferGet, bufferRead, bufferNew, bufferPut, bufferCacheInit, bufferCacheDrop, pauseForMemory,
 *            cacheAllocWait, frameAlloc, BUF_*.
 * Invariants:
 *   [buf-1] one Buffer a block; referenced, in a transaction, to be checkpointed or under IO it stays.
 *   [buf-2] a buffer in the running or the committing transaction is not written in place.
 * Locks: none to find a buffer; bit BUF_READING while it is read, BUF_WRITING while it is written in place.
 * Why not the page cache: a mapping's blocks are looked up under the locks of data pages, and page locks do not nest.
 */
import { ENOMEM, errPtr } from "../../lib/errno";
import { ListHead, listAddTail, listDelInit, listInit, listNext } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { XaCursor, xaErase, xaFind, xaInit, xaLoad, xaStore } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { BIO_READ, REQ_META, REQ_SYNC, Bio, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { submitBioWait } from "../../block/request-queue";
import { SECTOR_SHIFT } from "../../block/state";
import { GFP_ATOMIC, GFP_KERNEL, allocPage, putPage } from "../../mm/page-alloc";
import { Page, isNullPage, pageAddress } from "../../mm/page";
import { mmState } from "../../mm/state";
import { C_PAGE_CACHE_LOOKUP, chargeCost } from "../../sched/cost";
import { scheduleTimeout } from "../../sched/core";
import { clearBitAndWake, waitBitClear } from "../../sched/lock-bit";
import { TASK_UNINTERRUPTIBLE, TF_MEMALLOC, currentTask } from "../../sched/state";
import { BlockFs, CACHE_META_PAGE, Transaction, blockCache, blockCacheInit } from "./state";

/** Bits of Buffer.flags; bit 31 says that somebody waits (sched/lock-bit). */
export const BUF_UPTODATE: u32 = 0;
export const BUF_READING: u32 = 1;
export const BUF_WRITING: u32 = 2;

const PAUSE_NS: u64 = 10_000_000;
const PAUSES: u32 = 100;
const CACHE_TRIES: u32 = 4;
/** Frames that a thread makes free at a time. */
const RECLAIM_FRAMES: u32 = 32;
/** Frames looked at for one to give up. */
const SHRINK_SCAN: u32 = 64;

@unmanaged
export class Buffer {
  flags: u32;
  block: u32;
  refcount: u32;
  /** Its bytes. */
  data: usize;
  fs: BlockFs;
  /** The transaction that changed it and is not committed; the one after it that did, too; the one to be checkpointed. */
  txn: Transaction;
  nextTxn: Transaction;
  checkpointTxn: Transaction;
  /** Link in txn.buffers; in checkpointTxn.checkpoint. */
  linkNext: u32;
  linkPrev: u32;
  checkpointNext: u32;
  checkpointPrev: u32;

  get link(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Buffer>("linkNext"));
  }
  get checkpointLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Buffer>("checkpointNext"));
  }
  test(bit: u32): bool {
    return ((this.flags >> bit) & 1) != 0;
  }
}

/** A frame and its buffers, which follow. */
@unmanaged
class MetaPage {
  index: u32;
  frame: Page;
  lruNext: u32;
  lruPrev: u32;

  get lru(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MetaPage>("lruNext"));
  }
}

function metaPageOfLru(link: usize): MetaPage {
  return changetype<MetaPage>(link - offsetof<MetaPage>("lruNext"));
}

export function bufferOfLink(link: usize): Buffer {
  return changetype<Buffer>(link - offsetof<Buffer>("linkNext"));
}

export function bufferOfCheckpoint(link: usize): Buffer {
  return changetype<Buffer>(link - offsetof<Buffer>("checkpointNext"));
}

export function isNullBuffer(buffer: Buffer): bool {
  return changetype<usize>(buffer) == 0;
}

export function isNullTxn(txn: Transaction): bool {
  return changetype<usize>(txn) == 0;
}

/** Boot: the four caches of meta pages. */
export function bufferCachesInit(): void {
  for (let order: u32 = 0; order < 4; order++) {
    blockCacheInit(CACHE_META_PAGE + order, <u32>offsetof<MetaPage>() + <u32>offsetof<Buffer>() * (1 << order));
  }
}

/** Mount: an empty cache that keeps to an eighth of memory where it can. */
export function bufferCacheInit(fs: BlockFs): void {
  xaInit(fs.metaPages);
  listInit(fs.lru);
  fs.metaCount = 0;
  const share = mmState().nFrames / 8;
  fs.metaLimit = share < 16 ? 16 : share;
}

function cacheOf(fs: BlockFs): u32 {
  return CACHE_META_PAGE + ctz(fs.blocksPerPage);
}

function bufferAt(meta: MetaPage, index: u32): Buffer {
  return changetype<Buffer>(changetype<usize>(meta) + offsetof<MetaPage>() + index * offsetof<Buffer>());
}

/** A short sleep for want of memory. False when it has been tried often enough: the caller gives up. */
export function pauseForMemory(tries: u32): bool {
  if (tries >= PAUSES) return false;
  currentTask().state = TASK_UNINTERRUPTIBLE;
  scheduleTimeout(PAUSE_NS);
  return true;
}

/**
 * A frame, GFP_ZERO or 0; null when memory is short. The threads of this folder, for which others wait, reclaim but never have a task
 * killed: an allocation with TF_MEMALLOC would do just that.
 */
export function frameAlloc(gfp: u32): Page {
  if ((currentTask().flags & TF_MEMALLOC) == 0) return allocPage(GFP_KERNEL | gfp);
  const page = allocPage(GFP_ATOMIC | gfp);
  if (!isNullPage(page)) return page;
  currentTask().flags &= ~TF_MEMALLOC;
  const reclaim = mmState().reclaimFn;
  reclaim(RECLAIM_FRAMES);
  currentTask().flags |= TF_MEMALLOC;
  return allocPage(GFP_ATOMIC | gfp);
}

/**
 * An object of this folder's caches, after reclaim when there is none; 0 when that was in vain. Preconditions: the caller may sleep.
 * Why not only kmemCacheAlloc: it takes no frame that reclaim would have to make free first.
 */
export function cacheAllocWait(index: u32): usize {
  let tries: u32 = 0;
  while (true) {
    const object = kmemCacheAlloc(blockCache(index));
    if (object != 0) return object;
    const frame = frameAlloc(0);
    if (!isNullPage(frame)) putPage(frame);
    if (isNullPage(frame) || tries++ >= CACHE_TRIES) return 0;
  }
}

function isIdle(fs: BlockFs, meta: MetaPage): bool {
  for (let i: u32 = 0; i < fs.blocksPerPage; i++) {
    const b = bufferAt(meta, i);
    if (b.refcount != 0 || !isNullTxn(b.txn) || !isNullTxn(b.checkpointTxn)) return false;
    if (b.test(BUF_READING) || b.test(BUF_WRITING)) return false;
  }
  return true;
}

function dropMeta(fs: BlockFs, meta: MetaPage): void {
  xaErase(fs.metaPages, meta.index);
  listDelInit(meta.lru);
  fs.metaCount--;
  putPage(meta.frame);
  kmemCacheFree(blockCache(cacheOf(fs)), changetype<usize>(meta));
}

/** Gives up a frame that nobody uses, oldest first, if one is among the first looked at. */
function shrink(fs: BlockFs): void {
  let link: usize = fs.lru.next;
  for (let i: u32 = 0; i < SHRINK_SCAN && link != changetype<usize>(fs.lru); i++) {
    const meta = metaPageOfLru(link);
    link = changetype<usize>(listNext(changetype<ListHead>(link)));
    if (!isIdle(fs, meta)) continue;
    dropMeta(fs, meta);
    return;
  }
}

/** A new frame for the page of blocks, or the one that somebody else was first with; null without memory. */
function addMeta(fs: BlockFs, index: u32): MetaPage {
  const frame = frameAlloc(0);
  const nothing = changetype<MetaPage>(0);
  if (isNullPage(frame)) return nothing;
  const found = xaLoad(fs.metaPages, index);
  if (found != 0) {
    putPage(frame);
    return changetype<MetaPage>(found);
  }
  const meta = changetype<MetaPage>(kmemCacheAlloc(blockCache(cacheOf(fs))));
  if (changetype<usize>(meta) == 0 || xaStore(fs.metaPages, index, changetype<usize>(meta)) != 0) {
    if (changetype<usize>(meta) != 0) kmemCacheFree(blockCache(cacheOf(fs)), changetype<usize>(meta));
    putPage(frame);
    return nothing;
  }
  meta.index = index;
  meta.frame = frame;
  listAddTail(meta.lru, fs.lru);
  fs.metaCount++;
  for (let i: u32 = 0; i < fs.blocksPerPage; i++) {
    const b = bufferAt(meta, i);
    b.block = index * fs.blocksPerPage + i;
    b.data = pageAddress(frame) + i * fs.blockSize;
    b.fs = fs;
    listInit(b.link);
    listInit(b.checkpointLink);
  }
  return meta;
}

/** The block's buffer with a reference, its content perhaps not read. Null without memory, after much waiting. */
export function bufferGet(fs: BlockFs, block: u32): Buffer {
  assert(block < fs.nrBlocks, "[buf-1] a block lies in the filesystem");
  chargeCost(C_PAGE_CACHE_LOOKUP);
  const index = block / fs.blocksPerPage;
  let meta = changetype<MetaPage>(xaLoad(fs.metaPages, index));
  for (let tries: u32 = 0; changetype<usize>(meta) == 0; tries++) {
    if (fs.metaCount >= fs.metaLimit) shrink(fs);
    meta = addMeta(fs, index);
    if (changetype<usize>(meta) == 0 && !pauseForMemory(tries)) return changetype<Buffer>(0);
  }
  listDelInit(meta.lru);
  listAddTail(meta.lru, fs.lru);
  const buffer = bufferAt(meta, block % fs.blocksPerPage);
  buffer.refcount++;
  return buffer;
}

/** A bio that reads or writes blocks of the filesystem; waits for memory. Null when there is none. */
export function blockBio(fs: BlockFs, op: u32, flags: u32, block: u32): Bio {
  const sector = fs.startSector + (<u64>block << (fs.blockShift - SECTOR_SHIFT));
  let bio = bioAlloc(op, flags, sector);
  for (let tries: u32 = 0; isNullBio(bio) && pauseForMemory(tries); tries++) bio = bioAlloc(op, flags, sector);
  return bio;
}

/** Adds `lenBytes` of memory within one page frame to a bio. False when its vector is full. */
export function bioAddMemory(bio: Bio, at: usize, lenBytes: u32): bool {
  const frame = at & ~(<usize>PAGE_SIZE - 1);
  return bioAddPage(bio, frame, lenBytes, <u32>(at - frame));
}

function readIn(buffer: Buffer): i32 {
  const fs = buffer.fs;
  const bio = blockBio(fs, BIO_READ, REQ_META | REQ_SYNC, buffer.block);
  if (isNullBio(bio)) return -ENOMEM;
  bioAddMemory(bio, buffer.data, fs.blockSize);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

/** The block's buffer, read in, with a reference; or ERR_PTR. May sleep. */
export function bufferRead(fs: BlockFs, block: u32): usize {
  const buffer = bufferGet(fs, block);
  if (isNullBuffer(buffer)) return errPtr(-ENOMEM);
  while (!buffer.test(BUF_UPTODATE)) {
    if (buffer.test(BUF_READING)) {
      waitBitClear(changetype<usize>(buffer), BUF_READING);
      continue;
    }
    buffer.flags |= 1 << BUF_READING;
    const status = readIn(buffer);
    if (status == 0) buffer.flags |= 1 << BUF_UPTODATE;
    clearBitAndWake(changetype<usize>(buffer), BUF_READING);
    if (status == 0) break;
    bufferPut(buffer);
    return errPtr(status);
  }
  return changetype<usize>(buffer);
}

/** The buffer of a block that was just allocated, all zero, with a reference; or ERR_PTR. */
export function bufferNew(fs: BlockFs, block: u32): usize {
  const buffer = bufferGet(fs, block);
  if (isNullBuffer(buffer)) return errPtr(-ENOMEM);
  waitBitClear(changetype<usize>(buffer), BUF_READING);
  waitBitClear(changetype<usize>(buffer), BUF_WRITING);
  memory.fill(buffer.data, 0, fs.blockSize);
  buffer.flags |= 1 << BUF_UPTODATE;
  return changetype<usize>(buffer);
}

export function bufferPut(buffer: Buffer): void {
  assert(buffer.refcount != 0, "[buf-1] a buffer is given back as often as taken");
  buffer.refcount--;
}

/** Unmount: every buffer goes. They are clean, or the filesystem was shut down. */
export function bufferCacheDrop(fs: BlockFs): void {
  const cursor = changetype<XaCursor>(mmState().cursor);
  let at = xaFind(fs.metaPages, 0, u32.MAX_VALUE, cursor);
  while (at != 0) {
    const meta = changetype<MetaPage>(at);
    for (let i: u32 = 0; i < fs.blocksPerPage; i++) assert(bufferAt(meta, i).refcount == 0, "[buf-1] a buffer outlives its users");
    dropMeta(fs, meta);
    at = xaFind(fs.metaPages, 0, u32.MAX_VALUE, cursor);
  }
  assert(fs.metaCount == 0, "[buf-1] frames of metadata are counted");
}
