/*
 * Bios: one IO of whole sectors between the disk and up to BIO_MAX_VECS pieces of page frames.
 *
 *     IDLE --submitBio--> PENDING --a slot is free--> IN_FLIGHT --event--> DONE (endIo, or submitBioWait wakes)
 *            \--contiguous to a pending request--> MERGED --with its request--> DONE
 *
 * Interface: Bio, bioAlloc, bioAddPage, bioFree, bioVec; BIO_READ/WRITE/FLUSH, REQ_* flags.
 * Invariants:
 *   [bio-1] every piece lies in one page frame and is whole sectors; their sum is sizeBytes.
 *   [bio-2] a bio is freed or submitted again only when it is IDLE or DONE; endIo may free it.
 *   [bio-3] a bio with data is not a flush; a flush has no data.
 * Locks: none; the submitter owns the bio until submitBio and again from endIo on.
 * Why not a block list per bio: a page is not contiguous with the next one in memory, its blocks on disk usually are.
 */
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { PAGE_MASK, PAGE_SIZE } from "../memlayout";
import { WaitQueue, waitQueueActive, waitQueueInit, WAIT_QUEUE } from "../sched/wait-queue";
import { Event } from "../sched/event";
import { bioCache, blockState, SECTOR_MASK, SECTOR_SHIFT } from "./state";

export const BIO_READ: u32 = 0;
export const BIO_WRITE: u32 = 1;
export const BIO_FLUSH: u32 = 2;

/** Flush the disk's cache before the data is written. */
export const REQ_PREFLUSH: u32 = 1;
/** The data is durable when the write completes. */
export const REQ_FUA: u32 = 2;
/** Somebody waits for it. For statistics and for schedulers to come. */
export const REQ_SYNC: u32 = 4;
/** Filesystem metadata. */
export const REQ_META: u32 = 8;

export const BIO_IDLE: u32 = 0;
export const BIO_PENDING: u32 = 1;
export const BIO_MERGED: u32 = 2;
export const BIO_IN_FLIGHT: u32 = 3;
export const BIO_DONE: u32 = 4;

/** 32 pages are Linux's default readahead window of 128 KiB. */
export const BIO_MAX_VECS: u32 = 32;

@unmanaged
export class BioVec {
  /** Physical address of the first byte. */
  addr: u32;
  lenBytes: u32;
}

@unmanaged
export class Bio {
  /** Completion: an Event (sched/event.ts), intrusive. */
  event0: u64;
  event1: u64;
  event2: u64;
  event3: u64;
  event4: u64;
  event5: u64;
  submitNs: u64;
  /** When the disk got the request, and when it will be or was done with it. */
  issueNs: u64;
  doneNs: u64;
  /** A flush covers the writes logged before this sequence number: those completed when it was submitted. */
  flushSeq: u64;
  sector: u64;
  op: u32;
  flags: u32;
  /** 0 or a negative errno, true from endIo on. */
  status: i32;
  state: u32;
  /** Runs in the dispatcher and must not block. Null: nobody is told. */
  endIo: (bio: Bio) => void;
  /** The submitter's. */
  privateData: usize;
  vecs: u32;
  sizeBytes: u32;
  /** INJECT_* (faults.ts), decided at submission. */
  inject: u32;
  tornSectors: u32;
  /** Link of a request's head bio in the queue or the in-flight list. */
  linkNext: u32;
  linkPrev: u32;
  /** Where submitBioWait sleeps: a WaitQueue. */
  wait0: u64;
  wait1: u64;
  /** Bios merged behind this one, in order of sector. */
  chainNext: Bio;
  /** The first bio of its request: itself unless merged. */
  requestHead: Bio;
  /** Of a request's head: the last bio, the sum of sizes, what the disk is doing (PHASE_*). */
  chainTail: Bio;
  requestBytes: u32;
  phase: u32;
  taskId: u32;
  /** Number of the submission, the name of the bio in the write log. */
  id: u32;
  pad: u32;
  /** BioVec[BIO_MAX_VECS]. */
  vec0: u64;

  get event(): Event {
    return changetype<Event>(changetype<usize>(this));
  }
  get wait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<Bio>("wait0"));
  }
}

/** Bytes of a bio with its vector. */
export const BIO_BYTES: u32 = <u32>offsetof<Bio>("vec0") + BIO_MAX_VECS * 8;

export function isNullBio(bio: Bio): bool {
  return changetype<usize>(bio) == 0;
}

export function bioVec(bio: Bio, index: u32): BioVec {
  assert(index < BIO_MAX_VECS, "the vector has this entry");
  return changetype<BioVec>(changetype<usize>(bio) + offsetof<Bio>("vec0") + <usize>index * 8);
}

/** First sector behind the bio. */
export function bioEndSector(bio: Bio): u64 {
  return bio.sector + (bio.sizeBytes >> SECTOR_SHIFT);
}

/** A bio without data. Null when the arena is full (ENOMEM). */
export function bioAlloc(op: u32, flags: u32, sector: u64): Bio {
  assert(offsetof<Event>() <= 48, "an Event fits the space that Bio keeps for it");
  assert(op <= BIO_FLUSH, "a known operation");
  assert(op == BIO_WRITE || (flags & (REQ_PREFLUSH | REQ_FUA)) == 0, "only a write is PREFLUSH or FUA");
  const at = kmemCacheAlloc(bioCache());
  const bio = changetype<Bio>(at);
  if (at == 0) return bio;
  bio.op = op;
  bio.flags = flags;
  bio.sector = sector;
  waitQueueInit(bio.wait, WAIT_QUEUE);
  blockState().liveBios++;
  return bio;
}

/** Adds `lenBytes` at `offset` of the page frame at `frame`. False when the vector is full. */
export function bioAddPage(bio: Bio, frame: usize, lenBytes: u32, offset: u32): bool {
  assert(bio.state == BIO_IDLE, "[bio-2] data is added before submission");
  assert(bio.op != BIO_FLUSH, "[bio-3] a flush has no data");
  assert((frame & PAGE_MASK) == 0 && frame != 0, "[bio-1] a page frame");
  assert(lenBytes != 0 && offset + lenBytes <= PAGE_SIZE, "[bio-1] the piece lies in its frame");
  assert(((offset | lenBytes) & SECTOR_MASK) == 0, "[bio-1] whole sectors");
  if (bio.vecs == BIO_MAX_VECS) return false;
  const vec = bioVec(bio, bio.vecs++);
  vec.addr = <u32>frame + offset;
  vec.lenBytes = lenBytes;
  bio.sizeBytes += lenBytes;
  return true;
}

/** Makes a bio that is DONE ready for another submission of the same data. */
export function bioReset(bio: Bio): void {
  assert(bio.state == BIO_DONE || bio.state == BIO_IDLE, "[bio-2] the bio is not under way");
  bio.state = BIO_IDLE;
  bio.status = 0;
  bio.inject = 0;
}

export function bioFree(bio: Bio): void {
  assert(bio.state == BIO_DONE || bio.state == BIO_IDLE, "[bio-2] the bio is not under way");
  assert(!waitQueueActive(bio.wait), "[bio-2] nobody waits for the bio");
  const s = blockState();
  assert(s.liveBios != 0, "a bio is live");
  s.liveBios--;
  kmemCacheFree(bioCache(), changetype<usize>(bio));
}
