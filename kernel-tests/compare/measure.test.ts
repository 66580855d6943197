/**
 * What a machine measures: histograms read out bucket by bucket, waits for mmap_sem, values that guests record, and IO in
 * batches. Laws: [hh-1] [hh-2] [lw-1] [io-1] [io-2].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { EINVAL_NUMBER, fileOf, machineWith } from "./machines.js";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, RUSAGE_SELF, RUSAGE_THREAD } from "../../src/guest/constants.js";
import { type IoEntry, type IoResult, NO_RECORDER, ioBatch, record, timed } from "../../src/guest/io.js";
import { compute, mem, now } from "../../src/guest/mem.js";
import { must, sys } from "../../src/guest/sys.js";
import { emptyHistogram, latencyOf, mergeHistograms, percentile, upperEdge, withZeros } from "../../src/host/histogram.js";
import { loadKernel } from "../../src/node.js";
import type { KernelImage } from "../../src/sim/run.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

const RW = PROT_READ | PROT_WRITE;

describe("a histogram read out", () => {
  test("says what the kernel's own percentiles say", () => {
    const machine = machineWith(kernel);
    const values = [0, 1, 31, 32, 33, 63, 64, 100, 1000, 1001, 65535, 65536, 1e6, 123456789, 2 ** 40 - 1];
    machine.spawn(function* () {
      for (const value of values) yield* record(2, value);
    });
    machine.run();
    const at = machine.kernel.recorderHistogram(2);
    const read = machine.recorded(2);
    expect(read.N).toBe(values.length);
    expect(read.sum).toBe(values.reduce((a, b) => a + b, 0));
    expect([read.min, read.max]).toEqual([0, 2 ** 40 - 1]);
    expect(read.buckets.reduce((n, [, count]) => n + count, 0)).toBe(read.N);
    expect(read.buckets.map(([edge]) => edge)).toEqual([...read.buckets.map(([edge]) => edge)].sort((a, b) => a - b));
    for (const p of [1, 10, 25, 50, 75, 90, 99, 99.9, 100]) expect(percentile(read, p)).toBe(machine.kernel.histPercentile(at, p));
  });

  test("has upper edges within 1/32 of the values below", () => {
    for (let bucket = 1; bucket < 36 * 32; bucket++) {
      const low = upperEdge(bucket - 1) + 1;
      expect(upperEdge(bucket)).toBeGreaterThanOrEqual(low);
      expect((upperEdge(bucket) - low) / low).toBeLessThan(1 / 32);
    }
  });

  test("merges record by record, and takes zeros in", () => {
    const a = {
      N: 2,
      sum: 30,
      min: 10,
      max: 20,
      buckets: [
        [10, 1],
        [20, 1],
      ] as const,
    };
    const b = { N: 1, sum: 20, min: 20, max: 20, buckets: [[20, 1]] as const };
    expect(mergeHistograms([a, emptyHistogram(), b])).toEqual({
      N: 3,
      sum: 50,
      min: 10,
      max: 20,
      buckets: [
        [10, 1],
        [20, 2],
      ],
    });
    expect(latencyOf(withZeros(a, 2))).toMatchObject({ N: 4, min: 0, max: 20, percentile: { "50": 0, "99": 20 } });
    expect(latencyOf(emptyHistogram())).toEqual({ N: 0, min: 0, mean: 0, max: 0, percentile: { "50": 0, "90": 0, "99": 0, "99.9": 0 } });
  });
});

describe("waits for mmap_sem", () => {
  test("are counted in the histogram of their mode, and nowhere else", () => {
    const machine = machineWith(kernel, { cpus: 2 });
    machine.spawn(function* () {
      const at = must(yield* sys.mmap(0, 1 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS));
      yield* sys.thread(function* () {
        for (let i = 0; i < 50; i++) {
          const other = must(yield* sys.mmap(0, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS));
          must(yield* sys.munmap(other, 4096));
        }
      });
      for (let i = 0; i < 20; i++) yield* mem.touch(at, 1 << 20, { write: true });
    });
    machine.run();
    const stat = machine.lockStat().mmap_sem!;
    const waits = machine.lockWaitHistograms("mmap_sem");
    expect(stat.write.contentions + stat.read.contentions).toBeGreaterThan(0);
    for (const mode of ["read", "write"] as const) {
      expect(waits[mode].N).toBe(stat[mode].contentions);
      expect(waits[mode].sum).toBe(stat[mode].waitNs);
      expect(waits[mode].max).toBe(stat[mode].waitMaxNs);
      expect(machine.lockWaits("mmap_sem")[mode].N).toBe(stat[mode].acquisitions);
    }
    machine.statsReset();
    expect(machine.lockWaitHistograms("mmap_sem").read.N).toBe(0);
    expect(() => machine.lockWaits("page_lock")).toThrow("keeps no wait histogram");
  });
});

describe("recorders", () => {
  test("keep what timed calls took; a number too high is EINVAL and records nothing", () => {
    const machine = machineWith(kernel);
    let bad = 0;
    machine.spawn(function* () {
      yield* timed(1, compute(5000));
      bad = yield* record(4, 1);
    });
    machine.run();
    expect(machine.recorded(1)).toMatchObject({ N: 1, min: 5000, max: 5000 });
    expect(bad).toBe(-EINVAL_NUMBER);
    expect(() => machine.recorded(4)).toThrow("recorders is too low");
  });

  test("go back with a snapshot", () => {
    const machine = machineWith(kernel);
    machine.spawn(function* () {
      for (;;) {
        yield* compute(100_000);
        yield* record(0, 7);
      }
    });
    machine.run({ forNs: 1e6 });
    const before = machine.recorded(0).N;
    const snapshot = machine.snapshot();
    machine.run({ forNs: 1e6 });
    expect(machine.recorded(0).N).toBeGreaterThan(before);
    machine.restore(snapshot);
    expect(machine.recorded(0).N).toBe(before);
  });
});

describe("IO in batches", () => {
  const entries: IoEntry[] = [
    { offset: 0, lenBytes: 4096, write: true },
    { offset: 8192 - 16, lenBytes: 32, write: true },
    { offset: 12288, lenBytes: 10_000, write: false },
  ];

  test("touches every page of a block, times each entry, and stops at the deadline", () => {
    const machine = machineWith(kernel);
    const results: IoResult[] = [];
    const blocks: (Uint8Array | number)[] = [];
    let pageByte = 0;
    machine.spawn(function* () {
      const fd = yield* fileOf("/tmp/io", 32768);
      const at = must(yield* sys.mmap(0, 32768, RW, MAP_SHARED, fd, 0));
      const target = { readRecorder: 0, writeRecorder: 1, into: { address: at } };
      results.push(yield* ioBatch(entries, { ...target, deadlineNs: 0 }));
      results.push(yield* ioBatch(entries, { ...target, deadlineNs: 1 }));
      blocks.push(yield* sys.pread(fd, 32, 8192 - 16));
      pageByte = Math.floor((at + 8192 - 16) / 4096) & 0xff;
    });
    machine.run();
    expect(results).toEqual([
      { done: 3, errno: 0 },
      { done: 0, errno: 0 },
    ]);
    expect([machine.recorded(0).N, machine.recorded(1).N]).toEqual([1, 2]);
    expect(machine.recorded(1).min).toBeGreaterThan(0);
    // The block lies across two pages; its byte is the page number of where it begins.
    expect(blocks).toEqual([new Uint8Array(32).fill(pageByte)]);
    machine.check();
  });

  test("as system calls moves the same bytes through the user buffer", () => {
    const machine = machineWith(kernel);
    const results: IoResult[] = [];
    const calls: number[] = [];
    machine.spawn(function* () {
      const fd = yield* fileOf("/tmp/io", 32768);
      const buffer = must(yield* sys.mmap(0, 16384, RW, MAP_PRIVATE | MAP_ANONYMOUS));
      yield* mem.store(buffer, new Uint8Array(16384).fill(0x5a));
      const into = { fd, buffer };
      const before = machine.stat("syscalls");
      results.push(yield* ioBatch(entries, { readRecorder: NO_RECORDER, writeRecorder: 3, deadlineNs: 0, into }));
      calls.push(machine.stat("syscalls") - before);
      results.push(yield* ioBatch(entries, { readRecorder: 0, writeRecorder: 3, deadlineNs: 0, into: { fd: 99, buffer } }));
      const data = yield* sys.pread(fd, 16, 8192);
      expect(data).toEqual(new Uint8Array(16).fill(0x5a));
    });
    machine.run();
    expect(results).toEqual([
      { done: 3, errno: 0 },
      { done: 0, errno: 9 },
    ]);
    expect(calls).toEqual([3]);
    expect([machine.recorded(0).N, machine.recorded(3).N]).toEqual([0, 2]);
  });

  test("ends where an access is given up, with the entries done so far", () => {
    const machine = machineWith(kernel);
    let result: IoResult | undefined;
    let after = 0;
    machine.spawn(function* () {
      const fd = yield* fileOf("/tmp/io", 4096);
      const at = must(yield* sys.mmap(0, 8192, RW, MAP_SHARED, fd, 0));
      yield* sys.thread(function* () {
        yield* compute(1);
      });
      const target = { readRecorder: 0, writeRecorder: 0, deadlineNs: 0, into: { address: at } };
      result = yield* ioBatch(
        [
          { offset: 0, lenBytes: 64, write: true },
          { offset: 4096, lenBytes: 64, write: true },
        ],
        target,
      );
      after = yield* now();
    });
    machine.run();
    // The second page lies beyond the file: SIGBUS kills the process, nobody sees a result.
    expect(result).toBeUndefined();
    expect(after).toBe(0);
    expect(machine.recorded(0).N).toBe(1);
  });
});

describe("getrusage", () => {
  test("counts faults, switches and CPU time of a thread and of its process", () => {
    const machine = machineWith(kernel, { cpus: 2 });
    const seen: Record<string, unknown> = {};
    machine.spawn(function* () {
      const at = must(yield* sys.mmap(0, 40960, RW, MAP_PRIVATE | MAP_ANONYMOUS));
      yield* mem.touch(at, 20480, { write: true });
      yield* sys.thread(function* () {
        yield* mem.touch(at + 20480, 12288, { write: true });
        yield* sys.nanosleep(1000);
        seen.thread = yield* sys.getrusage(RUSAGE_THREAD);
        yield* sys.nanosleep(1e6);
      });
      yield* compute(1_000_000);
      seen.self = yield* sys.getrusage(RUSAGE_SELF);
      seen.bad = yield* sys.getrusage(7);
    });
    machine.run();
    expect(seen.thread).toMatchObject({ minflt: 3, majflt: 0, nvcsw: 1 });
    expect(seen.self).toMatchObject({ minflt: 8, majflt: 0 });
    expect((seen.self as { utimeNs: number }).utimeNs).toBeGreaterThan(1_000_000);
    expect(seen.bad).toBe(-EINVAL_NUMBER);
  });
});
