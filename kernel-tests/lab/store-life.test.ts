/*
 * The life of one store: the story has its steps, every event in it has words ([exp-1]), and the entries tell what DESIGN's D5
 * says of A and D.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES } from "../../src/host/config.js";
import { pteFlags } from "../../src/host/page-table.js";
import { explain, explainSilence } from "../../src/lab/explain.js";
import { FIRST_ACCESSES, type LifeStep, type StoreLifeOptions, storeLife } from "../../src/lab/store-life.js";
import { type KernelImage, loadKernel } from "../../src/node.js";
import { FILESYSTEMS } from "../../src/sim/describe.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel();
});

/** Flags of the leaf before and after. */
function flags({ before, after }: LifeStep): [string, string] {
  const of = (walk: LifeStep["before"]): string => (walk.length === 4 ? pteFlags(walk.at(-1)!.entry) : "");
  return [of(before), of(after)];
}

const STORIES = FIRST_ACCESSES.flatMap((first) =>
  FILESYSTEMS.flatMap((fs) =>
    FAULT_LOCK_REGIMES.flatMap((faultLock) => MKWRITE_REGIMES.map((mkwrite): StoreLifeOptions => ({ first, fs, faultLock, mkwrite }))),
  ),
);

function story(options: Partial<StoreLifeOptions>): LifeStep[] {
  return storeLife(kernel, { first: "store", fs: "ramfs", faultLock: "linux-4.19", mkwrite: "generic_page_mkwrite", ...options }).steps;
}

function names(step: LifeStep | undefined): string[] {
  return step?.events.map((event) => event.name) ?? [];
}

describe.each(STORIES)("first a $first, on $fs, $faultLock+$mkwrite", (options) => {
  it("every event has words, time goes forward, and it is told the same way twice", () => {
    const told = storeLife(kernel, options);
    const events = told.steps.flatMap((step) => step.events);
    expect(events.length).toBeGreaterThan(8);
    expect(events.filter((event) => explain(event) === undefined).map((event) => event.name)).toEqual([]);
    expect(events.map((e) => e.timeNs)).toEqual(events.map((e) => e.timeNs).sort((a, b) => a - b));
    expect(told.steps.every((step) => step.ns >= 0)).toBe(true);
    expect(storeLife(kernel, options)).toEqual(told);
  });
});

it("a store to an untouched page faults once; the next one is silent", () => {
  const [mmap, store, again] = story({});
  expect(flags(mmap!)).toEqual(["", ""]);
  expect(flags(store!)).toEqual(["", "VRWUAD"]);
  expect(names(store).filter((name) => name === "exceptions:page_fault_user").length).toBe(1);
  expect(again!.events).toEqual([]);
  expect(flags(again!)).toEqual(["VRWUAD", "VRWUAD"]);
});

it("[mmu-2] after a load the entry is clean; where nobody asked to hear of stores, the MMU alone sets D", () => {
  const [, load, store] = story({ first: "load" });
  expect(flags(load!)).toEqual(["", "VRWUA"]);
  expect(store!.events).toEqual([]);
  expect(flags(store!)).toEqual(["VRWUA", "VRWUAD"]);
  const [before, after] = [store!.before.at(-1)!.entry, store!.after.at(-1)!.entry];
  expect(explainSilence(before, after)).toContain("the MMU alone sets D");
});

it("[mk-1] where the filesystem has a page_mkwrite, it runs before the entry is writable, and again after writeback", () => {
  const [, load, store, , msync, again] = story({ first: "load", fs: "pagestore" });
  expect(flags(load!)).toEqual(["", "VRUA"]);
  expect(names(store)).toContain("faultline:page_mkwrite");
  expect(flags(store!)).toEqual(["VRUA", "VRWUAD"]);
  expect(flags(msync!), "writeback takes W and D").toEqual(["VRWUAD", "VRUA"]);
  expect(names(again)).toContain("faultline:page_mkwrite");
  expect(flags(again!)).toEqual(["VRUA", "VRWUAD"]);
});

it("the helper: mmap_sem is released before page_mkwrite is called, and the page it prepared is taken", () => {
  const [, store] = story({ fs: "pagestore", mkwrite: "generic_page_mkwrite_nommapsem" });
  const order = ["mmap_lock:mmap_lock_released", "faultline:page_mkwrite", "faultline:fault_retry", "faultline:mkwrite_stash_accepted"];
  expect(names(store).filter((name) => order.includes(name))).toEqual([...order, "mmap_lock:mmap_lock_released"]);
});
