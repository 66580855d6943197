/*
 * Batches of touches: one byte of a page after the other through the MMU, each fault a precise trap. Where a touch hands over to
 * another CPU it returns to the dispatcher and is called again: no stack is unwound, where it stands is in a TouchState.
 *
 *     FRESH --hand over?--> ACCESS --no translation--> trap --hand over?--> LOCK --its line--> hand over? --> TRAP --handled--+
 *       ^                    |  ^                                                                                            |
 *       +----- touched ------+  +---------------------- the lock is released <-- LEAVE <-- hand over? --the lock is held ----+
 *
 * Interface: TouchState, touchRange, touchRandom.
 * Invariants:
 *   [touch-1] false from touchRange or touchRandom: the task's entry returns to the dispatcher at once, and when it is called again
 *             it calls again with the same arguments.
 *   [touch-2] a batch that handed over may hold mmap_sem: nothing but the same call may follow.
 * Locks: none held; the fault handler takes mmap_sem and leaves it to its exit, LEAVE.
 * Why not Asyncify alone: a fault under contention hands over twice, and unwinding and rewinding these three frames cost as much
 * host time as the fault. What blocks inside the handler is unwound as everywhere.
 */
import { PAGE_SHIFT } from "../memlayout";
import { prngBelow } from "../lib/prng";
import { CacheLine, touchLine } from "../sched/cache-line";
import { handsOver, handsOverLine } from "../sched/core";
import { C_TLB_HIT, C_TLB_WALK, chargeCost } from "../sched/cost";
import { sched } from "../sched/state";
import { ACCESS_READ, ACCESS_WRITE, CAUSE_LOAD_PAGE_FAULT, CAUSE_NONE, CAUSE_STORE_PAGE_FAULT, mmuRefill, tlbLookup } from "./mmu";
import { FAULT_LOCK_HELD, TLB_READ, TLB_WRITE, cpuRoom } from "./tlb";

/** TouchState.phase: what comes next. FRESH: a batch, or within one the next touch. */
export const TOUCH_FRESH: u32 = 0;
const TOUCH_ACCESS: u32 = 1;
const TOUCH_LOCK: u32 = 2;
const TOUCH_TRAP: u32 = 3;
const TOUCH_LEAVE: u32 = 4;
const TOUCH_GIVEN_UP: u32 = 5;

@unmanaged
export class TouchState {
  /** Touches made. */
  done: u64;
  /** Address of the touch under way. */
  address: u64;
  phase: u32;
  /** The cache line of the lock that the fault under way takes; 0: none. */
  line: usize;
  /** The touch under way stores. */
  write: u32;
  pad: u32;
}

class Touch {
  /** Leaves the batch where it is: handed over, to go on with `phase`, or given up. */
  @inline static leave(t: TouchState, phase: u32, address: u64, line: usize): usize {
    t.phase = phase;
    t.address = address;
    t.line = line;
    return 0;
  }

