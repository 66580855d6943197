/*
 * Calls of filesystems that the host runs (src/fs: generators in TypeScript): from a kernel task to the host and back, step by step.
 *
 *     kernel task: hostCall(op) --BEGIN--> host starts the generator --step--> kernel carries it out --RESULT--> host ...
 *                                                                    --RETURN--> hostCall returns
 *
 *     call (64 bytes in the task):  0 kind | 4 filesystem | 8 op or step | 12 depth | 16 four arguments (u64) | 48 result (i64)
 *
 * Interface: hostCall(fs, op, a0..a3), HostCall, CALL_*, OP numbers in scripted.ts, steps in steps.ts.
 * Invariants:
 *   [hc-1] a call takes simulated time only through the steps that the kernel carries out: the host's own work is free.
 *   [hc-2] a step may itself lead into a call of the same task (writeback for space): calls nest, the host keeps a stack.
 *   [hc-3] between kind BEGIN or RESULT and the host's answer the task is suspended on its CPU; nobody else runs meanwhile.
 * Locks: those the caller holds; a step takes what it names.
 * Why not an import into the module: JavaScript cannot be unwound, so a step could not block.
 */
import { Task, currentTask } from "../../sched/state";
import { waitForHost } from "../../sched/core";
import { carryOut } from "./steps";

/** The kernel to the host. */
export const CALL_BEGIN: u32 = 1;
export const CALL_RESULT: u32 = 2;
/** The host to the kernel. */
export const CALL_STEP: u32 = 3;
export const CALL_RETURN: u32 = 4;
/** From the console (fs/devices.ts): read the ring; give bytes of standard input. */
export const CALL_CONSOLE_FLUSH: u32 = 5;
export const CALL_CONSOLE_READ: u32 = 6;

@unmanaged
export class HostCall {
  kind: u32;
  fs: u32;
  /** BEGIN: the operation; STEP: the step. */
  code: u32;
  /** Calls under way in this task, this one included. */
  depth: u32;
  arg0: u64;
  arg1: u64;
  arg2: u64;
  arg3: u64;
  result: i64;
  pad: u64;
}

if (offsetof<HostCall>() != 64) ERROR("a HostCall fits its place in the task");

function callOf(task: Task): HostCall {
  return changetype<HostCall>(task.hostCall);
}

/** Runs operation `op` of filesystem `fs` on the host. Returns what its generator returns. */
export function hostCall(fs: u32, op: u32, a0: u64, a1: u64, a2: u64, a3: u64): i64 {
  const call = callOf(currentTask());
  const depth = call.depth + 1;
  call.kind = CALL_BEGIN;
  call.fs = fs;
  call.code = op;
  call.depth = depth;
  call.arg0 = a0;
  call.arg1 = a1;
  call.arg2 = a2;
  call.arg3 = a3;
  while (true) {
    waitForHost();
    const answer = callOf(currentTask());
    assert(answer.depth == depth, "[hc-2] the host answers the innermost call");
    if (answer.kind == CALL_RETURN) {
      answer.depth = depth - 1;
      return answer.result;
    }
    assert(answer.kind == CALL_STEP, "the host gives a step or returns");
    const result = carryOut(fs, answer.code, answer.arg0, answer.arg1, answer.arg2);
    const reply = callOf(currentTask());
    reply.kind = CALL_RESULT;
    reply.fs = fs;
    reply.depth = depth;
    reply.result = result;
  }
}
