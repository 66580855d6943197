/*
 * The scenario in docs/scenarios.md is the one that is compiled here, and exploring it finds nothing wrong.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { SCENARIO_FS } from "../../src/scenarios/filesystems.js";
import { ExploreMachine } from "../../src/sim/explore/machine.js";
import { searchCell } from "../../src/sim/explore/search.js";
import { ROOT } from "../source.js";
import { fsyncTwice } from "./example.js";

it("docs/scenarios.md shows the example as it is", () => {
  const shown = /```ts\n([^`]*(?:`[^`]+`[^`]*)*)```/.exec(readFileSync(join(ROOT, "docs/scenarios.md"), "utf8"))?.[1];
  const file = readFileSync(join(ROOT, "kernel-tests/scenarios/example.ts"), "utf8");
  const code = file.slice(file.indexOf("import {")).replaceAll("../../src/scenarios/", "./").replaceAll("../../src/", "../");
  expect(shown).toBe(code);
});

it("the example is explored, and enters its window", () => {
  const kernel = new WebAssembly.Module(readFileSync(join(ROOT, "build/faultline.explore.wasm")));
  const fs = SCENARIO_FS.find(({ name }) => name === "cowfs-1024");
  if (!fs) throw new Error("cowfs-1024 is among the filesystems");
  const machine = new ExploreMachine(kernel, fsyncTwice, { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite_nommapsem", fs });
  const report = searchCell(machine, { strategy: "random", budget: 300, preemptions: 2, seed: 1 });
  expect(report).toMatchObject({ marked: true, endings: { "store ok, fsyncs 0 0, disk 5": 300 } });
});
