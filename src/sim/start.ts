/**
 * Puts a workload's processes and threads on a machine.
 *
 *     setup process: mkfs, mount, the workload's files           exits before anybody else starts
 *     process of tasks: share -> threads (tasks, thread actors)  one process in mode threads, one a task in mode processes
 *     process actors: victims and others                         each meets the rest at the barrier
 *
 * Interface: prepareMachine, startTasks, partiesOf, cpusOf, Phase.
 * Invariants: [start-1] nobody makes a first pass before everybody has prepared.
 * Locks: none.
 * Why not in run.ts: a run is time and results; this is who there is.
 */
import { barrier, become, compute } from "../guest/mem.js";
import { type Call, sys } from "../guest/sys.js";
import type { GuestContext, GuestFn } from "../host/guests.js";
import type { Machine } from "../host/machine.js";
import type { Actor, ActorContext, RunContext, TaskContext, Workload } from "../workloads/index.js";
import type { Filesystem } from "./filesystems.js";

/** How far a start has come. */
export interface Phase {
  /** Tasks and actors past the barrier. */
  ready: number;
}

export interface StartOptions {
  /** Each starts its loop this much later at most, by the seed: no two seeds begin alike. 0: all at once. */
  staggerNs: number;
}

function perProcess(actors: readonly Actor[]): number {
  return actors.reduce((n, actor) => n + (actor.where === "thread" ? actor.count : 0), 0);
}

function ownProcesses(actors: readonly Actor[]): number {
  return actors.reduce((n, actor) => n + (actor.where === "process" ? actor.count : 0), 0);
}

/** Tasks and actors: who meets at the barrier. */
export function partiesOf(workload: Workload, context: RunContext): number {
  if (workload.processes) return 0;
  const actors = workload.actors?.(context) ?? [];
  const processes = context.mode === "threads" ? 1 : context.tasks;
  return context.tasks + perProcess(actors) * processes + ownProcesses(actors);
}

/** A CPU for everybody, 128 at most. */
export function cpusOf(workload: Workload, context: RunContext): number {
  return Math.min(128, Math.max(1, workload.cpus?.(context) ?? partiesOf(workload, context)));
}

/** Runs the filesystem's and the workload's setup to their end. Returns false when there was nothing to do. */
export function prepareMachine(machine: Machine, fs: Filesystem, workload: Workload, context: RunContext): boolean {
  if (!fs.setup && !workload.setup) return false;
  machine.spawn(function* () {
    if (fs.setup) yield* fs.setup();
    if (workload.setup) yield* workload.setup(context);
  });
  machine.run({ stopWhen: () => machine.guestCount === 0 });
  return true;
}

/** Passes that a restore replays at most. */
const PASSES_PER_LIFE = 64;

/** prepare, meet the others, then pass after pass. */
function loop(prepare: Call, pass: (prepared: number) => Call<unknown>, start: Starting, ctx: GuestContext): Call<unknown> {
  return (function* () {
    const prepared = yield* prepare;
    yield* barrier(0, start.parties);
    start.phase.ready++;
    if (start.staggerNs > 0) yield* compute(Math.floor(ctx.random() * start.staggerNs));
    if (start.ends) return yield* pass(prepared);
    const passes: GuestFn = function* () {
      for (let i = 0; i < PASSES_PER_LIFE; i++) yield* pass(prepared);
      yield* become(passes);
    };
    return yield* become(passes);
  })();
}

interface Starting extends StartOptions {
  workload: Workload;
  context: RunContext;
  actors: readonly Actor[];
  parties: number;
  ends: boolean;
  cpus: number;
  phase: Phase;
}

function* nothing(): Call {
  return yield* sys.gettid();
}

function taskBody(start: Starting, task: TaskContext, pinCpu: number | undefined): GuestFn {
  return function* (ctx) {
    if (pinCpu !== undefined) yield* sys.pin(pinCpu);
    yield* loop(start.workload.prepare(task), (prepared) => start.workload.pass(task, prepared), start, ctx);
  };
}

function actorBody(start: Starting, actor: Actor, actorContext: ActorContext, pinCpu: number | undefined): GuestFn {
  return function* (ctx) {
    if (pinCpu !== undefined) yield* sys.pin(pinCpu);
    const prepare = actor.prepare?.(actorContext) ?? nothing();
    yield* loop(prepare, (prepared) => actor.pass(actorContext, prepared), start, ctx);
  };
}

/** Bodies of the thread actors of one process; their CPUs come after the tasks'. */
function threadActors(start: Starting, shared: number, pid: number, firstCpu: number): GuestFn[] {
  let cpu = firstCpu;
  return start.actors.flatMap((actor) => {
    if (actor.where !== "thread") return [];
    return Array.from({ length: actor.count }, (_, index) =>
      actorBody(start, actor, { ...start.context, index, shared, targetPid: pid }, cpu++ % start.cpus),
    );
  });
}

/** A process of tasks: the first task's own thread leads it, or, with several tasks, a leader that only sleeps. */
function processBody(start: Starting, first: number, count: number): GuestFn {
  const { workload, context } = start;
  return function* (ctx) {
    const shared = workload.share ? yield* workload.share(context) : 0;
    const firstCpu = context.tasks + first * perProcess(start.actors);
    const others = threadActors(start, shared, ctx.pid, firstCpu);
    const task = (index: number): TaskContext => ({ ...context, index, shared });
    if (context.mode === "processes") {
      for (const body of others) yield* sys.thread(body);
      return yield* taskBody(start, task(first), undefined)(ctx);
    }
    for (let i = first; i < first + count; i++) yield* sys.thread(taskBody(start, task(i), i % start.cpus));
    for (const body of others) yield* sys.thread(body);
    // A workload that ends leaves the process alive until its last thread is gone: exit of the leader alone.
    if (start.ends) return yield* sys.exit(0);
    for (;;) yield* sys.nanosleep(1e18);
  };
}

/** Starts everybody. Returns the pid of the first process of tasks. */
export function startTasks(machine: Machine, workload: Workload, context: RunContext, phase: Phase, options: StartOptions): number {
  const cpus = machine.config.cpus ?? 1;
  if (workload.processes) {
    const pids = workload.processes(context).map(({ fn, cpu }) => machine.spawn(fn, cpu === undefined ? {} : { cpu: cpu % cpus }));
    return pids[0] ?? 0;
  }
  const actors = workload.actors?.(context) ?? [];
  const parties = partiesOf(workload, context);
  const start: Starting = { ...options, workload, context, actors, parties, ends: workload.ends === true, cpus, phase };
  let targetPid = 0;
  if (context.mode === "threads") targetPid = machine.spawn(processBody(start, 0, context.tasks));
  else {
    for (let i = 0; i < context.tasks; i++) {
      const pid = machine.spawn(processBody(start, i, 1), { cpu: i % cpus });
      targetPid ||= pid;
    }
  }
  let cpu = parties - ownProcesses(actors);
  for (const actor of actors) {
    if (actor.where !== "process") continue;
    for (let index = 0; index < actor.count; index++) {
      machine.spawn(actorBody(start, actor, { ...context, index, shared: 0, targetPid }, undefined), { cpu: cpu++ % cpus });
    }
  }
  return targetPid;
}
