/*
 * The dispatcher and the run queues: the CPU that is furthest behind runs next (DESIGN D3).
 *
 *     RUNNABLE --pick--> on CPU --schedule()--> sleeping --wakeUp()--> RUNNABLE
 *                          |  \--syncPoint: someone else is due earlier: hands over, stays `current`
 *                          |   \-slice over and others queued: back to the queue's tail
 *                          |  \--the host's time limit: stays `current`, and its CPU runs next whoever is due
 *                          \--entry returns--> GUEST_WAIT (host owes an operation) or ZOMBIE
 *
 * Interface: dispatch(untilNs), RUN_*, syncPoint, syncLine, handsOver, handsOverLine, schedule, wakeUp, enqueueTask,
 *            scheduleTimeout, cpusInit.
 * Invariants:
 *   [core-1] a task touches a line that another CPU owns only when nobody else is due earlier; private lines may be up to
 *            the skew ahead (DECISIONS: bounded lookahead). An exploring policy turns the skew off.
 *   [core-2] schedule() with a spinlock held, or in an event handler, is a bug ([lk-2]).
 *   [core-3] an idle CPU's clock stands; a wake moves it to the time of the wake.
 *   [core-4] where the host stops the machine makes no difference to what it does.
 *   [core-5] after handsOver() or handsOverLine() said true the task's entry returns: the hand-over is noted already. It is
 *            called afresh when the task's turn comes, and finds where it was in memory.
 * Locks: none.
 * Why not fixed time steps: most charges would end in a step; here most are one compare.
 */
import { bitmapClear, bitmapFindFirst, bitmapSet, bitmapTest } from "../lib/bitmap";
import { listAddTail, listDelInit, listEmpty, listFirst, listInit } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { TP_SCHED_SWITCH, TP_SCHED_WAKEUP } from "../tracepoints";
import { CacheLine, PRIVATE_STREAK } from "./cache-line";
import { CHOICE_CPU, CHOICE_PREEMPT, choose } from "./choice";
import { C_CONTEXT_SWITCH, C_WAKE, C_WAKE_IDLE, chargeCost, cost } from "./cost";
import { cpuTreeFirst, cpuTreeKey, cpuTreeOthersKey, cpuTreeSet } from "./cpu-tree";
import { EXPLORE_EVENT, EXPLORE_NONE, exploreNext, exploreStays, exploring } from "./explore";
import { footprintEnter, footprintEvent, footprintLeave } from "./footprint";
import { Event, eventCancel, eventInit, eventNextNs, eventPop, eventSchedule } from "./event";
import {
  Cpu, SWITCH_BLOCK, SWITCH_HOST, SWITCH_NONE, SWITCH_STOP, SWITCH_YIELD, SchedState, TASK_GUEST_WAIT, TASK_INTERRUPTIBLE, TASK_KILLABLE,
  TASK_RUNNABLE, TASK_UNINTERRUPTIBLE, TASK_ZOMBIE, TF_PROGRAM, TIME_NEVER, Task, cpuAt, isNullTask, sched,
} from "./state";
import { runTask, switchOut } from "./switch";

/** Why dispatch returned. */
export const RUN_TIME: u32 = 0;
export const RUN_IDLE: u32 = 1;
export const RUN_GUEST: u32 = 2;
export const RUN_STOP: u32 = 3;
/** sched().guestTask waits inside the kernel for the host (SWITCH_HOST). */
export const RUN_HOST: u32 = 4;

function taskOfRunLink(link: usize): Task {
  return changetype<Task>(link - offsetof<Task>("runNext"));
}

/** Hands over when another CPU or event was due more than the skew before the running CPU's clock. */
export function syncPoint(): void {
  const s = sched();
  if (s.clockNs <= s.skewHorizonNs || staysOn(s, s.skewNs)) return;
  // One frame less to unwind than a call of switchOut.
  const f = s.switchFn;
  f();
}

/** As syncPoint, for a task whose entry can be called afresh: true, the entry returns at once and nothing is unwound ([core-5]). */
export function handsOver(): bool {
  const s = sched();
  if (s.clockNs <= s.skewHorizonNs || staysOn(s, s.skewNs)) return false;
  return returnsToDispatcher(s);
}

