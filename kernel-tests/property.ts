/*
 * Seeded properties: fast-check with a fixed seed, so that a test run is a function of the commit, and a failure that ends
 * in the command that shows it again.
 *
 * Interface: holds. FUZZ_SEED picks another seed, FUZZ_PATH fast-check's counterexample, FUZZ_RUNS multiplies the runs.
 * Invariants: [prop-1] without FUZZ_SEED two runs of the same commit make the same cases.
 */
import fc from "fast-check";
import { expect } from "vitest";

const SEED = Number(process.env["FUZZ_SEED"] ?? 20181018);
const PATH = process.env["FUZZ_PATH"];
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 1);

/** Cases tried to make a counterexample smaller: a case may boot a machine. */
const SHRINK_CASES = 400;

/** Checks `property` on `runs` cases, or on the one case that FUZZ_PATH names. */
export function holds<T>(arbitrary: fc.Arbitrary<T>, runs: number, property: (value: T) => void): void {
  let afterFailure = -1;
  const predicate = (value: T): void => {
    if (afterFailure >= 0 && ++afterFailure > SHRINK_CASES) return;
    try {
      property(value);
    } catch (error) {
      afterFailure = Math.max(afterFailure, 0);
      throw error;
    }
  };
  const details = fc.check(fc.property(arbitrary, predicate), {
    seed: SEED,
    numRuns: Math.ceil(runs * RUNS),
    endOnFailure: PATH !== undefined,
    ...(PATH && { path: PATH }),
  });
  if (!details.failed) return;
  const { testPath = "", currentTestName = "" } = expect.getState();
  const file = testPath.slice(testPath.lastIndexOf("kernel-tests/"));
  const name = currentTestName.split(" > ").at(-1) ?? "";
  const cause = details.errorInstance;
  const lines = [
    cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
    `counterexample after ${details.numRuns} runs and ${details.numShrinks} shrinks: ${fc.stringify(details.counterexample)}`,
    `again: FUZZ_SEED=${details.seed} FUZZ_PATH=${details.counterexamplePath} npx vitest run ${file} -t ${JSON.stringify(name)}`,
  ];
  throw new Error(lines.join("\n"));
}
