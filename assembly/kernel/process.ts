/*
 * Processes: threads that share an id, spawn, clone, exit, wait, signals.
 *
 *     spawn/clone --> tasks run --> each doExit --last thread--> ZOMBIE --wait4 or no parent--> gone
 *
 * Interface: Process, spawnProcess, sysClone, doExit, doExitGroup, sysWait4, killProcess, processById, forceSignal, checkProcesses.
 * Invariants:
 *   [proc-1] nThreads counts the tasks with this process; a zombie has none.
 *   [proc-2] a task gives up mm, files and buffer before it turns zombie ([mk-6]).
 * Locks: none; exit takes mmap_sem and file locks inside.
 * Why not Linux's signal_struct and sighand: a scripted guest has no handlers; programs bring them with their own file.
 */
import { ListHead, listAddTail, listDel, listInit } from "../lib/list";
import { KmemCache, kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { EAGAIN, ECHILD, EFAULT, EINTR, EINVAL, ENOMEM, ESRCH } from "../lib/errno";
import { filesAlloc, filesDup, filesGet, filesPut } from "../fs/fdtable";
import { mmPut } from "../mm/exit";
import { dupMm, mmCreate } from "../mm/fork";
import { MmStruct, isNullMm, mmGet } from "../mm/mm-struct";
import { putPage } from "../mm/page-alloc";
import { addressToPage } from "../mm/page";
import { copyToUser } from "../mm/uaccess";
import { C_CLONE_THREAD, C_EXIT, C_FORK_BASE, chargeCost } from "../sched/cost";
import { TASK_INTERRUPTIBLE, TASK_ZOMBIE, Task, currentTask, isNullTask, sched, taskAt } from "../sched/state";
import { taskCreate, taskExit, taskKill, taskReap, taskStart } from "../sched/task";
import { WaitQueue, sleepOn, wakeAll, waitQueueInit } from "../sched/wait-queue";
import { WAKE_SIGNAL } from "../sched/core";
import { Mailbox, OP_FLAG_CATCH, OP_NOP, mailboxOf } from "./mailbox";
import { kernelState } from "./state";

export const CLONE_VM: u32 = 0x100;
export const CLONE_FS: u32 = 0x200;
export const CLONE_FILES: u32 = 0x400;
export const CLONE_SIGHAND: u32 = 0x800;
export const CLONE_VFORK: u32 = 0x4000;
export const CLONE_THREAD: u32 = 0x10000;
export const CLONE_SETTLS: u32 = 0x80000;
const CLONE_KNOWN: u32 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | 0xff;
const WNOHANG: u32 = 1;
const WAIT_CHILD: u32 = 16;

@unmanaged
export class Process {
  waitQ0: u32;
  waitQ1: u32;
  waitQ2: u32;
  waitQ3: u32;
  listNext: u32;
  listPrev: u32;
  pid: u32;
  /** Parent's pid; 0: none, the process is reaped when its last thread is gone. */
  parent: u32;
  nThreads: u32;
  zombie: u32;
  /** wait status as Linux packs it: exit code << 8, or the signal. */
  status: u32;
  exiting: u32;
  minFlt: u32;
  majFlt: u32;
  maxRss: u32;
  pad: u32;

  get waitQueue(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this));
  }
  get list(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Process>("listNext"));
  }
}

function isNull(process: Process): bool {
  return changetype<usize>(process) == 0;
}

export function processOf(task: Task): Process {
  return changetype<Process>(task.process);
}

export function processOfLink(link: usize): Process {
  return changetype<Process>(link - offsetof<Process>("listNext"));
}

export function processById(pid: u32): Process {
  const head = changetype<usize>(kernelState().processes);
  let link: usize = kernelState().processes.next;
  while (link != head) {
    const process = processOfLink(link);
    if (process.pid == pid) return process;
    link = changetype<ListHead>(link).next;
  }
  return changetype<Process>(0);
}

function processAlloc(pid: u32, parent: u32): Process {
  const process = changetype<Process>(kmemCacheAlloc(changetype<KmemCache>(kernelState().processCache)));
  if (isNull(process)) return process;
  waitQueueInit(process.waitQueue, WAIT_CHILD);
  process.pid = pid;
  process.parent = parent;
  process.nThreads = 1;
  listInit(process.list);
  listAddTail(process.list, kernelState().processes);
  kernelState().nrProcesses++;
  return process;
}

function processFree(process: Process): void {
  assert(process.nThreads == 0, "[proc-1] a process that is freed has no threads");
  listDel(process.list);
  kernelState().nrProcesses--;
  kmemCacheFree(changetype<KmemCache>(kernelState().processCache), changetype<usize>(process));
}

/** Undoes a half-made task: nothing of it has run. */
function abandon(task: Task): void {
  if (task.files != 0) filesPut(task.files);
  task.files = 0;
  if (task.mm != 0) mmPut(changetype<MmStruct>(task.mm));
  task.mm = 0;
  task.state = TASK_ZOMBIE;
  sched().liveTasks--;
  taskReap(task);
}