/** The host's limit unwinds all the same: frames made afresh would differ from those of a run without the limit ([core-4]). */
function returnsToDispatcher(s: SchedState): bool {
  // An entry that runs afresh reads again what it had read; an explored task keeps its stack, and has one history wherever it stops.
  if (s.switchReason != SWITCH_STOP && !(EXPLORE && exploring(s))) return true;
  const f = s.switchFn;
  f();
  return false;
}

class Line {
  /** Nobody is due earlier, or the line is private to this CPU (cache-line.ts) and the clock within the skew. */
  @inline static staysOn(s: SchedState, line: CacheLine): bool {
    if (s.clockNs <= s.horizonNs) return true;
    const isPrivate = line.owner == 0 || (line.owner == <u16>(s.cpu.id + 1) && line.streak == PRIVATE_STREAK);
    return (isPrivate && s.clockNs <= s.skewHorizonNs) || staysOn(s, isPrivate ? s.skewNs : 0);
  }
}

/** Before an access to a line: hands over when somebody else is due earlier, private lines apart. */
export function syncLine(line: CacheLine): void {
  const s = sched();
  if (Line.staysOn(s, line)) return;
  const f = s.switchFn;
  f();
}

/** As syncLine, for a task whose entry can be called afresh ([core-5]). */
export function handsOverLine(line: CacheLine): bool {
  const s = sched();
  return !Line.staysOn(s, line) && returnsToDispatcher(s);
}

/** Somebody is due earlier: true when this task must go on all the same. Otherwise notes the switch that follows. */
function staysOn(s: SchedState, slackNs: u64): bool {
  if (s.preemptCount != 0 || isNullTask(s.current)) return true;
  if (EXPLORE && exploring(s)) return exploreStays(s);
  let limitOnly: bool = s.nextNs > TIME_NEVER - slackNs || s.clockNs <= s.nextNs + slackNs;
  if (s.choicePolicy != 0) {
    const preempt = choose(CHOICE_PREEMPT, 2) != 0;
    if (preempt) s.clockNs += cost(C_CONTEXT_SWITCH);
    else if (s.clockNs <= s.dueNs) return true;
    limitOnly = !preempt && s.clockNs <= s.nextNs;
  }
  s.switchReason = limitOnly ? SWITCH_STOP : SWITCH_YIELD;
  if (!limitOnly) s.switches++;
  return false;
}

/** Blocks the current task until somebody wakes it; returns at once when it was woken before it got here. */
export function schedule(): void {
  const s = sched();
  if (s.stackMode == 0) {
    assert(s.inHandler == 0, "[core-2] an event handler blocks");
    assert(s.preemptCount == 0, "[lk-2] sleeping function called under a spinlock");
    const task = s.current;
    if (task.state == TASK_RUNNABLE) return;
    if (signalEndsSleep(task)) return;
    task.nvcsw++;
  }
  switchOut(SWITCH_BLOCK);
}

/** A signal that is pending already ends the sleep before it starts. */
function signalEndsSleep(task: Task): bool {
  const fatal = task.state == TASK_KILLABLE && task.fatalSignal != 0;
  const any = task.state == TASK_INTERRUPTIBLE && task.sigPending != 0;
  if (!fatal && !any) return false;
  task.state = TASK_RUNNABLE;
  task.wakeReason = WAKE_SIGNAL;
  return true;
}

export function isSleeping(task: Task): bool {
  const state = task.state;
  return state == TASK_INTERRUPTIBLE || state == TASK_UNINTERRUPTIBLE || state == TASK_KILLABLE;
}

/** Makes a sleeping task runnable. Returns false when it was not asleep. */
export function wakeUp(task: Task, reason: i32): bool {
  if (!isSleeping(task)) return false;
  const s = sched();
  task.wakeReason = reason;
  task.state = TASK_RUNNABLE;
  chargeCost(C_WAKE);
  traceEmit(s.clockNs, TP_SCHED_WAKEUP, s.cpu.id, task.id, task.cpu, 0);
  if (task.onCpu == 0) enqueueTask(task, s.clockNs);
  return true;
}

/** The CPU a task goes to: its own when bound or idle, else any idle one, else the one it ran on. */
function selectCpu(task: Task): Cpu {
  if (task.pinnedCpu >= 0) return cpuAt(task.pinnedCpu);
  const s = sched();
  if (bitmapTest(s.idleMask, task.cpu)) return cpuAt(task.cpu);
  const idle = bitmapFindFirst(s.idleMask, s.nCpus);
  return cpuAt(idle < s.nCpus ? idle : task.cpu);
}

