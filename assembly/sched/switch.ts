/*
 * Switching stacks inside wasm (DESIGN D1): Binaryen's Asyncify pass turns every function that may block into one that can be
 * unwound into the task's save area and rewound from it.
 *
 *     save area:  [0] next free byte  [4] end  [8..] frames, innermost first ... | red zone (poisoned)
 *
 * Interface: switchInit, switchOut(reason), runTask(task), saveAreaInit, saveAreaScrub.
 * Invariants:
 *   [switch-1] switchOut is only called with a task running; it returns when the dispatcher resumes that task.
 *   [switch-2] no frame reaches the red zone; an overflow names the task before another task's area is used.
 * Locks: none.
 * Why not an op struct with a step counter per blocking path: unreadable, and every lock doubles the states.
 *
 * The pass leaves alone the functions that start or stop an unwind or rewind, so these must not be inlined into code that is
 * to be unwound: both directions go through call_indirect on an index kept in memory (switchFn, task.entry).
 */
import { SWITCH_STOP, SchedState, Task, currentTask, sched } from "./state";

// @ts-ignore: decorator
@external("asyncify", "start_unwind")
declare function asyncifyStartUnwind(area: usize): void;
// @ts-ignore: decorator
@external("asyncify", "stop_unwind")
declare function asyncifyStopUnwind(): void;
// @ts-ignore: decorator
@external("asyncify", "start_rewind")
declare function asyncifyStartRewind(area: usize): void;
// @ts-ignore: decorator
@external("asyncify", "stop_rewind")
declare function asyncifyStopRewind(): void;

const MODE_RUN: u32 = 0;
const MODE_UNWIND: u32 = 1;
const MODE_REWIND: u32 = 2;

/** Bytes at the end of a save area that no frame may reach. */
export const SAVE_RED_ZONE: u32 = 1024;
const SAVE_POISON: u32 = 0x6b6b6b6b;

function doSwitch(): void {
  const s = sched();
  if (s.stackMode == MODE_REWIND) {
    asyncifyStopRewind();
    s.stackMode = MODE_RUN;
    return;
  }
  const area = s.current.saveArea;
  store<u32>(area, area + 8);
  store<u32>(area + 4, area + s.saveAreaBytes);
  s.stackMode = MODE_UNWIND;
  asyncifyStartUnwind(area);
}

export function switchInit(): void {
  sched().switchFn = doSwitch;
  sched().stackMode = MODE_RUN;
}

/** Gives a fresh task a clean area: poisoned beyond the red-zone line. */
export function saveAreaInit(task: Task): void {
  const s = sched();
  const end = task.saveArea + s.saveAreaBytes;
  for (let at = end - SAVE_RED_ZONE; at < end; at += 4) store<u32>(at, SAVE_POISON);
  task.saved = 0;
}

/** Zeroes what no resume will read: all of the area of a task that is not suspended, else what lies behind its frames. */
export function saveAreaScrub(task: Task): void {
  const end = task.saveArea + sched().saveAreaBytes - SAVE_RED_ZONE;
  const dead = task.saved != 0 ? <usize>load<u32>(task.saveArea) : task.saveArea;
  if (dead < end) memory.fill(dead, 0, end - dead);
}

/** Suspends the current task; returns when it is resumed. */
export function switchOut(reason: u32): void {
  const s = sched();
  if (s.stackMode == MODE_RUN) {
    assert(changetype<usize>(s.current) != 0, "[switch-1] a task is running");
    s.switchReason = reason;
    s.switches++;
  }
  const f = s.switchFn;
  f();
}

function checkOverflow(s: SchedState, task: Task): void {
  const used = load<u32>(task.saveArea) - <u32>task.saveArea;
  if (used > s.saveHighWater && s.switchReason != SWITCH_STOP) s.saveHighWater = used;
  assert(used <= s.saveAreaBytes - SAVE_RED_ZONE, "[switch-2] a task's save area overflowed: raise saveAreaBytes");
  assert(
    load<u32>(task.saveArea + s.saveAreaBytes - SAVE_RED_ZONE) == SAVE_POISON,
    "[switch-2] the red zone of a save area was written",
  );
}

/** Runs or resumes a task until it is suspended (false) or its entry returns (true). Called by the dispatcher only. */
export function runTask(task: Task): bool {
  const s = sched();
  if (task.saved != 0) {
    task.saved = 0;
    s.stackMode = MODE_REWIND;
    asyncifyStartRewind(task.saveArea);
  }
  const entry = task.entry;
  entry(task);
  if (s.stackMode == MODE_UNWIND) {
    checkOverflow(s, task);
    asyncifyStopUnwind();
    s.stackMode = MODE_RUN;
    task.saved = 1;
    return false;
  }
  assert(s.stackMode == MODE_RUN, "[switch-1] the rewound stack was reached");
  return true;
}

/** The task that runs, asserting that there is one. */
export function runningTask(): Task {
  const task = currentTask();
  assert(changetype<usize>(task) != 0, "a task is running");
  return task;
}
