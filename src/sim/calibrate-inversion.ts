/**
 * The inversion beside the measured one: who blocks, who does not, and for how long; and the same with the helper.
 *
 * Interface: INVERSION_MEASURED, INVERSION_PROGRESS, calibrateInversion, InversionPoint, InversionTimes.
 * Invariants: [cal-1] rows are the measurement's, in its order; nothing is fitted: the stall's length and the actors' times are
 *             the measurement's own, everything else falls out of the locks.
 * Locks: none.
 * Why not a tolerance here: the table shows both figures, and a test says how near is near enough.
 */
import { type KernelImage, runPoint } from "./run.js";
import type { MkwriteRegime } from "../host/config.js";

/** Waits of one run, ms. */
export interface InversionTimes {
  op: number;
  cmdlineRead: number;
  otherThreadAnonFault: number;
}

interface InversionRow {
  faultFrom: "user_store" | "kernel_access";
  op: string;
  measured: InversionTimes;
}

/** Measured under Linux 6.18 (per-VMA locks, a filesystem frozen for 1.5 s) on two CPUs, in steps of 50 ms; 0.01: not blocked. */
export const INVERSION_MEASURED: readonly InversionRow[] = [
  row("user_store", "none", 0, 0),
  row("user_store", "mmap_elsewhere", 0, 0),
  row("user_store", "mprotect_same_vma", 1300, 1100),
  row("user_store", "munmap_same_vma", 1300, 1100),
  row("user_store", "fork", 1300, 1100),
  row("kernel_access", "none", 0, 0),
  row("kernel_access", "mmap_elsewhere", 1300, 1100),
  row("kernel_access", "mprotect_same_vma", 1300, 1100),
  row("kernel_access", "fork", 1300, 1100),
];

function row(faultFrom: InversionRow["faultFrom"], op: string, opMs: number, cmdlineMs: number): InversionRow {
  return { faultFrom, op, measured: { op: opMs, cmdlineRead: cmdlineMs, otherThreadAnonFault: 0.01 } };
}

export interface InversionPoint extends InversionRow {
  /** Under linux-6.7+generic_page_mkwrite: what was measured. */
  simulated: InversionTimes;
  /** Under linux-6.7+generic_page_mkwrite_nommapsem. */
  helper: InversionTimes;
}

const REGIMES: readonly MkwriteRegime[] = ["generic_page_mkwrite", "generic_page_mkwrite_nommapsem"];

/** Runs of a calibration. */
export const INVERSION_PROGRESS = INVERSION_MEASURED.length * REGIMES.length;

async function timesOf(kernel: KernelImage, of: InversionRow, mkwrite: MkwriteRegime, stall: string): Promise<InversionTimes> {
  const { simulated } = await runPoint(kernel, {
    workload: "inversion",
    tasks: 1,
    mode: "threads",
    fs: "cowfs",
    set: [`fault_from=${of.faultFrom}`, `op=${of.op}`, `stall=${stall}`],
    config: { faultLock: "linux-6.7", mkwrite },
  });
  const ms = (name: string): number => (simulated.recorded[name]?.max ?? Number.NaN) / 1e6;
  return {
    op: ms("op_blocked_ns"),
    cmdlineRead: ms("cmdline_read_blocked_ns"),
    otherThreadAnonFault: ms("other_thread_anon_fault_ns"),
  };
}

/** Every row, with and without the helper. `progress` hears of each run. */
export async function calibrateInversion(
  kernel: KernelImage,
  stall = "frozen",
  progress?: (done: number, total: number) => void,
): Promise<InversionPoint[]> {
  const points: InversionPoint[] = [];
  let done = 0;
  for (const of of INVERSION_MEASURED) {
    const times: InversionTimes[] = [];
    for (const mkwrite of REGIMES) {
      times.push(await timesOf(kernel, of, mkwrite, stall));
      progress?.(++done, INVERSION_PROGRESS);
    }
    const [simulated, helper] = times as [InversionTimes, InversionTimes];
    points.push({ ...of, simulated, helper });
  }
  return points;
}
