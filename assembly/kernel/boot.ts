/*
 * Boot: carves memory, fills the tables that call upwards, and makes the machine ready for its first task.
 *
 *     lib (arena, trace) -> sched (cpus, tasks, lockdep, choices) -> cpu (TLBs) -> block -> mm (frames) -> fs -> kernel
 *
 * Interface: configDefaults, minimumBytes, boot.
 * Invariants: [boot-1] nothing is carved after boot; a machine that does not fit says -ENOMEM and runs nothing.
 * Locks: none.
 * Why not boot from the host step by step: the order is the kernel's business.
 */
import { BootConfig, MAX_CPUS, MAX_RECORDERS, MAX_TASKS, bootConfig } from "../config";
import { EINVAL, ENOMEM } from "../lib/errno";
import { HISTOGRAM_BYTES, histInit } from "../lib/histogram";
import { KmemCache, kmemCacheInit, slabInit, slabState } from "../lib/slab";
import { TRACE_EVENT_BYTES, traceInit, traceState } from "../lib/trace";
import { xaNodeCacheInit } from "../lib/xarray";
import { BOOT_BASE, BOOT_CONFIG, PAGE_SIZE, bootAlloc, bootAllocInit, bootAllocSeal } from "../memlayout";
import { blockInit } from "../block/init";
import { CODE_PAGE_BYTES, codeInit } from "../cpu/rv64/code-page";
import { rv64Init } from "../cpu/rv64/run";
import { cpuRoom, tlbInit } from "../cpu/tlb";
import { CONSOLE_RING } from "../fs/devices";
import { fsInit } from "../fs/init";
import { faultEnter, faultLeave, handlePageFault } from "../mm/fault-lock";
import { BACIK_V3_DEFECTS } from "../mm/bacik";
import { MKWRITE_REGIMES } from "../mm/mkwrite";
import { MmStruct } from "../mm/mm-struct";
import { GFP_ZERO, allocPage, pageAllocInit, pageAllocSetBase, slabFrame } from "../mm/page-alloc";
import { PG_RESERVED, isNullPage, pageAddress } from "../mm/page";
import { FAULT_LOCK_REGIMES, mmState } from "../mm/state";
import { switchMm } from "../mm/tlbflush";
import { VmArea } from "../mm/vma";
import { vmscanInit } from "../mm/vmscan";
import { writebackInit } from "../mm/writeback";
import { choiceInit } from "../sched/choice";
import { cpusInit } from "../sched/core";
import { costSetDefaults } from "../sched/cost";
import { cpuTreeInit } from "../sched/cpu-tree";
import { lockBitInit } from "../sched/lock-bit";
import { LOCK_WAIT_BYTES } from "../sched/lock-wait";
import { lockdepInit } from "../sched/lockdep";
import { Cpu, STRIDE_SKEW, TASK_STRIDE, cpuAt, sched } from "../sched/state";
import { switchInit } from "../sched/switch";
import { taskTableInit } from "../sched/task";
import { guestInit } from "./guest";
import { recordersInit } from "./io-batch";
import { oomKill } from "./oom";
import { Process, forceSignal } from "./process";
import { kernelState } from "./state";
import { syscallInit } from "./syscall";
import { listInit } from "../lib/list";

/** Fills the boot configuration and the cost table with defaults. */
export function configDefaults(memoryBytes: u32, frames: u32, cpus: u32): void {
  memory.fill(BOOT_CONFIG, 0, offsetof<BootConfig>());
  const config = bootConfig();
  config.seed = 1;
  config.cpus = cpus;
  config.sockets = cpus >= 4 ? 4 : 1;
  config.frames = frames;
  config.memoryBytes = memoryBytes;
  config.maxTasks = cpus * 2 + 64;
  config.saveAreaBytes = 8192;
  config.tlbEntries = frames >= 4096 ? 1024 : 64;
  config.arenaBytes = arenaFor(frames, config.maxTasks);
  config.traceEvents = frames >= 4096 ? 16384 : 256;
  config.choiceLog = 0;
  config.sliceNs = 3_000_000;
  config.skewNs = 8000;
  config.raPages = 32;
  config.faultAroundPages = 16;
  config.bacikDefects = BACIK_V3_DEFECTS;
  config.recorders = 4;
  costSetDefaults();
}

/** Objects: a page-cache node for 64 frames at worst half full, VMAs, inodes, and a floor for tasks. */
export function arenaFor(frames: u32, tasks: u32): u32 {
  return 96 * 1024 + frames * 16 + tasks * 3072;
}

/** The decode cache with a number a frame, of all memory there may be; the console's rings; counters of unknown system calls. */
function programBytes(c: BootConfig): f64 {
  if (c.codePages == 0) return 0;
  return <f64>c.codePages * CODE_PAGE_BYTES + <f64>u32.MAX_VALUE / PAGE_SIZE * 2 + <f64>CONSOLE_RING * 2 + 4096;
}

/** Linear memory that the present configuration needs, bytes. */
export function minimumBytes(): f64 {
  const c = bootConfig();
  const perCpu: f64 = <f64>c.tlbEntries * 32 + STRIDE_SKEW + offsetof<Cpu>() + 64 + 256;
  const perTask: f64 = <f64>c.saveAreaBytes + STRIDE_SKEW + TASK_STRIDE;
  const perFrame: f64 = <f64>PAGE_SIZE + 64;
  const disk: f64 = <f64>c.diskBlocks * 4096 * 1.5 + (c.diskBlocks != 0 ? 1_200_000.0 : 0.0);
  const fixed: f64 = <f64>BOOT_BASE + 112 * 1024 + (c.frames >= 4096 ? 256 * 1024 : 32 * 1024);
  return (
    fixed + perCpu * <f64>c.cpus + perTask * <f64>c.maxTasks + perFrame * <f64>c.frames + <f64>c.arenaBytes +
    <f64>c.traceEvents * 32 + <f64>c.choiceLog * 8 + disk + <f64>LOCK_WAIT_BYTES + <f64>c.recorders * HISTOGRAM_BYTES + programBytes(c)
  );
}

