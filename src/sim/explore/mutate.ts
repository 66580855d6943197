/**
 * Looks for a run that tells a mutant of the kernel from the healthy one: scenario after scenario, cell after cell, and power failures.
 *
 *   round 1   its own scenarios (or its own crash workload), every cell           few schedules each
 *   round 2   its own scenarios again, the cells that differ most                 many
 *   round 3   all other scenarios, the cells that differ most                     few
 *   round 4   all other scenarios, every cell                                     few
 *
 * Interface: hunt(module, mutant, options), tryAttempt, attemptsOf, runMutantJob, Hunt, Kill, Attempt, Outcome, MutantJob.
 * Invariants:
 *   [mth-1] a hunt follows from the kernel, the mutant and the options alone.
 *   [mth-2] a kill is a law, an ending, a deadlock, a livelock, a leak or a guest's own check; what this code, or a scenario's, throws is
 *           reported as `harness` and is no kill.
 *   [mth-3] every attempt is one that the healthy kernel can be put through as well: same scenario, cell, seed and number of schedules.
 * Locks: none.
 * Why not depth-first: the first thousand schedules of a search differ in their last steps, and most slips show after one early switch.
 */
import { errorText } from "../../host/error-text.js";
import { SCENARIOS } from "../../scenarios/index.js";
import type { AnyScenario } from "../../scenarios/scenario.js";
import { exploreCrashes } from "../crash/explore.js";
import { type CrashJob, crashCommand, crashPlan } from "../crash/plan.js";
import { CRASH_WORKLOAD_NAMES } from "../crash/workloads.js";
import { ExploreMachine, type ScheduleResult, SetupError, verdictOf } from "./machine.js";
import { type Mutant, mutantByName } from "./mutants.js";
import { cellOf, replayCommand } from "./plan.js";
import type { Schedule } from "./schedule.js";
import { searchCell } from "./search.js";

export interface HuntOptions {
  /** Schedules, and states of a disk, of one mutant at most. */
  budget: number;
  seed: number;
}

/** A scenario in a cell, or a crash workload on a filesystem, with so many schedules or states. */
export interface Attempt {
  what: "scenario" | "crash";
  name: string;
  fs: string;
  regime: string;
  budget: number;
}

export interface Kill {
  attempt: Attempt;
  /** Schedules run until then, over all attempts; of a crash: states of the disk. */
  after: number;
  /** law, ending, deadlock, livelock, leak, guest; crash: a disk that breaks a promise. */
  kind: string;
  text: string;
  /** The shortest schedule, or the state of the disk. "setup": before the first. */
  shrunk: string;
  preemptions: number;
  /** The command that shows it again; empty for a setup. */
  again: string;
}

export interface Hunt {
  mutant: string;
  kill?: Kill;
  /** Whether the slip was made in any run. */
  reached: boolean;
  spent: number;
  /** What was tried, with the largest budget of each. */
  attempts: Attempt[];
  /** What was thrown that is no verdict about the kernel. */
  harness: string[];
  seconds: number;
}

/** The regimes, those first that differ most. */
const REGIMES = [
  "linux-5.1+generic_page_mkwrite_nommapsem",
  "linux-6.7+completed",
  "linux-6.7+kara",
  "linux-4.19+generic_page_mkwrite",
  "linux-6.7+generic_page_mkwrite_nommapsem",
  "linux-5.1+completed",
  "linux-5.1+kara",
  "linux-6.7+generic_page_mkwrite",
  "linux-4.19+generic_page_mkwrite_nommapsem",
  "linux-4.19+completed",
  "linux-4.19+kara",
  "linux-5.1+generic_page_mkwrite",
];
const MAIN_REGIMES = 5;
const FILESYSTEMS = ["cowfs", "cowfs-1024", "jbdfs-1024", "ramfs", "iomapfs-1024", "pagestore", "jbdfs", "iomapfs"];
const MAIN_FILESYSTEMS = 4;
/** Schedules of one attempt, by round. */
const FEW = 60;
const MANY = 400;
const CRASH_STATES = 600;
const CRASH_REGIME = "linux-6.7+generic_page_mkwrite_nommapsem";

