/**
 * pagestore: a complete filesystem in TypeScript. Pages are blocks; a block is reserved when a page is about to become dirty and
 * given a place when the page is written, so that what was promised can always be written. To test your own page_mkwrite, copy
 * this file and change it (docs/filesystems.md).
 *
 * Interface: pagestore, a ScriptedFilesystem.
 * Invariants:
 *   [ps-1] a dirty page has a block or one reserved block ([mk-1]).
 *   [ps-2] the reservation comes before the page lock: making space may need the very page's writeback.
 * Locks: freeze protection -> invalidate_lock (shared) -> page lock.
 * Why not overwrite and allocate in one step: ENOSPC would come at writeback, when nobody is there to hear it.
 */
import {
  type FsCall,
  type FsFile,
  type FsPage,
  type ScriptedFilesystem,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_SIGBUS,
} from "../host/scripted-fs.js";

/** One block for the caller; short of space, dirty pages are written first (a truncate may have freed blocks meanwhile). */
function* reserveOne(file: FsFile): FsCall {
  const error = yield* file.reserve(1);
  if (error === 0) return 0;
  yield* file.writeDirty();
  return yield* file.reserve(1);
}

/** The page is locked and ours: it gets its block promised, unless it has one; then the caller's promise goes back. */
function* promise(page: FsPage, reserved: boolean): FsCall {
  if ((yield* page.promised()) === 0) return reserved ? yield* page.claim() : -1;
  return reserved ? yield* page.release(1) : 0;
}

export const pagestore: ScriptedFilesystem = {
  name: "pagestore",
  mkwrite: "generic_page_mkwrite_nommapsem",

  *readPage(page) {
    const block = yield* page.block(page.pgoff);
    return block < 0 ? yield* page.zero() : yield* page.read(block);
  },

  *writePage(page) {
    let block = yield* page.block(page.pgoff);
    if (block < 0) {
      block = yield* page.allocate();
      const error = yield* page.setBlock(page.pgoff, block);
      if (error !== 0) {
        yield* page.freeBlock(block);
        return error;
      }
    }
    return yield* page.write(block);
  },

  *pageMkwrite(page) {
    yield* page.startPagefault();
    const reserved = (yield* reserveOne(page)) === 0;
    yield* page.updateTime();
    yield* page.lockInvalidate();
    yield* page.lock();
    let result = VM_FAULT_LOCKED;
    if ((yield* page.inFile()) === 0) {
      if (reserved) yield* page.release(1);
      result = VM_FAULT_NOPAGE;
    } else {
      yield* page.waitWriteback();
      // Without space left a page that was promised its block before is still good: a second run must not fail.
      if ((yield* promise(page, reserved)) < 0) result = VM_FAULT_SIGBUS;
      else yield* page.dirty();
    }
    if (result !== VM_FAULT_LOCKED) yield* page.unlock();
    yield* page.unlockInvalidate();
    yield* page.endPagefault();
    return result;
  },

  reserveWrite: (file) => reserveOne(file),

  *freeRange(file, firstPgoff, endPgoff) {
    let at = yield* file.nextBlock(firstPgoff);
    while (at >= 0 && at < endPgoff) {
      yield* file.freeBlock(yield* file.block(at));
      yield* file.setBlock(at, -1);
      at = yield* file.nextBlock(at + 1);
    }
    return 0;
  },
};
