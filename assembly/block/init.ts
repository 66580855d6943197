/*
 * Boot of the block room, and the walk over its structures that checks them.
 *
 * Interface: blockInit(), blockCheck().
 * Invariants: [blk-3] blockCheck holds whenever no code of this room runs.
 * Locks: none.
 * Why not check in every submit: the walk is as long as the queue.
 */
import { bootConfig } from "../config";
import { ListHead, listNext } from "../lib/list";
import { KmemCache, kmemCacheInit } from "../lib/slab";
import { BLOCK_STATE, LIB_STATE, PAGE_SIZE } from "../memlayout";
import { eventPending } from "../sched/event";
import {
  BIO_BYTES,
  BIO_FLUSH,
  BIO_IN_FLIGHT,
  BIO_MAX_VECS,
  BIO_MERGED,
  BIO_PENDING,
  Bio,
  bioEndSector,
  bioVec,
  isNullBio,
} from "./bio";
import { diskInit } from "./disk";
import { bioOfLink, requestQueueInit } from "./request-queue";
import {
  BIO_CACHE,
  BlockState,
  DISK_FAULTS,
  DISK_MODEL,
  DiskFaults,
  DiskModel,
  SECTOR_SIZE,
  bioCache,
  blockState,
} from "./state";
import { writeLogEntry, writeLogInit } from "./write-log";

/** "bio" in ASCII, for reports. */
const NAME_BIO: u32 = 0x6f_6962;

/** Sets up the queue and carves the disk, after the lib and sched rooms. Returns false when memory is too small. */
export function blockInit(): bool {
  assert(BLOCK_STATE + offsetof<BlockState>() <= DISK_MODEL, "BlockState fits its place");
  assert(DISK_MODEL + offsetof<DiskModel>() <= DISK_FAULTS, "DiskModel fits its place");
  assert(DISK_FAULTS + offsetof<DiskFaults>() <= BIO_CACHE, "DiskFaults fits its place");
  assert(BIO_CACHE + offsetof<KmemCache>() <= LIB_STATE, "the bio cache fits its place");
  const blocks = bootConfig().diskBlocks;
  kmemCacheInit(bioCache(), BIO_BYTES, NAME_BIO);
  requestQueueInit();
  if (!diskInit(blocks, bootConfig().seed)) return false;
  return blocks == 0 || writeLogInit(blocks);
}

/** Checks the vector of a bio; returns its bytes. */
function checkVecs(bio: Bio): u32 {
  let total: u32 = 0;
  assert(bio.vecs <= BIO_MAX_VECS, "[bio-1] the vector is not overrun");
  for (let i: u32 = 0; i < bio.vecs; i++) {
    const vec = bioVec(bio, i);
    assert((vec.addr & (PAGE_SIZE - 1)) + vec.lenBytes <= PAGE_SIZE, "[bio-1] the piece lies in its frame");
    assert(vec.lenBytes % SECTOR_SIZE == 0, "[bio-1] whole sectors");
    total += vec.lenBytes;
  }
  return total;
}

/** Checks the bios of one request; returns how many there are. */
function checkRequest(request: Bio, state: u32): u32 {
  let bios: u32 = 0;
  let total: u32 = 0;
  let last = request;
  for (let bio = request; !isNullBio(bio); bio = bio.chainNext) {
    const bytes = checkVecs(bio);
    assert(bytes == bio.sizeBytes, "[bio-1] the pieces add up");
    assert((bio.op == BIO_FLUSH) == (bytes == 0), "[bio-3] a flush has no data");
    if (state == BIO_IN_FLIGHT || bios == 0) assert(bio.state == state, "a bio's state says where it is");
    else assert(bio.state == BIO_MERGED, "a bio's state says where it is");
    if (bios != 0) assert(bio.sector == bioEndSector(last), "[rq-1] merged bios are contiguous");
    assert(changetype<usize>(bio.requestHead) == changetype<usize>(request), "a bio knows its request");
    total += bytes;
    last = bio;
    bios++;
  }
  assert(total == request.requestBytes, "the request's size is the sum of its bios");
  assert(changetype<usize>(last) == changetype<usize>(request.chainTail), "the chain's tail is its last bio");
  assert(eventPending(request.event) == (state == BIO_IN_FLIGHT), "an event is queued for each request at the disk");
  return bios;
}

/** Walks one list of requests, of length `expected`; returns how many bios are in it. */
function checkList(head: ListHead, state: u32, expected: u32): u32 {
  let bios: u32 = 0;
  let requests: u32 = 0;
  const end = changetype<usize>(head);
  let at = changetype<usize>(listNext(head));
  for (; at != end; at = changetype<usize>(listNext(changetype<ListHead>(at)))) {
    bios += checkRequest(bioOfLink(at), state);
    requests++;
    assert(requests <= expected, "[blk-1] the list is no longer than its count");
  }
  assert(requests == expected, "[blk-1] the count is the list's length");
  return bios;
}

function checkLog(s: BlockState): void {
  assert(s.oldestSeq <= s.nextSeq, "[log-1] the log's ends are in order");
  assert(s.nextSeq - s.oldestSeq <= <u64>s.logCapacity, "[log-3] the log is no longer than its ring");
  for (let seq = s.oldestSeq; seq < s.nextSeq; seq++) {
    const entry = writeLogEntry(seq);
    assert(entry.seq == seq, "[log-1] entries are numbered in order");
    assert(entry.sectors != 0 && <u32>entry.sectors * SECTOR_SIZE <= PAGE_SIZE, "[log-1] an entry is at most a page");
    assert(entry.sector + entry.sectors <= s.sectors, "an entry lies on the disk");
    assert(entry.reach <= entry.sectors, "a torn entry reaches no further than it goes");
  }
}

/** Asserts the room's invariants; returns the number of bios queued or in flight. */
export function blockCheck(): u32 {
  const s = blockState();
  let bios = checkList(s.pendingList, BIO_PENDING, s.pending);
  bios += checkList(s.inFlightList, BIO_IN_FLIGHT, s.inFlight);
  assert(bios <= s.liveBios, "every bio under way is allocated");
  assert(s.pending == 0 || s.inFlight != 0, "[rq-2] requests wait only for the disk");
  if (s.logCapacity != 0) checkLog(s);
  return bios;
}
