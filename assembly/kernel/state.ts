/*
 * The kernel room's state: system-call table, processes, barriers of scripted guests, text buffer, counters.
 *
 * Interface: KernelState, kernelState().
 * Invariants: [kst-1] set at boot or changed by the running task; nothing here is touched by event handlers.
 * Locks: none; every access is one emulated step.
 * Why not globals: a snapshot is a copy of memory (DESIGN D2).
 */
import { ListHead } from "../lib/list";
import { KERNEL_STATE } from "../memlayout";

export const SYSCALL_MAX: u32 = 512;
export const BARRIERS: u32 = 64;

@unmanaged
export class KernelState {
  syscalls: u64;
  faults0: u64;
  /** Function table, SYSCALL_MAX entries (u32 each). */
  table: usize;
  /** BARRIERS entries of 32 bytes (kernel/guest.ts). */
  barriers: usize;
  processCache: usize;
  processNext: u32;
  processPrev: u32;
  nrProcesses: u32;
  /** Text of inspect and of /proc reads. */
  text: usize;
  textBytes: u32;
  textLength: u32;
  booted: u32;
  unknownSyscalls: u32;
  lastUnknown: u32;
  /** Calls of each number that the table does not have (u32 each); 0 on a machine without programs. */
  unknownCounts: usize;
  ooms: u32;
  lastOomPid: u32;
  lastOomRss: u32;
  signals: u32;
  /** nRecorders histograms of what guests measure (io-batch.ts). */
  recorders: usize;
  nRecorders: u32;

  get processes(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<KernelState>("processNext"));
  }
}

export function kernelState(): KernelState {
  return changetype<KernelState>(KERNEL_STATE);
}
