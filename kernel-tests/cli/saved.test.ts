/*
 * Commands around a run: replay of what was saved, inspect, costs, workloads, calibrate.
 *
 * Checks: [saved-1] [replay-1] [dt-1].
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { WORKLOADS } from "../../src/node.js";
import type { CalibrationPoint } from "../../src/sim/calibrate.js";
import type { RunResult } from "../../src/sim/result.js";
import { SMALL, faultline, scratch } from "./faultline.js";

const dir = scratch();
const saved = join(dir, "run.json");

beforeAll(async () => {
  const args = ["run", "mixed", "-t", "1,3", "--seeds", "2", ...SMALL, "--costs", '{"syscall": 90}', "--format", "json", "-o", saved];
  expect((await faultline(args)).stderr).toBe(`wrote ${saved}\n`);
});

/** A copy of the saved results, changed. */
function changed(name: string, change: (results: RunResult[]) => unknown): string {
  const results = JSON.parse(readFileSync(saved, "utf8")) as RunResult[];
  const path = join(dir, name);
  writeFileSync(path, JSON.stringify(change(results) ?? results));
  return path;
}

describe.concurrent("replay", () => {
  it("comes to the same states: exit 0", async () => {
    const { code, stdout, stderr } = await faultline(["replay", saved]);
    expect([code, stderr]).toEqual([0, ""]);
    const points = ["1 threads seed 1", "1 threads seed 2", "3 threads seed 1", "3 threads seed 2"];
    expect(stdout).toBe(points.map((point) => `mixed ${point}: same state\n`).join(""));
  });

  it("of one result that is no array", async () => {
    const { code, stdout } = await faultline(["replay", changed("one.json", ([first]) => first)]);
    expect([code, stdout]).toEqual([0, "mixed 1 threads seed 1: same state\n"]);
  });

  it("finds a state, a seed or a cost that was tampered with: exit 1, the others still checked", async () => {
    const path = changed("tampered.json", ([a, b, c]) => {
      a!.state_sha256 = "0".repeat(64);
      b!.config.seed = 77;
      c!.config.costs = { syscall: 91 };
    });
    const { code, stdout } = await faultline(["replay", path]);
    expect(code).toBe(1);
    const verdicts = stdout.split("\n").map((line) => /(same|other) state/.exec(line)?.[1]);
    // The seed alone is stored in the boot configuration, and there it is part of the state.
    expect(verdicts.slice(0, 4)).toEqual(["other", "other", "other", "same"]);
  });

  it("runs the build of the kernel that made the result", async () => {
    const path = join(dir, "checked.json");
    await faultline(["run", "page_fault1", "-t", "1", ...SMALL, "--checked", "--format", "json", "-o", path]);
    const { code, stdout } = await faultline(["replay", path]);
    expect([code, stdout]).toEqual([0, "page_fault1 1 threads seed 1: same state\n"]);
  });

  it("says when that build is none of the package's", async () => {
    const path = changed("foreign.json", ([first]) => [{ ...first, wasm_sha256: "a".repeat(64), state_sha256: "b".repeat(64) }]);
    const { code, stdout } = await faultline(["replay", path]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/other state: [0-9a-f]{64} \(made by another build of the kernel\)\n$/);
  });

  const BROKEN: readonly [name: string, change: (results: RunResult[]) => unknown, stderr: RegExp][] = [
    ["no results", () => [], /no results in it/],
    ["another schema", ([first]) => ({ ...first, schema: "faultline.run/2" }), /result 0, schema: /],
    ["a number", () => 7, /result 0, itself: /],
    ["null", () => [null], /result 0, itself: /],
    ["no mode", (all) => all.map((r, i) => (i === 2 ? { ...r, mode: "thread" } : r)), /result 2, mode: /],
    ["too many tasks", ([first]) => ({ ...first, tasks: 129 }), /result 0, tasks: /],
    ["half a hash", ([first]) => ({ ...first, state_sha256: "abc" }), /result 0, state_sha256: expected 64 hexadecimal digits/],
    ["a configuration field that is none", ([first]) => ({ ...first, config: { ...first!.config, cpu: 4 } }), /unknown .*"cpu".*cpus/],
  ];
  it.each(BROKEN)("of a file with %s is a usage error that names the place", async (name, change, stderr) => {
    const outcome = await faultline(["replay", changed(`${name}.json`, change)]);
    expect(outcome.stderr).toMatch(stderr);
    expect([outcome.code, outcome.stdout]).toEqual([2, ""]);
  });

  it("of a file that is cut off is a usage error", async () => {
    const path = join(dir, "cut.json");
    writeFileSync(path, readFileSync(saved, "utf8").slice(0, 700));
    const outcome = await faultline(["replay", path]);
    expect([outcome.code, outcome.stdout]).toEqual([2, ""]);
    expect(outcome.stderr).toMatch(/cut\.json: .*JSON/);
  });
});

describe.concurrent("inspect", () => {
  it("prints every view of a run whose invariants hold", async () => {
    const { code, stdout, stderr } = await faultline(["inspect", "mixed", ...SMALL]);
    expect([code, stderr]).toEqual([0, ""]);
    const views = ["meminfo", "maps", "smaps", "cmdline", "stat", "lock_stat", "vmstat", "tasks", "mounts"];
    const titles = [...stdout.matchAll(/^== (\w+)( of process \d+)?$/gm)].map((match) => match[1]);
    expect(titles).toEqual(views);
    expect(stdout).toMatch(/^MemTotal: +16384 kB$/m);
    expect(stdout).not.toContain("\0");
  });

  it("prints the views asked for, in the order that they have", async () => {
    const { stdout } = await faultline(["inspect", "page_fault3", "-t", "1", ...SMALL, "--view", "stat, meminfo"]);
    expect([...stdout.matchAll(/^== (\w+)/gm)].map((match) => match[1])).toEqual(["meminfo", "stat"]);
  });
});

describe.concurrent("lists", () => {
  it("workloads: every one, with where it comes from", async () => {
    const { code, stdout, stderr } = await faultline(["workloads"]);
    expect([code, stderr]).toEqual([0, ""]);
    const names = [...stdout.matchAll(/^(\S+) +.*\((.+)\)$/gm)].map((match) => match[1]);
    expect(names).toEqual(WORKLOADS.map((workload) => workload.name));
    const willItScale = "page_fault1 page_fault2 page_fault3 page_fault4 mmap1 mmap2 fork1".split(" ");
    for (const name of willItScale) expect(stdout).toMatch(new RegExp(`^${name} .*\\(will-it-scale\\)$`, "m"));
  });

  it("costs: JSON on stdout, which --costs takes back without a change to the run", async () => {
    const { code, stdout, stderr } = await faultline(["costs"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/ns of simulated time/);
    const path = join(dir, "costs.json");
    writeFileSync(path, stdout);
    const state = async (...args: string[]): Promise<string> => {
      const { stdout: text } = await faultline(["run", "page_fault3", "-t", "1", ...SMALL, "--format", "json", ...args]);
      return (JSON.parse(text) as RunResult[])[0]!.state_sha256;
    };
    expect(await state("--costs", path)).toBe(await state());
  });

  it("calibrate: every measured point with the error at it", async () => {
    const { code, stdout } = await faultline(["calibrate", "--format", "json"]);
    expect(code).toBe(0);
    const points = JSON.parse(stdout) as CalibrationPoint[];
    expect(points.length).toBeGreaterThanOrEqual(6);
    for (const p of points) expect(p.error).toBeCloseTo(p.simulated / p.measured - 1, 9);
  });
});
