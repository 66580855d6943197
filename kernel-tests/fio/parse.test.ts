/**
 * fio job files: values and their units, inheritance, places of warnings and errors. Laws: [ini-1] [fv-1] [fio-1] [fio-2].
 */
import { describe, expect, test } from "vitest";
import { type FioJob, parseJobFile } from "../../src/workloads/fio/job.js";
import { parseFioRange, parseFioSize, parseFioTime } from "../../src/workloads/fio/values.js";

function jobs(text: string): FioJob[] {
  return parseJobFile(text, "t.fio").jobs;
}

/** A job of one option besides its size. */
function job(option: string): FioJob {
  return jobs(`[j]\nsize=1m\n${option}\n`)[0]!;
}

describe("a size", () => {
  test.each([
    ["4096", 4096],
    ["0x1000", 4096],
    ["4k", 4096],
    ["4K", 4096],
    ["4kb", 4096],
    ["4ki", 4096],
    ["4kib", 4000],
    ["4KiB", 4000],
    ["2g", 2 ** 31],
    ["1t", 2 ** 40],
    ["512b", 512],
  ])("%s is %i bytes", (text, bytes) => {
    expect(parseFioSize(text, 1024)).toBe(bytes);
  });

  test("with kb_base=1000 has the standard's units", () => {
    expect(parseFioSize("4k", 1000)).toBe(4000);
    expect(parseFioSize("4kib", 1000)).toBe(4096);
    expect(jobs("[j]\nkb_base=1000\nsize=4k\nbs=1k")[0]).toMatchObject({ sizeBytes: 4000, readBlock: [1000, 1000] });
  });

  test.each(["", "1.5k", "4q", "k", "4 k k", "1e99t", "-1", "${SIZE}", "(4*1024)"])("%j is refused", (text) => {
    expect(() => parseFioSize(text, 1024)).toThrow();
  });
});

describe("a time", () => {
  test.each([
    ["10", 10e9],
    ["500ms", 5e8],
    ["500msec", 5e8],
    ["20us", 20_000],
    ["2m", 120e9],
    ["1h", 3600e9],
    ["1d", 86400e9],
  ])("%s is %i ns", (text, ns) => {
    expect(parseFioTime(text)).toBe(ns);
  });

  test.each(["", "0.5s", "5x", "ms", "99999999d"])("%j is refused", (text) => {
    expect(() => parseFioTime(text)).toThrow();
  });

  test("may be a range", () => {
    expect(parseFioRange("1-2s", parseFioTime)).toEqual([1e9, 2e9]);
    expect(parseFioRange("5ms", parseFioTime)).toEqual([5e6, 5e6]);
  });
});

describe("a job file", () => {
  const TEXT = `
; a comment
# another
[global]
ioengine=mmap
bs=8k
size=64k
rw=randwrite

[one] ; behind a section
  numjobs = 3 # behind a value
thread

[global]
bs=16k

[two]
rw = randrw
rwmixread=70
bs=4k,8k
`;

  test("gives each job what [global] sections before it set, and then its own", () => {
    const [one, two] = jobs(TEXT);
    expect(one).toMatchObject({
      name: "one",
      ioengine: "mmap",
      random: true,
      readPercent: 0,
      writeBlock: [8192, 8192],
      numjobs: 3,
      thread: true,
    });
    expect(two).toMatchObject({
      name: "two",
      random: true,
      readPercent: 70,
      readBlock: [4096, 4096],
      writeBlock: [8192, 8192],
      thread: false,
    });
  });

  test("keeps the options as written, for the report", () => {
    const file = parseJobFile(TEXT, "t.fio");
    expect(file.globalOptions).toEqual({ ioengine: "mmap", bs: "16k", size: "64k", rw: "randwrite" });
    expect(file.jobOptions).toEqual([
      { numjobs: "3", thread: "1" },
      { rw: "randrw", rwmixread: "70", bs: "4k,8k" },
    ]);
  });

  test.each<[string, Partial<FioJob>]>([
    ["rw=read", { random: false, readPercent: 100 }],
    ["rw=write", { random: false, readPercent: 0 }],
    ["readwrite=rw", { random: false, readPercent: 50 }],
    ["rw=randrw\nrwmixwrite=90", { random: true, readPercent: 10 }],
    ["ioengine=sync", { ioengine: "sync" }],
    ["bsrange=1k-4k,8k-16k", { readBlock: [1024, 4096], writeBlock: [8192, 16384] }],
    ["blocksize=,2k", { readBlock: [4096, 4096], writeBlock: [2048, 2048] }],
    ["runtime=2m\ntime_based", { runtimeNs: 120e9, timeBased: true }],
    ["fsync=8\nfdatasync=3\nend_fsync=1", { fsync: 8, fdatasync: 3, endFsync: true }],
    ["random_distribution=zipf:0.9", { distribution: { kind: "zipf", theta: 0.9 } }],
    ["random_distribution=pareto:0.3", { distribution: { kind: "pareto", h: 0.3 } }],
    ["startdelay=1-3\nramp_time=500ms", { startDelayNs: [1e9, 3e9], rampNs: 5e8 }],
    ["stonewall\ngroup_reporting\nnew_group", { stonewall: true, groupReporting: true, newGroup: true }],
    ["io_size=4m\noffset=8k\nloops=2", { ioSizeBytes: 4 << 20, offsetBytes: 8192, loops: 2 }],
    ["filename=data/x\ndirectory=/mnt\nname=renamed", { filename: "data/x", directory: "/mnt", name: "renamed" }],
    ["randseed=42\nnorandommap=1", { randseed: 42, norandommap: true }],
  ])("%s", (option, expected) => {
    expect(job(option)).toMatchObject(expected);
  });
});

