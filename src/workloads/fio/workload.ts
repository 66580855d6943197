/**
 * A job file as a workload: its clones, its files, its reporting units.
 *
 *     clones   numjobs of each job, in the file's order; `thread` clones share one process, others have one each
 *     phases   a stonewall begins one: its clones start when all of the phase before are done
 *     units    a line of the report: one a clone, or one a group with group_reporting
 *
 * Interface: fioWorkload, FioPlan, FioUnit, planOf, FIO_OPTIONS.
 * Invariants: [fw-1] a plan is a function of the file, the seed and the options: it can be made again to read the results.
 * Locks: none.
 * Why not a task a clone in the common layout: fio's jobs differ, begin at different times, and end.
 */
import { EOPNOTSUPP, O_CREAT, O_RDWR } from "../../guest/constants.js";
import { type Call, must, sys } from "../../guest/sys.js";
import type { GuestFn } from "../../host/guests.js";
import type { Machine } from "../../host/machine.js";
import { type WorkloadOption, numberOption } from "../options.js";
import type { Recorded, RunContext, Workload } from "../workload.js";
import { type Clone, RECORDER, RECORDERS_PER_UNIT, jobBody } from "./guest.js";
import { FioError } from "./ini.js";
import { type FioJob, type FioJobFile, parseJobFile } from "./job.js";
import { seedOf } from "./random.js";

/** One entry of the report's jobs[]. */
export interface FioUnit {
  jobname: string;
  groupid: number;
  /** Index of its (first) job in the file. */
  job: number;
  clones: number;
  /** First recorder. */
  recorder: number;
}

export interface FioPlan {
  clones: (Clone & { threaded: boolean })[];
  units: FioUnit[];
}

export const FIO_OPTIONS: readonly WorkloadOption[] = [
  { name: "numjobs", kind: "count", default: "0", max: 128, summary: "clones of every job, 0: as the file says" },
  { name: "runtime", kind: "duration", default: "0ns", summary: "run time of every job at most, 0ns: as the file says" },
];

/** Barrier ids of phases: 0 is never waited for, 64 is the kernel's number of barriers. */
const MAX_PHASES = 63;

/** A file's path in the run's directory: the job's own directories become part of its name. */
export function pathOf(directory: string, job: FioJob, index: number): string {
  const name = job.filename ?? `${job.name}.${index}.0`;
  const whole = job.directory === undefined ? name : `${job.directory}/${name}`;
  return `${directory}/${whole.replace(/^\/+/, "").replaceAll("/", "-")}`;
}

function phasesOf(file: FioJobFile): number[] {
  let phase = 0;
  return file.jobs.map((job, i) => (job.stonewall && i > 0 ? ++phase : phase));
}

function groupsOf(file: FioJobFile): number[] {
  let group = 0;
  return file.jobs.map((job, i) => ((job.stonewall || job.newGroup) && i > 0 ? ++group : group));
}

/** Who runs, and who reports what. */
export function planOf(file: FioJobFile, context: Pick<RunContext, "seed" | "directory" | "options">): FioPlan {
  const numjobs = numberOption(context.options, "numjobs");
  const limitNs = numberOption(context.options, "runtime");
  const [phases, groups] = [phasesOf(file), groupsOf(file)];
  const countOf = (job: FioJob): number => (numjobs === 0 ? job.numjobs : numjobs);
  const sizes: number[] = [];
  file.jobs.forEach((job, i) => (sizes[phases[i] ?? 0] = (sizes[phases[i] ?? 0] ?? 0) + countOf(job)));
  const last = file.jobs[file.jobs.length - 1];
  if (sizes.length > MAX_PHASES) throw new FioError(file.name, last?.at ?? { line: 1, column: 1 }, `more than ${MAX_PHASES} stonewalls`);
  const meet = (phase: number): { id: number; parties: number } | undefined =>
    phase > 0 && phase < sizes.length ? { id: phase, parties: (sizes[phase - 1] ?? 0) + (sizes[phase] ?? 0) } : undefined;
  const plan: FioPlan = { clones: [], units: [] };
  file.jobs.forEach((job, i) => {
    const [phase, groupid] = [phases[i] ?? 0, groups[i] ?? 0];
    for (let clone = 0; clone < countOf(job); clone++) {
      const unit = unitOf(plan, job, i, groupid);
      unit.clones++;
      const runtimeNs = limitNs > 0 ? Math.min(limitNs, job.runtimeNs > 0 ? job.runtimeNs : limitNs) : job.runtimeNs;
      plan.clones.push({
        job,
        path: pathOf(context.directory, job, clone),
        seed: seedOf(context.seed, job.randseed, i, clone),
        recorder: unit.recorder,
        runtimeNs,
        begin: meet(phase),
        end: meet(phase + 1),
        threaded: job.thread,
      });
    }
  });
  return plan;
}

