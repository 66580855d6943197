/*
 * The steps of a filesystem that the host runs: what its generators may ask of the kernel. Each is what a filesystem inside
 * the kernel would call at that place; src/host/scripted-fs.ts has the same numbers.
 *
 * Interface: carryOut(fs, step, a0, a1, a2), STEP_*.
 * Invariants:
 *   [st-1] a step that takes a page gets it locked where its comment says so; a page's lock is held over steps, never over return
 *          but from page_mkwrite with LOCKED.
 *   [st-2] a filesystem's mistake (a handle that is none, an unlock too many) asserts: it is a bug of the filesystem.
 * Locks: as each step says.
 * Why not give the host the structs: it would decide between two steps on what another task has changed.
 */
import { EIO, ENOMEM } from "../../lib/errno";
import { PAGE_SIZE } from "../../memlayout";
import { BIO_READ, BIO_WRITE, Bio, REQ_SYNC, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { blkdevIssueFlush, submitBio, submitBioWait } from "../../block/request-queue";
import { SECTORS_PER_BLOCK } from "../../block/state";
import { AddressSpace } from "../../mm/address-space";
import { filePages } from "../../mm/filemap";
import {
  PG_DIRTY, PG_PRIVATE, PG_UPTODATE, PG_WRITEBACK, Page, lockPage, pageAddress, pageLocked, unlockPage, waitOnPageWriteback,
} from "../../mm/page";
import { endPageWriteback, setPageDirty } from "../../mm/page-writeback";
import { mmState } from "../../mm/state";
import { mappingSetError, pagePrepare, waitForStablePage, writeMapping } from "../../mm/writeback";
import { downRead, upRead } from "../../sched/rwsem";
import { TASK_UNINTERRUPTIBLE, currentTask } from "../../sched/state";
import { scheduleTimeout } from "../../sched/core";
import { Inode, inodeOfMapping, touchTimes } from "../inode";
import { SuperBlock, sbEndPagefault, sbStartPagefault } from "../super";
import {
  ScriptedSuper, allocBlock, freeBlock, mapGet, mapNext, mapSet, pageReleaseReserved, pageReserve, releaseBlocks, reserveBlocks,
  scriptedInode, scriptedSuper,
} from "./space";

/** (inode, page, pgoff) in a0, a1, a2 unless said otherwise. */
export const STEP_LOCK_PAGE: u32 = 1;
export const STEP_UNLOCK_PAGE: u32 = 2;
/** 1 when the locked page is the file's page at its index and below i_size. */
export const STEP_PAGE_IN_FILE: u32 = 3;
export const STEP_WAIT_WRITEBACK: u32 = 4;
/** Dirty, and prepared for stores up to its end. */
export const STEP_DIRTY_PAGE: u32 = 5;
export const STEP_ZERO_PAGE: u32 = 6;
/** Reads block a2 into the locked page and waits: 0 or -errno. */
export const STEP_READ_PAGE: u32 = 7;
/** Starts the write of the locked page to block a2 and unlocks it; its writeback ends with the IO. */
export const STEP_WRITE_PAGE: u32 = 8;
/** a2 blocks: 0 or -ENOSPC. */
export const STEP_RESERVE: u32 = 9;
export const STEP_RELEASE: u32 = 10;
/** The caller's one reserved block becomes the page's. */
export const STEP_PAGE_RESERVE: u32 = 11;
/** A block for the page's reservation. */
export const STEP_PAGE_ALLOC: u32 = 12;
export const STEP_FREE_BLOCK: u32 = 13;
export const STEP_MAP_GET: u32 = 14;
/** Block a1 for page a2 of inode a0, -1 for a hole. */
export const STEP_MAP_SET: u32 = 15;
export const STEP_MAP_NEXT: u32 = 16;
/** a2 ns. */
export const STEP_SLEEP: u32 = 17;
export const STEP_START_PAGEFAULT: u32 = 18;
export const STEP_END_PAGEFAULT: u32 = 19;
export const STEP_UPDATE_TIME: u32 = 20;
export const STEP_LOCK_INVALIDATE: u32 = 21;
export const STEP_UNLOCK_INVALIDATE: u32 = 22;
/** i_size, bytes. */
export const STEP_SIZE: u32 = 23;
export const STEP_FLUSH_DISK: u32 = 24;
/** Writes dirty pages of the whole filesystem, to turn promises into blocks; waits. */
export const STEP_WRITE_DIRTY: u32 = 25;
/** 1 when the page is dirty. */
export const STEP_PAGE_DIRTY: u32 = 26;
/** 1 when the locked page has a block or a reserved one. */
export const STEP_PAGE_PROMISED: u32 = 27;

function sectorOf(sb: SuperBlock, block: u32): u64 {
  return <u64>(sb.startBlock + block) * SECTORS_PER_BLOCK;
}

function pageBio(op: u32, sb: SuperBlock, page: Page, block: u32): Bio {
  const bio = bioAlloc(op, REQ_SYNC, sectorOf(sb, block));
  if (isNullBio(bio)) return bio;
  const added = bioAddPage(bio, pageAddress(page), PAGE_SIZE, 0);
  assert(added, "a bio takes a page");
  return bio;
}

function readPage(sb: SuperBlock, page: Page, block: u32): i64 {
  assert(pageLocked(page), "[st-1] a page is read under its lock");
  const bio = pageBio(BIO_READ, sb, page, block);
  if (isNullBio(bio)) return -ENOMEM;
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

/** Event handler. */
function writeDone(bio: Bio): void {
  const page = changetype<Page>(bio.privateData);
  if (bio.status != 0) mappingSetError(changetype<AddressSpace>(page.mapping), -EIO);
  bioFree(bio);
  endPageWriteback(page);
}

function writePage(sb: SuperBlock, page: Page, block: u32): i64 {
  assert(pageLocked(page) && !page.test(PG_DIRTY), "[st-1] writeback takes a locked page that was cleaned");
  assert(page.test(PG_WRITEBACK), "[st-1] a page is written by ->writePage");
  const bio = pageBio(BIO_WRITE, sb, page, block);
  if (isNullBio(bio)) return -ENOMEM;
  bio.privateData = changetype<usize>(page);
  bio.endIo = writeDone;
  unlockPage(page);
  submitBio(bio);
  return 0;
}

function pageInFile(inode: Inode, page: Page): i64 {
  assert(pageLocked(page), "[st-1] a page is judged under its lock");
  const mapping = inode.mapping;
  return page.mapping == changetype<usize>(mapping) && page.index < filePages(mapping.sizeBytes) ? 1 : 0;
}

/** Reservations of dirty pages become blocks; their pages, when truncated, become free blocks only later. */
function writeDirty(sb: SuperBlock): i64 {
  const m = mmState();
  let rounds = m.nrDirty + 1;
  while (rounds != 0 && m.nrDirty != 0) {
    rounds--;
    const link = changetype<usize>(m.dirtyMappings.next);
    if (link == changetype<usize>(m.dirtyMappings)) break;
    const mapping = changetype<AddressSpace>(link - offsetof<AddressSpace>("dirtyNext"));
    const inode = inodeOfMapping(mapping);
    if (changetype<usize>(inode.sb) != changetype<usize>(sb)) break;
    const igrab = m.igrabFn;
    if (!igrab(mapping.host)) break;
    writeMapping(mapping, 0, u32.MAX_VALUE, true);
    const iput = mmState().iputFn;
    iput(changetype<usize>(inode));
  }
  return 0;
}

function checkPage(at: u64): Page {
  const m = mmState();
  const page = changetype<Page>(<usize>at);
  const offset = changetype<usize>(page) - m.memMap;
  assert(changetype<usize>(page) >= m.memMap && offset % offsetof<Page>() == 0, "[st-2] a page handle is a page");
  assert(page.refcount > 0, "[st-2] a page handle is of a page in use");
  return page;
}

/** Carries one step out for the running task. Returns its result. */
export function carryOut(fs: u32, step: u32, a0: u64, a1: u64, a2: u64): i64 {
  const inode = changetype<Inode>(<usize>a0);
  const s: ScriptedSuper = scriptedSuper(inode.sb);
  assert(s.fs == fs, "[st-2] an inode handle is of the filesystem that was called");
  if (step <= STEP_WRITE_PAGE || step == STEP_PAGE_RESERVE || step == STEP_PAGE_ALLOC || step >= STEP_PAGE_DIRTY) {
    return pageStep(s, step, inode, checkPage(a1), <u32>a2);
  }
  switch (step) {
    case STEP_RESERVE: return reserveBlocks(s, <u32>a2);
    case STEP_RELEASE: {
      releaseBlocks(s, <u32>a2);
      return 0;
    }
    case STEP_FREE_BLOCK: return freeBlock(s, <u32>a2);
    case STEP_MAP_GET: return mapGet(scriptedInode(inode), <u32>a2);
    case STEP_MAP_SET: return setBlock(inode, <u32>a2, <i64>a1);
    case STEP_MAP_NEXT: return mapNext(scriptedInode(inode), <u32>a2);
    default: return waitStep(step, inode, a2);
  }
}

/** As mapSet; i_blocks counts what is mapped. */
function setBlock(inode: Inode, pgoff: u32, block: i64): i32 {
  const map = scriptedInode(inode);
  const had = mapGet(map, pgoff) >= 0;
  const result = mapSet(map, pgoff, block);
  const has = mapGet(map, pgoff) >= 0;
  if (has && !had) inode.blocks += PAGE_SIZE >> 9;
  else if (had && !has) inode.blocks -= PAGE_SIZE >> 9;
  return result;
}

function pageStep(s: ScriptedSuper, step: u32, inode: Inode, page: Page, block: u32): i64 {
  switch (step) {
    case STEP_LOCK_PAGE: {
      lockPage(page);
      return 0;
    }
    case STEP_UNLOCK_PAGE: {
      unlockPage(page);
      return 0;
    }
    case STEP_PAGE_IN_FILE: return pageInFile(inode, page);
    case STEP_WAIT_WRITEBACK: {
      if (pageLocked(page)) waitForStablePage(page);
      else waitOnPageWriteback(page);
      return 0;
    }
    case STEP_DIRTY_PAGE: {
      setPageDirty(page);
      pagePrepare(page, PAGE_SIZE);
      return 0;
    }
    case STEP_ZERO_PAGE: {
      assert(pageLocked(page) && !page.test(PG_UPTODATE), "[st-1] a page is zeroed instead of read");
      memory.fill(pageAddress(page), 0, PAGE_SIZE);
      return 0;
    }
    case STEP_READ_PAGE: return readPage(inode.sb, page, block);
    case STEP_WRITE_PAGE: return writePage(inode.sb, page, block);
    case STEP_PAGE_RESERVE: {
      assert(pageLocked(page), "[sc-2] a page's reservation changes under its lock");
      pageReserve(s, page);
      return 0;
    }
    case STEP_PAGE_ALLOC: {
      pageReleaseReserved(s, page, false);
      return allocBlock(s);
    }
    case STEP_PAGE_DIRTY: return page.test(PG_DIRTY) ? 1 : 0;
    case STEP_PAGE_PROMISED: return page.test(PG_PRIVATE) || mapGet(scriptedInode(inode), page.index) >= 0 ? 1 : 0;
    default: {
      assert(false, "[st-2] an unknown step");
      return -1;
    }
  }
}

function waitStep(step: u32, inode: Inode, a2: u64): i64 {
  switch (step) {
    case STEP_SLEEP: {
      currentTask().state = TASK_UNINTERRUPTIBLE;
      scheduleTimeout(a2);
      return 0;
    }
    case STEP_START_PAGEFAULT: {
      sbStartPagefault(inode.sb);
      return 0;
    }
    case STEP_END_PAGEFAULT: {
      sbEndPagefault(inode.sb);
      return 0;
    }
    case STEP_UPDATE_TIME: {
      touchTimes(inode);
      return 0;
    }
    case STEP_LOCK_INVALIDATE: {
      downRead(inode.mapping.invalidateLock);
      return 0;
    }
    case STEP_UNLOCK_INVALIDATE: {
      upRead(inode.mapping.invalidateLock);
      return 0;
    }
    case STEP_SIZE: return <i64>inode.mapping.sizeBytes;
    case STEP_FLUSH_DISK: return blkdevIssueFlush();
    case STEP_WRITE_DIRTY: return writeDirty(inode.sb);
    default: {
      assert(false, "[st-2] an unknown step");
      return -1;
    }
  }
}
