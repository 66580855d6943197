/*
 * System calls that programs make at their start and that need nothing of the kernel's other rooms: names, clocks, limits, identity.
 *
 * Interface: enterProgramCalls(enter), each (six u64) => value or -errno.
 * Invariants: [psys-1] what is not there says so (ENOSYS) without being counted as unknown where every libc asks first and goes on.
 * Locks: none.
 * Why not answers by the host: a program's results are a function of the machine alone.
 */
import { EFAULT, EINVAL, ENOMEM, ENOSYS, ESRCH, EPERM } from "../lib/errno";
import { MAX_FDS } from "../config";
import { dropAllCode } from "../cpu/rv64/code-page";
import { fillUser } from "../fs/devices";
import { SCRATCH_SHORT_BYTES, scratchAlloc, scratchFree } from "../fs/scratch";
import { freePages } from "../mm/page-alloc";
import { mmState } from "../mm/state";
import { copyToUser } from "../mm/uaccess";
import { currentTask, isNullTask, sched } from "../sched/state";
import { taskById } from "../sched/task";
import { STACK_BYTES } from "./exec";
import { kernelState } from "./state";
import { threadInfo } from "./thread-info";

const UTSNAME_FIELD: u32 = 65;
const RLIM_INFINITY: u64 = u64.MAX_VALUE;
const RLIMIT_STACK: u64 = 3;
const RLIMIT_CORE: u64 = 4;
const RLIMIT_NOFILE: u64 = 7;
const CLOCK_LAST: u64 = 11;
const NS_PER_S: u64 = 1_000_000_000;
/** The clock of day starts at the year 2026. */
const EPOCH_NS: u64 = 1_767_225_600 * NS_PER_S;

/** Copies an answer of up to a short scratch, and gives the scratch back. */
function answer(scratch: usize, user: u64, lenBytes: u32): i64 {
  assert(lenBytes <= SCRATCH_SHORT_BYTES, "an answer fits the scratch it is made in");
  const left = copyToUser(user, scratch, lenBytes);
  scratchFree(scratch);
  return left != 0 ? -EFAULT : 0;
}

function putText(at: usize, text: string): void {
  assert(text.length < <i32>UTSNAME_FIELD, "a name of uname fits its field");
  for (let i = 0; i < text.length; i++) store<u8>(at + i, <u8>text.charCodeAt(i));
}

/** Three names of struct utsname at a time: what a short scratch holds. */
function putNames(user: u64, first: string, second: string, third: string): i64 {
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  putText(scratch, first);
  putText(scratch + UTSNAME_FIELD, second);
  putText(scratch + UTSNAME_FIELD * 2, third);
  return answer(scratch, user, UTSNAME_FIELD * 3);
}

function uname(user: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const error = putNames(user, "Linux", "faultline", "6.7.0-faultline");
  return error != 0 ? error : putNames(user + UTSNAME_FIELD * 3, "#1 SMP", "riscv64", "(none)");
}

function clockNs(clock: u64): u64 {
  if (clock == 0 || clock == 5 || clock == CLOCK_LAST) return EPOCH_NS + sched().clockNs;
  if (clock == 2 || clock == 3) return currentTask().runNs;
  return sched().clockNs;
}

function putPair(user: u64, first: u64, second: u64): i64 {
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  store<u64>(scratch, first);
  store<u64>(scratch, second, 8);
  return answer(scratch, user, 16);
}

function clockGettime(clock: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (clock > CLOCK_LAST) return -EINVAL;
  const ns = clockNs(clock);
  return putPair(user, ns / NS_PER_S, ns % NS_PER_S);
}

function clockGetres(clock: u64, user: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (clock > CLOCK_LAST) return -EINVAL;
  return user == 0 ? 0 : putPair(user, 0, 1);
}

function gettimeofday(user: u64, zone: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const ns = clockNs(0);
  return user == 0 ? 0 : putPair(user, ns / NS_PER_S, (ns % NS_PER_S) / 1000);
}

function getrandom(user: u64, lenBytes: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (flags > 7) return -EINVAL;
  return fillUser(user, lenBytes > 0x10_0000 ? 0x10_0000 : <u32>lenBytes, true);
}

/** prlimit64(2): limits are read; setting one is allowed and changes nothing that the machine enforces. */
function prlimit64(pid: u64, resource: u64, newLimit: u64, oldLimit: u64, a4: u64, a5: u64): i64 {
  if (resource > 15) return -EINVAL;
  if (pid != 0 && isNullTask(taskById(<u32>pid))) return -ESRCH;
  let limit = RLIM_INFINITY;
  if (resource == RLIMIT_STACK) limit = STACK_BYTES;
  else if (resource == RLIMIT_CORE) limit = 0;
  else if (resource == RLIMIT_NOFILE) limit = MAX_FDS;
  if (newLimit != 0 && resource == RLIMIT_NOFILE) return -EPERM;
  return oldLimit == 0 ? 0 : putPair(oldLimit, limit, limit);
}

function zero(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return 0;
}

/** rseq(2), riscv_hwprobe(2): every libc asks, and does without. */
function notThere(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return -ENOSYS;
}

function flushIcache(start: u64, end: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (flags > 1) return -EINVAL;
  dropAllCode();
  return 0;
}

function schedGetaffinity(pid: u64, lenBytes: u64, user: u64, a3: u64, a4: u64, a5: u64): i64 {
  const task = pid == 0 ? currentTask() : taskById(<u32>pid);
  if (isNullTask(task)) return -ESRCH;
  if (lenBytes < 16 || (lenBytes & 7) != 0) return -EINVAL;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    if (task.pinnedCpu >= 0 && <u32>task.pinnedCpu != id) continue;
    store<u8>(scratch + (id >> 3), load<u8>(scratch + (id >> 3)) | <u8>(<u32>1 << (id & 7)));
  }
  const error = answer(scratch, user, 16);
  return error != 0 ? error : 16;
}

/** set_tid_address(2): what is zeroed when the thread ends. A scripted guest has no such memory. */
function setTidAddress(user: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (currentTask().regs == 0) return -ENOSYS;
  threadInfo(currentTask()).clearChildTid = user;
  return currentTask().id;
}

/** set_robust_list(2): noted; walked when the thread ends. */
function setRobustList(head: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (currentTask().regs == 0) return -ENOSYS;
  if (lenBytes != 24) return -EINVAL;
  threadInfo(currentTask()).robustList = head;
  return 0;
}

/** struct sysinfo of riscv64: 112 bytes. */
function sysinfo(user: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  store<u64>(scratch, sched().machineNs / NS_PER_S);
  store<u64>(scratch, <u64>mmState().nFrames << 12, 32);
  store<u64>(scratch, <u64>freePages() << 12, 40);
  store<u16>(scratch, <u16>kernelState().nrProcesses, 80);
  store<u32>(scratch, 1, 104);
  return answer(scratch, user, 112);
}

/** The calls by their numbers. `enter` puts one into the table. */
export function enterProgramCalls(enter: (nr: u32, f: (a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64) => i64) => void): void {
  enter(96, setTidAddress);
  enter(99, setRobustList);
  enter(113, clockGettime);
  enter(114, clockGetres);
  enter(123, schedGetaffinity);
  enter(160, uname);
  enter(169, gettimeofday);
  enter(174, zero);
  enter(175, zero);
  enter(176, zero);
  enter(177, zero);
  enter(179, sysinfo);
  enter(258, notThere);
  enter(259, flushIcache);
  enter(261, prlimit64);
  enter(278, getrandom);
  enter(293, notThere);
}
