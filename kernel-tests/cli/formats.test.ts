/*
 * What `faultline run` writes: every format, where it goes, and that the format changes nothing of the run.
 *
 * Checks: [cli-1] [cli-2] [run-1] [dt-1].
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import type { RunResult } from "../../src/node.js";
import { CLI, SMALL, faultline, scratch } from "./faultline.js";

const dir = scratch();
const run = (...args: string[]): readonly string[] => ["run", "page_fault3", "-t", "1,2", ...SMALL, ...args];

describe.concurrent("a format", () => {
  it("table: the runs above, a row a number of tasks, how to make them again below", async () => {
    const { code, stdout, stderr } = await faultline(run());
    expect([code, stderr]).toEqual([0, ""]);
    const [title, , header, one, two, , ...footer] = stdout.split("\n");
    expect(title).toMatch(/^page_fault3, threads, 8 MiB to 4 MiB a task, 200 us measured after 20\.0 us of warm-up$/);
    const columns = "tasks,faults/s,iterations/s,p50,p99,p99.9,max,mmap_sem wait r,w,shootdowns,lines,host faults/s";
    expect(header?.split(/ {2,}/).join()).toBe(columns);
    expect(one).toMatch(/^1( +[\d.]+( [kMGnu]?s?)?)+$/);
    expect(two).toMatch(/^2 /);
    expect(footer[0]).toBe("All columns are simulated time but the last, which is this computer's.");
    expect(footer[1]).toMatch(/^seed 1 {2}config [0-9a-f]{12} {2}wasm [0-9a-f]{12} {2}version \d+\.\d+\.\d+$/);
    expect(footer[2]).toMatch(/^state_sha256 [0-9a-f]{64} {2}\(1 tasks, seed 1\)$/);
  });

  it("table with seeds: medians and a 95 % column", async () => {
    const { stdout } = await faultline(run("--seeds", "3", "--seed", "5"));
    expect(stdout).toMatch(/^tasks +faults\/s +95 % /m);
    expect(stdout).toMatch(/^seed 5, 6, 7 /m);
    expect(stdout.match(/^state_sha256 /gm)).toHaveLength(6);
  });

  it("json: an array of results, nothing else", async () => {
    const { code, stdout, stderr } = await faultline(run("--format", "json", "--seeds", "2"));
    expect([code, stderr]).toEqual([0, ""]);
    const results = JSON.parse(stdout) as RunResult[];
    expect(results.map((r) => `${r.schema} ${r.tasks} ${r.seed}`)).toEqual(
      ["1 1", "1 2", "2 1", "2 2"].map((point) => `faultline.run/1 ${point}`),
    );
  });

  it.each(["threads", "processes"])("csv of %s: will-it-scale's header, its line of nothing, whole numbers", async (mode) => {
    const { code, stdout } = await faultline(run("--format", "csv", "--mode", mode, "--cpus", "4"));
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.slice(0, 2)).toEqual(["tasks,processes,processes_idle,threads,threads_idle,linear", "0,0,100,0,100,0"]);
    const cells = lines.slice(2).map((line) => line.split(","));
    expect(cells.map((row) => row[0])).toEqual(["1", "2"]);
    const own = mode === "processes" ? [1, 2] : [3, 4];
    for (const row of cells) {
      expect(row).toHaveLength(6);
      row.forEach((cell, i) => {
        expect(cell).toMatch(i === 0 || i === 5 || i === own[0] ? /^\d+$/ : i === own[1] ? /^\d+\.\d\d$/ : /^$/);
      });
    }
    // One of four CPUs is busy, then two: measured, to the little that a start takes.
    expect(cells.map((row) => Math.round(Number(row[own[1] ?? 0])))).toEqual([75, 50]);
    expect(Number(cells[1]?.[5])).toBe(2 * Number(cells[0]?.[5]));
  });

  it("trace: ftrace's lines, in order of time, with the state's hash on stderr", async () => {
    const { code, stdout, stderr } = await faultline(run("--format", "trace"));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^(state_sha256 [0-9a-f]{64}\n){2}$/);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.filter((line) => line === "# tracer: faultline")).toHaveLength(2);
    const events = lines.slice(0, lines.lastIndexOf("# tracer: faultline")).filter((line) => !line.startsWith("#"));
    expect(events.length).toBeGreaterThan(1000);
    const event = /^ +task-\d+ \[\d{3}\] +(\d+\.\d{9}): [a-z_]+:[a-z_]+:( [a-z0-9_]+=(0x[0-9a-f]+|-?\d+)){2}$/;
    const times = events.map((line) => Number(event.exec(line)?.[1]));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(stdout).toContain("exceptions:page_fault_user: address=0x");
    expect(stdout).toContain("mmap_lock:mmap_lock_acquire_returned: write=0");
  });

  it("chrome: one JSON, a process a run", async () => {
    const { code, stdout } = await faultline(run("--format", "chrome"));
    expect(code).toBe(0);
    const { traceEvents } = JSON.parse(stdout) as { traceEvents: { ph: string; pid: number; dur?: number }[] };
    expect(new Set(traceEvents.map((event) => event.pid))).toEqual(new Set([1, 2]));
    expect(new Set(traceEvents.map((event) => event.ph))).toEqual(new Set(["M", "X", "i"]));
    for (const event of traceEvents) if (event.ph === "X") expect(event.dur).toBeGreaterThanOrEqual(0);
  });

  it("svg: one well-formed document", async () => {
    const { code, stdout } = await faultline(run("--format", "svg"));
    expect(code).toBe(0);
    const { document } = parseHTML(stdout);
    expect(document.querySelectorAll("svg")).toHaveLength(1);
    expect(stdout).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    expect(document.querySelectorAll("circle").length).toBeGreaterThanOrEqual(2);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("lock_stat: write and read lines apart", async () => {
    const { code, stdout } = await faultline(["run", "mmap1", "-t", "2", ...SMALL, "--format", "lock_stat"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^# 2 tasks, seed 1\nclass +contentions +waittime-total +acquisitions +holdtime-total +hold avg\n/);
    expect(stdout).toMatch(/^mmap_sem-W +\d+ +\d+ +\d+ +\d+ +[\d.]+ (ns|us)$/m);
  });
});

describe.concurrent("the state", () => {
  const hashes = async (...args: string[]): Promise<string[]> => {
    const { stdout, stderr } = await faultline(run(...args));
    return [...`${stdout}${stderr}`.matchAll(/state_sha256"?:? "?([0-9a-f]{64})/g)].map((match) => match[1] ?? "");
  };

  it("is the same in every format that shows it, and twice", async () => {
    const [json, again, table, trace, chrome] = await Promise.all([
      hashes("--format", "json"),
      hashes("--format", "json"),
      hashes(),
      hashes("--format", "trace"),
      hashes("--format", "chrome"),
    ]);
    expect(json).toHaveLength(2);
    expect([again, table, trace, chrome]).toEqual([json, json, json, json]);
  });

  it("is another one for another description", async () => {
    const base = await hashes("--format", "json");
    const others = await Promise.all([
      hashes("--format", "json", "--costs", '{"syscall": 77}'),
      hashes("--format", "json", "--mode", "processes"),
      hashes("--format", "json", "--fault-lock", "linux-6.7"),
      hashes("--format", "json", "--duration", "201us"),
    ]);
    for (const other of others) expect(other[1]).not.toBe(base[1]);
  });
});

describe.concurrent("output", () => {
  it("-o writes the file, says so on stderr and leaves stdout alone", async () => {
    const path = join(dir, "out.json");
    const { code, stdout, stderr } = await faultline(run("--format", "json", "-o", path));
    expect([code, stdout, stderr]).toEqual([0, "", `wrote ${path}\n`]);
    expect((JSON.parse(readFileSync(path, "utf8")) as unknown[]).length).toBe(2);
    expect(readdirSync(dir)).toEqual(["out.json"]);
  });

  it("in a narrow terminal every line fits: records in the table's place", async () => {
    const { stdout } = await faultline(run(), { env: { COLUMNS: "40" } });
    const body = stdout.split("\n").slice(2, -6);
    for (const line of body) expect(line.length).toBeLessThanOrEqual(40);
    expect(stdout).toMatch(/^tasks +1$/m);
    expect(stdout).toMatch(/^faults\/s +[\d.]+ [kM]$/m);
  });

  it.each([
    ["no terminal", {}, false],
    ["CI", { CI: "1" }, false],
    ["FORCE_COLOR", { FORCE_COLOR: "1" }, true],
    ["FORCE_COLOR and NO_COLOR", { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  ])("colours with %s", async (_name, env: Record<string, string>, wanted) => {
    const { stderr } = await faultline(["run", "nothing"], { env });
    expect(stderr.includes("\u001b[")).toBe(wanted);
  });

  it("a reader that goes away ends the command quietly", async () => {
    const { code, stdout, stderr } = await faultline(run("--format", "trace"), { closeAfter: 1 });
    expect(stdout.length).toBeGreaterThan(0);
    expect([code, stderr.replace(/state_sha256.*\n/g, "")]).toEqual([0, ""]);
  });

  it("a disk that is full ends it with one line: exit 1", () => {
    if (!existsSync("/dev/full")) return;
    const full = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, [CLI, "workloads"], { stdio: ["ignore", full, "pipe"], encoding: "utf8" });
    closeSync(full);
    expect([status, stderr]).toEqual([1, "faultline: stdout: ENOSPC: no space left on device, write\n"]);
  });

  it("the command can be run by its own name: the file is executable and has a shebang", () => {
    expect(readFileSync(CLI, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});
