/*
 * What cowfs knows of a page beyond PG_* flags: Page.priv.
 *
 *     priv:   31 ... 24 | 23 ... 16        | 15 ... 8           | 7 ... 0
 *                       | reads under way  | writes under way   | delalloc, one bit a block: dirty, with space reserved
 *
 * Interface: delallocBits, pageWriteStarted, pageWriteDone, pageReadStarted, pageReadDone, BLOCK_BITS.
 * Invariants:
 *   [ps-1] a dirty page has a delalloc bit; a page with a delalloc bit is dirty ([mk-1] for its blocks below i_size).
 *   [ps-2] PG_WRITEBACK goes when the last write of the page is done; the page lock goes when its last read is.
 * Locks: the page lock for the bits; counts change in one emulated step, also in event handlers.
 * Why not an object a page: eight blocks fit a byte.
 */
import { PG_ERROR, PG_UPTODATE, Page, forgetPageLock, unlockForgottenPage } from "../../mm/page";
import { endPageWriteback } from "../../mm/page-writeback";

const WRITE_ONE: u32 = 1 << 8;
const READ_ONE: u32 = 1 << 16;
const COUNT_MASK: u32 = 0xff;
export const BLOCK_BITS: u32 = 0xff;

/** Delalloc bits of the page. */
export function delallocBits(page: Page): u32 {
  return <u32>page.priv & BLOCK_BITS;
}

/** A piece of the page is part of a write that will be submitted. */
export function pageWriteStarted(page: Page): void {
  assert(((<u32>page.priv >> 8) & COUNT_MASK) != COUNT_MASK, "a page has few blocks");
  page.priv += WRITE_ONE;
}

/** A piece is written, or the writer is done adding pieces; the last one ends writeback. */
export function pageWriteDone(page: Page): void {
  assert(((<u32>page.priv >> 8) & COUNT_MASK) != 0, "[ps-2] a write ends once");
  page.priv -= WRITE_ONE;
  if (((<u32>page.priv >> 8) & COUNT_MASK) == 0) endPageWriteback(page);
}

/** A piece of the page will be read. */
export function pageReadStarted(page: Page): void {
  page.priv += READ_ONE;
}

/** A piece is read (error: it is not), or the reader is done adding pieces; the last one unlocks the page. */
export function pageReadDone(page: Page, failed: bool): void {
  assert(((<u32>page.priv >> 16) & COUNT_MASK) != 0, "[ps-2] a read ends once");
  if (failed) page.set(PG_ERROR);
  page.priv -= READ_ONE;
  if (((<u32>page.priv >> 16) & COUNT_MASK) != 0) return;
  if (!page.test(PG_ERROR)) page.set(PG_UPTODATE);
  // A page that is a hole is done in its reader's own context.
  unlockForgottenPage(page);
}

/** The page's lock goes over to its reads. */
export function pageReadsOwnLock(page: Page): void {
  pageReadStarted(page);
  forgetPageLock(page);
}