/** Puts a runnable task on a run queue, no earlier than atNs. */
export function enqueueTask(task: Task, atNs: u64): void {
  assert(task.state == TASK_RUNNABLE, "only a runnable task is queued");
  assert(task.onCpu == 0, "[sched-3] the task is on a CPU");
  const s = sched();
  const cpu = selectCpu(task);
  task.cpu = cpu.id;
  listAddTail(task.runLink, cpu.runq);
  cpu.nrRunning++;
  if (bitmapTest(s.idleMask, cpu.id)) {
    const wakeNs = atNs + cost(C_WAKE_IDLE);
    if (wakeNs > cpu.clockNs) {
      cpu.idleNs += wakeNs - cpu.clockNs;
      cpu.clockNs = wakeNs;
    }
    bitmapClear(s.idleMask, cpu.id);
    cpuTreeSet(cpu.id, cpu.clockNs);
    lowerHorizon(s, cpu.clockNs);
  } else if (changetype<usize>(cpu) == changetype<usize>(s.cpu) && !isNullTask(s.current)) {
    lowerHorizon(s, cpu.sliceEndNs);
  }
}

function lowerHorizon(s: SchedState, timeNs: u64): void {
  if (timeNs < s.horizonNs) s.horizonNs = timeNs;
  if (timeNs < s.dueNs) s.dueNs = timeNs;
  if (timeNs < s.nextNs) s.nextNs = timeNs;
  s.skewHorizonNs = skewed(s, s.nextNs);
}

/** The next task of a CPU's queue becomes its current. */
function pickNext(s: SchedState, cpu: Cpu): Task {
  assert(!listEmpty(cpu.runq), "the CPU has a task to run");
  const task = taskOfRunLink(changetype<usize>(listFirst(cpu.runq)));
  listDelInit(task.runLink);
  cpu.nrRunning--;
  cpu.current = task;
  task.onCpu = 1;
  task.cpu = cpu.id;
  if (changetype<usize>(task) != changetype<usize>(cpu.last)) {
    if (!isNullTask(cpu.last)) chargeCost(C_CONTEXT_SWITCH);
    const from: u32 = isNullTask(cpu.last) ? 0 : cpu.last.id;
    cpu.last = task;
    cpu.switches++;
    traceEmit(s.clockNs, TP_SCHED_SWITCH, cpu.id, task.id, from, task.id);
  }
  cpu.sliceEndNs = s.clockNs + s.sliceNs;
  const f = s.switchMmFn;
  if (changetype<usize>(f) != 0) f(task);
  return task;
}

/**
 * The horizon for private lines: the skew past whoever is next, and never past the limit. A CPU stopped by a limit stands at its
 * first sync point behind it; were the limit put off by the skew, where it stands would depend on the limits before.
 */
function skewed(s: SchedState, nextNs: u64): u64 {
  if (s.choicePolicy != 0) return 0;
  const horizonNs = nextNs > TIME_NEVER - s.skewNs ? TIME_NEVER : nextNs + s.skewNs;
  return s.untilNs < horizonNs ? s.untilNs : horizonNs;
}

function updateHorizon(s: SchedState, cpu: Cpu): void {
  let horizon = eventNextNs();
  const other = cpuTreeOthersKey(cpu.id);
  if (other < horizon) horizon = other;
  if (cpu.nrRunning != 0 && cpu.sliceEndNs < horizon) horizon = cpu.sliceEndNs;
  s.nextNs = horizon;
  if (s.untilNs < horizon) horizon = s.untilNs;
  s.dueNs = horizon;
  s.horizonNs = s.choicePolicy != 0 ? 0 : horizon;
  s.skewHorizonNs = skewed(s, s.nextNs);
}

/** Among CPUs due at the same time, the choice's; the lowest id by default. */
function chooseCpu(s: SchedState, first: u32): u32 {
  const key = cpuTreeKey(first);
  let ties: u32 = 0;
  for (let id: u32 = 0; id < s.nCpus; id++) if (cpuTreeKey(id) == key) ties++;
  let nth = choose(CHOICE_CPU, ties);
  for (let id: u32 = 0; id < s.nCpus; id++) {
    if (cpuTreeKey(id) != key) continue;
    if (nth == 0) return id;
    nth--;
  }
  return first;
}

