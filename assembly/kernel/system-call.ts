/*
 * One system call, of a scripted guest or of a program: the table, the time it takes, the trace, and those that are not known.
 *
 * Interface: systemCall(nr, a0..a5), unknownCall, unknownCalls(nr).
 * Invariants: [guest-2] an operation that the kernel does not know is ENOSYS, counted and named.
 * Locks: none.
 * Why not in guest.ts: programs make the same calls with registers in the place of a mailbox.
 */
import { ENOSYS } from "../lib/errno";
import { traceEmit } from "../lib/trace";
import { TP_SYS_ENTER } from "../tracepoints";
import { C_SYSCALL, chargeCost } from "../sched/cost";
import { sched } from "../sched/state";
import { SYSCALL_MAX, kernelState } from "./state";

type SysCall = (a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) => i64;

export function unknownCall(nr: u32): i64 {
  const k = kernelState();
  k.unknownSyscalls++;
  k.lastUnknown = nr;
  if (k.unknownCounts != 0 && nr < SYSCALL_MAX) store<u32>(k.unknownCounts + (nr << 2), load<u32>(k.unknownCounts + (nr << 2)) + 1);
  return -ENOSYS;
}

/** How often a call was made that the table does not have; machines that run programs keep count. */
export function unknownCalls(nr: u32): u32 {
  const counts = kernelState().unknownCounts;
  return counts == 0 || nr >= SYSCALL_MAX ? 0 : load<u32>(counts + (nr << 2));
}

export function systemCall(nr: u32, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const s = sched();
  assert(kernelState().table != 0, "[sys-1] the table is there");
  kernelState().syscalls++;
  chargeCost(C_SYSCALL);
  traceEmit(s.clockNs, TP_SYS_ENTER, s.cpu.id, s.current.id, nr, a0);
  if (nr >= SYSCALL_MAX) return unknownCall(nr);
  const slot = load<u32>(kernelState().table + (nr << 2));
  if (slot == 0) return unknownCall(nr);
  const f = changetype<SysCall>(slot);
  return f(a0, a1, a2, a3, a4, a5);
}
