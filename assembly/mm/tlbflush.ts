/*
 * TLB shootdown: after a PTE lost a right, every CPU that may hold it forgets it.
 *
 * Interface: flushTlbPage, flushTlbRange, flushTlbMm, switchMm.
 * Invariants:
 *   [sd-1] after a flush returns no CPU can use the old right.
 *   [sd-2] a CPU in mm.cpuMask may hold entries of the mm; one outside it holds none in the mm's present context.
 * Locks: the caller holds the leaf table's lock or knows that the PTEs cannot come back.
 * Why not an IPI handler per CPU: the emulator writes the other TLB at once; the sender pays for sending and waiting, the
 * receivers for being interrupted, which is all that can be seen of it.
 */
import { CPU_MASK_WORDS } from "../config";
import { bitmapSet, bitmapTest } from "../lib/bitmap";
import { ListHead } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { contextAlloc, contextTag, cpuRoom, tlbFlushPage } from "../cpu/tlb";
import { TP_IPI_SEND, TP_SHOOTDOWN_REMOTE, TP_TLB_FLUSH } from "../tracepoints";
import { C_IPI_BASE, C_IPI_PER_CPU, C_IPI_RECEIVE, C_MM_SWITCH, C_TLB_FLUSH_LOCAL, chargeCost, cost } from "../sched/cost";
import { Cpu, Task, cpuAt, sched } from "../sched/state";
import { MmStruct, mmOfList } from "./mm-struct";
import { mmState } from "./state";

/** Linux's tlb_single_page_flush_ceiling: above it the whole address space is flushed. */
export const FLUSH_CEILING_PAGES: u64 = 33;

/** Loads a task's address space on the running CPU (context switch). */
export function switchMm(task: Task): void {
  const cpu = sched().cpu;
  if (task.mm == 0 || cpu.activeMm == task.mm) return;
  const mm = changetype<MmStruct>(task.mm);
  if (cpu.activeMm != 0) chargeCost(C_MM_SWITCH);
  loadMm(cpu, mm);
}

/** Puts the mm's root and context in force on a CPU. */
export function loadMm(cpu: Cpu, mm: MmStruct): void {
  cpu.activeMm = changetype<usize>(mm);
  cpu.satpRoot = mm.root;
  cpu.tlbContext = contextTag(mm.context);
  bitmapSet(mm.cpuMask, cpu.id);
}

/** Charges the shootdown: the CPUs that run the mm now are interrupted. */
function chargeShootdown(mm: MmStruct, pages: u64): void {
  const s = sched();
  const m = mmState();
  m.tlbShootdowns++;
  m.tlbShootdownPages += pages;
  chargeCost(C_TLB_FLUSH_LOCAL);
  let receivers: u32 = 0;
  for (let word: u32 = 0; word < CPU_MASK_WORDS; word++) {
    let bits = load<u32>(mm.cpuMask + (word << 2));
    while (bits != 0) {
      const id = (word << 5) + ctz(bits);
      bits &= bits - 1;
      const cpu = cpuAt(id);
      if (changetype<usize>(cpu) == changetype<usize>(s.cpu) || cpu.activeMm != changetype<usize>(mm)) continue;
      if (bitmapTest(s.idleMask, id)) continue;
      receivers++;
      cpu.pendingNs += cost(C_IPI_RECEIVE);
    }
  }
  traceEmit(s.clockNs, TP_TLB_FLUSH, s.cpu.id, 0, pages, receivers);
  if (receivers == 0) return;
  m.ipis += receivers;
  s.clockNs += cost(C_IPI_BASE) + receivers * cost(C_IPI_PER_CPU);
  traceEmit(s.clockNs, TP_IPI_SEND, s.cpu.id, 0, receivers, 0);
  traceEmit(s.clockNs, TP_SHOOTDOWN_REMOTE, s.cpu.id, 0, receivers, pages);
}

/** Drops [start, end) of an mm from every TLB. */
export function flushTlbRange(mm: MmStruct, start: u64, end: u64): void {
  if (start >= end) return;
  const pages = (end - start) >> 12;
  if (pages > FLUSH_CEILING_PAGES) {
    flushTlbMm(mm);
    return;
  }
  chargeShootdown(mm, pages);
  const tag = contextTag(mm.context);
  for (let word: u32 = 0; word < CPU_MASK_WORDS; word++) {
    let bits = load<u32>(mm.cpuMask + (word << 2));
    while (bits != 0) {
      const cpu = cpuAt((word << 5) + ctz(bits));
      bits &= bits - 1;
      for (let at = start; at < end; at += 4096) tlbFlushPage(cpu, at, tag);
    }
  }
}

export function flushTlbPage(mm: MmStruct, address: u64): void {
  const page = address & ~0xfff;
  flushTlbRange(mm, page, page + 4096);
}

/** A context number for an mm. When the numbers run out every TLB is empty and every mm takes a new one ([tlb-2]). */
export function freshContext(mm: MmStruct): void {
  const wraps = cpuRoom().contextWraps;
  mm.context = contextAlloc();
  if (cpuRoom().contextWraps == wraps) return;
  const head = changetype<usize>(mmState().mmList);
  for (let link: usize = mmState().mmList.next; link != head; link = changetype<ListHead>(link).next) {
    const other = mmOfList(link);
    if (changetype<usize>(other) != changetype<usize>(mm)) other.context = contextAlloc();
  }
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    const cpu = cpuAt(id);
    if (cpu.activeMm != 0) cpu.tlbContext = contextTag(changetype<MmStruct>(cpu.activeMm).context);
  }
}

/** Drops a whole address space from every TLB: it takes a new context. */
export function flushTlbMm(mm: MmStruct): void {
  chargeShootdown(mm, 0);
  freshContext(mm);
  for (let word: u32 = 0; word < CPU_MASK_WORDS; word++) {
    let bits = load<u32>(mm.cpuMask + (word << 2));
    let keep: u32 = 0;
    while (bits != 0) {
      const bit = ctz(bits);
      bits &= bits - 1;
      const cpu = cpuAt((word << 5) + bit);
      if (cpu.activeMm != changetype<usize>(mm)) continue;
      cpu.tlbContext = contextTag(mm.context);
      keep |= 1 << bit;
    }
    store<u32>(mm.cpuMask + (word << 2), keep);
  }
}

/** A CPU forgets an mm that is going away. */
export function dropMm(mm: MmStruct): void {
  const s = sched();
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const cpu = cpuAt(id);
    if (cpu.activeMm != changetype<usize>(mm)) continue;
    cpu.activeMm = 0;
    cpu.satpRoot = 0;
    cpu.tlbContext = contextTag(0);
  }
  for (let word: u32 = 0; word < CPU_MASK_WORDS; word++) store<u32>(mm.cpuMask + (word << 2), 0);
}
