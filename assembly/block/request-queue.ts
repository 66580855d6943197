/*
 * The request queue: FIFO, merging, at most queueDepth requests at the disk, completion.
 *
 *     submitBio -> [ request | request ... ] -> in flight (queueDepth) -> event -> data, next issue, endIo of each bio
 *                     a request is a head bio and those merged behind it (chainNext)
 *
 * Interface: submitBio, submitBioWait, blkdevIssueFlush, requestQueueInit, inFlightNext (for crash states).
 * Invariants:
 *   [rq-1] requests are issued in order of submission; a bio may join a waiting request that ends where it begins.
 *   [rq-2] the disk never has more than queueDepth requests; while it has fewer, nothing waits.
 *   [rq-3] a slot that a completion frees is filled at the time of the completion, before any endIo runs.
 *   [rq-4] completions come in order of (time, issue); an exploring policy may pick another of those due (CHOICE_IO).
 * Locks: none; submitBio passes a syncPoint, so bios of several CPUs queue in order of their clocks.
 * Why not a request object: the head bio has room for what a request needs, and nothing can fail for lack of one.
 */
import { ENOMEM } from "../lib/errno";
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listInit, listNext } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { CHOICE_IO, choose } from "../sched/choice";
import { syncPoint } from "../sched/core";
import { C_BIO_END, C_BIO_SUBMIT, chargeCost } from "../sched/cost";
import { Event, eventCancel, eventInit, eventSchedule } from "../sched/event";
import { TASK_UNINTERRUPTIBLE, isNullTask, nowNs, sched } from "../sched/state";
import { sleepOn, wakeAll } from "../sched/wait-queue";
import { TP_BLOCK_BIO_QUEUE, TP_BLOCK_RQ_COMPLETE, TP_BLOCK_RQ_ISSUE } from "../tracepoints";
import {
  BIO_DONE,
  BIO_FLUSH,
  BIO_IDLE,
  BIO_IN_FLIGHT,
  BIO_MERGED,
  BIO_PENDING,
  Bio,
  REQ_META,
  REQ_PREFLUSH,
  REQ_SYNC,
  bioAlloc,
  bioFree,
  isNullBio,
} from "./bio";
import { PHASE_DATA, PHASE_FLUSH, diskFlushDone, diskServiceEnd, diskTransfer } from "./disk";
import { INJECT_BEYOND_END, injectDecide } from "./faults";
import { BlockState, SECTOR_SHIFT, blockState, diskModel, diskOpStats } from "./state";

/** How many waiting requests, youngest first, a bio is compared with: as many streams as may interleave. */
const MERGE_SCAN: u32 = 8;

export function requestQueueInit(): void {
  const s = blockState();
  listInit(s.pendingList);
  listInit(s.inFlightList);
  assert(s.pending == 0 && s.inFlight == 0, "[blk-1] the queue starts empty");
}

function bioLink(bio: Bio): ListHead {
  return changetype<ListHead>(changetype<usize>(bio) + offsetof<Bio>("linkNext"));
}

/** The head bio of a request, from its link. */
export function bioOfLink(link: usize): Bio {
  return changetype<Bio>(link - offsetof<Bio>("linkNext"));
}

/** Brings the time integrals up to now; before every change of inFlight or pending. */
function statAdvance(s: BlockState): void {
  const now = nowNs();
  if (now <= s.statStampNs) return;
  const passed = now - s.statStampNs;
  if (s.inFlight != 0) s.ioTicksNs += passed;
  s.queueTicksNs += passed * (s.inFlight + s.pending);
  s.statStampNs = now;
}

function traceBio(id: u32, bio: Bio, lenBytes: u32): void {
  const detail = ((<u64>bio.op) << 60) | ((<u64>bio.flags) << 48) | lenBytes;
  traceEmit(nowNs(), id, sched().cpu.id, bio.taskId, bio.sector, detail);
}

/** Flags that two bios must share to be one request: the rest changes what the disk does. */
function mergeFlags(bio: Bio): u32 {
  return bio.flags & ~(REQ_SYNC | REQ_META);
}

