/*
 * The life of one store: the story has its steps, every event in it has words ([exp-1]), and the entries tell what DESIGN's D5
 * says of A and D.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES } from "../../src/host/config.js";
import { pteFlags } from "../../src/host/page-table.js";
import { explain, explainSilence } from "../../src/lab/explain.js";
import { FIRST_ACCESSES, type LifeStep, storeLife } from "../../src/lab/store-life.js";
import { type KernelImage, loadKernel } from "../../src/node.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel();
});

/** Flags of the leaf before and after. */
function flags({ before, after }: LifeStep): [string, string] {
  const of = (walk: LifeStep["before"]): string => (walk.length === 4 ? pteFlags(walk.at(-1)!.entry) : "");
  return [of(before), of(after)];
}

describe.each(FIRST_ACCESSES)("first comes a %s", (first) => {
  describe.each(FAULT_LOCK_REGIMES)("under %s", (faultLock) => {
    it("every event has words, and time goes forward", () => {
      const { steps } = storeLife(kernel, { first, faultLock });
      const events = steps.flatMap((step) => step.events);
      expect(events.length).toBeGreaterThan(8);
      expect(events.filter((event) => explain(event) === undefined).map((event) => event.name)).toEqual([]);
      expect(events.map((e) => e.timeNs)).toEqual(events.map((e) => e.timeNs).sort((a, b) => a - b));
      expect(steps.every((step) => step.ns >= 0)).toBe(true);
    });

    it("is told the same way twice", () => {
      expect(storeLife(kernel, { first, faultLock })).toEqual(storeLife(kernel, { first, faultLock }));
    });
  });
});

it("a store to an untouched page faults once; the next one is silent", () => {
  const [mmap, store, again] = storeLife(kernel, { first: "store", faultLock: "linux-4.19" }).steps;
  expect(flags(mmap!)).toEqual(["", ""]);
  expect(flags(store!)).toEqual(["", "VRWUAD"]);
  expect(store!.events.filter((e) => e.name === "exceptions:page_fault_user").length).toBe(1);
  expect(again!.events).toEqual([]);
  expect(flags(again!)).toEqual(["VRWUAD", "VRWUAD"]);
});

it("[mmu-2] after a load the entry is clean; where nobody asked to hear of stores, the MMU alone sets D", () => {
  const [, load, store] = storeLife(kernel, { first: "load", faultLock: "linux-4.19" }).steps;
  expect(flags(load!)).toEqual(["", "VRWUA"]);
  expect(store!.events).toEqual([]);
  expect(flags(store!)).toEqual(["VRWUA", "VRWUAD"]);
  const [before, after] = [store!.before.at(-1)!.entry, store!.after.at(-1)!.entry];
  expect(explainSilence(before, after)).toContain("the MMU alone sets D");
});
