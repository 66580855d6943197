/*
 * Test harness of the block room: a machine with CPUs, tasks and a disk, and nothing above.
 *
 * Interface: blkBoot, blkSubmit, blkSubmitChunks, blkTask, blkRun, and the addresses that the test reads and writes.
 * Invariants: [blkh-1] every completion is recorded, in order, in the ring at blkRing().
 * Locks: none.
 * Why not kernel/boot: the room is tested before, and without, the rooms above it.
 */
import { Bio, BIO_FLUSH, bioAddPage, bioAlloc, bioFree, bioVec, isNullBio } from "../../assembly/block/bio";
import { blockImageBase, blockImageBytes } from "../../assembly/block/disk";
import { blockCheck, blockInit } from "../../assembly/block/init";
import { blkdevIssueFlush, inFlightNext, submitBio, submitBioWait } from "../../assembly/block/request-queue";
import { DISK_FAULTS, DISK_MODEL, blockState, diskOpStats } from "../../assembly/block/state";
import { blockLogBase, blockLogCapacity, blockLogData, writeLogReset } from "../../assembly/block/write-log";
import { bootConfig } from "../../assembly/config";
import { TRACE_EVENT_BYTES, traceCount, traceState } from "../../assembly/lib/trace";
import { COST_TABLE, PAGE_SIZE, bootAlloc } from "../../assembly/memlayout";
import { C_BIO_END, C_BIO_SUBMIT } from "../../assembly/sched/cost";
import { Task, nowNs, sched } from "../../assembly/sched/state";
import { taskCreate, taskExit, taskStart } from "../../assembly/sched/task";
import { machineBoot, machineRun } from "./machine";

const RING_ENTRIES: u32 = 4096;
const RING_ENTRY: u32 = 24;
const FRAMES: u32 = 256;
/** A task's program: steps of 8 words, see runProgram. */
const PROGRAM_BYTES: u32 = 4096;
const PROGRAMS: u32 = 8;

/** Addresses, kept in linear memory behind the BOOT_CONFIG's machine part. */
@unmanaged
class BlkHarness {
  ring: usize;
  ringCount: u32;
  frames: usize;
  programs: usize;
}

/** Lives in the kernel room's kilobytes, which this module does not contain. */
const HARNESS: usize = 0x2400;

function harness(): BlkHarness {
  return changetype<BlkHarness>(HARNESS);
}

/** Boots; all costs are 0 unless withCosts. The test fills DiskModel in before. Returns 0 when memory is too small. */
export function blkBoot(cpus: u32, diskBlocks: u32, seed: u32, policy: u32, limitBytes: u32, withCosts: u32): u32 {
  bootConfig().diskBlocks = diskBlocks;
  bootConfig().seed = seed;
  if (machineBoot(cpus, 1, 16, 4096, 1_000_000, 0, seed, policy, limitBytes, withCosts) == 0) return 0;
  const h = harness();
  h.ring = bootAlloc(RING_ENTRIES * RING_ENTRY, 64);
  h.frames = bootAlloc(FRAMES * PAGE_SIZE, PAGE_SIZE);
  h.programs = bootAlloc(PROGRAMS * PROGRAM_BYTES, 64);
  h.ringCount = 0;
  if (h.programs == 0) return 0;
  return blockInit() ? 1 : 0;
}

function record(id: u32, status: i32, submitNs: u64, timeNs: u64): void {
  const h = harness();
  const at = h.ring + <usize>(h.ringCount++ % RING_ENTRIES) * RING_ENTRY;
  store<u32>(at, id);
  store<i32>(at, status, 4);
  store<u64>(at, submitNs, 8);
  store<u64>(at, timeNs, 16);
}

function recordEnd(bio: Bio): void {
  record(bio.id, bio.status, bio.submitNs, bio.doneNs);
  bioFree(bio);
}

/** A bio over whole frames from `frame` on; `chunk` bytes in each frame. Null when out of memory. */
function makeBio(op: u32, flags: u32, sector: u32, frame: u32, lenBytes: u32, chunk: u32): Bio {
  const bio = bioAlloc(op, flags, sector);
  if (isNullBio(bio)) return bio;
  let left = lenBytes;
  let at = harness().frames + <usize>frame * PAGE_SIZE;
  while (left != 0) {
    const piece = min(left, chunk);
    assert(bioAddPage(bio, at, piece, 0), "the test's bio fits its vector");
    left -= piece;
    at += PAGE_SIZE;
  }
  return bio;
}

/** Submits from outside any task. Returns the bio's id. */
export function blkSubmit(op: u32, flags: u32, sector: u32, frame: u32, lenBytes: u32): i32 {
  return blkSubmitChunks(op, flags, sector, frame, lenBytes, PAGE_SIZE);
}

