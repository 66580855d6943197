/*
 * A machine of the rooms up to sched: CPUs, tasks, locks, events, and nothing above. The parts boot it and add their own.
 *
 * Interface: machineBoot, machineRun, schedField, cpuField, taskField, eventCell.
 * Invariants: [harm-1] without costs simulated time passes only where a test says so.
 * Locks: none.
 * Why not kernel/boot: a room is tested before, and without, the rooms above it.
 */
import { slabInit } from "../../assembly/lib/slab";
import { TRACE_EVENT_BYTES, traceInit, traceState } from "../../assembly/lib/trace";
import { COST_TABLE, bootAlloc, bootAllocInit } from "../../assembly/memlayout";
import { choiceInit } from "../../assembly/sched/choice";
import { cpusInit, dispatch } from "../../assembly/sched/core";
import { costSetDefaults } from "../../assembly/sched/cost";
import { cpuTreeInit } from "../../assembly/sched/cpu-tree";
import { lockBitInit } from "../../assembly/sched/lock-bit";
import { lockdepInit } from "../../assembly/sched/lockdep";
import { Cpu, TASK_ZOMBIE, Task, cpuAt, isNullTask, sched } from "../../assembly/sched/state";
import { switchInit } from "../../assembly/sched/switch";
import { guestExitSeen, taskById, taskReap, taskTableInit } from "../../assembly/sched/task";

const ARENA_BYTES: u32 = 1 << 20;
const TRACE_EVENTS: u32 = 1024;
const COST_TABLE_BYTES: u32 = 1024;
export const CHOICE_LOG: u32 = 4096;

function libInit(): bool {
  const arena = bootAlloc(ARENA_BYTES, 64);
  const ring = bootAlloc(TRACE_EVENTS * TRACE_EVENT_BYTES, 64);
  if (arena == 0 || ring == 0) return false;
  slabInit(arena, ARENA_BYTES);
  traceInit(ring, TRACE_EVENTS);
  traceState().enabled = 1;
  return true;
}

function schedInit(cpus: u32, sockets: u32, tasks: u32, saveAreaBytes: u32): bool {
  const s = sched();
  s.nCpus = cpus;
  s.cpusPerSocket = (cpus + sockets - 1) / sockets;
  s.cpus = bootAlloc(cpus * <u32>offsetof<Cpu>(), 64);
  if (s.cpus == 0 || !cpuTreeInit(cpus) || !taskTableInit(tasks, saveAreaBytes)) return false;
  if (!lockdepInit() || !lockBitInit()) return false;
  switchInit();
  cpusInit();
  s.cpu = cpuAt(0);
  return true;
}

/** Boots; every cost is 0 unless withCosts. Returns 0 when memory is too small. */
export function machineBoot(
  cpus: u32,
  sockets: u32,
  tasks: u32,
  saveAreaBytes: u32,
  sliceNs: u32,
  skewNs: u32,
  seed: u32,
  policy: u32,
  limitBytes: u32,
  withCosts: u32,
): u32 {
  bootAllocInit(limitBytes);
  costSetDefaults();
  if (withCosts == 0) memory.fill(COST_TABLE, 0, COST_TABLE_BYTES);
  sched().sliceNs = sliceNs;
  sched().skewNs = skewNs;
  if (!libInit() || !schedInit(cpus, sockets, tasks, saveAreaBytes)) return 0;
  return choiceInit(policy, seed, CHOICE_LOG) ? 1 : 0;
}

/** Runs the machine; tasks that exit are reaped when `reap` says so. Returns the dispatcher's reason. */
export function machineRun(untilNs: f64, reap: u32): u32 {
  while (true) {
    const why = dispatch(<u64>untilNs);
    const done = sched().guestTask;
    if (isNullTask(done) || done.state != TASK_ZOMBIE) return why;
    guestExitSeen(done);
    if (reap != 0) taskReap(done);
  }
}

/** 0 clock, 1 horizon, 2 machine time, 3 switches, 4 line transfers, 5 preempt count, 6 events, 7 live tasks, 8 save high water. */
export function schedField(index: u32): f64 {
  const s = sched();
  switch (index) {
    case 0:
      return <f64>s.clockNs;
    case 1:
      return <f64>s.horizonNs;
    case 2:
      return <f64>s.machineNs;
    case 3:
      return <f64>s.switches;
    case 4:
      return <f64>s.lineTransfers;
    case 5:
      return <f64>s.preemptCount;
    case 6:
      return <f64>s.eventCount;
    case 7:
      return <f64>s.liveTasks;
    case 8:
      return <f64>s.saveHighWater;
    case 9:
      return isNullTask(s.current) ? 0 : <f64>s.current.id;
    case 10:
      return isNullTask(s.guestTask) ? 0 : <f64>s.guestTask.id;
    case 11:
      return <f64>s.saveAreas;
    case 12:
      return <f64>s.saveAreaBytes;
    default:
      return -1;
  }
}

/** 0 clock, 1 idle, 2 switches, 3 pending, 4 queued, 5 current task, 6 socket. */
export function cpuField(id: u32, index: u32): f64 {
  const cpu = cpuAt(id);
  switch (index) {
    case 0:
      return <f64>cpu.clockNs;
    case 1:
      return <f64>cpu.idleNs;
    case 2:
      return <f64>cpu.switches;
    case 3:
      return <f64>cpu.pendingNs;
    case 4:
      return <f64>cpu.nrRunning;
    case 5:
      return isNullTask(cpu.current) ? 0 : <f64>cpu.current.id;
    case 6:
      return <f64>cpu.socket;
    default:
      return -1;
  }
}

/** 0 state, 1 CPU, 2 on a CPU, 3 run time, 4 wake reason, 5 locks held, 6 waits on, 7 exit code, 8 nvcsw, 9 nivcsw, 10 fatal signal. */
export function taskField(id: u32, index: u32): f64 {
  const task: Task = taskById(id);
  if (isNullTask(task)) return -1;
  switch (index) {
    case 0:
      return <f64>task.state;
    case 1:
      return <f64>task.cpu;
    case 2:
      return <f64>task.onCpu;
    case 3:
      return <f64>task.runNs;
    case 4:
      return <f64>task.wakeReason;
    case 5:
      return <f64>task.heldCount;
    case 6:
      return <f64>task.waitOn;
    case 7:
      return <f64>task.exitCode;
    case 8:
      return <f64>task.nvcsw;
    case 9:
      return <f64>task.nivcsw;
    case 10:
      return <f64>task.fatalSignal;
    case 11:
      return <f64>changetype<usize>(task);
    case 12:
      return <f64>task.saveArea;
    default:
      return -1;
  }
}
