/*
 * /proc: the views of the machine that Linux's users know, as text.
 *
 * Interface: taskOfPid(pid), mmOfPid(pid); procText(kind, pid) -> length or -errno; procRead(kind, pid), the guest's read of
 *            /proc/PID/*; PROC_*.
 * Invariants: [proc-mm] a view of an mm is made under its mmap_sem for reading, as in Linux: this is how a reader of
 *             /proc/PID/maps comes to wait behind somebody else's fault.
 * Locks: mmap_sem (read) when a task reads; none when the host looks from outside.
 * Why not only host-side views: the victim of the inversion is a guest that reads /proc.
 */
import { EINTR, EINVAL, ESRCH } from "../lib/errno";
import { slabState } from "../lib/slab";
import { PAGE_SIZE } from "../memlayout";
import { PTE_SPECIAL, pteDirty, ptePfn } from "../cpu/pte";
import { File } from "../mm/address-space";
import { mmPut } from "../mm/exit";
import { MmStruct, isNullMm, mmGet } from "../mm/mm-struct";
import { freePages } from "../mm/page-alloc";
import { PG_SWAPBACKED, pfnToPage } from "../mm/page";
import { pteLookup, pteRangeNext } from "../mm/pgtable";
import { mmState } from "../mm/state";
import { VM_EXEC, VM_HEAP, VM_LOCKED, VM_READ, VM_SHARED, VM_WRITE, VmArea, isNullVma } from "../mm/vma";
import { firstVma, vmaNext } from "../mm/vma-ops";
import { Inode } from "../fs/inode";
import { C_PROC_READ, chargeCost } from "../sched/cost";
import { LC_COUNT, lockClassName } from "../sched/lock-class";
import { LOCK_READ, LOCK_WRITE, LockStat, lockStat } from "../sched/lockdep";
import { downReadKillable, upRead } from "../sched/rwsem";
import { Task, cpuAt, isNullTask, sched, taskAt } from "../sched/state";
import { processById } from "./process";
import { mountsText } from "./mounts-text";
import { kernelState } from "./state";
import { textBegin, textByte, textDec, textField, textHex, textString } from "./text";

export const PROC_MEMINFO: u32 = 0;
export const PROC_MAPS: u32 = 1;
export const PROC_SMAPS: u32 = 2;
export const PROC_CMDLINE: u32 = 3;
export const PROC_STAT: u32 = 4;
export const PROC_LOCK_STAT: u32 = 5;
export const PROC_VMSTAT: u32 = 6;
export const PROC_TASKS: u32 = 7;
export const PROC_MOUNTS: u32 = 8;

/** A live task of the process, or null. */
export function taskOfPid(pid: u32): Task {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.tgid == pid && task.mm != 0) return task;
  }
  return changetype<Task>(0);
}

/** The address space of a live process with a reference for the caller, or null: Linux's get_task_mm. */
export function mmOfPid(pid: u32): MmStruct {
  const task = taskOfPid(pid);
  if (isNullTask(task)) return changetype<MmStruct>(0);
  const mm = changetype<MmStruct>(task.mm);
  assert(!isNullMm(mm), "a task found by its mm has one");
  mmGet(mm);
  return mm;
}

/** What the object caches have taken: of the arena, and frames beyond it. */
function slabBytes(): u32 {
  const s = slabState();
  return <u32>(s.next - s.base) + s.frames * PAGE_SIZE;
}

function meminfo(): void {
  const m = mmState();
  textField("MemTotal", <u64>m.nFrames * 4, " kB");
  textField("MemFree", <u64>freePages() * 4, " kB");
  textField("Cached", <u64>m.nrFile * 4, " kB");
  textField("AnonPages", <u64>m.nrAnon * 4, " kB");
  textField("Active(file)", <u64>m.nrActive * 4, " kB");
  textField("Inactive(file)", <u64>m.nrInactive * 4, " kB");
  textField("Dirty", <u64>m.nrDirty * 4, " kB");
  textField("Writeback", <u64>m.nrWriteback * 4, " kB");
  textField("Slab", <u64>slabBytes() >> 10, " kB");
  textField("PageTables", <u64>m.nrPageTables * 4, " kB");
  textField("SwapTotal", 0, " kB");
}

