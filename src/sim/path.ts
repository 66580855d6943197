/**
 * Proof that a regime's path was taken: a run in which the helper was asked for and never used is no measurement of it.
 *
 * Interface: PathTaken, pathTaken, pathProblem.
 * Invariants:
 *   [path-1] "taken" is said from counters of the measured time, never from the configuration.
 *   [path-2] "no helper" is said only of a filesystem whose row says that it does not opt in: one that lost its line is "not taken".
 * Locks: none.
 * Why not an assert in the kernel: a machine may rightly have no shared writable mapping; a comparison of helpers may not.
 */
import { FILESYSTEM_TABLE } from "./filesystems.js";
import type { RunResult } from "./result.js";
import { regimeName, regimeOf, usesHelper } from "./regimes.js";

/**
 * not asked: page_mkwrite runs under the lock. no helper: so it does on this filesystem, which does not opt in. no page_mkwrite:
 * nothing asked the filesystem, so there was no path to take.
 */
export type PathTaken = "taken" | "not taken" | "not asked" | "no helper" | "no page_mkwrite";

export function pathTaken(result: RunResult): PathTaken {
  const count = (name: string): number => result.simulated.counters[name] ?? 0;
  const helper = usesHelper(regimeOf(result.config));
  if (helper && count("mkwrite_unlocked_attempts") + count("mkwrite_prepared") > 0) return "taken";
  if (helper && FILESYSTEM_TABLE.some((fs) => fs.name === result.fs && fs.noHelper === true)) return "no helper";
  if (count("mkwrite_faults") === 0) return "no page_mkwrite";
  return helper ? "not taken" : "not asked";
}

/** Why the run says nothing of its regime, or undefined: a helper was asked for, and on a filesystem that opts in none ran unlocked. */
export function pathProblem(result: RunResult): string | undefined {
  const path = pathTaken(result);
  const regime = regimeOf(result.config);
  if (!usesHelper(regime) || path === "taken" || path === "no helper") return undefined;
  const where = `${result.workload} on ${result.fs}, ${result.tasks} tasks, seed ${result.seed}`;
  const asked = `path not taken: ${regimeName(regime)} was asked for`;
  if (path === "no page_mkwrite") {
    return `${asked}, and no fault asked page_mkwrite; it needs shared mappings of such a filesystem (${where})`;
  }
  const runs = result.simulated.counters.mkwrite_runs ?? 0;
  return `${asked}, page_mkwrite ran ${runs} times, none without the lock (${where})`;
}
