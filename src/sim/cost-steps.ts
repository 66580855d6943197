/**
 * What a regime's fault consists of, step by step: how much of its time each entry of the cost table is.
 *
 *     time(regime, entry) = mean fault with the table as it is - mean fault with that entry at 0
 *
 * On one CPU with one task nobody waits for anybody, so a fault's time is a sum over the entries it is charged, and what an entry
 * is in it falls out of two runs. The difference of two regimes says what the one does more.
 *
 * Interface: costStepJobs, costSteps, CostSteps, CostStep.
 * Invariants: [steps-1] nothing is counted by hand: every figure is the difference of two measured runs.
 *             [steps-2] what the entries explain and the difference measured are both given; the rest is what they do not explain.
 * Locks: none.
 * Why not a ledger in the kernel: it would be a write for each charge, on the path that is to be fast.
 */
import { type MkwriteRegime } from "../host/config.js";
import type { PointJob, PointOutcome } from "./outcome.js";
import type { RunResult } from "./result.js";
import type { RunDescription } from "./run.js";

export interface CostStep {
  /** Entry of the cost table. */
  cost: string;
  /** ns a fault, by regime in the order of CostSteps.regimes. */
  ns: number[];
}

export interface CostSteps {
  regimes: readonly MkwriteRegime[];
  /** Mean fault by regime, ns. */
  faultNs: number[];
  /** faults/s by regime. */
  faultsPerSecond: number[];
  /** Entries that differ between regimes by 4 ns at least, largest difference first. */
  steps: CostStep[];
}

const MIB = 1024 * 1024;
/** Less is how the rare events of a run fall: a batch of the page allocator, a timer. */
const STEP_NS = 4;

function description(fs: string, mkwrite: MkwriteRegime, costs: Readonly<Record<string, number>>): RunDescription {
  return {
    workload: "page_fault3",
    tasks: 1,
    mode: "threads",
    fs,
    lenBytes: MIB / 2,
    // The first pass takes the pages in; every pass after it is like the others.
    warmupNs: 2e6,
    durationNs: 4e6,
    config: { memoryBytes: 32 * MIB, mkwrite, costs },
  };
}

/** The runs: each regime with the table as it is, and with one entry of it at 0. */
export function costStepJobs(fs: string, regimes: readonly MkwriteRegime[], costs: readonly string[]): PointJob[] {
  return regimes.flatMap((mkwrite) => [
    { description: description(fs, mkwrite, {}) },
    ...costs.map((name): PointJob => ({ description: description(fs, mkwrite, { [name]: 0 }) })),
  ]);
}

/** What the outcomes of costStepJobs say. */
export function costSteps(regimes: readonly MkwriteRegime[], costs: readonly string[], outcomes: readonly PointOutcome[]): CostSteps {
  const each = costs.length + 1;
  const simulated = (regime: number, entry: number): RunResult["simulated"] => {
    const outcome = outcomes[regime * each + entry];
    if (!outcome) throw new Error("one outcome a regime and entry");
    return outcome.result.simulated;
  };
  const mean = (regime: number, entry: number): number => simulated(regime, entry).fault_ns.mean;
  const steps = costs
    .map((cost, i): CostStep => ({ cost, ns: regimes.map((_, r) => mean(r, 0) - mean(r, i + 1)) }))
    .filter(({ ns }) => Math.max(...ns) - Math.min(...ns) >= STEP_NS);
  const spread = ({ ns }: CostStep): number => Math.max(...ns) - Math.min(...ns);
  return {
    regimes,
    faultNs: regimes.map((_, r) => mean(r, 0)),
    faultsPerSecond: regimes.map((_, r) => simulated(r, 0).faults_per_s),
    steps: steps.sort((a, b) => spread(b) - spread(a)),
  };
}
