/*
 * A machine of the cpu room: CPUs with TLBs, page tables that the test writes, and a trap vector that does what a table says.
 *
 *     trap (32 bytes):   cause | event: 0 enter, 1 handle, 2 leave | address (u64) | time ns (u64) | task | pad
 *     answer (32 bytes): result of pageFault | result of faultLeave | line | slot | pte (u64), stored at slot by the handler | sleep ns
 *
 * Interface: mmuBoot, mmuPages, mmuAnswers, mmuAnswerCount, mmuTraps, mmuTrapCount, mmuCpu, mmuTask, mmuState.
 * Invariants: [harmmu-1] the nth fault gets the nth answer; beyond the table every access is given up.
 * Locks: none.
 * Why not mm's handler: the room is tested without what stands above it, and a handler here can misbehave.
 */
import { loadBytes, storeBytes } from "../../assembly/cpu/access";
import { TOUCH_FRESH, TouchState, touchRange } from "../../assembly/cpu/touch";
import { cpuRoom, tlbInit } from "../../assembly/cpu/tlb";
import { PAGE_SIZE, bootAlloc } from "../../assembly/memlayout";
import { scheduleTimeout } from "../../assembly/sched/core";
import { TASK_UNINTERRUPTIBLE, Task, cpuAt, currentTask, isNullTask, nowNs, sched } from "../../assembly/sched/state";
import { taskCreate, taskExit, taskStart } from "../../assembly/sched/task";
import { machineBoot } from "./machine";

const PAGES: u32 = 256;
const ENTRY_BYTES: u32 = 32;
const ENTRIES: u32 = 1024;
const EVENT_ENTER: u32 = 0;
const EVENT_HANDLE: u32 = 1;
const EVENT_LEAVE: u32 = 2;

@unmanaged
class MmuHarness {
  pages: usize;
  answers: usize;
  answerCount: u32;
  answered: u32;
  traps: usize;
  trapCount: u32;
  /** What a task does: its access, 8 words. */
  job: usize;
}

/** In the mm room's bytes, which this module does not contain. */
const MMU_HARNESS: usize = 0x1900;

function harness(): MmuHarness {
  return changetype<MmuHarness>(MMU_HARNESS);
}

function note(event: u32, cause: u32, address: u64): void {
  const h = harness();
  assert(h.trapCount < ENTRIES, "the test's table of traps is large enough");
  const at = h.traps + h.trapCount++ * ENTRY_BYTES;
  store<u32>(at, cause);
  store<u32>(at, event, 4);
  store<u64>(at, address, 8);
  store<u64>(at, nowNs(), 16);
  store<u32>(at, isNullTask(sched().current) ? 0 : currentTask().id, 24);
}

function answer(): usize {
  const h = harness();
  return h.answered < h.answerCount ? h.answers + h.answered * ENTRY_BYTES : 0;
}

function faultEnter(cause: u32, address: u64): usize {
  note(EVENT_ENTER, cause, address);
  const at = answer();
  return at == 0 ? 0 : load<u32>(at, 8);
}

function pageFault(cause: u32, address: u64): u32 {
  note(EVENT_HANDLE, cause, address);
  const at = answer();
  if (at == 0) return 1;
  harness().answered++;
  const sleepNs = load<u32>(at, 24);
  if (sleepNs != 0) {
    currentTask().state = TASK_UNINTERRUPTIBLE;
    scheduleTimeout(sleepNs);
  }
  const slot = <usize>load<u32>(at, 12);
  if (slot != 0) store<u64>(slot, load<u64>(at, 16));
  return load<u32>(at);
}

function faultLeave(): u32 {
  note(EVENT_LEAVE, 0, 0);
  return load<u32>(harness().answers + (harness().answered - 1) * ENTRY_BYTES, 4);
}

export function mmuBoot(cpus: u32, tlbEntries: u32, limitBytes: u32, withCosts: u32): u32 {
  if (machineBoot(cpus, 1, 16, 8192, 1_000_000, 0, 1, 0, limitBytes, withCosts) == 0) return 0;
  if (!tlbInit(tlbEntries)) return 0;
  const h = harness();
  h.pages = bootAlloc(PAGES * PAGE_SIZE, PAGE_SIZE);
  h.answers = bootAlloc(ENTRIES * ENTRY_BYTES, 64);
  h.traps = bootAlloc(ENTRIES * ENTRY_BYTES, 64);
  h.job = bootAlloc(64, 64);
  h.answerCount = 0;
  h.answered = 0;
  h.trapCount = 0;
  cpuRoom().faultEnter = faultEnter;
  cpuRoom().pageFault = pageFault;
  cpuRoom().faultLeave = faultLeave;
  return h.job != 0 ? 1 : 0;
}

/** Physical pages of the test, for page tables and data alike. */
export function mmuPages(): usize {
  return harness().pages;
}

export function mmuAnswers(): usize {
  return harness().answers;
}

/** So many answers from now on; those that were used are forgotten. */
export function mmuAnswerCount(count: u32): void {
  harness().answerCount = count;
  harness().answered = 0;
}

export function mmuTraps(): usize {
  return harness().traps;
}

export function mmuTrapCount(): u32 {
  return harness().trapCount;
}

/** Address of a CPU, after its page table root and its context were set. */
export function mmuCpu(id: u32, root: u32, contextBits: u64): usize {
  const cpu = cpuAt(id);
  cpu.satpRoot = root;
  cpu.tlbContext = contextBits;
  return changetype<usize>(cpu);
}

/** 0 next context, 1 wraps, 2 epoch, 3 TLB mask. */
export function mmuState(index: u32): u32 {
  const room = cpuRoom();
  if (index == 0) return room.nextContext;
  if (index == 1) return room.contextWraps;
  return index == 2 ? room.contextEpoch : room.tlbMask;
}

export function mmuSetNextContext(next: u32): void {
  cpuRoom().nextContext = next;
}

/** Job: kind (0 touch, 1 store, 2 load) | write | address (u64) | len | linear address | result | at 32 a TouchState. */
function runJob(task: Task): void {
  const job = harness().job;
  const kind = load<u32>(job);
  const address = load<u64>(job, 8);
  const lenBytes = load<u32>(job, 16);
  const linear = <usize>load<u32>(job, 20);
  let result: u32 = 0;
  if (kind == 0) {
    const state = changetype<TouchState>(job + 32);
    if (!touchRange(state, address, lenBytes, PAGE_SIZE, load<u32>(job, 4) != 0, <u8>linear)) return;
    result = <u32>state.done;
  } else if (kind == 1) result = storeBytes(address, linear, lenBytes);
  else result = loadBytes(address, linear, lenBytes);
  store<u32>(harness().job, result, 24);
  assert(changetype<usize>(task) == changetype<usize>(currentTask()), "[switch-1] a resumed stack is its task's");
  taskExit(0);
}

/** Starts a task on CPU 0 that does one job; its result is at the job's offset 24. Returns the job's address. */
export function mmuTask(kind: u32, write: u32, address: u64, lenBytes: u32, linear: u32): usize {
  const job = harness().job;
  store<u32>(job, kind);
  store<u32>(job, write, 4);
  store<u64>(job, address, 8);
  store<u32>(job, lenBytes, 16);
  store<u32>(job, linear, 20);
  store<u32>(job, u32.MAX_VALUE, 24);
  changetype<TouchState>(job + 32).phase = TOUCH_FRESH;
  const task = taskCreate(runJob, 0);
  task.pinnedCpu = 0;
  taskStart(task);
  return job;
}
