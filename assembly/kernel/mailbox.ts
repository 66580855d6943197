/*
 * The mailbox: one operation of a scripted guest, from the host to the kernel and back.
 *
 *     0 nr | 4 flags | 8 six arguments (u64) | 56 result (i64) | 64 fault address (u64) | 72 signal | 76 bytes | 80 buffer address |
 *     88 the kernel's: where a batch of touches stands
 *
 * Interface: Mailbox, mailboxOf(task), OP_*.
 * Invariants: [op-1] the host writes it only while the task waits for it (TASK_GUEST_WAIT).
 * Locks: none.
 * Why not parameters of an export: the operation blocks and the host goes on with other tasks meanwhile.
 */
import { TouchState } from "../cpu/touch";
import { TASK_OP_OFFSET, Task } from "../sched/state";

/** A fault's signal is reported here and not delivered. */
export const OP_FLAG_CATCH: u32 = 1;

export const OP_NOP: u32 = 0x10000;
export const OP_TOUCH: u32 = 0x10001;
export const OP_STORE: u32 = 0x10002;
export const OP_LOAD: u32 = 0x10003;
export const OP_TOUCH_RANDOM: u32 = 0x10004;
export const OP_COMPUTE: u32 = 0x10005;
export const OP_GETTIME: u32 = 0x10006;
export const OP_PROC_READ: u32 = 0x10007;
export const OP_BARRIER: u32 = 0x10008;
export const OP_RECORD: u32 = 0x10009;
export const OP_IO: u32 = 0x1000a;
export const OP_MKFS: u32 = 0x1000b;
export const OP_FSCK: u32 = 0x1000c;
export const OP_PROC_MEM_READ: u32 = 0x1000d;
export const OP_PROC_MEM_WRITE: u32 = 0x1000e;
/** Sleeps until the host calls unpark. */
export const OP_PARK: u32 = 0x1000f;

@unmanaged
export class Mailbox {
  nr: u32;
  flags: u32;
  arg0: u64;
  arg1: u64;
  arg2: u64;
  arg3: u64;
  arg4: u64;
  arg5: u64;
  result: i64;
  faultAddress: u64;
  signal: u32;
  bytes: u32;
  /** Address of the task's operation buffer, one frame; mm/uaccess.ts reads it. */
  buffer: u32;
  pad: u32;
  /** Where a batch of touches stands: a TouchState (cpu/touch.ts). */
  touch0: u64;
  touch1: u64;
  touch2: u64;
  touch3: u64;

  get touch(): TouchState {
    return changetype<TouchState>(changetype<usize>(this) + offsetof<Mailbox>("touch0"));
  }
}

if (offsetof<TouchState>() != 32) ERROR("a TouchState fits its place in the mailbox");

if (offsetof<Mailbox>("buffer") != 80) ERROR("mm/uaccess.ts expects the buffer's address at 80");
if (TASK_OP_OFFSET + offsetof<Mailbox>() > 896) ERROR("a Mailbox fits its place in the task");

export function mailboxOf(task: Task): Mailbox {
  return changetype<Mailbox>(task.op);
}
