/*
 * Whole programs: what they print, their exit codes, what their faults cost; and that a run is a function of its description.
 *
 * Laws: [exec-1] [exec-2] [dev-1] [con-1] [rv-2] [rv-3] [core-4] [mk-6] [dt-1].
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MAP_SHARED, Machine, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, loadKernel, mem, sys } from "../../src/node.js";
import { startProgram } from "../../src/sim/exec.js";
import { must } from "../../src/guest/sys.js";
import { compile, runHere, runQemu } from "./toolchain";

const PAGES = 128;

describe("a program of glibc's", () => {
  const program = compile("hello.c", ["-lm"]);

  it("prints what it prints under QEMU, and gives back everything", async () => {
    const ran = await runHere(program, { args: ["a", "b c"], stdin: "one\ntwo\n", checked: true });
    const lines = runQemu(program, ["a", "b c"])
      .split("\n")
      .filter((line) => !line.startsWith("environment"));
    expect(ran.stdout).toBe(lines.join("\n") + "read: one\nread: two\n");
    expect(ran.stderr).toBe("to standard error\n");
    expect(ran.exit).toEqual({ kind: "exited", code: 43 });
    expect(ran.unknown_syscalls).toEqual({});
  });

  it("finds its environment", async () => {
    const ran = await runHere(program, { env: ["HOME=/root", "EMPTY="] });
    expect(ran.stdout).toContain("environment: HOME=/root\nenvironment: EMPTY=\n");
  });

  it.each(["cowfs", "iomapfs", "jbdfs", "pagestore"])("runs from %s as from memory", async (fs) => {
    const [here, there] = [await runHere(program), await runHere(program, { fs, checked: true })];
    expect(there.stdout).toBe(here.stdout);
    expect(there.exit).toEqual(here.exit);
  });

  it.each(["linux-5.1", "linux-6.7"] as const)("takes the same faults under %s", async (faultLock) => {
    const ran = await runHere(program, { config: { faultLock } });
    expect(ran.simulated.faults).toBe((await runHere(program)).simulated.faults);
  });

  it("[core-4] [dt-1] ends in the same state however often the host stops it", async () => {
    const { module } = await loadKernel();
    const description = { fs: "ramfs", name: "hello", bytes: readFileSync(program), args: [], env: [], config: { memoryBytes: 64 << 20 } };
    const hashes = [];
    for (const stepNs of [Infinity, 10_007, 1_300_000]) {
      const { machine, pid } = startProgram(module, description);
      while (machine.exitOf(pid) === undefined) machine.run({ forNs: stepNs, stopWhen: () => machine.exitOf(pid) !== undefined });
      hashes.push(`${machine.stat("instructions")} ${machine.nowNs()} ${await machine.stateSha256()}`);
    }
    expect(new Set(hashes).size, hashes.join("\n")).toBe(1);
  });

  it("goes on from a snapshot as it would have gone on", async () => {
    const { module } = await loadKernel();
    const description = { fs: "ramfs", name: "hello", bytes: readFileSync(program), args: [], env: [], config: { memoryBytes: 64 << 20 } };
    const { machine } = startProgram(module, description);
    machine.run({ untilNs: 5e6 });
    expect(machine.stat("instructions")).toBeGreaterThan(1000);
    const snapshot = machine.snapshot();
    const other = Machine.createSync(module, machine.config);
    other.restore(snapshot);
    for (const m of [machine, other]) m.run();
    expect(await other.stateSha256()).toBe(await machine.stateSha256());
  });
});

/** Simulated ns and faults of a page_fault3 of `passes` passes, as a script. */
async function scripted(passes: number): Promise<{ ns: number; faults: number }> {
  const machine = Machine.createSync((await loadKernel()).module, { memoryBytes: 64 << 20 });
  machine.spawn(function* () {
    const fd = must(yield* sys.open("/tmp/page_fault3", O_RDWR | O_CREAT));
    must(yield* sys.ftruncate(fd, PAGES * 4096));
    for (let pass = 0; pass < passes; pass++) {
      const at = must(yield* sys.mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
      yield* mem.touch(at, PAGES * 4096, { write: true });
      must(yield* sys.munmap(at, PAGES * 4096));
    }
  });
  machine.run();
  return { ns: machine.nowNs(), faults: machine.stat("faults") };
}

describe("page_fault3 as a program and as a script", () => {
  it("takes as many faults, within 10 % of the simulated time", async () => {
    const program = compile("page_fault3.c");
    const [few, many] = [await runHere(program, { args: ["2"] }), await runHere(program, { args: ["22"] })];
    const [fewScripted, manyScripted] = [await scripted(2), await scripted(22)];
    const faults = many.simulated.faults - few.simulated.faults;
    expect(faults).toBe(20 * PAGES);
    expect(faults).toBe(manyScripted.faults - fewScripted.faults);
    const [program_, script] = [many.simulated.ns - few.simulated.ns, manyScripted.ns - fewScripted.ns];
    expect(program_ / script).toBeGreaterThan(0.9);
    expect(program_ / script).toBeLessThan(1.1);
  });
});
