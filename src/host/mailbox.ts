/**
 * The mailbox of a task: one operation of its guest on the way in, its result on the way out (assembly/kernel/mailbox.ts).
 *
 * Interface: Mailbox (read, write), needsBuffer, checkOp, OP_BUFFER_BYTES.
 * Invariants: [mail-1] written only while the task waits for the host ([op-1]).
 * Locks: none.
 * Why not in machine.ts: the layout of a mailbox is nobody else's business.
 */
import type { Op, OpResult } from "./guests.js";
import { MAILBOX } from "./layout.js";

/** The operation buffer: one frame. Data beyond it is cut off, as a path beyond PATH_MAX is. */
export const OP_BUFFER_BYTES = 4096;
/** Under this base the kernel takes an address in the task's operation buffer for a user pointer. */
const KERNEL_POINTER_BASE = 0xffff_8000_0000_0000n;
const MAX_ARGS = 6;

/** Whether an operation carries bytes. */
export function needsBuffer(op: Op): boolean {
  return op.data !== undefined || op.bufferArgs !== undefined || (op.readBack ?? 0) > 0;
}

/** An operation that no mailbox can carry is its guest's mistake: throws. */
export function checkOp(op: Op): void {
  if (op.args.length > MAX_ARGS) throw new RangeError(`operation ${op.nr} has ${op.args.length} arguments; ${MAX_ARGS} is the most`);
  for (const arg of [op.nr, ...op.args]) {
    if (typeof arg === "number" && !Number.isFinite(arg)) throw new RangeError(`operation ${op.nr}: argument ${arg}`);
  }
  if ((op.readBack ?? 0) > OP_BUFFER_BYTES) throw new RangeError(`operation ${op.nr} reads back ${op.readBack} bytes`);
}

export class Mailbox {
  private readonly u32: Uint32Array;
  private readonly u8: Uint8Array;
  private readonly view: DataView;

  constructor(memory: WebAssembly.Memory) {
    this.u32 = new Uint32Array(memory.buffer);
    this.u8 = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
  }

  /** The result of the operation in the mailbox at `at`, with the bytes that it read back. */
  read(at: number, readBack: number): OpResult {
    const result: OpResult = {
      ret: Number(this.view.getBigInt64(at + MAILBOX.result, true)),
      signal: this.word(at + MAILBOX.signal),
      faultAddress: Number(this.view.getBigUint64(at + MAILBOX.faultAddress, true)),
      bytes: this.word(at + MAILBOX.bytes),
    };
    const buffer = readBack > 0 ? this.word(at + MAILBOX.buffer) : 0;
    if (buffer !== 0) result.data = this.u8.slice(buffer, buffer + readBack);
    return result;
  }

  /** Puts an operation into the mailbox at `at`; its bytes go into the task's operation buffer. */
  write(at: number, op: Op, buffer: number): void {
    if (op.data) this.u8.set(op.data.subarray(0, OP_BUFFER_BYTES), buffer);
    this.u32[(at + MAILBOX.nr) >> 2] = op.nr;
    this.u32[(at + MAILBOX.flags) >> 2] = op.flags ?? 0;
    for (let i = 0; i < MAX_ARGS; i++) this.putArg(at + MAILBOX.args + 8 * i, op.args[i] ?? 0);
    for (const place of op.bufferPointers ?? []) {
      const offset = this.view.getBigUint64(buffer + place, true);
      this.view.setBigUint64(buffer + place, KERNEL_POINTER_BASE + BigInt(buffer) + offset, true);
    }
    for (const i of op.bufferArgs ?? []) {
      this.putArg(at + MAILBOX.args + 8 * i, KERNEL_POINTER_BASE + BigInt(buffer) + BigInt(op.args[i] ?? 0));
    }
  }

  private putArg(at: number, value: number | bigint): void {
    if (typeof value === "bigint") this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else if (value >= 0 && value <= 0xffffffff) {
      this.u32[at >> 2] = value;
      this.u32[(at >> 2) + 1] = 0;
    } else this.view.setBigInt64(at, BigInt(Math.trunc(value)), true);
  }

  private word(at: number): number {
    return this.u32[at >> 2] ?? 0;
  }
}
