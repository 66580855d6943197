/*
 * Reading a file's pages: one bio per run of the disk inside one data extent, verified block by block when it is done.
 *
 *     page locked -> ordered extents of the range waited for -> per run of blocks: hole: zeros | extent: checksums looked up, bio
 *     endIo: crc32c of each block against the tree's -> a page's last piece: uptodate (or PG_ERROR), unlocked
 *
 * Interface: readPageNow, cowfsReadPage, cowfsReadahead, readInit.
 * Invariants:
 *   [cow-8] a block whose checksum is not the tree's is never shown: EIO, a tracepoint, CowfsInfo.csumErrors.
 *   [rd-3] bytes of a page at or beyond i_size read as zeros.
 * Locks: the page lock, which the completion gives up. Under it: fs tree and csum tree for reading.
 * Why not a second copy to fall back on: the disk has one; btrfs would try a mirror here.
 */
import { crc32c } from "../../lib/crc32c";
import { ENOMEM } from "../../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { xaLoad } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { TP_COWFS_BAD_DATA } from "../../tracepoints";
import { BIO_READ, Bio, bioAddPage, bioAlloc, bioFree, bioVec, isNullBio } from "../../block/bio";
import { submitBio } from "../../block/request-queue";
import { AddressSpace, File } from "../../mm/address-space";
import { Page, addressToPage, pageAddress } from "../../mm/page";
import { C_CSUM_PAGE, cost } from "../../sched/cost";
import { charge, nowNs, sched } from "../../sched/state";
import { Inode, inodeOfMapping } from "../inode";
import { csumLookup } from "./extent-tree";
import { ExtentRange, extentAt } from "./file-extent";
import { infoOf } from "./inode-item";
import { MAX_EXTENT_BLOCKS, MAX_EXTENT_PAGES } from "./layout";
import { waitOrderedRange } from "./ordered";
import { pageReadDone, pageReadStarted, pageReadsOwnLock } from "./page-state";
import { CACHE_READ, CowfsInfo, cowCache, cowCacheInit, cowfsState } from "./state";

/** A read in the making, then under way. */
@unmanaged
class ReadIo {
  /** Where the last block looked at lies. */
  range0: u64; range1: u64; range2: u64;
  /** Byte of the disk that the bio starts at. */
  diskStart: u64;
  info: CowfsInfo;
  inode: Inode;
  bio: Bio;
  blocks: u32;
  /** u32 a block. */
  sums0: u64;

  get range(): ExtentRange {
    return changetype<ExtentRange>(changetype<usize>(this));
  }
  get sums(): usize {
    return changetype<usize>(this) + offsetof<ReadIo>("sums0");
  }
}

export function readInit(): void {
  cowCacheInit(CACHE_READ, <u32>offsetof<ReadIo>("sums0") + MAX_EXTENT_BLOCKS * 4);
}

function newIo(info: CowfsInfo, inode: Inode): ReadIo {
  const io = changetype<ReadIo>(kmemCacheAlloc(cowCache(CACHE_READ)));
  if (changetype<usize>(io) != 0) {
    io.info = info;
    io.inode = inode;
  }
  return io;
}

function freeIo(io: ReadIo): void {
  kmemCacheFree(cowCache(CACHE_READ), changetype<usize>(io));
}

/** The pieces of a bio that will not be read. */
function failPieces(bio: Bio): void {
  for (let i: u32 = 0; i < bio.vecs; i++) pageReadDone(addressToPage(bioVec(bio, i).addr & ~0xfff), true);
}

/** Looks the checksums up and submits the io's bio, which is the completion's then. Returns 0 or -errno, the pieces failed. */
function submitIo(io: ReadIo): i32 {
  const bio = io.bio;
  const error = csumLookup(io.info, io.diskStart, io.blocks, io.sums);
  if (error != 0) {
    failPieces(bio);
    bioFree(bio);
    freeIo(io);
    return error;
  }
  bio.privateData = changetype<usize>(io);
  bio.endIo = readDone;
  submitBio(bio);
  return 0;
}

/** The data is in memory (event handler): is it what was written? */
function readDone(bio: Bio): void {
  const io = changetype<ReadIo>(bio.privateData);
  const info = io.info;
  const size = info.blockSize;
  let block: u32 = 0;
  for (let i: u32 = 0; i < bio.vecs; i++) {
    const vec = bioVec(bio, i);
    let failed = bio.status != 0;
    for (let at: u32 = 0; at < vec.lenBytes; at += size) {
      charge(cost(C_CSUM_PAGE) / info.clusterBlocks);
      const sum = crc32c(cowfsState().crcTable, 0, vec.addr + at, size);
      if (!failed && sum != load<u32>(io.sums + (block << 2))) {
        traceEmit(nowNs(), TP_COWFS_BAD_DATA, sched().cpu.id, bio.taskId, io.diskStart + <u64>block * size, io.inode.ino);
        info.csumErrors++;
        failed = true;
      }
      block++;
    }
    const page = addressToPage(vec.addr & ~0xfff);
    clearBeyondEnd(page, vec.addr & 0xfff, vec.lenBytes);
    pageReadDone(page, failed);
  }
  bioFree(bio);
  freeIo(io);
}

/** [rd-3] for a piece of a page. */
function clearBeyondEnd(page: Page, offset: u32, lenBytes: u32): void {
  const start = (<u64>page.index << 12) + offset;
  const sizeBytes = changetype<AddressSpace>(page.mapping).sizeBytes;
  if (sizeBytes >= start + lenBytes) return;
  const keep = sizeBytes > start ? <u32>(sizeBytes - start) : 0;
  memory.fill(pageAddress(page) + offset + keep, 0, lenBytes - keep);
}

