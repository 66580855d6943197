/*
 * Recovery: at mount, the transactions that the ring holds whole are written in place.
 *
 *     journal super block: place and sequence of the oldest -> descriptor of that sequence? copies, commit block, checksum right?
 *     -> each copy to its block -> the next place, the next sequence -> ... -> flush -> super block: an empty ring
 *
 * Interface: journalRecover, checkTransaction, blockTransfer.
 * Invariants:
 *   [rec-1] a transaction is replayed whole or not at all; after the first that is not whole nothing is.
 *   [rec-2] a crash during recovery changes nothing: the next one replays the same.
 * Locks: none; the filesystem is being mounted.
 * Why not a separate revoke pass: see space.ts, [sp-2].
 */
import { EIO, ENOMEM } from "../../lib/errno";
import { crc32c } from "../../lib/crc32c";
import { BIO_READ, BIO_WRITE, REQ_META, REQ_SYNC, bioFree, isNullBio } from "../../block/bio";
import { blkdevIssueFlush, submitBioWait } from "../../block/request-queue";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "../../mm/page-alloc";
import { Page, isNullPage, pageAddress } from "../../mm/page";
import { bioAddMemory, blockBio } from "./buffer";
import { journalSuperFill, logBlockOf } from "./commit";
import {
  JH_COUNT, JH_CRC, JH_MAGIC, JH_SEQUENCE, JH_TYPE, JOURNAL_HEADER, JOURNAL_MAGIC, JT_COMMIT, JT_DESCRIPTOR, JT_SUPER,
} from "./layout";
import { RECORD_BLOCKS } from "./journal";
import { BlockFs, blockFsState } from "./state";

/** One block between the disk and memory within a frame. Returns 0 or -errno. */
export function blockTransfer(fs: BlockFs, op: u32, block: u32, at: usize): i32 {
  const bio = blockBio(fs, op, REQ_META | REQ_SYNC, block);
  if (isNullBio(bio)) return -ENOMEM;
  bioAddMemory(bio, at, fs.blockSize);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

function isRecord(at: usize, type: u32, sequence: u32): bool {
  return load<u32>(at, JH_MAGIC) == JOURNAL_MAGIC && load<u32>(at, JH_TYPE) == type && load<u32>(at, JH_SEQUENCE) == sequence;
}

/** Is the transaction at a place whole? Its number of copies, -1 when it is not, or -errno less 1. The descriptor stays at `d`. */
export function checkTransaction(fs: BlockFs, place: u32, sequence: u32, d: usize, c: usize): i32 {
  const j = fs.journal;
  const table = blockFsState().crcTable;
  let error = blockTransfer(fs, BIO_READ, logBlockOf(j, place), d);
  if (error != 0) return error - 1;
  const count = load<u32>(d, JH_COUNT);
  // Not j.maxCredits: the machine that wrote it may have had more memory than this one.
  const most = min((fs.blockSize - JOURNAL_HEADER) / 4, j.ringBlocks - RECORD_BLOCKS);
  if (!isRecord(d, JT_DESCRIPTOR, sequence) || count > most) return -1;
  let crc = crc32c(table, 0, d, fs.blockSize);
  for (let i: u32 = 1; i <= count; i++) {
    error = blockTransfer(fs, BIO_READ, logBlockOf(j, place + i), c);
    if (error != 0) return error - 1;
    crc = crc32c(table, crc, c, fs.blockSize);
  }
  error = blockTransfer(fs, BIO_READ, logBlockOf(j, place + count + 1), c);
  if (error != 0) return error - 1;
  const whole = isRecord(c, JT_COMMIT, sequence) && load<u32>(c, JH_COUNT) == count && load<u32>(c, JH_CRC) == crc;
  return whole ? <i32>count : -1;
}

/** Writes the copies to their blocks. Returns 0 or -errno. */
function replay(fs: BlockFs, place: u32, count: u32, d: usize, c: usize): i32 {
  for (let i: u32 = 0; i < count; i++) {
    const block = load<u32>(d + JOURNAL_HEADER + (i << 2));
    if (block >= fs.nrBlocks) return -EIO;
    let error = blockTransfer(fs, BIO_READ, logBlockOf(fs.journal, place + 1 + i), c);
    if (error == 0) error = blockTransfer(fs, BIO_WRITE, block, c);
    if (error != 0) return error;
  }
  return 0;
}

function recover(fs: BlockFs, d: usize, c: usize): i32 {
  const j = fs.journal;
  let error = blockTransfer(fs, BIO_READ, j.start, d);
  if (error != 0) return error;
  const good = load<u32>(d, JH_MAGIC) == JOURNAL_MAGIC && load<u32>(d, JH_TYPE) == JT_SUPER;
  if (!good || load<u32>(d, JH_CRC) != crc32c(blockFsState().crcTable, 0, d, JH_CRC)) return -EIO;
  let sequence = load<u32>(d, JH_SEQUENCE);
  let place = load<u32>(d, JH_COUNT) % j.ringBlocks;
  let replayed: u32 = 0;
  while (true) {
    const count = checkTransaction(fs, place, sequence, d, c);
    if (count < -1) return count + 1;
    if (count < 0) break;
    error = replay(fs, place, <u32>count, d, c);
    if (error != 0) return error;
    place = (place + <u32>count + 2) % j.ringBlocks;
    sequence++;
    replayed++;
  }
  j.nextTid = sequence;
  j.committedTid = sequence - 1;
  j.requestTid = sequence - 1;
  j.head = place;
  if (replayed == 0) return 0;
  error = blkdevIssueFlush();
  if (error != 0) return error;
  memory.fill(d, 0, fs.blockSize);
  journalSuperFill(d, sequence, place);
  error = blockTransfer(fs, BIO_WRITE, j.start, d);
  return error != 0 ? error : blkdevIssueFlush();
}

/** Replays the ring; afterwards the journal is ready to run. Returns 0 or -errno. */
export function journalRecover(fs: BlockFs): i32 {
  const first: Page = allocPage(GFP_KERNEL | GFP_ZERO);
  const second: Page = allocPage(GFP_KERNEL | GFP_ZERO);
  let error: i32 = -ENOMEM;
  if (!isNullPage(first) && !isNullPage(second)) error = recover(fs, pageAddress(first), pageAddress(second));
  if (!isNullPage(first)) putPage(first);
  if (!isNullPage(second)) putPage(second);
  return error;
}