/** A new process with an empty address space and one task that waits for the host. Returns its pid or -errno. */
export function spawnProcess(entry: (task: Task) => void, pinnedCpu: i32): i32 {
  if (pinnedCpu >= <i32>sched().nCpus || pinnedCpu < -1) return -EINVAL;
  const task = taskCreate(entry, 0);
  if (isNullTask(task)) return -EAGAIN;
  task.mm = changetype<usize>(mmCreate());
  task.files = filesAlloc();
  const process = task.mm != 0 && task.files != 0 ? processAlloc(task.id, 0) : changetype<Process>(0);
  if (isNull(process)) {
    abandon(task);
    return -ENOMEM;
  }
  task.process = changetype<usize>(process);
  task.pinnedCpu = pinnedCpu;
  mailboxOf(task).nr = OP_NOP;
  const id = task.id;
  taskStart(task);
  return id;
}

/** clone(2): a thread (CLONE_THREAD with VM, SIGHAND) or a fork. Returns the child's id or -errno. */
export function sysClone(flags: u64, stack: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  const f = <u32>flags;
  if (flags >> 32 != 0 || (f & ~CLONE_KNOWN) != 0) return -EINVAL;
  if ((f & CLONE_THREAD) != 0 && (f & CLONE_SIGHAND) == 0) return -EINVAL;
  if ((f & CLONE_SIGHAND) != 0 && (f & CLONE_VM) == 0) return -EINVAL;
  const parent = currentTask();
  const child = taskCreate(parent.entry, 0);
  if (isNullTask(child)) return -EAGAIN;
  const error = copyTask(parent, child, f);
  if (error != 0) {
    abandon(child);
    return error;
  }
  mailboxOf(child).nr = OP_NOP;
  const id = child.id;
  taskStart(child);
  return id;
}

/** Gives the child what the flags say: shared or copied mm and files, this process or a new one. */
function copyTask(parent: Task, child: Task, flags: u32): i32 {
  child.parent = parent.id;
  child.pinnedCpu = (flags & CLONE_THREAD) != 0 ? -1 : parent.pinnedCpu;
  if ((flags & CLONE_VM) != 0) {
    chargeCost(C_CLONE_THREAD);
    mmGet(changetype<MmStruct>(parent.mm));
    child.mm = parent.mm;
  } else {
    chargeCost(C_FORK_BASE);
    child.mm = changetype<usize>(dupMm(changetype<MmStruct>(parent.mm)));
    if (child.mm == 0) return currentTask().fatalSignal != 0 ? -EINTR : -ENOMEM;
  }
  if ((flags & CLONE_FILES) != 0) {
    filesGet(parent.files);
    child.files = parent.files;
  } else {
    child.files = filesDup(parent.files);
    if (child.files == 0) return -ENOMEM;
  }
  if ((flags & CLONE_THREAD) != 0) {
    if (processOf(parent).exiting != 0) return -EAGAIN;
    child.tgid = parent.tgid;
    child.process = parent.process;
    processOf(parent).nThreads++;
    return 0;
  }
  const process = processAlloc(child.id, parent.tgid);
  if (isNull(process)) return -ENOMEM;
  child.process = changetype<usize>(process);
  return 0;
}

/** The current task ends. `status` is a wait status. */
export function doExit(status: u32): void {
  const task = currentTask();
  chargeCost(C_EXIT);
  const buffer = mailboxOf(task).buffer;
  mailboxOf(task).buffer = 0;
  if (buffer != 0) putPage(addressToPage(buffer));
  const regs = task.regs;
  task.regs = 0;
  if (regs != 0) putPage(addressToPage(regs));
  const files = task.files;
  task.files = 0;
  filesPut(files);
  const mm = changetype<MmStruct>(task.mm);
  currentTask().mm = 0;
  currentTask().vmaCache = 0;
  if (!isNullMm(mm)) mmPut(mm);
  const me = currentTask();
  leaveProcess(me, status);
  me.process = 0;
  taskExit(status);
  // A program may have run for long since its dispatch: its end is the time that its user sees.
  if (regs != 0 && sched().clockNs > sched().machineNs) sched().machineNs = sched().clockNs;
}

function leaveProcess(task: Task, status: u32): void {
  const process = processOf(task);
  process.minFlt += task.minFlt;
  process.majFlt += task.majFlt;
  assert(process.nThreads != 0, "[proc-1] a thread leaves its process once");
  // Linux: without exit_group or a signal the process's status is its leader's.
  if (process.exiting == 0 && task.id == process.pid) process.status = status;
  if (--process.nThreads != 0) return;
  orphanChildren(process.pid);
  const parent = processById(process.parent);
  process.zombie = 1;
  if (process.parent == 0 || isNull(parent)) {
    processFree(process);
    return;
  }
  wakeAll(parent.waitQueue);
}

