/*
 * Free space: the map of blocks, promises of blocks, and the on-disk bitmap and refcounts that follow under a handle.
 *
 *     free --spaceTake--> busy, in memory only --bitmapUpdate: under a handle--> allocated
 *     allocated --blocksFree: under a handle--> pending --commit; a metadata block: checkpoint--> free
 *
 *     a promise:  spaceReserve: reserved + n            (delalloc, conversions, extent nodes)
 *                 spaceTake from a promise: reserved - n, freeBlocks - n
 *                 spaceRelease: reserved - n            (truncated, written elsewhere, not needed)
 *
 * Interface: spaceMapsInit, spaceLoad, spaceReserve, spaceRelease, spaceTake, spaceGiveBack, bitmapUpdate, blocksFree, blocksShare,
 *            sharedRun, spaceCommitted, spaceHoldOver, packRun, runStart, runLength.
 * Invariants:
 *   [sp-1] freeBlocks is the number of clear bits of `busy`; reserved never exceeds it.
 *   [sp-2] a block given up by a transaction is not used again before the transaction is on the disk, and a metadata block not
 *          before all that the ring says of it is in place: a replay must not write over a new owner.
 *   [sp-3] a promise is kept: who takes at most what was reserved finds it free.
 *   [sp-4] a block that has one owner since a transaction is overwritten in place only when that is on the disk: before, a crash would show
 *          the store to the other owner as well. It counts as shared, and is copied.
 * Locks: none: the map changes in one emulated step; buffers change under the handle.
 * Why not revoke records: a metadata block waits for its checkpoint instead, and recovery stays one pass.
 */
import { EMLINK, isErr, ptrErr } from "../../lib/errno";
import { SITE_SPACE, shouldFail } from "../../lib/fault-sites";
import { bitmapClear, bitmapFindNext, bitmapSet as setBit, bitmapTest } from "../../lib/bitmap";
import { Buffer, bufferPut, bufferRead } from "./buffer";
import { journalAbort, journalGetWrite } from "./journal";
import { BlockFs, Handle, Transaction, blockFsState } from "./state";

/** A run of blocks as one number. */
export function packRun(start: u32, length: u32): u64 {
  return ((<u64>length) << 32) | start;
}

export function runStart(run: u64): u32 {
  return <u32>run;
}

export function runLength(run: u64): u32 {
  return <u32>(run >> 32);
}

/** Mount: maps at their place, empty. */
export function spaceMapsInit(fs: BlockFs, startBlock: u32): void {
  const s = blockFsState();
  fs.busy = s.bits + startBlock;
  fs.freed0 = fs.busy + s.bitsBytes;
  fs.freed1 = fs.freed0 + s.bitsBytes;
  fs.hold = fs.freed1 + s.bitsBytes;
  fs.unshared0 = fs.hold + s.bitsBytes;
  fs.unshared1 = fs.unshared0 + s.bitsBytes;
  const bytes = (fs.nrBlocks + 7) >> 3;
  memory.fill(fs.busy, 0, bytes);
  memory.fill(fs.freed0, 0, bytes);
  memory.fill(fs.freed1, 0, bytes);
  memory.fill(fs.hold, 0, bytes);
  memory.fill(fs.unshared0, 0, bytes);
  memory.fill(fs.unshared1, 0, bytes);
}

/** Mount: reads the bitmap. Returns 0 or -errno. */
export function spaceLoad(fs: BlockFs): i32 {
  const bitsPerBlock = fs.blockSize * 8;
  let free: u32 = 0;
  for (let i: u32 = 0; i < fs.bitmapBlocks; i++) {
    const got = bufferRead(fs, fs.bitmapStart + i);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    const first = i * bitsPerBlock;
    const bits = fs.nrBlocks - first < bitsPerBlock ? fs.nrBlocks - first : bitsPerBlock;
    memory.copy(fs.busy + first / 8, buffer.data, (bits + 7) >> 3);
    for (let bit: u32 = 0; bit < bits; bit++) if (!bitmapTest(buffer.data, bit)) free++;
    bufferPut(buffer);
  }
  fs.freeBlocks = free;
  fs.pendingFree = 0;
  fs.reserved = 0;
  fs.rotor = fs.dataStart;
  return 0;
}

/** Promises n blocks. False: not enough are free (some may be pending), or the site is one that is to fail. */
export function spaceReserve(fs: BlockFs, n: u32): bool {
  assert(fs.reserved <= fs.freeBlocks, "[sp-1] no more is promised than is free");
  if (n != 0 && shouldFail(SITE_SPACE)) return false;
  if (fs.freeBlocks - fs.reserved < n) return false;
  fs.reserved += n;
  return true;
}

