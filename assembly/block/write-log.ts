/*
 * The disk's volatile cache, as an undo log: the image always holds what reads see; for each write that no flush
 * covered, the log holds what its sectors held before.
 *
 *     oldestSeq                              nextSeq
 *        v                                      v
 *     [ entry | entry | FUA entry | entry ]           slot = seq % capacity; header 32 bytes, data 4096 bytes
 *
 *     durable image = image with the entries undone, newest first. While undoing, what the image holds at an entry's
 *     sectors is the entry's new data; so each crash state is: undo all, redo in order a subset and all FUA entries.
 *
 * Interface: writeLogInit, writeLogApply, writeLogFlush(seq), writeLogReset, writeLogEntry, writeLogData, blockLogBase,
 *   blockLogData, blockLogCapacity, LOG_DURABLE.
 * Invariants:
 *   [log-1] sequence numbers go up by one for each entry; an entry is one write's piece of at most 4 KiB.
 *   [log-2] a flush retires a prefix; FUA marks entries durable where they stand (older ones may still be lost).
 *   [log-3] a full log retires its oldest entries as durable and counts them: an explorer then sees fewer crash states,
 *           never an impossible one.
 * Locks: none (completions and boot only).
 * Why not a second image: an exploring machine has 1 to 4 MiB, and undo makes a flush one assignment.
 */
import { PAGE_SIZE, bootAlloc } from "../memlayout";
import { SECTOR_SHIFT, SECTOR_SIZE, blockState, diskModel } from "./state";

/** The write was FUA: a crash keeps it. */
export const LOG_DURABLE: u32 = 1;

const LOG_MIN: u32 = 64;
const LOG_MAX: u32 = 2048;
/** What a host may ask for: 1 GiB of old data. */
const LOG_LIMIT: u32 = 1 << 18;

@unmanaged
export class WriteLogEntry {
  seq: u64;
  sector: u64;
  /** Submission number of the bio, so that the pieces of one bio can be told. */
  bioId: u32;
  sectors: u16;
  /** Leading sectors that reach the medium when the power fails before a flush: all of them unless torn. */
  reach: u16;
  flags: u32;
  pad: u32;
}

/** Carves the log for a disk of `blocks`. Returns false when memory is too small. */
export function writeLogInit(blocks: u32): bool {
  const s = blockState();
  assert(offsetof<WriteLogEntry>() == 32, "a header is 32 bytes");
  let entries = diskModel().logEntries;
  if (entries == 0) entries = max(LOG_MIN, min(LOG_MAX, blocks >> 2));
  if (entries > LOG_LIMIT) return false;
  s.logCapacity = entries;
  s.logHeads = bootAlloc(entries * <u32>offsetof<WriteLogEntry>(), 64);
  if (s.logHeads == 0) return false;
  s.logData = bootAlloc(entries * PAGE_SIZE, 64);
  s.oldestSeq = 0;
  s.nextSeq = 0;
  return s.logData != 0;
}

export function writeLogEntry(seq: u64): WriteLogEntry {
  const s = blockState();
  return changetype<WriteLogEntry>(s.logHeads + <usize>(seq % s.logCapacity) * offsetof<WriteLogEntry>());
}

/** What the entry's sectors held before it. */
export function writeLogData(seq: u64): usize {
  const s = blockState();
  return s.logData + <usize>(seq % s.logCapacity) * PAGE_SIZE;
}

/** Writes one piece into the image and logs what it replaces. */
export function writeLogApply(bioId: u32, sector: u64, from: usize, lenBytes: u32, flags: u32, reach: u32): void {
  const s = blockState();
  const sectors = lenBytes >> SECTOR_SHIFT;
  assert(lenBytes != 0 && lenBytes <= PAGE_SIZE, "[log-1] a piece of at most one page");
  assert(sector + sectors <= s.sectors, "the write lies on the disk");
  assert(reach <= sectors, "a torn write reaches no further than it goes");
  if (s.nextSeq - s.oldestSeq == <u64>s.logCapacity) {
    s.oldestSeq++;
    s.logOverflows++;
  }
  const seq = s.nextSeq++;
  const entry = writeLogEntry(seq);
  entry.seq = seq;
  entry.sector = sector;
  entry.bioId = bioId;
  entry.sectors = <u16>sectors;
  entry.reach = <u16>reach;
  entry.flags = flags;
  const to = s.image + <usize>sector * SECTOR_SIZE;
  memory.copy(writeLogData(seq), to, lenBytes);
  memory.copy(to, from, lenBytes);
}

/** Everything logged before `seq` is durable. */
export function writeLogFlush(seq: u64): void {
  const s = blockState();
  assert(seq <= s.nextSeq, "a flush covers what was written");
  if (seq > s.oldestSeq) s.oldestSeq = seq;
}

/** What the image holds is durable: after the host has loaded an image. */
export function writeLogReset(): void {
  const s = blockState();
  assert(s.inFlight == 0 && s.pending == 0, "the disk is idle");
  s.oldestSeq = s.nextSeq;
}

/** Headers of the log, for the host. */
export function blockLogBase(): usize {
  return blockState().logHeads;
}

/** Old data of the log's entries, one page each, for the host. */
export function blockLogData(): usize {
  return blockState().logData;
}

/** Entries the log has room for. */
export function blockLogCapacity(): u32 {
  return blockState().logCapacity;
}