/** True when a block at `disk` continues the io's bio. */
function continues(io: ReadIo, disk: u64): bool {
  return !isNullBio(io.bio) && io.diskStart + (<u64>io.blocks << io.info.blockShift) == disk;
}

/**
 * Adds the pieces of one page, whose lock its reads own. `io` is open or null; returns the io that is open now, or null after an
 * error, which has failed the page.
 */
function addPage(info: CowfsInfo, inode: Inode, page: Page, open: ReadIo): ReadIo {
  let io = open;
  const size = info.blockSize;
  const start = <u64>page.index << 12;
  for (let offset: u32 = 0; offset < PAGE_SIZE; offset += size) {
    const at = start + offset;
    if (changetype<usize>(io) == 0) io = newIo(info, inode);
    let error: i32 = changetype<usize>(io) == 0 ? -ENOMEM : 0;
    // A range ends with its extent, and so does a bio: its checksums are one item.
    if (error == 0 && (at < io.range.fileStart || at >= io.range.fileEnd)) {
      io = closeIo(io);
      if (changetype<usize>(io) == 0) io = newIo(info, inode);
      error = changetype<usize>(io) == 0 ? -ENOMEM : extentAt(inode, at, io.range);
    }
    if (error == 0 && io.range.diskStart != 0) {
      io = addBlock(io, page, offset, at);
      if (changetype<usize>(io) == 0) error = -ENOMEM;
    } else if (error == 0) memory.fill(pageAddress(page) + offset, 0, size);
    if (error != 0) {
      pageReadStarted(page);
      pageReadDone(page, true);
      finishIo(io);
      return changetype<ReadIo>(0);
    }
  }
  return io;
}

/** Submits what the io has and frees the rest; returns it for reuse when it had nothing, else null. */
function closeIo(io: ReadIo): ReadIo {
  if (isNullBio(io.bio)) return io;
  submitIo(io);
  return changetype<ReadIo>(0);
}

/** Adds a block of data to the io's bio, or to a new one. Null on ENOMEM. */
function addBlock(open: ReadIo, page: Page, offset: u32, fileByte: u64): ReadIo {
  let io = open;
  const info = io.info;
  const disk = io.range.diskStart + (fileByte - io.range.fileStart);
  const room = io.blocks < MAX_EXTENT_BLOCKS && (isNullBio(io.bio) || io.bio.vecs < MAX_EXTENT_PAGES);
  if (!isNullBio(io.bio) && (!room || !continues(io, disk))) {
    const next = newIo(info, io.inode);
    if (changetype<usize>(next) != 0) memory.copy(changetype<usize>(next), changetype<usize>(io), 24);
    submitIo(io);
    io = next;
    if (changetype<usize>(io) == 0) return io;
  }
  if (isNullBio(io.bio)) {
    io.bio = bioAlloc(BIO_READ, 0, info.startSector + (disk >> 9));
    if (isNullBio(io.bio)) {
      freeIo(io);
      return changetype<ReadIo>(0);
    }
    io.diskStart = disk;
  }
  // Neighbouring blocks of a page are one piece.
  const bio = io.bio;
  const addr = <u32>pageAddress(page) + offset;
  if (bio.vecs != 0 && bioVec(bio, bio.vecs - 1).addr + bioVec(bio, bio.vecs - 1).lenBytes == addr && offset != 0) {
    bioVec(bio, bio.vecs - 1).lenBytes += info.blockSize;
    bio.sizeBytes += info.blockSize;
  } else {
    bioAddPage(bio, pageAddress(page), info.blockSize, offset);
    pageReadStarted(page);
  }
  io.blocks++;
  return io;
}

/** Ends the reading of pages: the last io goes. */
function finishIo(io: ReadIo): void {
  if (changetype<usize>(io) == 0) return;
  if (isNullBio(io.bio)) freeIo(io);
  else submitIo(io);
}

/** Reads a page that this task has locked; it is unlocked when it is read, or has failed (PG_ERROR). */
export function readPageNow(inode: Inode, page: Page): void {
  const start = <u64>page.index << 12;
  waitOrderedRange(inode, start, start + PAGE_SIZE);
  pageReadsOwnLock(page);
  finishIo(addPage(infoOf(inode), inode, page, changetype<ReadIo>(0)));
  pageReadDone(page, false);
}

/** AddressSpaceOperations.readPage. */
export function cowfsReadPage(file: File, page: Page): i32 {
  assert(page.mapping == changetype<usize>(file.mapping), "the page is the file's");
  readPageNow(inodeOfMapping(file.mapping), page);
  return 0;
}

/** AddressSpaceOperations.readahead: `count` new pages, whose locks are the completion's already. */
export function cowfsReadahead(mapping: AddressSpace, pgoff: u32, count: u32): void {
  const inode = inodeOfMapping(mapping);
  const info = infoOf(inode);
  waitOrderedRange(inode, <u64>pgoff << 12, <u64>(pgoff + count) << 12);
  let io = changetype<ReadIo>(0);
  for (let i: u32 = 0; i < count; i++) {
    const page = changetype<Page>(xaLoad(mapping.pages, pgoff + i));
    assert(changetype<usize>(page) != 0, "a page to read is in the cache, locked");
    pageReadStarted(page);
    io = addPage(info, inode, page, io);
    pageReadDone(page, false);
  }
  finishIo(io);
}