function canMerge(request: Bio, bio: Bio): bool {
  if (request.op != bio.op || bio.op == BIO_FLUSH) return false;
  if (mergeFlags(request) != mergeFlags(bio) || (bio.flags & REQ_PREFLUSH) != 0) return false;
  if (request.sector + (request.requestBytes >> SECTOR_SHIFT) != bio.sector) return false;
  return request.requestBytes + bio.sizeBytes <= diskModel().maxRequestBytes;
}

/** Joins the bio to a waiting request that ends where it begins. */
function tryMerge(s: BlockState, bio: Bio): bool {
  if ((bio.inject & INJECT_BEYOND_END) != 0) return false;
  let link = changetype<usize>(s.pendingList.prev);
  const end = changetype<usize>(s.pendingList);
  for (let i: u32 = 0; i < MERGE_SCAN && link != end; i++) {
    const request = bioOfLink(link);
    if (canMerge(request, bio)) {
      request.chainTail.chainNext = bio;
      request.chainTail = bio;
      bio.requestHead = request;
      request.requestBytes += bio.sizeBytes;
      bio.state = BIO_MERGED;
      diskOpStats(bio.op).merges++;
      return true;
    }
    link = changetype<usize>(changetype<ListHead>(link).prev);
  }
  return false;
}

/** The disk gets the request's current phase at `startNs`. */
function startPhase(request: Bio, startNs: u64): void {
  request.doneNs = diskServiceEnd(request, startNs);
  eventSchedule(request.event, request.doneNs);
}

/** Moves requests to the disk while it has room. */
function issueRequests(s: BlockState, startNs: u64): void {
  const depth = max(<u32>1, diskModel().queueDepth);
  while (s.inFlight < depth && !listEmpty(s.pendingList)) {
    const request = bioOfLink(changetype<usize>(listFirst(s.pendingList)));
    assert(request.state == BIO_PENDING, "[rq-1] the queue holds requests that wait");
    listDelInit(bioLink(request));
    listAddTail(bioLink(request), s.inFlightList);
    s.pending--;
    s.inFlight++;
    if (s.inFlight > s.maxInFlight) s.maxInFlight = s.inFlight;
    request.phase = request.op == BIO_FLUSH || (request.flags & REQ_PREFLUSH) != 0 ? PHASE_FLUSH : PHASE_DATA;
    for (let bio = request; !isNullBio(bio); bio = bio.chainNext) {
      bio.state = BIO_IN_FLIGHT;
      bio.issueNs = startNs;
    }
    traceBio(TP_BLOCK_RQ_ISSUE, request, request.requestBytes);
    startPhase(request, startNs);
  }
}

/** Hands the bio to the disk. Completion runs bio.endIo in an event handler. May hand over, never sleeps. */
export function submitBio(bio: Bio): void {
  const s = blockState();
  chargeCost(C_BIO_SUBMIT);
  syncPoint();
  assert(bio.state == BIO_IDLE, "[bio-2] a bio is submitted once");
  assert((bio.op == BIO_FLUSH) == (bio.vecs == 0), "[bio-3] a bio has data, a flush has none");
  const task = sched().current;
  statAdvance(s);
  bio.submitNs = nowNs();
  bio.id = s.nextBioId++;
  bio.taskId = isNullTask(task) ? 0 : task.id;
  bio.flushSeq = s.nextSeq;
  bio.chainNext = changetype<Bio>(0);
  bio.chainTail = bio;
  bio.requestHead = bio;
  bio.requestBytes = bio.sizeBytes;
  bio.status = 0;
  injectDecide(bio);
  eventInit(bio.event, requestDone, changetype<usize>(bio));
  traceBio(TP_BLOCK_BIO_QUEUE, bio, bio.sizeBytes);
  if (tryMerge(s, bio)) return;
  bio.state = BIO_PENDING;
  listAddTail(bioLink(bio), s.pendingList);
  s.pending++;
  issueRequests(s, nowNs());
}

