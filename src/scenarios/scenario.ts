/**
 * What a scenario is: a few tasks that race on one machine, every ending that is right, and a mark that proves the race was entered.
 *
 *   setup (default order) -> [tasks, each on a CPU of its own, in an order that the explorer chooses] -> after (default order) -> ending
 *
 * Interface: Scenario, Racer, thread, process, Tids, Cell, Ending, Defect, defineScenario, AnyScenario.
 * Invariants:
 *   [scn-1] setup, tasks and after are functions of the cell and of the results of their operations alone: no clocks, no Math.random, no
 *           variables outside `shared`, and `shared` is written in setup only. The explorer starts the tasks afresh for every schedule.
 *   [scn-2] the ending is a line of text; `allowed` lists each line that is right for the cell. What is not in the list is a failure.
 *   [scn-3] `mark` says whether this schedule has entered the window that the scenario is about. A scenario of which no schedule of a
 *           cell has entered its window fails in that cell.
 *   [scn-4] `defect` names what is known to be wrong in a cell, and how that shows. There at least one schedule must end so, and none
 *           may end in another way that is not allowed; in every other cell such an ending is a failure as any other.
 * Locks: none.
 * Why not expectations inside the tasks: a task sees one order; the list of endings is the statement about all of them.
 */
import type { Call } from "../guest/sys.js";
import type { FaultLockRegime, MachineConfig, MkwriteRegime } from "../host/config.js";
import type { ScenarioFs } from "./filesystems.js";

/** Where a scenario is run. */
export interface Cell {
  faultLock: FaultLockRegime;
  mkwrite: MkwriteRegime;
  /** bacik-v3 only: bit n-1 for Dn. Absent: as posted. */
  bacikDefects?: number;
  fs: ScenarioFs;
}

/** The task ids of all that race, by name: for signals and for other processes' memory. A thread's process is setup's. */
export type Tids = Readonly<Record<string, number>>;

/** One of the tasks that race: a thread of the process that ran setup, or a child of it with its own address space. */
export interface Racer<S, O> {
  kind: "thread" | "process";
  run: (shared: S, cell: Cell, tids: Tids) => Call<O>;
}

export function thread<S, O>(run: Racer<S, O>["run"]): Racer<S, O> {
  return { kind: "thread", run };
}

export function process<S, O>(run: Racer<S, O>["run"]): Racer<S, O> {
  return { kind: "process", run };
}

/** How one schedule has ended. */
export interface Ending<S, O, A> {
  cell: Cell;
  shared: S;
  /** What each task returned; absent: it was killed. */
  outcomes: Partial<O>;
  /** What `after` returned; undefined when there is none, or its process was killed. */
  after: A | undefined;
  /** How far a counter (Machine.stats) or tracepoint has moved since the race began, `after` left out. */
  moved: (name: string) => number;
}

/** Something known to be wrong in a cell. */
export interface Defect {
  /** Of SCENARIOS.md: "D5", "S35". */
  id: string;
  /** Endings that it brings about. */
  endings?: readonly string[];
  /** Parts of the texts of the laws that it breaks: the kernel stops. */
  panics?: readonly string[];
}

export interface Scenario<S, O extends Record<string, unknown>, A> {
  /** Of SCENARIOS.md: "S6", "R3". */
  id: string;
  /** Kebab-case: what a user types after `faultline explore`. */
  name: string;
  /** One sentence: the race, and what must come of it. */
  title: string;
  /** Whether it means anything there. */
  applies: (cell: Cell) => boolean;
  /** Of the machine, beside what cell and filesystem say. CPUs are set by the explorer. */
  config?: Partial<MachineConfig>;
  setup: (cell: Cell) => Call<S>;
  tasks: { [K in keyof O]: Racer<S, O[K]> };
  /** Looks at what is left, as the process that ran setup, when every task has ended. */
  after?: (shared: S, cell: Cell) => Call<A>;
  ending: (end: Ending<S, O, A>) => string;
  allowed: (cell: Cell) => readonly string[];
  /** Undefined: nothing is known to be wrong there. */
  defect?: (cell: Cell) => Defect | undefined;
  mark: (end: Ending<S, O, A>) => boolean;
}

/** A scenario whose types only its own file knows. */
export type AnyScenario = Scenario<unknown, Record<string, unknown>, unknown>;

/** Checks the types of a scenario against each other, and forgets them. */
export function defineScenario<S, O extends Record<string, unknown>, A = undefined>(scenario: Scenario<S, O, A>): AnyScenario {
  return scenario as unknown as AnyScenario;
}
