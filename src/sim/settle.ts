/**
 * The comparison that settles the argument: what it costs to drop mmap_sem across ->page_mkwrite, what it gains, and whom it rescues.
 *
 *     cost        page_fault3, one thread, no slow path             generic_page_mkwrite against the helper and `completed`
 *     steps       the same faults, entry by entry of the cost table
 *     gain        btrfs-tail: threads, a writer, a victim           every rival under linux-4.19, and per-VMA locks for comparison
 *     inversion   a store that is stuck for 1.5 s                   linux-6.7 with and without the helper, in nine cases
 *
 * Interface: SETTLE_SEEDS, settlePlan, settleJobs, settleResult, SettlePlan, SettleResult, SETTLE_SCHEMA, MKWRITES_OF_STEPS.
 * Invariants: [set-1] every part is a comparison that `faultline compare` makes from the command line that is printed with it.
 * Locks: none.
 * Why not one comparison: cost, gain and rescue are shown by workloads that have nothing of one another.
 */
import type { MkwriteRegime } from "../host/config.js";
import { type CompareDescription, type CompareResult, compareJobs, compareResult } from "./compare.js";
import { type CostSteps, costStepJobs, costSteps } from "./cost-steps.js";
import { COMPARE_TEXT_DEFAULTS, type CompareText, commandOfCompare, compareOfText } from "./describe-compare.js";
import type { PointJob, PointOutcome } from "./outcome.js";
import { VERSION } from "./run.js";

export const SETTLE_SCHEMA = "faultline.settle/1";

const FS = "cowfs";
export const MKWRITES_OF_STEPS: readonly MkwriteRegime[] = ["generic_page_mkwrite", "generic_page_mkwrite_nommapsem", "completed"];

const TEXTS = {
  cost: {
    workload: "page_fault3",
    fs: FS,
    regime: MKWRITES_OF_STEPS.map((mkwrite) => `linux-4.19+${mkwrite}`).join(","),
    tasks: "1",
    duration: "10ms",
  },
  gain: {
    workload: "btrfs-tail",
    fs: FS,
    regime: "linux-4.19+*,linux-6.7+generic_page_mkwrite,linux-6.7+generic_page_mkwrite_nommapsem",
    tasks: "4",
    duration: "200ms",
  },
  inversion: {
    workload: "inversion",
    fs: FS,
    regime: "linux-6.7+generic_page_mkwrite,linux-6.7+generic_page_mkwrite_nommapsem",
    tasks: "1",
    seeds: "1",
  },
} as const satisfies Record<string, Partial<CompareText>>;

export type SettlePart = keyof typeof TEXTS;
export const SETTLE_PARTS = Object.keys(TEXTS) as SettlePart[];

export interface SettlePlan {
  parts: Record<SettlePart, CompareDescription>;
  /** Entries of the cost table. */
  costs: readonly string[];
}

/** Seeds of the parts that have several, unless the user says so: what two cores run in half a minute. */
export const SETTLE_SEEDS = "3";

export function settlePlan(costs: readonly string[], seeds: string = SETTLE_SEEDS): SettlePlan {
  const described = (part: SettlePart): CompareDescription => {
    const text: CompareText = { ...COMPARE_TEXT_DEFAULTS, seeds, ...TEXTS[part] };
    return compareOfText(text, commandOfCompare(text));
  };
  return { parts: { cost: described("cost"), gain: described("gain"), inversion: described("inversion") }, costs };
}

/** All runs, the longest first, so that the workers end together. */
export function settleJobs({ parts, costs }: SettlePlan): PointJob[] {
  return [
    ...compareJobs(parts.gain),
    ...compareJobs(parts.inversion),
    ...compareJobs(parts.cost),
    ...costStepJobs(FS, MKWRITES_OF_STEPS, costs),
  ];
}

export interface SettleResult {
  schema: typeof SETTLE_SCHEMA;
  version: string;
  cost: CompareResult;
  steps: CostSteps;
  gain: CompareResult;
  inversion: CompareResult;
}

/** What the outcomes of settleJobs say. */
export function settleResult({ parts, costs }: SettlePlan, outcomes: readonly PointOutcome[]): SettleResult {
  let at = 0;
  const take = (jobs: readonly PointJob[]): readonly PointOutcome[] => outcomes.slice(at, (at += jobs.length));
  const gain = compareResult(parts.gain, take(compareJobs(parts.gain)));
  const inversion = compareResult(parts.inversion, take(compareJobs(parts.inversion)));
  const cost = compareResult(parts.cost, take(compareJobs(parts.cost)));
  return { schema: SETTLE_SCHEMA, version: VERSION, cost, steps: costSteps(MKWRITES_OF_STEPS, costs, outcomes.slice(at)), gain, inversion };
}
