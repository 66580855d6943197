/*
 * The system-call table: Linux's riscv64 numbers (the generic table), Linux's errnos.
 *
 * Interface: syscallInit, syscallName(nr).
 * Invariants: [sys-1] an entry takes six u64 and returns a value or -errno; a missing entry is ENOSYS.
 * Locks: none; each call takes its own.
 * Why not a switch: the table is data, so a test can walk it and `inspect` can name it.
 */
import { EFAULT, EINTR, EINVAL, ESRCH } from "../lib/errno";
import { bootConfig } from "../config";
import { bootAlloc } from "../memlayout";
import { sysFchmod, sysFchmodat, sysUtimensat } from "../fs/attr-syscalls";
import {
  sysFallocate, sysFdatasync, sysFsync, sysFtruncate, sysIoctl, sysSwapoff, sysSwapon, sysSync, sysSyncfs, sysTruncate,
} from "../fs/data-syscalls";
import { sysLinkat, sysMkdirat, sysMount, sysRenameat2, sysSymlinkat, sysUmount2, sysUnlinkat } from "../fs/names-syscalls";
import { sysGetdents64 } from "../fs/readdir";
import { sysCopyFileRange } from "../fs/remap";
import { sysFstat, sysFstatfs, sysNewfstatat, sysReadlinkat, sysStatfs } from "../fs/stat-syscalls";
import { sysClose, sysDup, sysDup3, sysLseek, sysOpenat, sysPread64, sysPwrite64, sysRead, sysWrite } from "../fs/syscalls";
import {
  sysBrk, sysMadvise, sysMincore, sysMlock, sysMlockall, sysMmap, sysMprotect, sysMremap, sysMsync, sysMunlock, sysMunlockall, sysMunmap,
} from "./mm-syscalls";
import { sysPreadv, sysPwritev, sysReadv, sysWritev } from "../fs/vector-syscalls";
import { copyFromUser } from "../mm/uaccess";
import { WAKE_SIGNAL, scheduleTimeout } from "../sched/core";
import { SWITCH_BLOCK, SWITCH_YIELD, TASK_INTERRUPTIBLE, Task, currentTask, isNullTask, sched } from "../sched/state";
import { switchOut } from "../sched/switch";
import { taskById } from "../sched/task";
import { doExit, doExitGroup, processOf, sysClone, sysKill, sysTgkill, sysWait4 } from "./process";
import { sysProcessVmReadv, sysProcessVmWritev } from "./process-vm";
import { sysGetrusage } from "./rusage";
import { sysExecve } from "./exec";
import { enterProgramCalls } from "./program-syscalls";
import { SYSCALL_MAX, kernelState } from "./state";
import { mailboxOf } from "./mailbox";

/** Longest sleep, so that a clock and a sleep together fit a u64. */
const MAX_SLEEP_S: u64 = 9_000_000_000;

type SysCall = (a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) => i64;

function enter(nr: u32, f: SysCall): void {
  assert(nr < SYSCALL_MAX, "a system call has a place in the table");
  store<u32>(kernelState().table + (nr << 2), <u32>changetype<usize>(f));
}

function sysExit(code: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  doExit((<u32>code & 0xff) << 8);
  return 0;
}

function sysExitGroup(code: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  doExitGroup((<u32>code & 0xff) << 8);
  return 0;
}

function sysGetpid(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return currentTask().tgid;
}

function sysGetppid(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return processOf(currentTask()).parent;
}

function sysGettid(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return currentTask().id;
}

function sysSchedYield(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  sched().cpu.sliceEndNs = sched().clockNs;
  switchOut(SWITCH_YIELD);
  return 0;
}

/** nanosleep(2): a timespec of two i64. The rest is not reported: no signal is survived. */
function sysNanosleep(request: u64, remain: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const scratch = changetype<usize>(mailboxOf(currentTask())) + 16;
  if (copyFromUser(scratch, request, 16) != 0) return -EFAULT;
  const seconds = load<i64>(scratch);
  const ns = load<i64>(scratch + 8);
  if (seconds < 0 || ns < 0 || ns >= 1_000_000_000) return -EINVAL;
  currentTask().state = TASK_INTERRUPTIBLE;
  // As Linux's KTIME_MAX: 292 years are for ever.
  const total: u64 = <u64>seconds > MAX_SLEEP_S ? MAX_SLEEP_S * 1_000_000_000 : <u64>seconds * 1_000_000_000 + <u64>ns;
  return scheduleTimeout(total) == WAKE_SIGNAL ? -EINTR : 0;
}