function vmstat(): void {
  const m = mmState();
  textField("pgfault", m.pgfault, "");
  textField("pgmajfault", m.pgmajfault, "");
  textField("pgalloc_normal", m.pgalloc, "");
  textField("pgfree", m.pgfree, "");
  textField("pgscan_direct", m.pgscan, "");
  textField("pgsteal_direct", m.pgsteal, "");
  textField("oom_kill", m.oomKills, "");
  textField("nr_tlb_flush", m.tlbShootdowns, "");
}

function flagChars(vma: VmArea): void {
  textByte((vma.flags & VM_READ) != 0 ? 0x72 : 0x2d);
  textByte((vma.flags & VM_WRITE) != 0 ? 0x77 : 0x2d);
  textByte((vma.flags & VM_EXEC) != 0 ? 0x78 : 0x2d);
  textByte((vma.flags & VM_SHARED) != 0 ? 0x73 : 0x70);
}

function inodeOf(file: File): u32 {
  return changetype<usize>(file) == 0 ? 0 : changetype<Inode>(file.inode).ino;
}

/** One line of /proc/PID/maps. */
function mapsLine(vma: VmArea): void {
  textHex(vma.start, 8);
  textByte(0x2d);
  textHex(vma.end, 8);
  textByte(0x20);
  flagChars(vma);
  textByte(0x20);
  textHex(changetype<usize>(vma.file) == 0 ? 0 : <u64>vma.pgoff << 12, 8);
  textString(" 00:00 ");
  textDec(inodeOf(vma.file));
  if ((vma.flags & VM_HEAP) != 0) textString("                          [heap]");
  textByte(10);
}

/** The counts of a VMA's pages, walked from its PTEs. */
function smapsEntry(mm: MmStruct, vma: VmArea): void {
  let rss: u64 = 0;
  let shared: u64 = 0;
  let dirty: u64 = 0;
  let anon: u64 = 0;
  let at = pteRangeNext(mm, vma.start, vma.end);
  while (at < vma.end) {
    const pte = load<u64>(pteLookup(mm, at));
    if ((pte & PTE_SPECIAL) == 0) {
      const page = pfnToPage(ptePfn(pte));
      rss += 4;
      if (page.mapcount > 1) shared += 4;
      if (pteDirty(pte)) dirty += 4;
      if (page.test(PG_SWAPBACKED)) anon += 4;
    }
    at = pteRangeNext(mm, at + 4096, vma.end);
  }
  textField("Size", (vma.end - vma.start) >> 10, " kB");
  textField("Rss", rss, " kB");
  textField("Shared", shared, " kB");
  textField("Dirty", dirty, " kB");
  textField("Anonymous", anon, " kB");
  textField("Locked", (vma.flags & VM_LOCKED) != 0 ? rss : 0, " kB");
}

function mapsOf(mm: MmStruct, smaps: bool): void {
  for (let vma = firstVma(mm); !isNullVma(vma); vma = vmaNext(vma)) {
    mapsLine(vma);
    if (smaps) smapsEntry(mm, vma);
  }
}

/** A short /proc/PID/stat: pid, state, faults, threads' CPU time in ns, sizes in pages. */
function statOf(pid: u32, mm: MmStruct): void {
  const s = sched();
  let minFlt: u64 = 0;
  let majFlt: u64 = 0;
  let runNs: u64 = 0;
  let threads: u64 = 0;
  const process = processById(pid);
  if (changetype<usize>(process) != 0) {
    minFlt = process.minFlt;
    majFlt = process.majFlt;
  }
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.tgid != pid || task.mm == 0) continue;
    minFlt += task.minFlt;
    majFlt += task.majFlt;
    runNs += task.runNs;
    threads++;
  }
  textField("pid", pid, "");
  textField("minflt", minFlt, "");
  textField("majflt", majFlt, "");
  textField("run_time", runNs, " ns");
  textField("num_threads", threads, "");
  textField("vsize", <u64>mm.totalVm * 4096, " B");
  textField("rss", mm.rssAnon + mm.rssFile, "");
}

