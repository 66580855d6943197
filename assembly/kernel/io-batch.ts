/*
 * IO of scripted guests in batches, each timed, and the recorders that keep what guests measure.
 *
 *     entry of a batch, u64 in the operation buffer:   63 store | 62..40 length, bytes | 39..0 offset, bytes
 *
 *     arg0 base address, or fd with a user buffer | arg1 entries | arg3 recorder of loads, and of stores << 16
 *     arg4 deadline, ns, 0 for none | arg5 user buffer: the entries are pread64 and pwrite64 calls between it and the fd
 *
 * Interface: recordersInit(n), recorderAt(id), recordersReset, ioRecord(box), ioBatch(box).
 * Invariants:
 *   [io-1] an entry is recorded once it is done, and only then; the result counts the entries done.
 *   [io-2] no entry begins at or after the deadline.
 * Locks: none held between entries.
 * Why not one operation an entry: crossing to the host and back costs as much as the fault that is to be measured.
 */
import { EFAULT, EINVAL } from "../lib/errno";
import { HISTOGRAM_BYTES, histInit, histRecord } from "../lib/histogram";
import { traceEmit } from "../lib/trace";
import { PAGE_SIZE, bootAlloc } from "../memlayout";
import { TP_SYS_ENTER, TP_SYS_EXIT } from "../tracepoints";
import { accessPage } from "../cpu/access";
import { ACCESS_READ, ACCESS_WRITE } from "../cpu/mmu";
import { OP_BUFFER_BYTES } from "../mm/uaccess";
import { syncPoint } from "../sched/core";
import { C_COPY_USER_PAGE, C_SYSCALL, chargeCost, cost } from "../sched/cost";
import { charge, sched } from "../sched/state";
import { Mailbox } from "./mailbox";
import { kernelState } from "./state";

const NR_PREAD64: u32 = 67;
const NR_PWRITE64: u32 = 68;
const OFFSET_MASK: u64 = 0xff_ffff_ffff;
const LENGTH_MASK: u32 = 0x7f_ffff;
/** A recorder number that records nothing. */
const NO_RECORDER: u32 = 0xffff;

type SysCall = (a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) => i64;

export function recordersInit(n: u32): bool {
  const k = kernelState();
  k.nRecorders = n;
  k.recorders = n == 0 ? 0 : bootAlloc(n * HISTOGRAM_BYTES, 64);
  recordersReset();
  return n == 0 || k.recorders != 0;
}

/** The histogram's address, 0 for a number that has none. */
export function recorderAt(id: u32): usize {
  const k = kernelState();
  return id < k.nRecorders ? k.recorders + id * HISTOGRAM_BYTES : 0;
}

export function recordersReset(): void {
  const k = kernelState();
  if (k.recorders == 0) return;
  for (let id: u32 = 0; id < k.nRecorders; id++) histInit(recorderAt(id));
}

/** OP_RECORD: arg0 recorder, arg1 a value that the guest measured. */
export function ioRecord(box: Mailbox): i64 {
  const at = recorderAt(<u32>box.arg0);
  if (at == 0) return -EINVAL;
  histRecord(at, box.arg1);
  return 0;
}

/** One block through the MMU: every page faulted in as needed, its bytes copied. False when an access was given up. */
function accessBlock(address: u64, lenBytes: u32, write: bool): bool {
  let done: u32 = 0;
  while (done < lenBytes) {
    syncPoint();
    const room = PAGE_SIZE - (<u32>(address + done) & 0xfff);
    const n = room < lenBytes - done ? room : lenBytes - done;
    const at = accessPage(address + done, n, write ? ACCESS_WRITE : ACCESS_READ);
    if (at == 0) return false;
    if (write) memory.fill(at, <u8>(address >> 12), n);
    else load<u8>(at);
    charge((cost(C_COPY_USER_PAGE) * n) >> 12);
    done += n;
  }
  return true;
}

/** One block through a system call, between the user buffer and the file. */
function callBlock(fd: u64, buffer: u64, offset: u64, lenBytes: u32, write: bool): i64 {
  const nr = write ? NR_PWRITE64 : NR_PREAD64;
  kernelState().syscalls++;
  chargeCost(C_SYSCALL);
  traceEmit(sched().clockNs, TP_SYS_ENTER, sched().cpu.id, sched().current.id, nr, fd);
  const f = changetype<SysCall>(load<u32>(kernelState().table + (nr << 2)));
  const result = f(fd, buffer, lenBytes, offset, 0, 0);
  traceEmit(sched().clockNs, TP_SYS_EXIT, sched().cpu.id, sched().current.id, nr, <u64>result);
  return result;
}

/** OP_IO: see the head. Returns entries done, or -errno with the entries done in `bytes`. */
export function ioBatch(box: Mailbox): i64 {
  const count = <u32>box.arg1;
  if (box.arg1 > OP_BUFFER_BYTES / 8 || box.buffer == 0) return -EINVAL;
  box.bytes = 0;
  for (let i: u32 = 0; i < count; i++) {
    if (box.arg4 != 0 && sched().clockNs >= box.arg4) break;
    const entry = load<u64>(<usize>box.buffer + (i << 3));
    const write = entry >> 63 != 0;
    const lenBytes = <u32>(entry >> 40) & LENGTH_MASK;
    const offset = entry & OFFSET_MASK;
    const startNs = sched().clockNs;
    if (box.arg5 == 0) {
      if (!accessBlock(box.arg0 + offset, lenBytes, write)) return -EFAULT;
    } else {
      const result = callBlock(box.arg0, box.arg5, offset, lenBytes, write);
      if (result < 0) return result;
    }
    record(<u32>box.arg3, write, sched().clockNs - startNs);
    box.bytes = i + 1;
  }
  return box.bytes;
}

function record(recorders: u32, write: bool, ns: u64): void {
  const id = write ? recorders >> 16 : recorders & 0xffff;
  if (id == NO_RECORDER) return;
  const at = recorderAt(id);
  if (at != 0) histRecord(at, ns);
}
