/**
 * `faultline compare` as a user runs it: the built command, its workers, formats, files, exit codes. Laws: [cmp-1] [pool-1]
 * [pool-2] [cli-cmp].
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CompareResult } from "../../src/sim/compare.js";
import { faultline } from "./cli.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "faultline-compare-"));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

const SMALL = ["--memory", "16M", "--length", "1M", "--duration", "200us", "--warmup", "50us", "--seeds", "2", "-t", "1,2"];
const REGIMES = ["--regime", "linux-4.19,linux-6.7"];

describe("faultline compare", () => {
  test("gives the same bytes with one worker and with several", async () => {
    const [one, two] = await Promise.all(
      ["1", "2"].map((threads) => faultline("compare", "mixed", ...SMALL, ...REGIMES, "--format", "json", "--threads", threads)),
    );
    expect(one?.code, one?.stderr).toBe(0);
    const [a, b] = [one, two].map((done) => JSON.parse(done?.stdout ?? "") as CompareResult);
    expect({ ...b, command: "" }).toEqual({ ...a, command: "" });
    expect(a?.points).toHaveLength(4);
  });

  test("writes every format and file", async () => {
    const files = ["--svg", join(dir, "c.svg"), "--html", join(dir, "c.html"), "--save-baseline", join(dir, "base.json")];
    const done = await faultline("compare", "page_fault3", ...SMALL, ...files);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain("Throughput and fault latency\ntasks  regime");
    expect(readFileSync(join(dir, "c.svg"), "utf8")).toMatch(/^<svg/);
    expect(readFileSync(join(dir, "c.html"), "utf8")).toMatch(/^<!doctype html>/);
    const looks: Record<string, RegExp> = {
      csv: /^fs,case,regime,tasks,seed,path,faults_per_s/,
      chrome: /^\{"traceEvents":\[\{"name":"process_name"/,
      trace: /# tracer: faultline/,
      lock_stat: /mmap_sem-R/,
      hist: /@fault_ns:\n\[/,
    };
    for (const [format, look] of Object.entries(looks)) {
      const { code, stdout } = await faultline("compare", "page_fault3", ...SMALL, "--format", format);
      expect(code).toBe(0);
      expect(stdout).toMatch(look);
    }
  });

  test("exits 1 on a regression and says which, 0 without one", async () => {
    const file = join(dir, "base.json");
    const args = ["compare", "page_fault3", ...SMALL];
    expect((await faultline(...args, "--save-baseline", file)).code).toBe(0);
    const same = await faultline(...args, "--baseline", file);
    expect(same).toMatchObject({ code: 0, stderr: expect.stringContaining("no change beyond threshold") as string });
    const costs = join(dir, "costs.json");
    writeFileSync(costs, '{"trap_entry": 2900}');
    const slow = await faultline(...args, "--baseline", file, "--costs", costs);
    expect(slow.code).toBe(1);
    expect(slow.stderr).toMatch(/regressions:\n[^]*faults\/s/);
    const loose = await faultline(...args, "--baseline", file, "--costs", costs, "--threshold", "1000");
    expect(loose.code).toBe(0);
  });

  test.each([
    [["--regime", "linux-4.20"], 'unknown part "linux-4.20". Did you mean'],
    [["--fs", "btrfs"], 'filesystem "btrfs": expected one of'],
    [["--format", "xml"], 'format "xml"'],
    [["--threshold", "-1"], 'threshold "-1"'],
    [["--baseline", "/nonexistent"], "/nonexistent: ENOENT"],
    [["--set", "a=b"], 'has no option "a"'],
    [["--threads", "0"], 'threads "0"'],
  ])("refuses %j with exit code 2", async (args, message) => {
    const done = await faultline("compare", "page_fault3", ...SMALL, ...args);
    expect(done.code).toBe(2);
    expect(done.stderr).toContain(message);
    expect(done.stdout).toBe("");
  });

  test("refuses a baseline of another comparison", async () => {
    const file = join(dir, "other.json");
    await faultline("compare", "page_fault3", ...SMALL, "--save-baseline", file);
    const done = await faultline("compare", "page_fault3", ...SMALL, "--duration", "300us", "--baseline", file);
    expect(done).toMatchObject({ code: 2, stderr: expect.stringContaining("duration_ns was 200000") as string });
    writeFileSync(file, '{"schema":"faultline.run/1"}');
    expect((await faultline("compare", "page_fault3", ...SMALL, "--baseline", file)).stderr).toContain("found faultline.run/1");
  });

  test("reports a failed point with the error it had", async () => {
    const done = await faultline("compare", "page_fault1", "--memory", "4M", "--length", "64M", "--seeds", "2", "-t", "1");
    expect(done.code).toBe(1);
    expect(done.stderr).toContain("out of memory");
  });
});