function runCpu(s: SchedState, id: u32): void {
  const cpu = cpuAt(id);
  s.cpu = cpu;
  s.clockNs = cpu.clockNs + cpu.pendingNs;
  cpu.pendingNs = 0;
  if (EXPLORE && exploring(s) && s.clockNs < s.machineNs) s.clockNs = s.machineNs;
  if (s.clockNs > s.machineNs) s.machineNs = s.clockNs;
  s.horizonNs = TIME_NEVER;
  s.skewHorizonNs = TIME_NEVER;
  s.nextNs = TIME_NEVER;
  let task = cpu.current;
  if (EXPLORE) footprintEnter(isNullTask(task) ? taskOfRunLink(changetype<usize>(listFirst(cpu.runq))) : task);
  if (isNullTask(task)) task = pickNext(s, cpu);
  s.current = task;
  updateHorizon(s, cpu);
  const startNs = s.clockNs;
  const finished = runTask(task);
  task.runNs += s.clockNs - startNs;
  cpu.clockNs = s.clockNs;
  if (EXPLORE && exploring(s)) s.machineNs = s.clockNs;
  s.current = changetype<Task>(0);
  // An entry that returns with a hand-over noted is not done ([core-5]).
  if (finished && s.switchReason == SWITCH_NONE) afterReturn(s, cpu, task);
  else afterSwitch(s, cpu, task);
  s.switchReason = SWITCH_NONE;
  if (EXPLORE) footprintLeave(task);
  // Until here the tree knows the CPU by the time at which it began: nobody asks for it meanwhile.
  const hasWork = !isNullTask(cpu.current) || cpu.nrRunning != 0;
  cpuTreeSet(id, hasWork ? cpu.clockNs + cpu.pendingNs : TIME_NEVER);
  if (!hasWork) bitmapSet(s.idleMask, id);
}

/** The task's entry returned: its operation is done, or the task has exited. */
function afterReturn(s: SchedState, cpu: Cpu, task: Task): void {
  assert(s.preemptCount == 0, "[lk-2] a task left the kernel holding a spinlock");
  assert(task.heldCount == 0, "[lk-2] a task left the kernel holding a lock");
  if (task.state == TASK_ZOMBIE) {
    task.onCpu = 0;
    cpu.current = changetype<Task>(0);
    if ((task.flags & TF_PROGRAM) != 0) {
      const reap = s.reapFn;
      reap(task);
      return;
    }
  } else {
    assert(task.state == TASK_RUNNABLE, "a task that returns is running");
    task.state = TASK_GUEST_WAIT;
  }
  s.guestTask = task;
}

function afterSwitch(s: SchedState, cpu: Cpu, task: Task): void {
  if (s.switchReason == SWITCH_HOST) {
    s.guestTask = task;
    return;
  }
  if (s.switchReason == SWITCH_BLOCK) {
    task.onCpu = 0;
    cpu.current = changetype<Task>(0);
    if (task.state == TASK_RUNNABLE) enqueueTask(task, s.clockNs);
    return;
  }
  if (s.switchReason == SWITCH_STOP) {
    s.stoppedCpu = cpu.id + 1;
    return;
  }
  assert(s.switchReason == SWITCH_YIELD, "a stack was unwound for a reason");
  if (cpu.nrRunning != 0 && cpu.clockNs >= cpu.sliceEndNs && task.state == TASK_RUNNABLE) {
    task.onCpu = 0;
    task.nivcsw++;
    cpu.current = changetype<Task>(0);
    listAddTail(task.runLink, cpu.runq);
    cpu.nrRunning++;
  }
}

/** Runs the earliest event. Its handler runs on CPU 0's account, as an interrupt would. */
function runEvent(s: SchedState): void {
  const event = eventPop();
  const cpu = cpuAt(0);
  // The handler may free the object that the event is part of.
  let timeNs = event.timeNs;
  if (EXPLORE && exploring(s) && timeNs < s.machineNs) timeNs = s.machineNs;
  s.cpu = cpu;
  s.clockNs = timeNs;
  if (timeNs > s.machineNs) s.machineNs = timeNs;
  s.horizonNs = TIME_NEVER;
  s.skewHorizonNs = TIME_NEVER;
  s.dueNs = TIME_NEVER;
  s.nextNs = TIME_NEVER;
  s.inHandler = 1;
  if (EXPLORE) footprintEvent(event);
  const handler = event.handler;
  handler(event);
  s.inHandler = 0;
  assert(s.preemptCount == 0, "[lk-2] an event handler returned holding a spinlock");
  if (EXPLORE && exploring(s)) s.machineNs = s.clockNs;
  // On an idle CPU the interrupt takes nobody's time.
  if (!bitmapTest(s.idleMask, 0)) cpu.pendingNs += s.clockNs - timeNs;
}

