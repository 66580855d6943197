/**
 * Calibration: the emulated machine beside measured ones.
 */
import type { Mode } from "../workloads/index.js";
import { type KernelImage, runPoint } from "./run.js";

/** will-it-scale totals on a 144-core machine, Linux 5.10, posted to linux-mm in 2021 (mmtests): faults/s of all tasks. */
export const MEASURED: readonly { workload: string; mode: Mode; points: readonly { tasks: number; perSecond: number }[] }[] = [
  { workload: "page_fault3", mode: "processes", points: points(1528340, 8627108, 31128230) },
  { workload: "page_fault3", mode: "threads", points: points(1370710, 3443936, 1357569) },
  { workload: "page_fault1", mode: "threads", points: points(1845141, 5925792, 8614246) },
  { workload: "page_fault2", mode: "threads", points: points(806638, 2130151, 605893) },
];

function points(at2: number, at12: number, at48: number): { tasks: number; perSecond: number }[] {
  return [
    { tasks: 2, perSecond: at2 },
    { tasks: 12, perSecond: at12 },
    { tasks: 48, perSecond: at48 },
  ];
}

/** Points of all curves. */
export const CALIBRATION_POINTS = MEASURED.reduce((sum, curve) => sum + curve.points.length, 0);

export interface CalibrationPoint {
  workload: string;
  mode: Mode;
  tasks: number;
  /** Iterations/s measured on metal. */
  measured: number;
  /** Iterations/s of simulated time. */
  simulated: number;
  /** simulated / measured - 1. */
  error: number;
}

const MIB = 1024 * 1024;

/** Tasks spread over the sockets as a scheduler spreads them: CPU numbers alternate between sockets by machine layout. */
export const CALIBRATION_CPUS = 48;

/** Runs every measured point on a machine of four sockets. `progress` hears of each. */
export async function calibrate(
  kernel: KernelImage,
  costs: Readonly<Record<string, number>> = {},
  progress?: (done: number, total: number) => void,
): Promise<CalibrationPoint[]> {
  const jobs = MEASURED.flatMap((curve) => curve.points.map((point) => ({ ...point, workload: curve.workload, mode: curve.mode })));
  const done: CalibrationPoint[] = [];
  for (const job of jobs) {
    const result = await runPoint(kernel, {
      workload: job.workload,
      tasks: job.tasks,
      mode: job.mode,
      lenBytes: PASS_BYTES,
      warmupNs: passNs(job) / 2,
      durationNs: passNs(job) * PASSES,
      config: { cpus: job.tasks, sockets: Math.min(4, job.tasks), memoryBytes: 1024 * MIB, costs },
    });
    const simulated = result.simulated.iterations_per_s;
    done.push({ ...jobFields(job), measured: job.perSecond, simulated, error: simulated / job.perSecond - 1 });
    progress?.(done.length, jobs.length);
  }
  return done;
}

function jobFields(job: { workload: string; mode: Mode; tasks: number }): Pick<CalibrationPoint, "workload" | "mode" | "tasks"> {
  return { workload: job.workload, mode: job.mode, tasks: job.tasks };
}

/** Bytes each task maps: 48 tasks fit into the machine; will-it-scale's are 128 MiB. */
const PASS_BYTES = 8 * MIB;
/** Whole passes that are measured, so that the unmapping at the end of each weighs as it does in a long run. */
const PASSES = 4;

/** ns of a pass at the measured rate. */
function passNs(job: { tasks: number; perSecond: number }): number {
  return Math.round(((PASS_BYTES / 4096) * job.tasks * 1e9) / job.perSecond);
}