function valid(c: BootConfig): bool {
  if (c.cpus == 0 || c.cpus > MAX_CPUS || c.sockets == 0 || c.sockets > c.cpus) return false;
  if (c.maxTasks == 0 || c.maxTasks > MAX_TASKS || c.saveAreaBytes < 4096) return false;
  if (c.tlbEntries == 0 || (c.tlbEntries & (c.tlbEntries - 1)) != 0) return false;
  if (c.traceEvents == 0 || (c.traceEvents & (c.traceEvents - 1)) != 0) return false;
  if (c.frames < 64 || c.sliceNs < 1000 || c.recorders > MAX_RECORDERS) return false;
  return c.faultLock < FAULT_LOCK_REGIMES && c.mkwrite < MKWRITE_REGIMES;
}

function carveSched(c: BootConfig): bool {
  const s = sched();
  s.nCpus = c.cpus;
  s.cpusPerSocket = (c.cpus + c.sockets - 1) / c.sockets;
  s.sliceNs = c.sliceNs;
  s.skewNs = c.skewNs;
  s.cpus = bootAlloc(c.cpus * offsetof<Cpu>(), 64);
  if (s.cpus == 0) return false;
  switchInit();
  cpusInit();
  s.cpu = cpuAt(0);
  if (!cpuTreeInit(c.cpus) || !taskTableInit(c.maxTasks, c.saveAreaBytes)) return false;
  if (!lockdepInit() || !lockBitInit()) return false;
  return choiceInit(c.choicePolicy, c.seed, c.choiceLog);
}

function carveLib(c: BootConfig): bool {
  const arena = bootAlloc(c.arenaBytes, 64);
  const ring = bootAlloc(c.traceEvents * TRACE_EVENT_BYTES, 64);
  if (arena == 0 || ring == 0) return false;
  slabInit(arena, c.arenaBytes);
  traceInit(ring, c.traceEvents);
  traceState().enabled = c.traceOn;
  xaNodeCacheInit(1);
  return true;
}

function carveMm(c: BootConfig): bool {
  const m = mmState();
  if (!pageAllocInit(c.frames)) return false;
  const caches = bootAlloc(offsetof<KmemCache>() * 3, 16);
  const small = c.frames < 1024;
  m.faultHist = bootAlloc(HISTOGRAM_BYTES, 64);
  if (caches == 0 || m.faultHist == 0) return false;
  histInit(m.faultHist);
  m.mmCache = caches;
  m.vmaCache = caches + offsetof<KmemCache>();
  kernelState().processCache = caches + offsetof<KmemCache>() * 2;
  kmemCacheInit(changetype<KmemCache>(m.mmCache), offsetof<MmStruct>(), 2);
  kmemCacheInit(changetype<KmemCache>(m.vmaCache), offsetof<VmArea>(), 3);
  kmemCacheInit(changetype<KmemCache>(kernelState().processCache), offsetof<Process>(), 4);
  m.faultLock = c.faultLock;
  m.mkwrite = c.mkwrite;
  m.bacikDefects = c.bacikDefects;
  m.oomFn = oomKill;
  m.signalFn = forceSignal;
  vmscanInit();
  writebackInit();
  const k = kernelState();
  k.textBytes = small ? 8192 : 65536;
  k.text = bootAlloc(k.textBytes, 64);
  listInit(k.processes);
  return k.text != 0;
}

/** The frames are the rest of memory; the first one is the zero page. */
function carveFrames(c: BootConfig): bool {
  const base = (bootAllocSeal() + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  if (<u64>base + <u64>c.frames * PAGE_SIZE > <u64>c.memoryBytes) return false;
  pageAllocSetBase(base);
  const zero = allocPage(GFP_ZERO);
  if (isNullPage(zero)) return false;
  zero.set(PG_RESERVED);
  mmState().zeroPage = pageAddress(zero);
  return true;
}

/** Returns 0, -EINVAL for a configuration that makes no machine, or -ENOMEM when it does not fit. */
export function boot(): i32 {
  const c = bootConfig();
  assert(kernelState().booted == 0, "a machine boots once");
  if (!valid(c)) return -EINVAL;
  bootAllocInit(c.memoryBytes);
  if (!carveLib(c) || !carveSched(c) || !tlbInit(c.tlbEntries) || !codeInit(c.codePages, c.memoryBytes)) return -ENOMEM;
  rv64Init();
  cpuRoom().faultEnter = faultEnter;
  cpuRoom().pageFault = handlePageFault;
  cpuRoom().faultLeave = faultLeave;
  sched().switchMmFn = switchMm;
  if (!blockInit() || !carveMm(c) || !recordersInit(c.recorders) || !guestInit() || !syscallInit()) return -ENOMEM;
  const error = fsInit();
  if (error != 0) return error;
  if (!carveFrames(c)) return -ENOMEM;
  slabState().frameFn = slabFrame;
  kernelState().booted = 1;
  return 0;
}
