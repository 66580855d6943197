/*
 * Micro-measurements of the emulator itself, for `npm run bench`: what a block and its resume cost, what an MMU hit costs.
 *
 * Interface: benchSwitch(pairs), benchMmuHits(count).
 * Invariants: none; these run on a machine of their own, with no guests.
 * Locks: none.
 * Why not time guests: a system call around the thing measured costs more than the thing.
 */
import { pteAlloc } from "../mm/pgtable";
import { MmStruct } from "../mm/mm-struct";
import { mmCreate } from "../mm/fork";
import { GFP_ZERO, allocPage, putPage } from "../mm/page-alloc";
import { pageToPfn } from "../mm/page";
import { loadMm } from "../mm/tlbflush";
import { PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, pteMake } from "../cpu/pte";
import { ACCESS_WRITE, mmuTranslate } from "../cpu/mmu";
import { TASK_UNINTERRUPTIBLE, TF_KTHREAD, Task, currentTask, isNullTask, sched } from "../sched/state";
import { dispatch, schedule, wakeUp } from "../sched/core";
import { taskCreate, taskExit, taskStart } from "../sched/task";

/** Depth of the stack that is unwound, as deep as a blocked page fault's callers above handleMmFault. */
function nest(depth: u32): void {
  if (depth != 0) {
    nest(depth - 1);
    return;
  }
  currentTask().state = TASK_UNINTERRUPTIBLE;
  schedule();
}

/** A kernel thread that wakes its partner (task.parent holds its slot address) and sleeps, `arg` times. */
function pingPong(task: Task): void {
  while (currentTask().arg != 0) {
    const me = currentTask();
    me.arg--;
    wakeUp(changetype<Task>(<usize>me.parent), 0);
    if (me.arg != 0) nest(4);
  }
  assert(!isNullTask(task), "a thread has a task");
  wakeUp(changetype<Task>(<usize>currentTask().parent), 0);
  taskExit(0);
}

/** Makes two kernel threads hand over to each other. Returns the number of stack switches made. */
export function benchSwitch(pairs: u32): u32 {
  const a = taskCreate(pingPong, TF_KTHREAD);
  const b = taskCreate(pingPong, TF_KTHREAD);
  if (isNullTask(a) || isNullTask(b)) return 0;
  const s = sched();
  const before = s.switches;
  for (let i: u32 = 0; i < 2; i++) {
    const task = i == 0 ? a : b;
    task.parent = <u32>changetype<usize>(i == 0 ? b : a);
    task.arg = pairs;
    task.pinnedCpu = 0;
    taskStart(task);
  }
  while (s.switches - before < <u64>pairs * 2) {
    s.guestTask = changetype<Task>(0);
    if (dispatch(u64.MAX_VALUE - 1) == 1) break;
  }
  s.guestTask = changetype<Task>(0);
  return <u32>(s.switches - before);
}

/** Translates the same page `count` times through the TLB; returns the hits. Only for a machine without guests. */
export function benchMmuHits(count: u32): u32 {
  const mm: MmStruct = mmCreate();
  const page = allocPage(GFP_ZERO);
  const address: u64 = 0x10_0000;
  const slot = pteAlloc(mm, address);
  store<u64>(slot, pteMake(pageToPfn(page), PTE_V | PTE_R | PTE_W | PTE_U | PTE_A | PTE_D));
  const cpu = sched().cpu;
  loadMm(cpu, mm);
  let hits: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = mmuTranslate(cpu, address + (i & 4088), 8, ACCESS_WRITE);
    if (at != 0) {
      store<u64>(at, i);
      hits++;
    }
  }
  store<u64>(slot, 0);
  cpu.activeMm = 0;
  putPage(page);
  assert(mm.users == 1, "the address space is this function's");
  return hits;
}
