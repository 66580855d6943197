/**
 * What a comparison puts out, item by item: every figure of the table with its median and interval, every format and file, and the
 * proof that a regime's path was taken. By the built command. Laws: [cli-cmp] [path-1] [ct-1] [ctr-1] [p2-1].
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CompareResult } from "../../src/sim/compare.js";
import { type Done, faultline } from "./cli.js";

/** A writer, a victim and page_mkwrite: a workload that has every figure. Six seeds: the first number with an interval of 95 %. */
const SHAPE = ["--memory", "24M", "--length", "1M", "--duration", "300us", "--warmup", "100us", "-t", "2"];
const WHAT = ["compare", "mmap-churn", "--fs", "cowfs", ...SHAPE, "--set", "rate=20000"];
const REGIMES = ["linux-4.19+generic_page_mkwrite", "linux-4.19+generic_page_mkwrite_nommapsem", "linux-4.19+completed"];

let dir: string;
let html: string;
let svg: string;
let table: Done;
let result: CompareResult;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "faultline-outputs-"));
  const files = [join(dir, "c.html"), join(dir, "c.svg"), join(dir, "c.json")] as const;
  const written = ["--html", files[0], "--svg", files[1], "--save-baseline", files[2]];
  table = await faultline(...WHAT, "--regime", REGIMES.join(","), "--seeds", "6", ...written);
  expect(table.code, table.stderr).toBe(0);
  html = readFileSync(files[0], "utf8");
  svg = readFileSync(files[1], "utf8");
  result = JSON.parse(readFileSync(files[2], "utf8")) as CompareResult;
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

/** Every figure that the table must have: its name in JSON and CSV, its head on the terminal and in the page. */
const FIGURES: readonly (readonly [string, string])[] = [
  ["faults_per_s", "faults/s"],
  ["fault_p50_ns", "fault p50"],
  ["fault_p99_ns", "fault p99"],
  ["fault_p99_9_ns", "fault p99.9"],
  ...["read", "write"].flatMap((mode) =>
    ["p50", "p99", "max"].map((q): readonly [string, string] => [`${mode}_wait_${q}_ns`, `${mode} wait ${q}`]),
  ),
  ...["p50", "p99", "max"].map((q): readonly [string, string] => [`victim_cmdline_${q}_ns`, `victim cmdline ${q}`]),
  ["callbacks_per_fault", "callbacks/fault"],
  ["stash_accepted_percent", "stash accepted"],
  ["completed_percent", "COMPLETED"],
];

describe("each figure", () => {
  test.each(FIGURES)("%s has a median of six seeds inside its interval, a column and a place in the page", (name, label) => {
    expect(table.stdout).toContain(label);
    expect(html).toContain(label);
    const metric = result.metrics[name];
    expect(metric?.label).toBe(label);
    let found = 0;
    for (const point of result.points) {
      const value = point.metrics[name];
      if (!value) continue;
      found++;
      expect(value.values).toHaveLength(6);
      expect(value.low).toBeLessThanOrEqual(value.median);
      expect(value.high).toBeGreaterThanOrEqual(value.median);
      expect(value.coverage).toBeGreaterThanOrEqual(0.95);
    }
    // Under the lock there is no stash and nothing to complete; a completed fault leaves no stash either.
    if (name === "stash_accepted_percent") expect(found).toBeGreaterThanOrEqual(1);
    else expect(found).toBe(name === "completed_percent" ? 2 : 3);
  });

  test("of the path: callbacks ran without the lock, their pages were used, COMPLETED is the regime's own", () => {
    const [under, nommapsem, completed] = result.points;
    expect(result.points.map((p) => p.path)).toEqual(["not asked", "taken", "taken"]);
    expect(under?.counters.mkwrite_unlocked_attempts).toBe(0);
    expect(nommapsem?.metrics.unlocked_attempts?.median).toBeGreaterThan(10);
    expect(nommapsem?.metrics.stash_accepted_percent?.median).toBeGreaterThan(90);
    expect(nommapsem?.metrics.completed_percent?.median).toBe(0);
    expect(completed?.metrics.completed_percent?.median).toBeGreaterThan(50);
  });

  test("says how well its interval holds the median", () => {
    expect(table.stdout).toContain("Median of 6 seeds [interval: order statistics of the median, holds it with 96.9 %].");
    expect(result.interval.coverage).toBeCloseTo(0.96875, 10);
  });
});

