/**
 * What a user asks of `faultline explore`, and the jobs that it comes to: one scenario in one cell each.
 *
 *   scenarios = "all" | scenario {"," scenario}     scenario = its name, or its id (S3: every scenario of that id)
 *
 * Interface: ExploreText, EXPLORE_DEFAULTS, ExploreJob, explorePlan, cellOf, jobName, replayCommand, shardOf.
 * Invariants:
 *   [xpl-1] a job is plain data, and all that its report follows from, the kernel apart.
 *   [xpl-2] the jobs of all shards i/N are the jobs of the whole, each once.
 * Locks: none.
 * Why not in the command: the long run, the mutants and the tests ask the same questions.
 */
import type { AnyScenario, Cell } from "../../scenarios/scenario.js";
import { SCENARIO_FS, SCENARIO_FS_NAMES, type ScenarioFs } from "../../scenarios/filesystems.js";
import { SCENARIOS, scenarioByName } from "../../scenarios/index.js";
import { ParseError, parseWhole } from "../parse.js";
import { type Regime, parseRegimes, regimeName } from "../regimes.js";
import { suggestion } from "../suggest.js";
import { UNBOUNDED } from "./dfs.js";
import { REDUCTIONS, type Reduction, STRATEGIES, type Strategy } from "./search.js";

/** The options as text. */
export interface ExploreText {
  scenario: string;
  regime: string;
  fs: string;
  strategy: string;
  budget: string;
  preemptions: string;
  seed: string;
  reduction: string;
}

export const EXPLORE_DEFAULTS = {
  regime: "linux-4.19+generic_page_mkwrite_nommapsem,linux-6.7+generic_page_mkwrite_nommapsem",
  fs: "cowfs",
  strategy: "dfs",
  budget: "20000",
  preemptions: "2",
  seed: "1",
  reduction: "none",
} as const;

export interface ExploreJob {
  scenario: string;
  regime: string;
  fs: string;
  strategy: Strategy;
  budget: number;
  preemptions: number;
  seed: number;
  /** Absent: none. */
  reduction?: Reduction;
  /** A slip that the kernel makes (assembly/lib/mutant.ts). */
  mutant?: string;
}

function scenariosOf(text: string): readonly AnyScenario[] {
  if (text === "all") return SCENARIOS;
  return text.split(",").flatMap((part) => {
    const name = part.trim();
    const found = SCENARIOS.filter((one) => one.name === name || one.id.toLowerCase() === name.toLowerCase());
    if (found.length > 0) return found;
    const names = SCENARIOS.flatMap(({ id, name: known }) => [id, known]);
    throw new ParseError(`scenario "${name}": not one of those that faultline explore --help lists.${suggestion(name, names)}`);
  });
}

/** The filesystem of that name. Throws ParseError. */
function fsByName(name: string, own: readonly ScenarioFs[]): ScenarioFs {
  const found = [...own, ...SCENARIO_FS].find((fs) => fs.name === name);
  if (found) return found;
  const names = [...own.map((fs) => fs.name), ...SCENARIO_FS_NAMES];
  throw new ParseError(`filesystem "${name}": expected one of ${names.join(", ")}, or all.${suggestion(name, names)}`);
}

function filesystemsOf(text: string, own: readonly ScenarioFs[]): readonly ScenarioFs[] {
  return text === "all" ? SCENARIO_FS : text.split(",").map((part) => fsByName(part.trim(), own));
}

function cell({ faultLock, mkwrite, bacikDefects }: Regime, fs: ScenarioFs): Cell {
  return { faultLock, mkwrite, fs, ...(bacikDefects === undefined ? {} : { bacikDefects }) };
}

/** The scenario and the cell that a job's names are of. `own`: filesystems of the user's. */
export function cellOf(
  job: Pick<ExploreJob, "scenario" | "regime" | "fs">,
  own: readonly ScenarioFs[] = [],
): { scenario: AnyScenario; cell: Cell } {
  const scenario = scenarioByName(job.scenario);
  const [regime] = parseRegimes(job.regime);
  if (!scenario || !regime) throw new ParseError(`no scenario "${job.scenario}"`);
  return { scenario, cell: cell(regime, fsByName(job.fs, own)) };
}

function reductionOf(text: string, strategy: Strategy, preemptions: number): { reduction?: Reduction } {
  const reduction = REDUCTIONS.find((one) => one === text);
  if (!reduction) throw new ParseError(`reduction "${text}": expected one of ${REDUCTIONS.join(", ")}`);
  if (reduction === "none") return {};
  if (strategy !== "dfs") throw new ParseError(`reduction "${text}" is for the strategy dfs`);
  if (reduction === "sleep" && preemptions < UNBOUNDED) {
    throw new ParseError('reduction "sleep" is sound without a bound only: add --preemptions all, or use states');
  }
  return { reduction };
}

/** The jobs that were asked for: every scenario in every cell to which it applies. Throws ParseError. */
export function explorePlan(text: ExploreText, own: readonly ScenarioFs[] = []): ExploreJob[] {
  const scenarios = scenariosOf(text.scenario);
  const filesystems = filesystemsOf(text.fs, own);
  const regimes = parseRegimes(text.regime);
  const strategy = STRATEGIES.find((one) => one === text.strategy);
  if (!strategy) throw new ParseError(`strategy "${text.strategy}": expected one of ${STRATEGIES.join(", ")}`);
  const preemptions = text.preemptions === "all" ? UNBOUNDED : parseWhole(text.preemptions, "preemptions", 0, UNBOUNDED);
  const options = {
    strategy,
    budget: parseWhole(text.budget, "budget", 1, 1_000_000_000),
    preemptions,
    seed: parseWhole(text.seed, "seed", 0, 0xffff_ffff),
    ...reductionOf(text.reduction, strategy, preemptions),
  };
  const jobs = scenarios.flatMap((scenario) =>
    filesystems.flatMap((fs) =>
      regimes
        .filter((regime) => scenario.applies(cell(regime, fs)))
        .map((regime) => ({ scenario: scenario.name, regime: regimeName(regime), fs: fs.name, ...options })),
    ),
  );
  if (jobs.length > 0) return jobs;
  throw new ParseError(`${text.scenario} applies to none of these regimes on ${text.fs}: see docs/scenarios.md for where it does`);
}

/** "i/N": every N-th job, from the i-th on; 1/1 is all. Throws ParseError. */
export function shardOf<T>(jobs: readonly T[], text: string): T[] {
  const [, i, n] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const [index, count] = [Number(i), Number(n)];
  if (!(index >= 1 && index <= count)) throw new ParseError(`shard "${text}": expected i/N, with i from 1 to N`);
  return jobs.filter((_, at) => at % count === index - 1);
}

/** What tells a job from every other. */
export function jobName(job: ExploreJob): string {
  const { scenario, regime, fs, strategy, budget, preemptions, seed, mutant, reduction } = job;
  return [scenario, regime, fs, strategy, budget, preemptions, seed, mutant ?? "healthy", reduction ?? "none"].join(" ");
}

/** The command line that runs one schedule of a job again. */
export function replayCommand({ scenario, regime, fs, mutant }: ExploreJob, script: string): string {
  const slip = mutant === undefined ? "" : ` --mutant ${mutant}`;
  return `faultline replay ${scenario} --regime ${regime} --fs ${fs}${slip} --schedule ${script}`;
}
