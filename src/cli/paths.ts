/**
 * Whether the regimes that were asked for were used, told on stderr and by the exit code.
 *
 * Interface: checkPaths(outcomes).
 * Invariants: [cli-cmp] exit 1 when a helper was asked for and never used.
 * Locks: none.
 * Why not an error: the figures are printed all the same, for whoever wants to find out why.
 */
import type { PointOutcome } from "../sim/outcome.js";
import { pathProblem } from "../sim/path.js";
import { colors } from "./output.js";

export function checkPaths(outcomes: readonly PointOutcome[]): void {
  const problems = outcomes.flatMap((o) => pathProblem(o.result) ?? []);
  if (problems.length === 0) return;
  for (const problem of problems) process.stderr.write(`${colors(process.stderr).red("faultline:")} ${problem}\n`);
  process.exitCode = 1;
}
