/**
 * Traces on the command line: formats, errors with their place, compare, import, and the shipped recording of rrdcached.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CompareResult } from "../../src/sim/compare.js";
import type { RunResult } from "../../src/sim/result.js";
import { faultline } from "../compare/cli.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "faultline-trace-"));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function fileOf(name: string, text: string): string {
  const file = join(dir, name);
  writeFileSync(file, text);
  return file;
}

const SMALL = `faultline-trace 1
file 1 8192 /db
0 1 mmap 0x200000 8192 rw shared 1 0
0.00001 1 store 0x200000 8192
0.00002 1 msync 0x200000 8192 sync
`;
const RRDCACHED = new URL("../../examples/rrdcached.trace", import.meta.url).pathname;

describe("faultline replay-trace", () => {
  test("prints a table, JSON that replays to the same state, CSV, a trace, Chrome's JSON, lock_stat", async () => {
    const file = fileOf("small.trace", SMALL);
    const table = await faultline("replay-trace", file, "--fs", "cowfs");
    expect(table.code, table.stderr).toBe(0);
    expect(table.stdout).toContain("3 operations");
    expect(table.stdout).toMatch(/^msync +1 /m);
    const json = await faultline("replay-trace", file, "--fs", "cowfs", "--format", "json", "--seeds", "2");
    const results = JSON.parse(json.stdout) as RunResult[];
    expect(results.map((r) => r.seed)).toEqual([1, 2]);
    expect(results[0]?.input).toEqual({ kind: "trace", name: file, text: SMALL });
    expect(table.stdout).toContain(`state_sha256 ${results[0]?.state_sha256 ?? "none"}`);
    const again = await faultline("replay", fileOf("saved.json", json.stdout));
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout.match(/same state/g)).toHaveLength(2);
    const csv = (await faultline("replay-trace", file, "--format", "csv")).stdout.split("\n");
    expect(csv[0]).toBe("seed,what,count,min_ns,p50_ns,p90_ns,p99_ns,p99_9_ns,max_ns,mean_ns");
    expect(csv.filter((line) => line.startsWith("1,store,1,"))).toHaveLength(1);
    expect((await faultline("replay-trace", file, "--format", "trace")).stdout).toContain("exceptions:page_fault_user");
    expect((await faultline("replay-trace", file, "--format", "lock_stat")).stdout).toContain("mmap_sem-W");
    const chrome = JSON.parse((await faultline("replay-trace", file, "--format", "chrome")).stdout) as { traceEvents: unknown[] };
    expect(chrome.traceEvents.length).toBeGreaterThan(3);
  });

  test("is what run does with such a file, whatever it is called", async () => {
    const file = fileOf("recording", SMALL);
    expect((await faultline("run", file)).stdout).toBe((await faultline("replay-trace", file)).stdout);
  });

  test("names line and column of what it cannot read, and refuses what a trace answers itself", async () => {
    const bad = fileOf("bad.trace", `${SMALL}0.1 1 stroe 0x200000 1\n`);
    for (const command of ["replay-trace", "run", "compare"]) {
      const { code, stdout, stderr } = await faultline(command, bad);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(`${bad}:6:7: operation "stroe": expected one of`);
    }
    const unmapped = fileOf("unmapped.trace", "faultline-trace 1\n0 1 store 0x200000 1\n");
    expect(await faultline("replay-trace", unmapped)).toMatchObject({ code: 2 });
    const good = fileOf("good.trace", SMALL);
    expect(await faultline("replay-trace", good, "--duration", "1s")).toMatchObject({ code: 2 });
    expect(await faultline("replay-trace", good, "--format", "svg")).toMatchObject({ code: 2 });
    expect(await faultline("compare", good, "-t", "1,2")).toMatchObject({ code: 2 });
    expect((await faultline("replay-trace", join(dir, "none.trace"))).stderr).toContain("none.trace: ENOENT");
  });

  test("says that operations failed", async () => {
    const beyond = fileOf("beyond.trace", `${SMALL}1 1 truncate 1 0\n1 1 store 0x200000 1\n`);
    const { code, stdout, stderr } = await faultline("replay-trace", beyond);
    expect([code, stderr]).toEqual([0, "warning: 1 operations failed that had succeeded when they were recorded\n"]);
    expect(stdout).toContain("1 failed");
  });
});

test("faultline import-strace makes what replay-trace runs, and says what it left out", async () => {
  const calls = fileOf(
    "calls.strace",
    `7 1700000000.000001 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</tmp/db>, 0) = 0x7f0000000000
7 1700000000.000009 write(1<pipe:[4]>, "OK"..., 2) = 2
`,
  );
  const faults = fileOf(
    "faults.txt",
    "7/7 2023-11-14 22:13:20.000003000 1.0: exceptions:page_fault_user: address=0x7f0000000000 ip=0x1 error_code=0x6\n",
  );
  const out = join(dir, "made.trace");
  const { code, stderr } = await faultline("import-strace", calls, "--faults", faults, "--comment", "by hand", "-o", out);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain("2 events\nleft out: 1 write of what is no file\n");
  expect(readFileSync(out, "utf8")).toBe(`faultline-trace 1
# by hand
file 1 4096 /tmp/db
0.000000000 7 mmap 0x7f0000000000 4096 rw shared 1 0
0.000002000 7 store 0x7f0000000000 1
`);
  expect((await faultline("replay-trace", out)).stdout).toContain("2 operations");
  expect(await faultline("import-strace", faults)).toMatchObject({ code: 2 });
});

describe("rrdcached, recorded", () => {
  test("replays without a failure, all of its operations", async () => {
    const events = readFileSync(RRDCACHED, "utf8").match(/^\d+\.\d+ /gm)?.length ?? 0;
    const { code, stdout, stderr } = await faultline("replay-trace", RRDCACHED, "--fs", "cowfs", "--format", "json");
    expect([code, stderr]).toEqual([0, ""]);
    const [result] = JSON.parse(stdout) as RunResult[];
    expect(result?.simulated.iterations).toBe(events);
    expect(events).toBeGreaterThan(1000);
    expect(result?.simulated.counters.mkwrite_faults).toBeGreaterThan(50);
  });

  test("is compared under regimes, and the path is taken", async () => {
    const { code, stdout, stderr } = await faultline(
      "compare",
      RRDCACHED,
      "--fs",
      "cowfs",
      "--seeds",
      "2",
      "--set",
      "pace=fast",
      "--format",
      "json",
    );
    expect(code, stderr).toBe(0);
    const { points } = JSON.parse(stdout) as CompareResult;
    expect(points.map((p) => p.path)).toEqual(["not asked", "taken"]);
    for (const point of points) expect(point.metrics.map_p99_ns?.median).toBeGreaterThan(0);
  });
});
