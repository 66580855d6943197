/**
 * Comparisons: what is run and in which order, what the result holds, what is printed of it. Laws: [cmp-1] [cmp-2] [met-1]
 * [path-1] [p2-1] [ct-1] [ch-1] [ctr-1].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { parseHTML } from "linkedom";
import { compareHtml, compareSvg } from "../../src/report/compare-document.js";
import { compareSections } from "../../src/report/compare-rows.js";
import { compareCsv, compareHistograms, compareTable } from "../../src/report/compare-text.js";
import { chromeTraces } from "../../src/report/compare-trace.js";
import { powerOfTwoRows, powerOfTwoText } from "../../src/report/power-of-two.js";
import { loadKernel } from "../../src/node.js";
import { type CompareDescription, type CompareResult, compareJobs, compareResult } from "../../src/sim/compare.js";
import type { PointOutcome } from "../../src/sim/outcome.js";
import { pathProblem, pathTaken } from "../../src/sim/path.js";
import { runJobs } from "../../src/sim/pool.js";
import { parseRegimes } from "../../src/sim/regimes.js";
import type { RunResult } from "../../src/sim/result.js";
import { histogramOf } from "./synthetic.js";

const DESCRIPTION: CompareDescription = {
  workload: "page_fault3",
  regimes: parseRegimes("linux-4.19,linux-6.7"),
  filesystems: ["ramfs"],
  cases: [[]],
  tasks: [1, 2],
  seeds: [1, 2, 3],
  mode: "threads",
  set: [],
  warmupNs: 100_000,
  durationNs: 300_000,
  lenBytes: 1 << 20,
  staggerNs: 10_000,
  config: { memoryBytes: 16 << 20 },
  command: "faultline compare page_fault3",
};

let outcomes: PointOutcome[];
let result: CompareResult;
beforeAll(async () => {
  const kernel = await loadKernel(true);
  outcomes = await runJobs(kernel, compareJobs(DESCRIPTION, true), { threads: 1 });
  result = compareResult(DESCRIPTION, outcomes);
});

describe("a comparison", () => {
  test("runs every point with every seed, in its own order", () => {
    const jobs = compareJobs(DESCRIPTION, true);
    expect(jobs.map(({ description: d }) => [d.config.faultLock, d.tasks, d.config.seed])).toEqual(
      ["linux-4.19", "linux-6.7"].flatMap((lock) => [1, 2].flatMap((tasks) => [1, 2, 3].map((seed) => [lock, tasks, seed]))),
    );
    expect(jobs.filter((job) => job.trace === true)).toHaveLength(4);
  });

  test("keeps every value behind a median", () => {
    expect(result.points).toHaveLength(4);
    result.points.forEach((point, i) => {
      const runs = outcomes.slice(i * 3, i * 3 + 3).map((o) => o.result);
      expect(point.metrics.faults_per_s?.values).toEqual(runs.map((r) => r.simulated.faults_per_s));
      expect(point.state_sha256).toEqual(runs.map((r) => r.state_sha256));
      expect(point.histograms.fault.N).toBe(runs.reduce((n, r) => n + r.simulated.fault_ns.N, 0));
      expect(point.counters.faults).toBeCloseTo(point.metrics.faults_per_s!.median * 300e-6, 6);
    });
  });

  test("has no value for what a point cannot have", () => {
    for (const point of result.points) {
      expect(point.path).toBe("no page_mkwrite");
      for (const name of ["callbacks_per_fault", "stash_accepted_percent", "completed_percent"]) {
        expect(point.metrics).not.toHaveProperty(name);
      }
      expect(Object.keys(point.metrics).every((name) => name in result.metrics)).toBe(true);
    }
  });

  test("of several seeds does not begin alike", () => {
    const [first] = result.points;
    expect(new Set(first?.state_sha256).size).toBe(3);
  });
});

describe("in print", () => {
  test("a table has a row a point and says what it is", () => {
    const text = compareTable(result, 200);
    expect(text).toContain("page_fault3 on ramfs, threads, 1 MiB a task, 300 us measured after 100 us of warm-up");
    expect(text).toContain("Median of 3 seeds [interval: order statistics of the median, holds it with 75.0 %].");
    expect(text).toContain("No page_mkwrite ran");
    for (const section of compareSections(result)) {
      expect(section.rows).toHaveLength(4);
      for (const row of section.rows) expect(row).toHaveLength(section.header.length);
    }
    // Side by side: regimes vary fastest.
    expect(compareSections(result)[0]?.rows.map((row) => row[0]?.replace(/\s+/g, " "))).toEqual([
      "1 linux-4.19+generic_page_mkwrite",
      "1 linux-6.7+generic_page_mkwrite",
      "2 linux-4.19+generic_page_mkwrite",
      "2 linux-6.7+generic_page_mkwrite",
    ]);
  });

  test("CSV has a line a run and as many cells in each", () => {
    const lines = compareCsv(result)
      .split("\n")
      .map((line) => line.split(","));
    expect(lines).toHaveLength(1 + 12);
    expect(new Set(lines.map((cells) => cells.length))).toEqual(new Set([6 + Object.keys(result.metrics).length]));
    const at = lines[0]!.indexOf("faults_per_s");
    expect(lines.slice(1).map((cells) => Number(cells[at]))).toEqual(outcomes.map((o) => o.result.simulated.faults_per_s));
  });

  test("a power-of-two histogram counts every record, as bpftrace does", () => {
    const h = histogramOf([0, 1, 2, 3, 1023, 1024, 1024, 4096]);
    expect(powerOfTwoRows(h).reduce((n, row) => n + row.count, 0)).toBe(8);
    expect(powerOfTwoText("x", h).split("\n").slice(0, 4)).toEqual([
      "@x:",
      `[0, 1)                    1 |${"@".repeat(26).padEnd(52)}|`,
      `[1, 2)                    1 |${"@".repeat(26).padEnd(52)}|`,
      `[2, 4)                    2 |${"@".repeat(52)}|`,
    ]);
    expect(powerOfTwoText("x", h)).toContain(`[1K, 2K)                  2 |${"@".repeat(52)}|`);
    expect(powerOfTwoText("x", histogramOf([]))).toBe("@x: no records");
    expect(compareHistograms(result)).toContain("# ramfs, 2 tasks, linux-6.7+generic_page_mkwrite\n@fault_ns:\n");
  });
});

describe("as a file", () => {
  test("a page asks for nothing and holds the whole result", () => {
    const html = compareHtml(result);
    const { document } = parseHTML(html);
    expect(document.querySelectorAll("svg").length).toBeGreaterThanOrEqual(2);
    for (const svg of document.querySelectorAll("svg")) expect(svg.getAttribute("aria-label")).toBeTruthy();
    for (const attribute of ["src", "href", "data-src", "srcset"]) expect(document.querySelectorAll(`[${attribute}]`)).toHaveLength(0);
    expect(html).not.toMatch(/@import|url\(/);
    expect(document.querySelector("meta[http-equiv]")?.getAttribute("content")).toContain("default-src 'none'");
    expect(JSON.parse(document.querySelector("script#result")!.textContent)).toEqual(JSON.parse(JSON.stringify(result)));
  });

  test("the names of a page's data are text in it", () => {
    const html = compareHtml({ ...result, workload: "<script>alert(1)</script>", summary: "a&b" });
    expect(html).not.toContain("<script>alert");
    expect(html).toContain("&lt;script&gt;");
  });

  test("an SVG stands alone and labels each regime", () => {
    const svg = compareSvg(result);
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    for (const regime of result.regimes) expect(svg).toContain(regime);
  });

  test("a Chrome trace has a process a run and slices that nest", () => {
    const traced = outcomes.filter((o) => o.trace);
    const { traceEvents } = chromeTraces(traced.map((o, i) => ({ name: `run ${i}`, events: o.trace! })));
    expect(traceEvents.filter((e) => e.name === "process_name").map((e) => e.args?.name)).toEqual(["run 0", "run 1", "run 2", "run 3"]);
    const slices = traceEvents.filter((e) => e.ph === "X");
    expect(slices.filter((e) => e.name === "page fault").length).toBeGreaterThan(100);
    const threads = new Map<string, typeof slices>();
    for (const s of slices) threads.set(`${s.pid} ${s.tid}`, [...(threads.get(`${s.pid} ${s.tid}`) ?? []), s]);
    for (const own of threads.values()) {
      const open: number[] = [];
      for (const s of own.sort((a, b) => a.ts! - b.ts! || b.dur! - a.dur!)) {
        while (open.length > 0 && open[open.length - 1]! <= s.ts!) open.pop();
        const end = s.ts! + s.dur!;
        expect(s.dur!).toBeGreaterThanOrEqual(0);
        if (open.length > 0) expect(end).toBeLessThanOrEqual(open[open.length - 1]!);
        open.push(end);
      }
    }
  });
});

describe("the path", () => {
  const run = (mkwrite: string, counters: Record<string, number>, fs = "ramfs"): RunResult => {
    const [regime] = parseRegimes(mkwrite);
    return { ...outcomes[0]!.result, fs, config: { ...regime! }, simulated: { ...outcomes[0]!.result.simulated, counters } };
  };

  test.each([
    ["generic_page_mkwrite", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not asked"],
    ["generic_page_mkwrite_nommapsem", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not taken"],
    ["generic_page_mkwrite_nommapsem", { mkwrite_faults: 5, mkwrite_runs: 5, mkwrite_unlocked_attempts: 5 }, "taken"],
    ["kara", { mkwrite_faults: 5, mkwrite_runs: 0, mkwrite_prepared: 5 }, "taken"],
    ["kara", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not taken"],
    ["bacik-v3:D1", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not taken"],
    ["linux-6.7", {}, "no page_mkwrite"],
    ["completed", {}, "no page_mkwrite"],
    ["completed", { mkwrite_faults: 5, mkwrite_runs: 5 }, "no helper", "iomapfs-dax"],
    ["completed", {}, "no helper", "iomapfs-dax"],
    ["generic_page_mkwrite", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not asked", "iomapfs-dax"],
    ["completed", { mkwrite_faults: 5, mkwrite_runs: 5 }, "not taken", "iomapfs"],
  ])("of %s with %j is %s", (mkwrite, counters, expected, fs = "ramfs") => {
    const result = run(mkwrite, counters, fs);
    expect(pathTaken(result)).toBe(expected);
    const problem = pathProblem(result);
    if (expected === "no page_mkwrite" && mkwrite === "completed") expect(problem).toContain("and no fault asked page_mkwrite");
    else if (expected !== "not taken") expect(problem).toBeUndefined();
    else expect(problem).toMatch(/^path not taken: linux-4\.19\+\S+ was asked for, page_mkwrite ran 5 times, none without the lock/);
  });
});
