/**
 * Explores the crashes of a workload: every point of one run, the subsets and tearings of what was not flushed at each, each image
 * looked at once, and what it shows compared with what the oracle allows at that point.
 *
 * Interface: exploreCrashes, CrashReport, CrashFailure, replayState, stateName.
 * Invariants: [cex-1] a report follows from the CrashRun and the budget alone, but for its time.
 * Locks: none.
 * Why not the machine itself at each point: the oracle needs no machine, and equal images need one look.
 */
import type { CrashOracle } from "./oracle.js";
import { Examiner, type Sight } from "./examine.js";
import type { CrashRun } from "./machine.js";
import { type CrashPoint, type Recording, oracleAt, recordRun } from "./record.js";
import type { Shown } from "./shown.js";
import { type Mask, PointStates, keyOf, maskOfKey, quotaOf } from "./states.js";
import { describeStep } from "./steps.js";

export interface CrashFailure {
  /** "12:0b": the point, and the loose sectors that were on the disk. */
  state: string;
  /** What was under way. */
  during: string;
  problems: string[];
}

export interface CrashReport {
  workload: string;
  fs: string;
  points: number;
  /** Points of which every state was looked at. */
  exhaustive: number;
  /** Pairs of a point and a subset; images that differ; states that failed. */
  states: number;
  images: number;
  failed: number;
  /** The first of them, one for each kind of problem and point. */
  failures: CrashFailure[];
  seconds: number;
}

export interface ExploreOptions {
  /** States to look at, at most (a point has one at least). */
  budget: number;
  /** Called now and then with the states looked at, and how many there will be. */
  progress?: (done: number, total: number) => void;
}

const KEPT_FAILURES = 5;

/** Text that two sights share exactly when they show the same. */
function sightKey({ problem, shown }: Sight): string {
  const text = [problem];
  for (const [path, node] of shown) {
    let [a, b] = [0x811c9dc5, node.content.length];
    for (const byte of node.content) {
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b ^ byte, 0x85ebca6b) + (a >>> 7);
    }
    text.push([path, node.kind, node.ino, node.nlink, node.target, node.content.length, a >>> 0, b >>> 0].join(" "));
  }
  return text.join("\n");
}

class Explorer {
  private readonly examiner: Examiner;
  /** What each image showed, and each distinct sight once. */
  private readonly sightOf = new Map<string, number>();
  private readonly sights: Sight[] = [];
  private readonly known = new Map<string, number>();
  private readonly oracles = new Map<string, CrashOracle>();
  private readonly verdicts = new Map<string, string[]>();

  constructor(private readonly recording: Recording) {
    this.examiner = new Examiner(recording.run);
  }

  get images(): number {
    return this.sightOf.size;
  }

  /** What is wrong with a state; empty: nothing. */
  problems(states: PointStates, mask: Mask): string[] {
    const hash = states.hashOf(mask).join(" ");
    let sight = this.sightOf.get(hash);
    if (sight === undefined) {
      sight = this.number(
        this.examiner.look((disk) => {
          states.write(mask, disk);
        }),
      );
      this.sightOf.set(hash, sight);
    }
    const { begun, returned } = states.point;
    const key = `${sight} ${begun} ${returned}`;
    const verdict = this.verdicts.get(key) ?? this.verdict(this.sights[sight], begun, returned);
    this.verdicts.set(key, verdict);
    return verdict;
  }

  private number(sight: Sight): number {
    const key = sightKey(sight);
    const number = this.known.get(key) ?? this.sights.push(sight) - 1;
    this.known.set(key, number);
    return number;
  }

  private verdict(sight: Sight | undefined, begun: number, returned: number): string[] {
    if (!sight) throw new Error("no such sight");
    if (sight.problem !== "") return [sight.problem];
    const key = `${begun} ${returned}`;
    const oracle = this.oracles.get(key) ?? oracleAt(this.recording.run, begun, returned);
    this.oracles.set(key, oracle);
    return oracle.differences(sight.shown);
  }

  shownAt(states: PointStates, mask: Mask): Shown {
    const sight = this.sightOf.get(states.hashOf(mask).join(" "));
    return this.sights[sight ?? -1]?.shown ?? (new Map() as Shown);
  }
}

export function stateName(point: CrashPoint, mask: Mask): string {
  return `${point.index}:${keyOf(mask)}`;
}

/** The step that a point is in, in words. */
function duringOf({ workload }: CrashRun, { begun, returned, timeNs }: CrashPoint): string {
  const step = workload.steps[begun - 1];
  if (!step) return `before the first step, at ${timeNs} ns`;
  const text = `step ${begun - 1} (${describeStep(step)})`;
  return `${begun > returned ? `during ${text}` : `after ${text}`}, at ${timeNs} ns`;
}

/** Explores the crashes of a workload on a filesystem. */
export function exploreCrashes(run: CrashRun, options: ExploreOptions): CrashReport {
  const startMs = performance.now();
  const recording = recordRun(run);
  const explorer = new Explorer(recording);
  const all = recording.points.map((point) => new PointStates(point));
  const quota = quotaOf(
    all.map(({ count }) => count),
    options.budget,
  );
  const total = all.reduce((sum, { count }) => sum + Math.min(count, quota), 0);
  const report: CrashReport = {
    workload: run.workload.name,
    fs: run.fs.name,
    points: all.length,
    exhaustive: all.filter(({ count }) => count <= quota).length,
    states: 0,
    images: 0,
    failed: 0,
    failures: [],
    seconds: 0,
  };
  for (const states of all) {
    let failedHere = false;
    for (const mask of states.states(quota, run.seed)) {
      report.states++;
      const problems = explorer.problems(states, mask);
      if (problems.length > 0) {
        report.failed++;
        if (!failedHere && report.failures.length < KEPT_FAILURES) {
          report.failures.push({ state: stateName(states.point, mask), during: duringOf(run, states.point), problems });
        }
        failedHere = true;
      }
      if (report.states % 64 === 0) options.progress?.(report.states, total);
    }
  }
  report.images = explorer.images;
  report.seconds = (performance.now() - startMs) / 1000;
  return report;
}

export interface ReplayedState {
  state: string;
  during: string;
  /** Bits of the mask, and those of them that are on the disk. */
  looseSectors: number;
  keptSectors: number;
  problems: string[];
  shown: Shown;
}

/** Looks at one state again. Throws RangeError for a state that the run does not have. */
export function replayState(run: CrashRun, state: string): ReplayedState {
  const [, index, key] = /^(\d+):([0-9a-f]+)$/.exec(state) ?? [];
  if (index === undefined || key === undefined) throw new RangeError(`crash state "${state}": expected a point and its sectors, as 12:0b`);
  const recording = recordRun(run);
  const point = recording.points[Number(index)];
  if (!point) throw new RangeError(`crash state "${state}": the run has points 0 to ${recording.points.length - 1}`);
  const states = new PointStates(point);
  const mask = maskOfKey(key, states.bits);
  const explorer = new Explorer(recording);
  const problems = explorer.problems(states, mask);
  const keptSectors = mask.reduce((sum, bit) => sum + bit, 0);
  const shown = explorer.shownAt(states, mask);
  return { state: stateName(point, mask), during: duringOf(run, point), looseSectors: states.bits, keptSectors, problems, shown };
}
