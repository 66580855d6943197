/**
 * What a user asks of `faultline sites`, and the runs that it comes to.
 *
 * Interface: SiteText, SitePlan, SiteJob, sitePlan(text), siteCommand(job, extra), SITE_TEXT_DEFAULTS.
 * Invariants: [spl-1] siteCommand(job) read again is the same job.
 * Locks: none.
 * Why not in the command: the long run and the tests ask the same questions.
 */
import { crashFsByName, type CrashFs } from "../crash/filesystems.js";
import { CRASH_TEXT_DEFAULTS, fits } from "../crash/plan.js";
import type { CrashWorkload } from "../crash/steps.js";
import { crashWorkloadByName } from "../crash/workloads.js";
import { ParseError, parseWhole } from "../parse.js";
import { type Regime, parseRegimes, regimeName } from "../regimes.js";
import { SITE_FS } from "./filesystems.js";
import { type SiteKind, siteKindsOf } from "./kinds.js";
import { SITE_WORKLOADS } from "./workloads.js";

/** The options as text. */
export interface SiteText {
  workload: string;
  fs: string;
  regime: string;
  kind: string;
  seed: string;
  budget: string;
}

export const SITE_TEXT_DEFAULTS = { ...CRASH_TEXT_DEFAULTS, kind: "all" } as const;

/** One workload on one filesystem under one regime, one kind of failure. */
export interface SiteJob {
  workload: CrashWorkload;
  fs: CrashFs;
  regime: Regime;
  kind: SiteKind;
  seed: number;
}

export interface SitePlan {
  jobs: SiteJob[];
  budget: number;
}

/** The jobs that were asked for: each workload on each filesystem that has what it needs, with each kind. Throws ParseError. */
export function sitePlan(text: SiteText): SitePlan {
  const all = text.workload === "all";
  const workloads = all ? SITE_WORKLOADS : text.workload.split(",").map((name) => crashWorkloadByName(name.trim(), SITE_WORKLOADS));
  const filesystems = text.fs === "all" ? SITE_FS : text.fs.split(",").map((name) => crashFsByName(name.trim(), SITE_FS));
  const kinds = siteKindsOf(text.kind);
  const seed = parseWhole(text.seed, "seed", 0, Number.MAX_SAFE_INTEGER);
  const budget = parseWhole(text.budget, "budget", 1, 1_000_000_000);
  const jobs = parseRegimes(text.regime).flatMap((regime) =>
    filesystems.flatMap((fs) =>
      workloads
        .filter((workload) => fits(workload, fs))
        .flatMap((workload) => kinds.filter((kind) => has(fs, kind)).map((kind) => ({ workload, fs, regime, kind, seed }))),
    ),
  );
  if (jobs.length > 0) return { jobs, budget };
  const needs = [...(workloads[0]?.needs ?? []), ...kinds];
  throw new ParseError(`${text.workload} needs ${needs.join(", ")}, which ${text.fs} has not`);
}

/** A filesystem in memory has no disk, and ramfs no space to reserve. */
function has({ name }: CrashFs, kind: SiteKind): boolean {
  return name !== "ramfs" || kind.startsWith("oom");
}

/** The command line that does one job again; `extra` says which part of it. */
export function siteCommand({ workload, fs, regime, kind, seed }: SiteJob, extra: string): string {
  return `faultline sites ${workload.name} --fs ${fs.name} --regime ${regimeName(regime)} --kind ${kind} --seed ${seed} ${extra}`;
}