/** Children of a process that is gone have no parent; zombies among them go now. */
function orphanChildren(pid: u32): void {
  const head = changetype<usize>(kernelState().processes);
  let link: usize = kernelState().processes.next;
  while (link != head) {
    const process = processOfLink(link);
    link = changetype<ListHead>(link).next;
    if (process.parent != pid) continue;
    process.parent = 0;
    if (process.zombie != 0) processFree(process);
  }
}

/** Every other thread of the process is killed; the current one exits. */
export function doExitGroup(status: u32): void {
  const process = processOf(currentTask());
  if (process.exiting == 0) {
    process.exiting = 1;
    process.status = status;
    killThreads(process, 9, currentTask());
  }
  doExit(process.status);
}

function killThreads(process: Process, signal: u32, except: Task): void {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.process != changetype<usize>(process) || changetype<usize>(task) == changetype<usize>(except)) continue;
    taskKill(task, signal);
  }
}

/** A fatal signal for a whole process. What ends a process first is its status. */
export function killProcess(process: Process, signal: u32): void {
  kernelState().signals++;
  if (process.exiting == 0) {
    process.exiting = 1;
    process.status = signal;
  }
  killThreads(process, signal, changetype<Task>(0));
}

/** A fault of the current guest ends in a signal: reported when the operation asked for it, fatal otherwise. */
export function forceSignal(signal: u32, address: u64): void {
  const task = currentTask();
  const box = mailboxOf(task);
  box.signal = signal;
  box.faultAddress = address;
  if ((box.flags & OP_FLAG_CATCH) != 0) return;
  killProcess(processOf(task), signal);
}

/** kill(2), tgkill(2): every signal but 0 is fatal, as no scripted guest has a handler. */
export function sysKill(pid: u64, signal: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (signal > 64) return -EINVAL;
  const process = processById(<u32>pid);
  if (isNull(process) || process.zombie != 0) return -ESRCH;
  if (signal != 0) killProcess(process, <u32>signal);
  return 0;
}

export function sysTgkill(tgid: u64, tid: u64, signal: u64, a3: u64, a4: u64, a5: u64): i64 {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.id == <u32>tid && task.tgid == <u32>tgid && task.state != 0) return sysKill(tgid, signal, 0, 0, 0, 0);
  }
  return -ESRCH;
}

/** The child that wait4 may collect, or null; *any tells whether there are children at all. */
function findChild(parent: u32, pid: i32, anyAt: usize): Process {
  const head = changetype<usize>(kernelState().processes);
  let link: usize = kernelState().processes.next;
  store<u32>(anyAt, 0);
  while (link != head) {
    const process = processOfLink(link);
    link = changetype<ListHead>(link).next;
    if (process.parent != parent || (pid > 0 && process.pid != <u32>pid)) continue;
    store<u32>(anyAt, 1);
    if (process.zombie != 0) return process;
  }
  return changetype<Process>(0);
}

/** wait4(2) without rusage. */
export function sysWait4(pid: u64, statusPtr: u64, options: u64, rusage: u64, a4: u64, a5: u64): i64 {
  if ((options & ~(<u64>WNOHANG)) != 0) return -EINVAL;
  const me = processOf(currentTask());
  const any = changetype<usize>(mailboxOf(currentTask())) + offsetof<Mailbox>("bytes");
  while (true) {
    const child = findChild(me.pid, <i32>pid, any);
    if (!isNull(child)) return collect(child, statusPtr);
    if (load<u32>(any) == 0) return -ECHILD;
    if ((options & WNOHANG) != 0) return 0;
    if (currentTask().fatalSignal != 0) return -EINTR;
    if (sleepOn(processOf(currentTask()).waitQueue, TASK_INTERRUPTIBLE) == WAKE_SIGNAL) return -EINTR;
  }
}

function collect(child: Process, statusPtr: u64): i64 {
  const pid = child.pid;
  const box = mailboxOf(currentTask());
  box.bytes = child.status;
  processFree(child);
  if (statusPtr == 0) return pid;
  const at = changetype<usize>(box) + offsetof<Mailbox>("bytes");
  return copyToUser(statusPtr, at, 4) == 0 ? <i64>pid : -EFAULT;
}

/** [proc-1] */
export function checkProcesses(): void {
  const s = sched();
  const head = changetype<usize>(kernelState().processes);
  for (let link: usize = kernelState().processes.next; link != head; link = changetype<ListHead>(link).next) {
    const process = processOfLink(link);
    let threads: u32 = 0;
    for (let slot: u32 = 0; slot < s.nTasks; slot++) {
      if (taskAt(slot).process == changetype<usize>(process) && taskAt(slot).state != TASK_ZOMBIE) threads++;
    }
    assert(threads == process.nThreads, "[proc-1] a process counts its threads");
    if (process.zombie != 0) assert(threads == 0, "[proc-1] a zombie has no threads");
  }
}