/** The request whose event fired, or the one that an exploring policy would rather see done first. */
function chooseCompletion(s: BlockState, due: Bio): Bio {
  if (sched().choicePolicy == 0) return due;
  const limitNs = nowNs() + diskModel().reorderNs;
  const end = changetype<usize>(s.inFlightList);
  let candidates: u32 = 0;
  let link = changetype<usize>(listNext(s.inFlightList));
  for (; link != end; link = changetype<usize>(listNext(changetype<ListHead>(link)))) {
    if (bioOfLink(link).doneNs <= limitNs) candidates++;
  }
  let nth = choose(CHOICE_IO, candidates);
  link = changetype<usize>(listNext(s.inFlightList));
  for (; link != end; link = changetype<usize>(listNext(changetype<ListHead>(link)))) {
    if (bioOfLink(link).doneNs > limitNs) continue;
    if (nth == 0) return bioOfLink(link);
    nth--;
  }
  return due;
}

/** Event handler: the disk is done with a phase of a request. */
function requestDone(event: Event): void {
  const s = blockState();
  const due = changetype<Bio>(event.data);
  assert(due.state == BIO_IN_FLIGHT, "[rq-4] the request is at the disk");
  const request = chooseCompletion(s, due);
  if (changetype<usize>(request) != changetype<usize>(due)) {
    eventCancel(request.event);
    eventSchedule(due.event, nowNs());
  }
  const atNs = nowNs();
  request.doneNs = atNs;
  if (request.phase == PHASE_FLUSH) {
    const status = diskFlushDone(request);
    if (request.op != BIO_FLUSH) {
      request.phase = PHASE_DATA;
      startPhase(request, atNs);
      return;
    }
    request.status = status;
  } else {
    for (let bio = request; !isNullBio(bio); bio = bio.chainNext) bio.status = diskTransfer(bio);
  }
  statAdvance(s);
  listDelInit(bioLink(request));
  assert(s.inFlight != 0, "[blk-1] a request was in flight");
  s.inFlight--;
  traceBio(TP_BLOCK_RQ_COMPLETE, request, request.requestBytes);
  issueRequests(s, atNs);
  endRequest(request, atNs);
}

/** Completes the bios of a request, in order of sector. */
function endRequest(request: Bio, atNs: u64): void {
  let bio = request;
  while (!isNullBio(bio)) {
    // endIo may free the bio.
    const next = bio.chainNext;
    const stats = diskOpStats(bio.op);
    bio.doneNs = atNs;
    bio.state = BIO_DONE;
    stats.ios++;
    stats.ticksNs += atNs - bio.submitNs;
    if (bio.status != 0) stats.errors++;
    else stats.bytes += bio.sizeBytes;
    chargeCost(C_BIO_END);
    const endIo = bio.endIo;
    if (changetype<usize>(endIo) != 0) endIo(bio);
    bio = next;
  }
}

/**
 * The bio at the disk that follows `bio`; the first for null; null at the end. A power failure may keep any sectors of
 * a write among them whose `phase` (of its request's head) is PHASE_DATA: the host adds them to the crash states.
 */
export function inFlightNext(bio: Bio): Bio {
  const s = blockState();
  let head = s.inFlightList;
  if (!isNullBio(bio)) {
    assert(bio.state == BIO_IN_FLIGHT, "the walk is over bios in flight");
    if (!isNullBio(bio.chainNext)) return bio.chainNext;
    head = bioLink(bio.requestHead);
  }
  const next = changetype<usize>(listNext(head));
  return next == changetype<usize>(s.inFlightList) ? changetype<Bio>(0) : bioOfLink(next);
}

function bioWaitEndIo(bio: Bio): void {
  wakeAll(bio.wait);
}

/** Submits and sleeps, uninterruptibly, until the disk is done. Returns 0 or a negative errno. */
export function submitBioWait(bio: Bio): i32 {
  assert(changetype<usize>(bio.endIo) == 0, "a bio that is waited for has no endIo");
  bio.endIo = bioWaitEndIo;
  submitBio(bio);
  while (bio.state != BIO_DONE) sleepOn(bio.wait, TASK_UNINTERRUPTIBLE);
  bio.endIo = changetype<(bio: Bio) => void>(0);
  return bio.status;
}

/** Flushes the disk's cache and waits for it. Returns 0, -EIO or -ENOMEM. */
export function blkdevIssueFlush(): i32 {
  const bio = bioAlloc(BIO_FLUSH, REQ_SYNC, 0);
  if (isNullBio(bio)) return -ENOMEM;
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}