/** The unit that a clone reports to: its group's, or a new one. */
function unitOf(plan: FioPlan, job: FioJob, index: number, groupid: number): FioUnit {
  const found = job.groupReporting ? plan.units.find((unit) => unit.groupid === groupid) : undefined;
  if (found) return found;
  const unit = { jobname: job.name, groupid, job: index, clones: 0, recorder: plan.units.length * RECORDERS_PER_UNIT };
  plan.units.push(unit);
  return unit;
}

/** Lays out one file: as long as its jobs need, its blocks there where the filesystem can promise them. */
function* layOut(path: string, lenBytes: number): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), `open ${path}`);
  must(yield* sys.ftruncate(fd, lenBytes), "ftruncate");
  const promised = yield* sys.fallocate(fd, 0, 0, lenBytes);
  if (promised !== -EOPNOTSUPP) must(promised, "fallocate");
  return must(yield* sys.close(fd), "close");
}

function filesOf(plan: FioPlan): Map<string, number> {
  const files = new Map<string, number>();
  for (const { path, job } of plan.clones) files.set(path, Math.max(files.get(path) ?? 0, job.offsetBytes + job.sizeBytes));
  return files;
}

/** Names of what a unit records; clat and sync latencies of all units are metrics of a comparison. */
function recordedOf(units: number): Recorded[] {
  const latency = (name: string, summary: string): Recorded => ({ name, summary });
  const internal = (name: string): Recorded => ({ name, summary: "", internal: true });
  const unit = [
    latency("read_clat_ns", "completion of one read"),
    latency("write_clat_ns", "completion of one write"),
    latency("sync_lat_ns", "one msync, fsync or fdatasync"),
    ...["read_bytes", "write_bytes", "runtime_ns", "minf", "majf", "ctx", "cpu_ns"].map(internal),
  ];
  return Array.from({ length: units }, () => unit).flat();
}

/** The process of the `thread` clones: makes them, then goes; the process lives until the last of them is done. */
function threadsOf(threads: readonly { body: GuestFn; cpu: number }[]): GuestFn {
  return function* (ctx) {
    for (const { body, cpu } of threads) {
      const thread: GuestFn = function* (own) {
        yield* sys.pin(cpu % ctx.cpus);
        yield* body(own);
      };
      must(yield* sys.thread(thread), "clone");
    }
    yield* sys.exit(0);
  };
}

/** IOs of every unit. */
function iosOf(machine: Machine): number {
  let ios = 0;
  for (let first = 0; first + RECORDERS_PER_UNIT <= (machine.config.recorders ?? 0); first += RECORDERS_PER_UNIT) {
    ios += machine.recorded(first + RECORDER.read).N + machine.recorded(first + RECORDER.write).N;
  }
  return ios;
}

/** The workload of a job file. Throws FioError for a file that means nothing. */
export function fioWorkload(text: string, name: string): Workload {
  const file = parseJobFile(text, name);
  const planFor = (context: RunContext): FioPlan => planOf(file, context);
  return {
    name,
    summary: `fio jobs ${file.jobs.map((job) => job.name).join(", ")}`,
    origin: "fio",
    footprint: 0,
    lenBytes: 4096 * Math.ceil(Math.max(...file.jobs.map((job) => job.sizeBytes)) / 4096),
    options: FIO_OPTIONS,
    recorded: recordedOf(1),
    recorders: (context) => recordedOf(planFor(context).units.length),
    ends: true,
    *setup(context) {
      for (const [path, lenBytes] of filesOf(planFor(context))) yield* layOut(path, lenBytes);
    },
    prepare: () => sys.gettid(),
    pass: () => sys.gettid(),
    cpus: (context) => planFor(context).clones.length,
    processes(context) {
      const { clones } = planFor(context);
      const threads = clones.flatMap((clone, cpu) => (clone.threaded ? [{ body: jobBody(clone), cpu }] : []));
      const own = clones.flatMap((clone, cpu) => (clone.threaded ? [] : [{ fn: jobBody(clone), cpu }]));
      if (threads.length === 0) return own;
      return [{ fn: threadsOf(threads) }, ...own];
    },
    iterations: (machine) => iosOf(machine),
  };
}