function timeReached(s: SchedState): u32 {
  if (s.untilNs > s.machineNs) s.machineNs = s.untilNs;
  return RUN_TIME;
}

/** The CPU that the last limit stopped goes on, whoever else is due. */
function runStopped(s: SchedState): void {
  const id = s.stoppedCpu - 1;
  s.stoppedCpu = 0;
  runCpu(s, id);
}

/** One step of an explored machine. False: nobody can take one. */
function runExplored(s: SchedState): bool {
  const next = exploreNext(s);
  if (next == EXPLORE_NONE) return false;
  if (next == EXPLORE_EVENT) runEvent(s);
  else runCpu(s, next);
  return true;
}

/** guestTask is set: by a task that is done with its operation, or by one that waits inside the kernel. */
function hostReason(s: SchedState): u32 {
  return s.guestTask.state == TASK_RUNNABLE ? RUN_HOST : RUN_GUEST;
}

/** Suspends the current task, on its CPU and in no simulated time, until the host has called hostAnswered. */
export function waitForHost(): void {
  const s = sched();
  if (s.stackMode == 0) {
    assert(s.inHandler == 0, "[core-2] an event handler waits for the host");
    assert(s.preemptCount == 0, "[lk-2] a task waits for the host under a spinlock");
  }
  switchOut(SWITCH_HOST);
}

/** The host has done what the task waited for. */
export function hostAnswered(task: Task): void {
  const s = sched();
  assert(changetype<usize>(s.guestTask) == changetype<usize>(task) && task.state == TASK_RUNNABLE, "the task waits for the host");
  s.guestTask = changetype<Task>(0);
}

/** Runs the machine until untilNs, until nothing can run, or until a task needs the host. */
export function dispatch(untilNs: u64): u32 {
  const s = sched();
  s.untilNs = untilNs;
  s.stopFlag = 0;
  if (!isNullTask(s.guestTask)) return hostReason(s);
  while (true) {
    if (EXPLORE && exploring(s)) {
      if (s.machineNs > untilNs) return RUN_TIME;
      if (!runExplored(s)) return RUN_IDLE;
      if (!isNullTask(s.guestTask)) return hostReason(s);
      if (s.stopFlag != 0) return RUN_STOP;
      continue;
    }
    const eventNs = eventNextNs();
    let id = cpuTreeFirst();
    const cpuNs = cpuTreeKey(id);
    if (s.stoppedCpu != 0) {
      if (cpuTreeKey(s.stoppedCpu - 1) > untilNs) return timeReached(s);
      runStopped(s);
    } else if (eventNs <= cpuNs) {
      if (eventNs == TIME_NEVER) return RUN_IDLE;
      if (eventNs > untilNs) return timeReached(s);
      runEvent(s);
    } else {
      if (cpuNs > untilNs) return timeReached(s);
      if (s.choicePolicy != 0) id = chooseCpu(s, id);
      runCpu(s, id);
    }
    if (!isNullTask(s.guestTask)) return hostReason(s);
    if (s.stopFlag != 0) return RUN_STOP;
  }
}

/** Prepares the CPUs that boot has carved. */
export function cpusInit(): void {
  const s = sched();
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const cpu = cpuAt(id);
    cpu.id = id;
    cpu.socket = id / s.cpusPerSocket;
    cpu.online = 1;
    listInit(cpu.runq);
    bitmapSet(s.idleMask, id);
  }
}

function timerWake(event: Event): void {
  wakeUp(changetype<Task>(event.data), WAKE_TIMEOUT);
}

export const WAKE_NORMAL: i32 = 0;
export const WAKE_TIMEOUT: i32 = -1;
export const WAKE_SIGNAL: i32 = -2;

/** Sleeps in the state already set, for `ns` at most. Returns the wake reason. */
export function scheduleTimeout(ns: u64): i32 {
  const task = sched().current;
  const timer = changetype<Event>(task.timer);
  eventInit(timer, timerWake, changetype<usize>(task));
  eventSchedule(timer, sched().clockNs + ns);
  schedule();
  eventCancel(changetype<Event>(task.timer));
  return task.wakeReason;
}
