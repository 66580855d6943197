/*
 * A bounded part of `npm run mutants`: slips of each kind are noticed within few schedules, by the law that the table names or by an
 * ending; an equivalent one is not, and neither is the healthy kernel put through the same.
 *
 * Checks: [mth-2] [mth-3]; that explorer, scenarios and walks bite.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { attemptsOf, hunt, tryAttempt } from "../../src/sim/explore/mutate.js";
import { mutantByName } from "../../src/sim/explore/mutants.js";
import { ROOT } from "../source";

const module = new WebAssembly.Module(readFileSync(join(ROOT, "build/faultline.explore.wasm")));
const OPTIONS = { budget: 3000, seed: 1 };

/** Mutant, kind of the verdict, part of its text. */
const KILLED: [string, string, string][] = [
  ["stash-index", "law", "[page-2]"],
  ["stash-range", "law or ending", ""],
  ["stash-unchecked", "law", "[mk-1]"],
  ["stash-leak-segv", "law", "[mk-6]"],
  ["vma-after-drop", "law", "[mk-3]"],
  ["nopage-after-drop", "law", "[mk-4]"],
  ["tried-ignored", "law", "[mk-5]"],
  ["completed-stamp", "law", "[mp-1]"],
  ["unlock-early", "law", "[mk-2]"],
  ["mprotect-no-flush", "law", "[tlb-1]"],
  ["cow-reuse-shared", "ending", "child ok 5,6"],
  ["writeback-no-wake", "deadlock", "nobody can run"],
  ["lockbit-wake-lost", "deadlock", "nobody can run"],
  ["freeze-syncs-first", "law", "[mk-8]"],
  ["reserve-leak-nopage", "law", "[mk-6]"],
  ["commit-no-barrier", "crash", "fsck"],
];

describe("mutants that are noticed", () => {
  it.each(KILLED)("%s: %s", (name, kind, text) => {
    const { kill, harness, reached } = hunt(module, mutantByName(name), OPTIONS);
    expect(harness).toEqual([]);
    expect(reached).toBe(true);
    expect(kind.split(" or "), kill?.again).toContain(kill?.kind);
    expect(kill?.text).toContain(text);
    expect(kill?.shrunk).not.toBe("");
  });

  it("the healthy kernel survives the same attempts", () => {
    const hunts = KILLED.filter(([, kind]) => kind !== "crash").map(([name]) => hunt(module, mutantByName(name), OPTIONS));
    for (const attempt of attemptsOf(hunts)) {
      const { kill, harness } = tryAttempt(module, attempt, { ...OPTIONS, budget: 60 }, "");
      expect(harness).toBeUndefined();
      expect(kill, kill?.again).toBeUndefined();
    }
  });

  it("an equivalent one survives, though the slip was made", () => {
    const { kill, reached } = hunt(module, mutantByName("stash-dirty"), OPTIONS);
    expect(kill).toBeUndefined();
    expect(reached).toBe(true);
  });
});
