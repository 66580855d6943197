/*
 * A filesystem of the user's is explored like the project's own, and a slip planted in a copy of the example is found.
 *
 * Checks: [own-1] [scn-2].
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { type ScriptedFilesystem, VM_FAULT_LOCKED, VM_FAULT_SIGBUS, kernelBytes, pagestore } from "../../src/node.js";
import { scenarioByName } from "../../src/scenarios/index.js";
import { ExploreMachine } from "../../src/sim/explore/machine.js";
import { ownFilesystem, scenarioFsOf } from "../../src/sim/explore/own.js";
import { type CellReport, searchCell } from "../../src/sim/explore/search.js";

const kernel = new WebAssembly.Module(kernelBytes("explore") as BufferSource);
const RIGHT: ScriptedFilesystem = { ...pagestore, name: "mystore" };

/** As pagestore's, but for one question: whether the page that is locked is still the file's. */
const BROKEN: ScriptedFilesystem = {
  ...RIGHT,
  *pageMkwrite(page) {
    yield* page.startPagefault();
    const reserved = (yield* page.reserve(1)) === 0;
    yield* page.lockInvalidate();
    yield* page.lock();
    let result = VM_FAULT_LOCKED;
    yield* page.waitWriteback();
    if (!reserved || (yield* page.claim()) < 0) result = VM_FAULT_SIGBUS;
    else yield* page.dirty();
    if (result !== VM_FAULT_LOCKED) yield* page.unlock();
    yield* page.unlockInvalidate();
    yield* page.endPagefault();
    return result;
  },
};

function explore(filesystem: ScriptedFilesystem): CellReport {
  const cell = { faultLock: "linux-4.19", mkwrite: "generic_page_mkwrite_nommapsem", fs: scenarioFsOf(filesystem) } as const;
  const machine = new ExploreMachine(kernel, scenarioByName("truncate")!, cell);
  return searchCell(machine, { strategy: "dfs", budget: 5000, preemptions: 1, seed: 1 });
}

describe("a filesystem in TypeScript", () => {
  it("that is right passes, every order covered", () => {
    expect(explore(RIGHT)).toMatchObject({ covered: true, marked: true });
    expect(explore(RIGHT).failure).toBeUndefined();
  });

  it("that takes a page for the file's without asking is found out, and the schedule is short", () => {
    const { failure } = explore(BROKEN);
    expect(failure).toBeDefined();
    expect(failure!.preemptions).toBeLessThanOrEqual(1);
    expect(failure!.shrunk).toMatch(/^\d+:(\d+|e)(,\d+:(\d+|e))*$/);
  });
});

describe("a module", () => {
  it("exports a filesystem, or is refused with what was expected", async () => {
    const folder = mkdtempSync(join(tmpdir(), "faultline-own-"));
    const url = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return pathToFileURL(join(folder, name)).href;
    };
    const made = await ownFilesystem(url("good.mjs", "export const mine = { name: 'mine', *pageMkwrite() {} };"));
    expect(made).toMatchObject({ name: "mine", has: ["mkwrite"] });
    await expect(ownFilesystem(url("none.mjs", "export const x = 1;"))).rejects.toThrow("exports none; expected an object");
    await expect(ownFilesystem(url("bad.mjs", "export const = 1;"))).rejects.toThrow("filesystem file:");
    rmSync(folder, { recursive: true });
  });
});
