/**
 * What a user asks of `faultline crash`, and the runs that it comes to.
 *
 * Interface: CrashText, CrashPlan, CrashJob, crashPlan(text), crashCommand(job, extra), PLANTED.
 * Invariants: [cpl-1] crashCommand(job) read again is the same job.
 * Locks: none.
 * Why not in the command: the long run and the tests ask the same questions.
 */
import type { DiskFaults } from "../../host/disk.js";
import { ParseError, parseWhole } from "../parse.js";
import { type Regime, parseRegimes, regimeName } from "../regimes.js";
import { suggestion } from "../suggest.js";
import { CRASH_FS, type CrashFs, crashFsByName } from "./filesystems.js";
import type { CrashWorkload } from "./steps.js";
import { CRASH_WORKLOADS, crashWorkloadByName } from "./workloads.js";

/** The options as text. */
export interface CrashText {
  workload: string;
  fs: string;
  regime: string;
  seed: string;
  budget: string;
  fault?: string;
  mutant?: string;
}

export const CRASH_TEXT_DEFAULTS = {
  fs: "cowfs,iomapfs,jbdfs",
  regime: "linux-6.7+generic_page_mkwrite_nommapsem",
  seed: "1",
  budget: "1000",
} as const;

/** One workload on one filesystem under one regime. */
export interface CrashJob {
  workload: CrashWorkload;
  fs: CrashFs;
  regime: Regime;
  seed: number;
  /** A fault planted to see it found, as the user named it. */
  fault?: string;
  faults?: DiskFaults;
  /** A slip of the kernel (assembly/lib/mutant.ts). */
  mutant?: string;
}

export interface CrashPlan {
  jobs: CrashJob[];
  budget: number;
}

/**
 * Disks that lie: the n-th flush, or every one, does nothing; the n-th write, or the first, waits for a flush although it is FUA (which
 * nobody notices of a write that was none).
 */
export const PLANTED: Readonly<Record<string, (n: number | undefined) => DiskFaults>> = {
  "lost-flush": (n) => ({ loseFlushNth: n ?? 1, loseFlushes: n === undefined ? 1_000_000 : 1 }),
  "lost-write": (n) => ({ tornNth: n ?? 1, tornSectors: 0 }),
};

function plantedOf(text: string): DiskFaults {
  const [name = "", nth, ...rest] = text.split(":");
  const fault = PLANTED[name];
  if (!fault || rest.length > 0) {
    const names = Object.keys(PLANTED);
    throw new ParseError(`fault "${text}": expected ${names.join(" or ")}, and :n for the n-th.${suggestion(name, names)}`);
  }
  return fault(nth === undefined ? undefined : parseWhole(nth, "fault", 1, 1_000_000));
}

/** The jobs that were asked for: each workload on each filesystem that has what it needs. Throws ParseError. */
export function crashPlan(text: CrashText): CrashPlan {
  const workloads = text.workload === "all" ? CRASH_WORKLOADS : text.workload.split(",").map((name) => crashWorkloadByName(name.trim()));
  const filesystems = text.fs === "all" ? CRASH_FS : text.fs.split(",").map((name) => crashFsByName(name.trim()));
  const regimes = parseRegimes(text.regime);
  const seed = parseWhole(text.seed, "seed", 0, Number.MAX_SAFE_INTEGER);
  const budget = parseWhole(text.budget, "budget", 1, 1_000_000_000);
  const slip = text.mutant === undefined ? {} : { mutant: text.mutant };
  const planted = text.fault === undefined ? slip : { ...slip, fault: text.fault, faults: plantedOf(text.fault) };
  const jobs = regimes.flatMap((regime) =>
    filesystems.flatMap((fs) =>
      workloads.filter((workload) => fits(workload, fs)).map((workload) => ({ workload, fs, regime, seed, ...planted })),
    ),
  );
  if (jobs.length === 0) throw new ParseError(`${text.workload} needs ${workloads[0]?.needs?.join(", ") ?? ""}, which ${text.fs} has not`);
  return { jobs, budget };
}

export function fits(workload: CrashWorkload, fs: CrashFs): boolean {
  return (workload.needs ?? []).every((need) => fs.has.includes(need));
}

/** The command line that does one job again; `extra` says which part of it. */
export function crashCommand({ workload, fs, regime, seed, fault, mutant }: CrashJob, extra: string): string {
  const slip = mutant === undefined ? "" : ` --mutant ${mutant}`;
  const planted = `${fault === undefined ? "" : ` --fault ${fault}`}${slip}`;
  return `faultline crash ${workload.name} --fs ${fs.name} --regime ${regimeName(regime)} --seed ${seed}${planted} ${extra}`;
}