  /** One touch, from `resumed` on. Returns the linear address, or 0: t.phase says whether it handed over or was given up. */
  @inline static page(t: TouchState, resumed: u32, address: u64, write: bool): usize {
    const access = write ? ACCESS_WRITE : ACCESS_READ;
    const tagOffset = write ? TLB_WRITE : TLB_READ;
    const cause = write ? CAUSE_STORE_PAGE_FAULT : CAUSE_LOAD_PAGE_FAULT;
    let phase = resumed;
    let line: usize = 0;
    if (phase == TOUCH_ACCESS) {
      const at = tlbLookup(sched().cpu, address, 1, tagOffset);
      if (at != 0) {
        sched().cpu.mmuHits++;
        chargeCost(C_TLB_HIT);
        return at;
      }
    } else line = t.line;
    while (true) {
      if (phase <= TOUCH_ACCESS) {
        chargeCost(C_TLB_WALK);
        if (mmuRefill(sched().cpu, address, access) == CAUSE_NONE) {
          const at = tlbLookup(sched().cpu, address, 1, tagOffset);
          assert(at != 0, "[mmu-1] a refill serves the access that asked for it");
          return at;
        }
        const enter = cpuRoom().faultEnter;
        line = enter(cause, address);
        if (line != 0 && handsOverLine(changetype<CacheLine>(line))) return Touch.leave(t, TOUCH_LOCK, address, line);
      }
      if (phase <= TOUCH_LOCK && line != 0) {
        // The lock's atomic, paid here: under contention the line comes late, and what comes after waits for its turn.
        touchLine(changetype<CacheLine>(line));
        if (handsOver()) return Touch.leave(t, TOUCH_TRAP, address, line);
      }
      let result: u32 = FAULT_LOCK_HELD;
      if (phase <= TOUCH_TRAP) {
        const handle = cpuRoom().pageFault;
        result = handle(cause, address);
        if (result == FAULT_LOCK_HELD && line != 0 && handsOverLine(changetype<CacheLine>(line))) {
          return Touch.leave(t, TOUCH_LEAVE, address, line);
        }
      }
      if (result == FAULT_LOCK_HELD) {
        const leave = cpuRoom().faultLeave;
        result = leave();
      }
      if (result != 0) return Touch.leave(t, TOUCH_GIVEN_UP, address, 0);
      phase = TOUCH_ACCESS;
    }
  }
}

/** Ends a batch. */
function finish(t: TouchState, done: u64): bool {
  t.done = done;
  t.phase = TOUCH_FRESH;
  return true;
}

/** Ends a batch that was given up; one that has handed over goes on later. */
function leaves(t: TouchState, done: u64): bool {
  t.done = done;
  return t.phase == TOUCH_GIVEN_UP && finish(t, done);
}

/**
 * Touches one byte every `stride` bytes of [address, address + lenBytes): stores `value`, or loads. True: ended, with t.done
 * touches made; fewer than asked for when an access was given up. False: see [touch-1].
 */
export function touchRange(t: TouchState, address: u64, lenBytes: u64, stride: u64, write: bool, value: u8): bool {
  let phase = t.phase;
  let done: u64 = 0;
  let at = address;
  if (phase != TOUCH_FRESH) {
    done = t.done;
    at = t.address;
  }
  t.phase = TOUCH_ACCESS;
  while (true) {
    if (phase == TOUCH_FRESH) {
      if (at - address >= lenBytes) return finish(t, done);
      if (handsOver()) {
        Touch.leave(t, TOUCH_ACCESS, at, 0);
        return leaves(t, done);
      }
      phase = TOUCH_ACCESS;
    }
    const byte = Touch.page(t, phase, at, write);
    if (byte == 0) return leaves(t, done);
    if (write) store<u8>(byte, value);
    else load<u8>(byte);
    done++;
    at += stride;
    phase = TOUCH_FRESH;
  }
}

/** Touches `count` random pages of the range, `writePercent` of them with a store. As touchRange. */
export function touchRandom(t: TouchState, address: u64, lenBytes: u64, count: u64, writePercent: u32, prng: usize): bool {
  const pages = <u32>(lenBytes >> PAGE_SHIFT);
  let phase = t.phase;
  let done: u64 = phase != TOUCH_FRESH ? t.done : 0;
  t.phase = TOUCH_ACCESS;
  while (true) {
    if (phase == TOUCH_FRESH) {
      if (pages == 0 || done == count) return finish(t, done);
      t.address = address + (<u64>prngBelow(prng, pages) << PAGE_SHIFT);
      t.write = prngBelow(prng, 100) < writePercent ? 1 : 0;
      if (handsOver()) {
        Touch.leave(t, TOUCH_ACCESS, t.address, 0);
        return leaves(t, done);
      }
      phase = TOUCH_ACCESS;
    }
    const byte = Touch.page(t, phase, t.address, t.write != 0);
    if (byte == 0) return leaves(t, done);
    if (t.write != 0) store<u8>(byte, <u8>done);
    else load<u8>(byte);
    done++;
    phase = TOUCH_FRESH;
  }
}