function cells(regimes: readonly string[], filesystems: readonly string[]): { fs: string; regime: string }[] {
  return regimes.flatMap((regime) => filesystems.map((fs) => ({ fs, regime })));
}

function scenarioAttempts(scenarios: readonly AnyScenario[], where: ReturnType<typeof cells>, budget: number): Attempt[] {
  return where.flatMap(({ fs, regime }) =>
    scenarios
      .filter(({ name, applies }) => applies(cellOf({ scenario: name, regime, fs }).cell))
      .map(({ name }): Attempt => ({ what: "scenario", name, fs, regime, budget })),
  );
}

/** The job of `faultline crash` that an attempt is. */
function crashJobs(workload: string, fs: string, seed: number): CrashJob[] {
  return crashPlan({ workload, fs, regime: CRASH_REGIME, seed: String(seed), budget: String(CRASH_STATES) }).jobs;
}

function crashAttempts(workload: string): Attempt[] {
  if (!CRASH_WORKLOAD_NAMES.includes(workload)) return [];
  return crashJobs(workload, "all", 1).map(({ fs }): Attempt => ({
    what: "crash",
    name: workload,
    fs: fs.name,
    regime: CRASH_REGIME,
    budget: CRASH_STATES,
  }));
}

/** Everything that is tried with a mutant, in order. */
function* attemptsFor({ killer }: Mutant): Generator<Attempt> {
  const own = SCENARIOS.filter(({ id, name }) => id === killer || name === killer);
  const others = SCENARIOS.filter((scenario) => !own.includes(scenario));
  const all = cells(REGIMES, FILESYSTEMS);
  const main = cells(REGIMES.slice(0, MAIN_REGIMES), FILESYSTEMS.slice(0, MAIN_FILESYSTEMS));
  yield* crashAttempts(killer);
  yield* scenarioAttempts(own, all, FEW);
  yield* scenarioAttempts(own, main, MANY);
  yield* scenarioAttempts(others, main, FEW);
  yield* scenarioAttempts(others, all, FEW);
}

export function attemptKey({ what, name, fs, regime }: Attempt): string {
  return `${what} ${name} ${fs} ${regime}`;
}

/** An ExploreMachine that notes whether the slip was made: a restore takes the kernel's own note away. */
class MutantMachine extends ExploreMachine {
  reached = false;

  override run(schedule: Schedule): ScheduleResult {
    const result = super.run(schedule);
    this.note();
    return result;
  }

  note(): void {
    this.reached ||= this.machine.kernel.mutantReached() !== 0;
  }
}

/** What one attempt came to. */
export interface Outcome {
  spent: number;
  reached: boolean;
  kill?: Omit<Kill, "attempt" | "after">;
  harness?: string;
}

/** A setup that fails is a verdict: the healthy kernel gets through it. */
function setupVerdict(error: unknown): Outcome {
  const problem = error instanceof SetupError ? error.problem : verdictOf(error);
  if (!problem) return { spent: 1, reached: true, harness: errorText(error) };
  return { spent: 1, reached: true, kill: { ...problem, shrunk: "setup", preemptions: 0, again: "" } };
}

function tryScenario(module: WebAssembly.Module, attempt: Attempt, budget: number, seed: number, mutant: string): Outcome {
  const job = { scenario: attempt.name, regime: attempt.regime, fs: attempt.fs };
  const { scenario, cell } = cellOf(job);
  let machine: MutantMachine;
  try {
    machine = new MutantMachine(module, scenario, cell, mutant === "" ? {} : { mutant });
    machine.note();
  } catch (error) {
    return setupVerdict(error);
  }
  const search = { strategy: "random", budget, preemptions: 2, seed } as const;
  const report = searchCell(machine, search);
  const outcome: Outcome = { spent: report.schedules, reached: machine.reached };
  const { failure } = report;
  if (!failure || failure.kind === "no-mark" || failure.kind === "no-defect") return outcome;
  const { kind, text, shrunk, preemptions, found } = failure;
  const again = replayCommand({ ...job, ...search, ...(mutant === "" ? {} : { mutant }) }, shrunk);
  return { ...outcome, spent: found, kill: { kind, text, shrunk, preemptions, again } };
}