function machineStat(): void {
  const s = sched();
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const cpu = cpuAt(id);
    textString("cpu");
    textDec(id);
    textString(" clock_ns ");
    textDec(cpu.clockNs);
    textString(" idle_ns ");
    textDec(cpu.idleNs);
    textString(" switches ");
    textDec(cpu.switches);
    textByte(10);
  }
  textField("ctxt", s.switches, "");
  textField("processes", kernelState().nrProcesses, "");
}

function lockStatLine(name: string, mode: string, stat: LockStat): void {
  if (stat.acquisitions == 0 && stat.contentions == 0) return;
  let width = <u32>name.length + <u32>mode.length;
  textString(name);
  textString(mode);
  for (; width < 24; width++) textByte(0x20);
  textDec(stat.contentions, 12);
  textDec(stat.waitMinNs, 14);
  textDec(stat.waitMaxNs, 14);
  textDec(stat.waitNs, 16);
  textDec(stat.acquisitions, 14);
  textDec(stat.holdMinNs, 14);
  textDec(stat.holdMaxNs, 14);
  textDec(stat.holdNs, 16);
  textByte(10);
}

function lockStatText(): void {
  textString("class name               contentions   waittime-min   waittime-max  waittime-total  acquisitions");
  textString("   holdtime-min   holdtime-max  holdtime-total  (ns)\n");
  for (let id: u32 = 1; id < LC_COUNT; id++) {
    lockStatLine(lockClassName(id), "-W", lockStat(id, LOCK_WRITE));
    lockStatLine(lockClassName(id), "-R", lockStat(id, LOCK_READ));
  }
}

/** Every live task, its state, and what it waits for: the view of a hang. */
function tasksText(): void {
  const s = sched();
  textString("  tid  tgid state cpu waits-for kind\n");
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.state == 0) continue;
    textDec(task.id, 5);
    textDec(task.tgid, 6);
    textDec(task.state, 6);
    textDec(task.cpu, 4);
    textByte(0x20);
    textHex(task.waitOn, 8);
    textDec(task.waitKind, 5);
    textByte(10);
  }
}

/** The text of a view into the kernel's buffer. Returns its length, -ESRCH or -EINVAL. */
export function procText(kind: u32, pid: u32): i32 {
  textBegin();
  switch (kind) {
    case PROC_MEMINFO: meminfo(); break;
    case PROC_LOCK_STAT: lockStatText(); break;
    case PROC_VMSTAT: vmstat(); break;
    case PROC_TASKS: tasksText(); break;
    case PROC_MOUNTS: mountsText(); break;
    default: return processText(kind, pid);
  }
  return kernelState().textLength;
}

function processText(kind: u32, pid: u32): i32 {
  if (kind == PROC_STAT && pid == 0) {
    machineStat();
    return kernelState().textLength;
  }
  if (kind > PROC_TASKS) return -EINVAL;
  const task = taskOfPid(pid);
  if (isNullTask(task)) return -ESRCH;
  const mm = changetype<MmStruct>(task.mm);
  if (kind == PROC_MAPS) mapsOf(mm, false);
  else if (kind == PROC_SMAPS) mapsOf(mm, true);
  else if (kind == PROC_STAT) statOf(pid, mm);
  else {
    textString("guest-");
    textDec(pid);
    textByte(0);
  }
  return kernelState().textLength;
}

/** A task reads /proc/PID/...: pins the mm, takes its mmap_sem for reading. Returns the text's length or -errno. */
export function procRead(kind: u32, pid: u32): i64 {
  if (kind == PROC_MEMINFO || kind > PROC_STAT) return -EINVAL;
  chargeCost(C_PROC_READ);
  const mm = mmOfPid(pid);
  if (isNullMm(mm)) return -ESRCH;
  let result: i32 = -EINTR;
  if (downReadKillable(mm.mmapSem) == 0) {
    result = procText(kind, pid);
    upRead(mm.mmapSem);
  }
  mmPut(mm);
  return result;
}
