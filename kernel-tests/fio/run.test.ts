/**
 * Job files run on the machine: what is counted, what a deadline, a ramp, a stonewall, a group mean, on ramfs and on a filesystem
 * with page_mkwrite. Laws: [fg-1] [fg-2] [fw-1] [fr-1] [ft-1].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { fioText } from "../../src/report/fio-text.js";
import { loadKernel } from "../../src/node.js";
import { type FioReport, fioReport } from "../../src/sim/fio.js";
import { pathTaken } from "../../src/sim/path.js";
import { compareJobs, compareResult } from "../../src/sim/compare.js";
import { runJobs } from "../../src/sim/pool.js";
import { parseRegimes } from "../../src/sim/regimes.js";
import type { RunResult } from "../../src/sim/result.js";
import { type KernelImage, Run } from "../../src/sim/run.js";
import { fioWorkload } from "../../src/workloads/fio/workload.js";
import { type WorkloadInput, optionValues } from "../../src/workloads/index.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

interface Done {
  report: FioReport;
  result: RunResult;
  run: Run;
}

async function fio(
  text: string,
  change: { set?: string[]; fs?: string; seed?: number; mkwrite?: "kara" | "completed" } = {},
): Promise<Done> {
  const input: WorkloadInput = { kind: "fio", name: "t.fio", text };
  const config = { memoryBytes: 32 << 20, seed: change.seed ?? 1, mkwrite: change.mkwrite ?? ("generic_page_mkwrite" as const) };
  const run = new Run(kernel, {
    workload: "t.fio",
    input,
    tasks: 1,
    mode: "threads",
    fs: change.fs ?? "ramfs",
    set: change.set ?? [],
    config,
  });
  run.warmUp();
  run.measure();
  run.machine.check();
  const result = await run.result();
  return { report: fioReport(run, input, result), result, run };
}

const MMAP = "ioengine=mmap\nsize=256k\n";

describe("a job", () => {
  test.each(["ramfs", "pagestore"])("on %s moves its size and says so", async (fs) => {
    const { report, result } = await fio(`[w]\n${MMAP}rw=write\n`, { fs });
    const [job] = report.jobs;
    expect(job).toMatchObject({ jobname: "w", groupid: 0, jobs: 1, error: 0, "job options": { rw: "write" } });
    expect(job?.write).toMatchObject({ io_bytes: 262144, io_kbytes: 256, total_ios: 64, clat_ns: { N: 64 } });
    expect(job?.read).toMatchObject({ io_bytes: 0, total_ios: 0, runtime: 0, iops: 0, clat_ns: { N: 0, min: 0, max: 0 } });
    const { clat_ns: clat, runtime_ns: runtimeNs, iops } = job!.write;
    expect(clat.min).toBeLessThanOrEqual(clat.percentile!["50.000000"]!);
    expect(clat.percentile!["99.990000"]).toBeLessThanOrEqual(clat.max);
    expect(clat.mean * 64).toBeLessThanOrEqual(runtimeNs);
    expect(iops).toBeCloseTo(64e9 / runtimeNs, 3);
    expect(job!.minf + job!.majf).toBe(64);
    expect(result.simulated.iterations).toBe(64);
  });

  test("with two directions shares its size between them", async () => {
    const { report } = await fio(`[m]\n${MMAP}rw=randrw\nrwmixread=25\n`);
    const { read, write } = report.jobs[0]!;
    expect(read.io_bytes + write.io_bytes).toBe(262144);
    expect(read.total_ios).toBeGreaterThan(4);
    expect(write.total_ios).toBeGreaterThan(read.total_ios);
  });

  test.each(["sync", "psync"])("of ioengine=%s reads and writes by system calls", async (engine) => {
    const { report, run } = await fio(`[s]\nioengine=${engine}\nsize=64k\nrw=rw\nfsync=4\n`);
    const { read, write, sync } = report.jobs[0]!;
    expect(read.total_ios + write.total_ios).toBe(16);
    expect(sync.total_ios).toBe(Math.floor(write.total_ios / 4));
    expect(run.machine.stat("unknown_syscalls")).toBe(0);
  });

  test("repeats with loops, moves io_size, reads at an offset", async () => {
    expect((await fio(`[l]\n${MMAP}rw=read\nloops=3\n`)).report.jobs[0]?.read.io_bytes).toBe(3 * 262144);
    expect((await fio(`[l]\n${MMAP}rw=read\nio_size=64k\noffset=128k\n`)).report.jobs[0]?.read.io_bytes).toBe(65536);
    expect((await fio(`[l]\n${MMAP}rw=randread\nio_size=1m\n`)).report.jobs[0]?.read.total_ios).toBe(256);
  });

  test("of blocks larger than a page faults each page once", async () => {
    const { report } = await fio(`[b]\n${MMAP}rw=write\nbs=64k\n`);
    expect(report.jobs[0]).toMatchObject({ minf: 64, write: { total_ios: 4 } });
  });
});

describe("time", () => {
  test("runtime ends a job that has not moved its size; time_based goes on after it has", async () => {
    const cut = (await fio(`[t]\n${MMAP}rw=write\nruntime=30us\n`)).report.jobs[0]!;
    expect(cut.write.io_bytes).toBeLessThan(262144);
    expect(cut.write.io_bytes).toBeGreaterThan(0);
    expect(cut.write.runtime_ns).toBeLessThan(60_000);
    const long = (await fio(`[t]\n${MMAP}rw=write\nruntime=2ms\ntime_based\n`)).report.jobs[0]!;
    expect(long.write.io_bytes).toBeGreaterThan(262144);
    expect(long.write.runtime_ns).toBeGreaterThanOrEqual(2e6);
  });

  test("the runtime option is a limit to the file's own", async () => {
    const text = `[t]\n${MMAP}rw=write\nruntime=10s\ntime_based\n`;
    expect((await fio(text, { set: ["runtime=1ms"] })).report.jobs[0]!.write.runtime_ns).toBeLessThan(1.1e6);
  });

  test("a ramp is run and not counted", async () => {
    const { report, result } = await fio(`[t]\n${MMAP}rw=write\nramp_time=1ms\n`);
    expect(report.jobs[0]).toMatchObject({ write: { io_bytes: 262144 }, minf: 0 });
    expect(result.simulated.time_ns).toBeGreaterThan(1e6);
    expect(report.jobs[0]!.write.runtime_ns).toBeLessThan(1e6);
  });

  test("startdelay puts a job off, and is not run time", async () => {
    const { report, result } = await fio(`[t]\n${MMAP}rw=write\nstartdelay=5ms\n`);
    expect(result.simulated.time_ns).toBeGreaterThan(5e6);
    expect(report.jobs[0]!.write.runtime_ns).toBeLessThan(1e6);
  });

  test("a stonewall waits for every job before it", async () => {
    const text = (wall: string): string =>
      `[global]\n${MMAP}rw=write\n[a]\nnumjobs=2\nthread\nstartdelay=3ms\n[b]\n${wall}startdelay=2ms\n[c]\n${wall}startdelay=1ms\n`;
    expect((await fio(text(""))).result.simulated.time_ns).toBeLessThan(4e6);
    expect((await fio(text("stonewall\n"))).result.simulated.time_ns).toBeGreaterThan(6e6);
  });
});

describe("syncs", () => {
  test.each([
    ["fsync=8", 8],
    ["fdatasync=16", 4],
    ["fsync=8\nfdatasync=16", 12],
    ["end_fsync=1", 1],
    ["fsync=100", 0],
  ])("%s of 64 writes: %i", async (options, syncs) => {
    const { report } = await fio(`[s]\n${MMAP}rw=write\n${options}\n`, { fs: "pagestore" });
    expect(report.jobs[0]!.sync.total_ios).toBe(syncs);
    // Both at once: the second finds nothing to write.
    if (syncs > 0) expect(report.jobs[0]!.sync.lat_ns.max).toBeGreaterThan(10_000);
  });

  test("are after writes only", async () => {
    expect((await fio(`[s]\n${MMAP}rw=read\nfsync=1\n`)).report.jobs[0]!.sync.total_ios).toBe(0);
  });
});

describe("several jobs", () => {
  const TEXT = `[global]\n${MMAP}rw=randwrite\nfilename=shared\n[a]\nnumjobs=3\nthread\n[b]\nnumjobs=2\n`;

  test("report each clone, or a group as one", async () => {
    const single = (await fio(TEXT)).report.jobs;
    expect(single.map((j) => [j.jobname, j.jobs])).toEqual([
      ["a", 1],
      ["a", 1],
      ["a", 1],
      ["b", 1],
      ["b", 1],
    ]);
    const grouped = (await fio(TEXT.replace("[global]", "[global]\ngroup_reporting"))).report.jobs;
    expect(grouped.map((j) => [j.jobname, j.jobs, j.write.io_bytes])).toEqual([["a", 5, 5 * 262144]]);
    const split = (await fio(TEXT.replace("[global]", "[global]\ngroup_reporting").replace("[b]", "[b]\nnew_group"))).report.jobs;
    expect(split.map((j) => [j.jobname, j.groupid, j.jobs])).toEqual([
      ["a", 0, 3],
      ["b", 1, 2],
    ]);
  });

  test("share a process when they are threads, and have one each when not", async () => {
    const roots = (text: string): number => {
      const workload = fioWorkload(text, "t.fio");
      const options = optionValues("t.fio", workload.options ?? [], []);
      return workload.processes!({ tasks: 1, mode: "threads", lenBytes: 4096, seed: 1, directory: "/tmp", options }).length;
    };
    expect(roots(TEXT)).toBe(1 + 2);
    expect(roots(TEXT.replace("thread\n", ""))).toBe(5);
    expect(roots(TEXT.replace("[b]", "[b]\nthread"))).toBe(1);
    // Each clone maps the file itself, as fio's do: each faults in every page of it.
    for (const text of [TEXT, TEXT.replace("thread\n", "")]) {
      const { report } = await fio(text);
      expect(report.jobs.map((j) => j.minf + j.majf)).toEqual([64, 64, 64, 64, 64]);
    }
  });

  test("have numjobs from the option when it is set", async () => {
    expect((await fio(TEXT, { set: ["numjobs=4"] })).report.jobs).toHaveLength(8);
  });
});

describe("a run", () => {
  const TEXT = `[r]\n${MMAP}rw=randrw\nrandom_distribution=zipf:1.1\nnumjobs=2\nthread\nfsync=16\nfilename=x\n`;

  test("repeats itself byte for byte, and differs with the seed", async () => {
    const [a, b, c] = [await fio(TEXT), await fio(TEXT), await fio(TEXT, { seed: 2 })];
    expect(b.report).toEqual(a.report);
    expect(c.report.faultline.state_sha256).not.toBe(a.report.faultline.state_sha256);
  });

  test("prints what its JSON says", async () => {
    const { report } = await fio(`[r]\n${MMAP}rw=write\nfsync=8\niodepth=4\n`);
    const text = fioText(report);
    expect(text).toContain("r: (groupid=0, jobs=1): err= 0");
    expect(text).toContain("(256 KiB in ");
    expect(text).toContain("sync: 8 calls");
    expect(text).toContain(`minf=${report.jobs[0]!.minf}`);
    expect(report.faultline.warnings).toEqual(["t.fio:6:1: iodepth is not modelled and has no effect."]);
  });
});

describe("a comparison of a job file", () => {
  test("runs its regimes, scales its jobs, and takes the path", async () => {
    const input: WorkloadInput = { kind: "fio", name: "t.fio", text: `[r]\n${MMAP}rw=randwrite\nthread\nfsync=16\nfilename=x\n` };
    const description = {
      workload: "t.fio",
      input,
      regimes: parseRegimes("generic_page_mkwrite,completed"),
      filesystems: ["pagestore"],
      cases: [[]],
      tasks: [1, 3],
      tasksOption: "numjobs",
      seeds: [1],
      mode: "threads",
      set: [],
      staggerNs: 0,
      config: { memoryBytes: 32 << 20 },
      command: "",
    } as const;
    const outcomes = await runJobs(kernel, compareJobs(description), { threads: 1 });
    expect(outcomes.map((o) => pathTaken(o.result))).toEqual(["not asked", "not asked", "taken", "taken"]);
    const result = compareResult(description, outcomes);
    expect(result.points.map((p) => [p.tasks, p.histograms.recorded.write_clat_ns?.N])).toEqual([
      [1, 64],
      [3, 192],
      [1, 64],
      [3, 192],
    ]);
    expect(Object.keys(result.metrics)).toContain("write_clat_p99_ns");
  });
});