function tryCrash(module: WebAssembly.Module, attempt: Attempt, budget: number, seed: number, mutant: string): Outcome {
  const [planned] = crashJobs(attempt.name, attempt.fs, seed);
  if (!planned) throw new Error(`no crash workload ${attemptKey(attempt)}`);
  const job = mutant === "" ? planned : { ...planned, mutant };
  try {
    const report = exploreCrashes({ module, ...job }, { budget });
    const [first] = report.failures;
    if (!first) return { spent: report.states, reached: true };
    const text = `${first.problems[0] ?? ""} (${first.during})`;
    const again = crashCommand(job, `--at ${first.state}`);
    return { spent: report.states, reached: true, kill: { kind: "crash", text, shrunk: first.state, preemptions: 0, again } };
  } catch (error) {
    return setupVerdict(error);
  }
}

/** One attempt, with a mutant or (empty name) the healthy kernel. */
export function tryAttempt(module: WebAssembly.Module, attempt: Attempt, options: HuntOptions, mutant: string): Outcome {
  const budget = Math.min(attempt.budget, options.budget);
  try {
    const one = attempt.what === "crash" ? tryCrash : tryScenario;
    return one(module, attempt, budget, options.seed, mutant);
  } catch (error) {
    return { spent: 1, reached: true, harness: `${attemptKey(attempt)}: ${errorText(error)}` };
  }
}

/** Tries until the mutant is killed or the budget is spent. */
export function hunt(module: WebAssembly.Module, mutant: Mutant, options: HuntOptions): Hunt {
  const startMs = performance.now();
  const result: Hunt = { mutant: mutant.name, reached: false, spent: 0, attempts: [], harness: [], seconds: 0 };
  const tried = new Map<string, Attempt>();
  for (const attempt of attemptsFor(mutant)) {
    const left = options.budget - result.spent;
    if (left <= 0) break;
    const outcome = tryAttempt(module, attempt, { ...options, budget: left }, mutant.name);
    const known = tried.get(attemptKey(attempt));
    if (!known || known.budget < attempt.budget) tried.set(attemptKey(attempt), attempt);
    result.spent += outcome.spent;
    result.reached ||= outcome.reached;
    if (outcome.harness !== undefined) result.harness.push(outcome.harness);
    // What the healthy kernel fails as well says nothing of the mutant; the healthy kernel's own part will tell it.
    if (!outcome.kill || tryAttempt(module, attempt, options, "").kill) continue;
    result.kill = { attempt, after: result.spent, ...outcome.kill };
    break;
  }
  result.attempts = [...tried.values()];
  result.seconds = (performance.now() - startMs) / 1000;
  return result;
}

/** What a worker does: the hunt for a mutant, or an attempt with the healthy kernel. */
export type MutantJob = ({ mutant: string } | { attempt: Attempt }) & HuntOptions;
export type MutantJobResult = { hunt: Hunt } | { attempt: Attempt; outcome: Outcome };

export function runMutantJob(module: WebAssembly.Module, job: MutantJob): MutantJobResult {
  if ("mutant" in job) return { hunt: hunt(module, mutantByName(job.mutant), job) };
  return { attempt: job.attempt, outcome: tryAttempt(module, job.attempt, job, "") };
}

/** Every attempt of the hunts once, with the largest budget that any of them had. */
export function attemptsOf(hunts: readonly Hunt[]): Attempt[] {
  const all = new Map<string, Attempt>();
  for (const attempt of hunts.flatMap(({ attempts }) => attempts)) {
    const key = attemptKey(attempt);
    if ((all.get(key)?.budget ?? 0) < attempt.budget) all.set(key, attempt);
  }
  return [...all.values()];
}