describe("what is not modelled", () => {
  test("is named with its place, and has no effect", () => {
    const { warnings, jobs: parsed } = parseJobFile(
      "[global]\nsize=1m\n  iodepth=32\n[j]\nrw=randread\nrandom_distribution=zoned:50/10\nrwmixraed=3\n",
      "t.fio",
    );
    expect(warnings).toEqual([
      { at: { line: 3, column: 3 }, message: "iodepth is not modelled and has no effect." },
      { at: { line: 6, column: 21 }, message: "random_distribution=zoned is not modelled: the job draws uniformly" },
      { at: { line: 7, column: 1 }, message: "rwmixraed is not modelled and has no effect. Did you mean rwmixread?" },
    ]);
    expect(parsed[0]).toMatchObject({ distribution: { kind: "random" } });
  });

  test("is named once, where it stands in [global], not for every job", () => {
    expect(parseJobFile("[global]\nsize=1m\ndirect=1\n[a]\n[b]\n", "t.fio").warnings).toHaveLength(1);
  });
});

describe("a mistake", () => {
  test.each([
    ["size=1m\n", "1:1: expected a section, such as [global] or [job1], before the first option"],
    ["[j\n", "1:1: expected ] at the end of a section's name"],
    ["[j] x\n", "1:4: expected nothing behind a section's name"],
    ["[ ]\n", "1:1: a section needs a name"],
    ["[j]\nsize=1m\n  bs = 4q\n", '3:8: bs "4q": expected bytes, such as 4096, 4k or 1g'],
    ["[j]\nsize=1m\nrw=randreed\n", '3:4: rw "randreed": expected read, write, randread, randwrite, rw or randrw. Did you mean randread?'],
    ["[j]\nsize=1m\nioengine=libaio\n", '3:10: ioengine "libaio": expected mmap, sync or psync'],
    ["[j]\nsize=50%\n", '2:6: size "50%": shares of a device are not modelled'],
    ["[j]\nsize=1m\nbsrange=8k-4k\n", '3:9: bsrange "8k-4k": the range runs backwards'],
    ["[j]\nsize=1m\nbs=16m\n", '3:4: bs "16m": expected a block of 1 byte to 8m - 1'],
    ["[j]\nsize=1m\nnumjobs=0\n", '3:9: numjobs "0": expected a whole number from 1 to 128'],
    ["[j]\nsize=1m\nthread=yes\n", '3:8: thread "yes": expected 0 or 1'],
    ["[j]\nsize=1m\nrwmixread=101\n", '3:11: rwmixread "101": expected a whole number from 0 to 100'],
    ["[j]\nsize=1m\nfilename=a:b\n", '3:10: filename "a:b": several files to a job are not modelled'],
    ["[j]\nsize=1m\nrandom_distribution=zipf:0\n", '3:21: random_distribution "zipf:0": expected zipf:theta with theta above 0'],
    ["[j]\nsize=1m\nrandom_distribution=pareto:1\n", "expected pareto:h with h between 0 and 1"],
    ["[j]\nsize=1m\nruntime=5x\n", '3:9: runtime "5x": expected a time, such as 10, 500ms or 2m'],
    ["[j]\nsize=${S}\n", '2:6: size "${S}": environment variables are not expanded'],
    ["[j]\nrw=read\n", "1:1: job j: expected size=: files of no size are not modelled"],
    ["[j]\nsize=4k\nbs=8k\n", "1:1: job j: a block of 8192 bytes is larger than its file of 4096"],
    ["[j]\nsize=1m\ntime_based\n", "1:1: job j: time_based without runtime never ends"],
    ["[global]\nsize=1m\n", "1:1: expected a job: a section other than [global]"],
    ["[a]\nsize=1m\nnumjobs=100\n[b]\nsize=1m\nnumjobs=29\n", "4:1: 129 jobs in all; 128 are the most"],
    ["[j]\nsize=1m\n=3\n", "3:1: expected an option's name before ="],
  ])("%j", (text, message) => {
    expect(() => parseJobFile(text, "t.fio")).toThrow(message.startsWith("expected pareto") ? message : `t.fio:${message}`);
  });
});