export function blkSubmitChunks(op: u32, flags: u32, sector: u32, frame: u32, lenBytes: u32, chunk: u32): i32 {
  const bio = makeBio(op, flags, sector, frame, lenBytes, chunk);
  if (isNullBio(bio)) return -1;
  bio.endIo = recordEnd;
  submitBio(bio);
  return <i32>bio.id;
}

/** Steps of 8 words: op, flags, sector, frame, lenBytes, then status and time, which the task writes. op >= 4 ends. */
function runProgram(task: Task): void {
  let at = harness().programs + <usize>task.arg * PROGRAM_BYTES;
  while (load<u32>(at) < 4) {
    const op = load<u32>(at);
    let status: i32 = 0;
    if (op == BIO_FLUSH) {
      status = blkdevIssueFlush();
    } else {
      const bio = makeBio(op, load<u32>(at, 4), load<u32>(at, 8), load<u32>(at, 12), load<u32>(at, 16), PAGE_SIZE);
      status = submitBioWait(bio);
      bioFree(bio);
    }
    store<i32>(at, status, 20);
    store<f64>(at, <f64>nowNs(), 24);
    at += 32;
  }
  taskExit(0);
}

/** Starts a task that runs program `slot`. */
export function blkTask(slot: u32): void {
  const task = taskCreate(runProgram, 0);
  task.arg = slot;
  taskStart(task);
}

/** Runs the machine; tasks that exit are reaped. Returns the dispatcher's reason. */
export function blkRun(untilNs: f64): u32 {
  return machineRun(untilNs, 1);
}

export function blkNow(): f64 {
  return <f64>nowNs();
}

/** Moves the clock of the code outside any task. */
export function blkSetNow(timeNs: f64): void {
  sched().clockNs = <u64>timeNs;
}

/** Opens the block room's two costs, leaving the rest at 0. */
export function blkSetCosts(submitNs: u32, endNs: u32): void {
  store<u32>(COST_TABLE + (C_BIO_SUBMIT << 2), submitNs);
  store<u32>(COST_TABLE + (C_BIO_END << 2), endNs);
}

export function blkModel(): usize {
  return DISK_MODEL;
}
export function blkFaults(): usize {
  return DISK_FAULTS;
}
export function blkStat(which: u32): f64 {
  const s = blockState();
  switch (which) {
    case 0:
      return <f64>s.oldestSeq;
    case 1:
      return <f64>s.nextSeq;
    case 2:
      return <f64>s.logOverflows;
    case 3:
      return <f64>s.ioTicksNs;
    case 4:
      return <f64>s.queueTicksNs;
    case 5:
      return <f64>s.pending;
    case 6:
      return <f64>s.inFlight;
    case 7:
      return <f64>s.maxInFlight;
    case 8:
      return <f64>s.liveBios;
    case 9:
      return <f64>s.slowRequests;
    case 10:
      return <f64>s.drawnRequests;
    default:
      return -1;
  }
}
/** ios, merges, bytes, ticksNs, errors of an op. */
export function blkOpStat(op: u32, field: u32): f64 {
  return <f64>load<u64>(changetype<usize>(diskOpStats(op)) + (field << 3));
}
export function blkRing(): usize {
  return harness().ring;
}
export function blkRingCount(): u32 {
  return harness().ringCount;
}
export function blkFrames(): usize {
  return harness().frames;
}
export function blkProgram(slot: u32): usize {
  return harness().programs + slot * PROGRAM_BYTES;
}
export function blkImage(): usize {
  return blockImageBase();
}
export function blkImageBytes(): u32 {
  return blockImageBytes();
}
export function blkLogHeads(): usize {
  return blockLogBase();
}
export function blkLogData(): usize {
  return blockLogData();
}
export function blkLogCapacity(): u32 {
  return blockLogCapacity();
}
export function blkLogReset(): void {
  writeLogReset();
}
export function blkCheck(): u32 {
  return blockCheck();
}
export function blkBreakCount(delta: i32): void {
  blockState().inFlight += delta;
}
export function blkTraceCount(id: u32): u32 {
  return traceCount(id);
}
/** Address of the n-th event in the ring. */
export function blkTraceEvent(n: u32): usize {
  return traceState().ring + <usize>n * TRACE_EVENT_BYTES;
}
/** Walks the bios at the disk: 0 gives the first, 0 is returned at the end. */
export function blkInFlightNext(bio: usize): usize {
  return changetype<usize>(inFlightNext(changetype<Bio>(bio)));
}
/** A field of a bio: 0 op, 1 sector, 2 id, 3 vecs, 4 phase of its request. */
export function blkBioField(at: usize, field: u32): u32 {
  const bio = changetype<Bio>(at);
  switch (field) {
    case 0:
      return bio.op;
    case 1:
      return <u32>bio.sector;
    case 2:
      return bio.id;
    case 3:
      return bio.vecs;
    default:
      return bio.requestHead.phase;
  }
}
export function blkBioVecs(at: usize): usize {
  return changetype<usize>(bioVec(changetype<Bio>(at), 0));
}
