/*
 * Random operations with power failures on the filesystems that overwrite in place: iomapfs, with reflinks, and jbdfs, with delalloc
 * and without, each block size under each mkwrite regime, with small journals and short commit intervals now and then.
 *
 *   npm run fuzz:in-place                                        as in every test run
 *   SEEDS=1000 npm run fuzz:in-place                             a campaign
 *   SEED=7 LOG=500 npx vitest run kernel-tests/fuzz/in-place.test.ts -t "^iomapfs,"     one seed again, with all that it did
 *
 * Checks: [mk-1] to [mk-9], [jnl-*], [ps-*], [sp-*] by the checked kernel's asserts, [mk-7] [mk-9] [bl-3] [wr-1] by the oracle, every law
 * of fsck before and after every mount.
 */
import { describe, expect, it } from "vitest";
import { seedsOf } from "../oracle/random.js";
import { type FuzzResult, type FuzzedKind, runSeed, sumOf } from "./disk-life.js";

const SEEDS = 10;
const OPERATIONS = Number(process.env["OPERATIONS"] ?? 200);

const inPlace = {
  blockSizes: [4096, 1024, 512, 2048],
  mkfsOptions: ["", "journal=80"],
  inPlace: true,
  snapshots: false,
  testFile: "kernel-tests/fuzz/in-place.test.ts",
};

const KINDS: readonly FuzzedKind[] = [
  { ...inPlace, name: "iomapfs", type: "iomapfs", mountOptions: ["", "commit=1"], reflinks: true },
  { ...inPlace, name: "iomapfs-1024", type: "iomapfs", blockSizes: [1024], mountOptions: ["", "commit=1"], reflinks: false },
  { ...inPlace, name: "jbdfs", type: "jbdfs", mountOptions: ["", "commit=1"], reflinks: false },
  { ...inPlace, name: "jbdfs-nodelalloc", type: "jbdfs", mountOptions: ["nodelalloc", "nodelalloc,commit=1"], reflinks: false },
];

function lives(kind: FuzzedKind): void {
  const results: FuzzResult[] = [];

  for (const seed of seedsOf(SEEDS)) {
    it(`seed ${seed}`, () => {
      const result = runSeed(kind, seed, OPERATIONS);
      expect(result.operations).toBe(OPERATIONS);
      results.push(result);
    });
  }

  it("went where it should", () => {
    const total = sumOf(results);
    if (process.env["VERBOSE"] !== undefined) console.log(kind.name, total);
    // One seed alone need not see everything.
    if (results.length < SEEDS) return;
    for (const what of ["crashes", "remounts", "unlocked"] as const) expect(total[what], what).toBeGreaterThan(0);
    expect(total.clones > 0).toBe(kind.reflinks);
  });
}

for (const kind of KINDS) describe(`${kind.name}, random operations with power failures`, () => lives(kind));
