/*
 * Random operations with power failures in between, each block size under each mkwrite regime.
 *
 *   npm run fuzz:cowfs                                            10 000 operations, as in every test run
 *   SEEDS=1000 npm run fuzz:cowfs                                 a campaign
 *   SEED=7 LOG=500 npx vitest run kernel-tests/cowfs/fuzz.test.ts one seed again, with all that it did
 *
 * Checks: [mk-1] to [mk-9] by the checked kernel's asserts, [mk-7] and [mk-9] by the oracle, every law of fsck after every mount.
 */
import { describe, expect, it } from "vitest";
import { type FuzzResult, type FuzzedKind, runSeed, sumOf } from "../fuzz/disk-life.js";
import { seedsOf } from "../oracle/random.js";
import { BLOCK_SIZES } from "./machine.js";

const COWFS: FuzzedKind = {
  name: "cowfs",
  type: "cowfs",
  blockSizes: BLOCK_SIZES,
  mkfsOptions: [""],
  mountOptions: ["commit=5"],
  inPlace: false,
  reflinks: true,
  snapshots: true,
  testFile: "kernel-tests/cowfs/fuzz.test.ts",
};

/** Each block size with each regime twice: 10 000 operations. */
const SEEDS = 40;
const OPERATIONS = Number(process.env["OPERATIONS"] ?? 250);

describe("cowfs, random operations with power failures", () => {
  const results: FuzzResult[] = [];

  for (const seed of seedsOf(SEEDS)) {
    it(`seed ${seed}`, () => {
      const result = runSeed(COWFS, seed, OPERATIONS);
      expect(result.operations).toBe(OPERATIONS);
      results.push(result);
    });
  }

  it("went where it should", () => {
    const total = sumOf(results);
    if (process.env["VERBOSE"] !== undefined) console.log(total);
    // One seed alone need not see everything.
    if (results.length < SEEDS) return;
    for (const [what, n] of Object.entries(total)) expect(n, what).toBeGreaterThan(0);
  });
});