export function spaceRelease(fs: BlockFs, n: u32): void {
  assert(fs.reserved >= n, "[mk-6] no more is given back than was promised");
  fs.reserved -= n;
}

/** The first clear bit of the map at or above `from`, or nrBlocks. */
function nextFree(fs: BlockFs, from: u32): u32 {
  let bit = from;
  while (bit < fs.nrBlocks) {
    if ((bit & 31) == 0 && load<u32>(fs.busy + ((bit >> 5) << 2)) == u32.MAX_VALUE) {
      bit += 32;
      continue;
    }
    if (!bitmapTest(fs.busy, bit)) return bit;
    bit++;
  }
  return fs.nrBlocks;
}

/** Takes a run of up to `want` promised blocks, at the goal if it is free. Nothing is on the disk yet. Returns the run. */
export function spaceTake(fs: BlockFs, want: u32, goal: u32): u64 {
  assert(want != 0 && fs.reserved >= want, "[sp-3] blocks are taken from a promise");
  let at = nextFree(fs, goal != 0 && goal < fs.nrBlocks ? goal : fs.rotor);
  if (at == fs.nrBlocks) at = nextFree(fs, fs.dataStart);
  assert(at < fs.nrBlocks, "[sp-3] a promised block is free");
  let length: u32 = 0;
  while (length < want && at + length < fs.nrBlocks && !bitmapTest(fs.busy, at + length)) {
    setBit(fs.busy, at + length);
    length++;
  }
  fs.freeBlocks -= length;
  fs.reserved -= length;
  fs.rotor = at + length < fs.nrBlocks ? at + length : fs.dataStart;
  return packRun(at, length);
}

/** Blocks taken, of which the disk never heard, are free again. */
export function spaceGiveBack(fs: BlockFs, start: u32, length: u32): void {
  for (let i: u32 = 0; i < length; i++) {
    assert(bitmapTest(fs.busy, start + i), "[sp-1] a block is given back once");
    bitmapClear(fs.busy, start + i);
  }
  fs.freeBlocks += length;
}

/** Changes the bits of a run in the on-disk bitmap. Returns 0 or -errno. Costs a credit for each bitmap block. */
export function bitmapUpdate(handle: Handle, start: u32, length: u32, allocated: bool): i32 {
  const fs = handle.fs;
  const bitsPerBlock = fs.blockSize * 8;
  let at = start;
  const end = start + length;
  while (at < end) {
    const got = bufferRead(fs, fs.bitmapStart + at / bitsPerBlock);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    journalGetWrite(handle, buffer);
    const last = (at / bitsPerBlock + 1) * bitsPerBlock;
    for (; at < end && at < last; at++) {
      const bit = at % bitsPerBlock;
      assert(bitmapTest(buffer.data, bit) != allocated, "[bl-2] a block is allocated once and freed once");
      if (allocated) setBit(buffer.data, bit);
      else bitmapClear(buffer.data, bit);
    }
    bufferPut(buffer);
  }
  return 0;
}

/** The blocks are given up by the handle's transaction ([sp-2]). */
function pend(handle: Handle, start: u32, length: u32, metadata: bool): void {
  const fs = handle.fs;
  const txn = handle.txn;
  const map = metadata ? fs.hold : fs.freedMap(txn.tid);
  for (let i: u32 = 0; i < length; i++) setBit(map, start + i);
  fs.pendingFree += length;
  if (metadata) fs.holdTid = txn.tid;
  else {
    if (start < txn.freedLow) txn.freedLow = start;
    if (start + length > txn.freedHigh) txn.freedHigh = start + length;
  }
}

/** Moves the bits of [low, high) from a map to free. */
function unpend(fs: BlockFs, map: usize, low: u32, high: u32): void {
  let bit = bitmapFindNext(map, high, low);
  while (bit < high) {
    bitmapClear(map, bit);
    assert(bitmapTest(fs.busy, bit), "[sp-2] a pending block is busy");
    bitmapClear(fs.busy, bit);
    fs.freeBlocks++;
    fs.pendingFree--;
    bit = bitmapFindNext(map, high, bit + 1);
  }
}

/** The transaction is on the disk: the data blocks it gave up are free, those that it left one owner are that owner's. */
export function spaceCommitted(fs: BlockFs, txn: Transaction): void {
  if (txn.freedLow < txn.freedHigh) unpend(fs, fs.freedMap(txn.tid), txn.freedLow, txn.freedHigh);
  const map = fs.unsharedMap(txn.tid);
  for (let block = txn.unsharedLow; block < txn.unsharedHigh; block++) bitmapClear(map, block);
}

/** The block has one owner from the handle's transaction on ([sp-4]). */
function noteUnshared(handle: Handle, block: u32): void {
  const txn = handle.txn;
  setBit(handle.fs.unsharedMap(txn.tid), block);
  if (block < txn.unsharedLow) txn.unsharedLow = block;
  if (block >= txn.unsharedHigh) txn.unsharedHigh = block + 1;
}