describe("files", () => {
  test("a page needs nothing but itself and has plots of every regime", () => {
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).not.toMatch(/<(script|link|img|iframe)[^>]+(src|href)=/i);
    expect(html).not.toMatch(/url\(|@import/);
    expect(html.match(/<svg/g)?.length).toBeGreaterThan(1);
    for (const regime of REGIMES) expect(html).toContain(regime);
  });

  test("an SVG stands alone", () => {
    expect(svg).toMatch(/^<svg[^>]+xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    for (const regime of REGIMES) expect(svg).toContain(regime);
  });
});

interface ChromeEvent {
  name: unknown;
  ph: string;
  pid: unknown;
  tid: unknown;
  ts?: number;
  dur?: number;
  s?: string;
  args?: Record<string, unknown>;
}

describe("formats", () => {
  const run = (format: string): Promise<Done> =>
    faultline(...WHAT, "--regime", REGIMES.slice(0, 2).join(","), "--seeds", "2", "--format", format);

  test("chrome: every event is one of the trace event format's, names its process and thread, and has a time", async () => {
    const { code, stdout } = await run("chrome");
    expect(code).toBe(0);
    const { traceEvents } = JSON.parse(stdout) as { traceEvents: ChromeEvent[] };
    const named = new Set<string>();
    for (const e of traceEvents) {
      expect(typeof e.name).toBe("string");
      expect(Number.isInteger(e.pid) && Number.isInteger(e.tid)).toBe(true);
      expect(["X", "i", "M"]).toContain(e.ph);
      if (e.ph === "M") {
        expect(["process_name", "thread_name"]).toContain(e.name);
        expect(typeof e.args?.name).toBe("string");
        named.add(`${String(e.pid)}/${e.name === "process_name" ? "" : String(e.tid)}`);
      } else expect(e.ts).toBeGreaterThanOrEqual(0);
      if (e.ph === "X") expect(e.dur).toBeGreaterThanOrEqual(0);
      if (e.ph === "i") expect(e.s).toBe("t");
    }
    for (const e of traceEvents) {
      expect(named.has(`${String(e.pid)}/`) && (e.name === "process_name" || named.has(`${String(e.pid)}/${String(e.tid)}`))).toBe(true);
    }
    const slices = new Set(traceEvents.filter((e) => e.ph === "X").map((e) => e.name));
    for (const slice of ["page fault", "system call", "waits for a lock"]) expect(slices).toContain(slice);
  });

  test("trace: lines as ftrace has them, of each point's first seed", async () => {
    const { stdout } = await run("trace");
    expect(stdout.match(/# tracer: faultline/g)).toHaveLength(2);
    // Two tasks, writer, victim: a CPU each.
    expect(stdout).toMatch(/^# entries-in-buffer\/entries-written: \d+\/\d+ +#P:4$/m);
    expect(stdout).toMatch(/^ +task-\d+ +\[\d{3}\] +\d+\.\d{9}: exceptions:page_fault_user: address=0x/m);
  });

  test("lock_stat: mmap_sem of every run, readers and writers apart", async () => {
    const { stdout } = await run("lock_stat");
    expect(stdout.match(/^mmap_sem-W /gm)).toHaveLength(4);
    expect(stdout.match(/^mmap_sem-R /gm)).toHaveLength(4);
    expect(stdout).toMatch(/class +contentions +waittime-total +acquisitions +holdtime-total/);
  });

  test("hist: powers of two of faults, waits and the victim, every record counted", async () => {
    const { stdout } = await run("hist");
    for (const name of ["fault_ns", "mmap_sem_read_wait_ns", "mmap_sem_write_wait_ns", "victim_cmdline_ns"]) {
      expect(stdout.match(new RegExp(`^@${name}:`, "gm")), name).toHaveLength(2);
    }
    expect(stdout).toMatch(/^\[\d+[KMG]?, \d+[KMG]?\) +\d+ \|@+ *\|$/m);
  });

  test("csv: a line a seed, a column a figure", async () => {
    const lines = (await run("csv")).stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(1 + 2 * 2);
    const head = lines[0]?.split(",");
    for (const [name] of FIGURES) expect(head).toContain(name);
  });
});

describe("a helper that was asked for and never used fails the comparison", () => {
  test("when a defect keeps every callback under the lock, as in the first posting", async () => {
    const { code, stdout, stderr } = await faultline(...WHAT, "--regime", "bacik-v3:D1", "--seeds", "1");
    expect(code).toBe(1);
    expect(stdout).toContain("not taken");
    expect(stderr).toMatch(/path not taken: linux-4\.19\+bacik-v3:D1 was asked for, page_mkwrite ran \d+ times, none without the lock/);
  });

  test("when the filesystem has no page_mkwrite", async () => {
    const { code, stderr } = await faultline("compare", "mmap-churn", "--fs", "ramfs", ...SHAPE, "--seeds", "1");
    expect(code).toBe(1);
    expect(stderr).toContain("generic_page_mkwrite_nommapsem was asked for, and no fault asked page_mkwrite");
    const locks = await faultline("compare", "mmap-churn", "--fs", "ramfs", ...SHAPE, "--seeds", "1", "--regime", "linux-4.19,linux-6.7");
    expect(locks.code, locks.stderr).toBe(0);
  });
});

test("--help names every output", async () => {
  const { stdout } = await faultline("compare", "--help");
  for (const word of [
    "--svg",
    "--html",
    "--save-baseline",
    "--baseline",
    "--threshold",
    "json",
    "csv",
    "chrome",
    "trace",
    "lock_stat",
    "hist",
  ]) {
    expect(stdout).toContain(word);
  }
});