/** sched_setaffinity(2): a mask with one CPU binds the task; any other mask with a valid CPU frees it. */
function sysSchedSetaffinity(tid: u64, lenBytes: u64, mask: u64, a3: u64, a4: u64, a5: u64): i64 {
  const task = tid == 0 ? currentTask() : taskById(<u32>tid);
  if (isNullTask(task)) return -ESRCH;
  if (lenBytes == 0 || lenBytes > 16) return -EINVAL;
  const scratch = changetype<usize>(mailboxOf(currentTask())) + 32;
  memory.fill(scratch, 0, 16);
  if (copyFromUser(scratch, mask, <u32>lenBytes) != 0) return -EFAULT;
  let cpus: u32 = 0;
  let first: i32 = -1;
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    if (((load<u8>(scratch + (id >> 3)) >> <u8>(id & 7)) & 1) == 0) continue;
    cpus++;
    if (first < 0) first = id;
  }
  if (cpus == 0) return -EINVAL;
  task.pinnedCpu = cpus == 1 ? first : -1;
  moveToBoundCpu(task);
  return 0;
}

/** The running task leaves a CPU it is no longer allowed on; others move at their next wake. */
function moveToBoundCpu(task: Task): void {
  if (changetype<usize>(task) != changetype<usize>(currentTask())) return;
  if (task.pinnedCpu < 0 || <u32>task.pinnedCpu == task.cpu) return;
  switchOut(SWITCH_BLOCK);
}

function enterFiles(): void {
  enter(23, sysDup);
  enter(24, sysDup3);
  enter(29, sysIoctl);
  enter(44, sysFstatfs);
  enter(46, sysFtruncate);
  enter(47, sysFallocate);
  enter(52, sysFchmod);
  enter(56, sysOpenat);
  enter(57, sysClose);
  enter(61, sysGetdents64);
  enter(62, sysLseek);
  enter(63, sysRead);
  enter(64, sysWrite);
  enter(67, sysPread64);
  enter(68, sysPwrite64);
  enter(80, sysFstat);
  enter(81, sysSync);
  enter(82, sysFsync);
  enter(83, sysFdatasync);
  enter(267, sysSyncfs);
  enter(285, sysCopyFileRange);
}

function enterNames(): void {
  enter(34, sysMkdirat);
  enter(35, sysUnlinkat);
  enter(36, sysSymlinkat);
  enter(37, sysLinkat);
  enter(39, sysUmount2);
  enter(40, sysMount);
  enter(43, sysStatfs);
  enter(45, sysTruncate);
  enter(53, sysFchmodat);
  enter(78, sysReadlinkat);
  enter(79, sysNewfstatat);
  enter(88, sysUtimensat);
  enter(224, sysSwapon);
  enter(225, sysSwapoff);
  enter(276, sysRenameat2);
}

function enterMemory(): void {
  enter(214, sysBrk);
  enter(215, sysMunmap);
  enter(216, sysMremap);
  enter(222, sysMmap);
  enter(226, sysMprotect);
  enter(227, sysMsync);
  enter(228, sysMlock);
  enter(229, sysMunlock);
  enter(230, sysMlockall);
  enter(231, sysMunlockall);
  enter(232, sysMincore);
  enter(233, sysMadvise);
  enter(270, sysProcessVmReadv);
  enter(271, sysProcessVmWritev);
}

function enterPrograms(): void {
  enterProgramCalls(enter);
  enter(65, sysReadv);
  enter(66, sysWritev);
  enter(69, sysPreadv);
  enter(70, sysPwritev);
  enter(221, sysExecve);
}

/** Carves and fills the table. */
export function syscallInit(): bool {
  kernelState().table = bootAlloc(SYSCALL_MAX * 4, 8);
  if (kernelState().table == 0) return false;
  if (bootConfig().codePages != 0) {
    kernelState().unknownCounts = bootAlloc(SYSCALL_MAX * 4, 8);
    if (kernelState().unknownCounts == 0) return false;
  }
  enterFiles();
  enterNames();
  enterMemory();
  // Scripts have no use for what programs ask at their start.
  if (bootConfig().codePages != 0) enterPrograms();
  enter(93, sysExit);
  enter(94, sysExitGroup);
  enter(101, sysNanosleep);
  enter(122, sysSchedSetaffinity);
  enter(124, sysSchedYield);
  enter(129, sysKill);
  enter(131, sysTgkill);
  enter(165, sysGetrusage);
  enter(172, sysGetpid);
  enter(173, sysGetppid);
  enter(178, sysGettid);
  enter(220, sysClone);
  enter(260, sysWait4);
  return true;
}