/** A crash may still find another owner of the block: by its refcount, or [sp-4]. */
function isShared(fs: BlockFs, refs: u32, block: u32): bool {
  return refs != 0 || bitmapTest(fs.unshared0, block) || bitmapTest(fs.unshared1, block);
}

/** Every transaction before `tid` is checkpointed: so the metadata blocks that they gave up are free. */
export function spaceHoldOver(fs: BlockFs, tid: u32): void {
  if (fs.holdTid != 0 && fs.holdTid < tid) {
    unpend(fs, fs.hold, 0, fs.nrBlocks);
    fs.holdTid = 0;
  }
}

/** The refcount of a block's table: u16 at the address, in the buffer, which is referenced. */
function refcountBuffer(fs: BlockFs, block: u32): usize {
  return bufferRead(fs, fs.refcountStart + block / (fs.blockSize / 2));
}

function refcountAt(fs: BlockFs, buffer: Buffer, block: u32): usize {
  return buffer.data + (block % (fs.blockSize / 2)) * 2;
}

/** How many blocks from `start` on are shared as the first is: that number as the run's length, 1 or 0 as its start. Length 0: EIO. */
export function sharedRun(fs: BlockFs, start: u32, length: u32): u64 {
  if (fs.hasShared == 0) return packRun(0, length);
  let shared: u32 = 0;
  for (let n: u32 = 0; n < length; n++) {
    const got = refcountBuffer(fs, start + n);
    if (isErr(got)) return packRun(0, 0);
    const buffer = changetype<Buffer>(got);
    const here: u32 = isShared(fs, load<u16>(refcountAt(fs, buffer, start + n)), start + n) ? 1 : 0;
    bufferPut(buffer);
    if (n == 0) shared = here;
    else if (here != shared) return packRun(shared, n);
  }
  return packRun(shared, length);
}

/** Every block of a run may have one more owner: 0, else -EMLINK, or -EIO. */
function countsFit(fs: BlockFs, start: u32, length: u32): i32 {
  let error: i32 = 0;
  for (let i: u32 = 0; i < length && error == 0; i++) {
    const got = refcountBuffer(fs, start + i);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    if (load<u16>(refcountAt(fs, buffer, start + i)) == u16.MAX_VALUE) error = -EMLINK;
    bufferPut(buffer);
  }
  return error;
}

/** Adds to the refcount of each block of a run. Returns 0, or -errno with nothing changed. A credit for each block of the table. */
export function blocksShare(handle: Handle, start: u32, length: u32): i32 {
  const fs = handle.fs;
  const fits = countsFit(fs, start, length);
  if (fits != 0) return fits;
  for (let i: u32 = 0; i < length; i++) {
    const got = refcountBuffer(fs, start + i);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    journalGetWrite(handle, buffer);
    const at = refcountAt(fs, buffer, start + i);
    assert(load<u16>(at) != u16.MAX_VALUE, "a block is shared less than 65536 times");
    store<u16>(at, load<u16>(at) + 1);
    bufferPut(buffer);
  }
  return 0;
}

/** Drops one reference of a shared block. Returns 1 when it was shared, 0 when it is the last, or -errno. */
function unshare(handle: Handle, block: u32): i32 {
  const fs = handle.fs;
  const got = refcountBuffer(fs, block);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  // First the right to write, which may wait; then the look.
  journalGetWrite(handle, buffer);
  const at = refcountAt(fs, buffer, block);
  const refs: u32 = load<u16>(at);
  if (refs != 0) store<u16>(at, <u16>(refs - 1));
  if (refs == 1) noteUnshared(handle, block);
  bufferPut(buffer);
  return refs != 0 ? 1 : 0;
}

/**
 * A file gives up data blocks, or the tree a node: what nobody shares is freed. Returns 0, or -errno with the filesystem shut
 * down. Credits: bitmap blocks and refcount blocks of the run.
 */
export function blocksFree(handle: Handle, start: u32, length: u32, metadata: bool): i32 {
  const fs = handle.fs;
  let from = start;
  for (let at = start; at <= start + length; at++) {
    let shared: i32 = 0;
    if (at < start + length && !metadata && fs.hasShared != 0) shared = unshare(handle, at);
    if (at < start + length && shared == 0) continue;
    let error: i32 = shared < 0 ? shared : 0;
    if (error == 0 && at > from) {
      error = bitmapUpdate(handle, from, at - from, false);
      if (error == 0) pend(handle, from, at - from, metadata);
    }
    if (error != 0) {
      journalAbort(fs, error);
      return error;
    }
    from = at + 1;
  }
  return 0;
}
