/**
 * strace's and perf's output to a trace: each kind of line, calls that are cut in two, and what is left out. What is written parses
 * and is ordered. Laws: [ts-1].
 */
import { describe, expect, test } from "vitest";
import { orderTrace } from "../../src/workloads/trace/order.js";
import { parseTrace } from "../../src/workloads/trace/parse.js";
import { importStrace } from "../../src/workloads/trace/strace.js";

interface Lines {
  files: string[];
  events: string[];
  left: Record<string, number>;
}

/** Imports calls at 1700000000 s plus so many us each, and faults at the same. */
function imported(calls: readonly string[], faults: readonly string[] = []): Lines {
  const { text, left, events } = importStrace(calls.join("\n"), faults.join("\n"), ["made by hand"]);
  const lines = text.trimEnd().split("\n");
  expect(lines.slice(0, 2)).toEqual(["faultline-trace 1", "# made by hand"]);
  const rest = lines.slice(2);
  const found = rest.filter((line) => !line.startsWith("file "));
  expect(found).toHaveLength(events);
  if (events > 0) orderTrace(parseTrace(text, "imported"));
  // Without times, which the tests of order look at.
  const strip = (line: string): string => line.replace(/^\S+ /, "");
  return { files: rest.filter((line) => line.startsWith("file ")), events: found.map(strip), left: Object.fromEntries(left) };
}

const T = 1700000000;

describe("calls", () => {
  test.each([
    [
      "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 3</tmp/db>, 0x1000) = 0x7f0000000000",
      "7 mmap 0x7f0000000000 8192 rw shared 1 4096",
    ],
    ["mmap(NULL, 100, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_STACK, -1, 0) = 0x7f0000000000", "7 mmap 0x7f0000000000 100 none private"],
    ["munmap(0x7f0000000000, 4096) = 0", "7 munmap 0x7f0000000000 4096"],
    ['pwrite64(3</tmp/a, b>, "x,\\"y)"..., 5, 1000) = 5', "7 write 1 1000 5"],
    ['pread64(3</tmp/db>, ""..., 100, 0) = 60', "7 read 1 0 60"],
    ["ftruncate(3</tmp/db>, 0) = 0", "7 truncate 1 0"],
    ["fsync(3</tmp/db>) = 0", "7 fsync 1"],
    ["fdatasync(3</tmp/db>(deleted)) = 0", "7 fdatasync 1"],
  ])("%s", (call, event) => {
    expect(imported([`7 ${T}.000001 ${call}`]).events).toEqual([event]);
  });

  test("on what is mapped", () => {
    const { events } = imported([
      `7 ${T}.000001 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000`,
      `7 ${T}.000002 mprotect(0x7f0000001000, 4096, PROT_READ|PROT_EXEC) = 0`,
      `7 ${T}.000003 madvise(0x7f0000000000, 8192, MADV_DONTNEED) = 0`,
      `7 ${T}.000004 msync(0x7f0000000000, 8192, MS_SYNC) = 0`,
      `7 ${T}.000005 msync(0x7f0000000000, 8192, MS_ASYNC) = 0`,
    ]);
    expect(events.slice(1)).toEqual([
      "7 mprotect 0x7f0000001000 4096 rx",
      "7 madvise 0x7f0000000000 8192 dontneed",
      "7 msync 0x7f0000000000 8192 sync",
      "7 msync 0x7f0000000000 8192 async",
    ]);
  });

  test("go on where the file stands, after open, lseek and each other", () => {
    const { events, files } = imported([
      `7 ${T}.000001 openat(AT_FDCWD</tmp>, "/tmp/db", O_RDWR) = 3</tmp/db>`,
      `7 ${T}.000002 read(3</tmp/db>, ""..., 100) = 100`,
      `7 ${T}.000003 write(3</tmp/db>, ""..., 50) = 50`,
      `7 ${T}.000004 lseek(3</tmp/db>, 4000, SEEK_SET) = 4000`,
      `7 ${T}.000005 read(3</tmp/db>, ""..., 100) = 96`,
    ]);
    expect(events).toEqual(["7 read 1 0 100", "7 write 1 100 50", "7 read 1 4000 96"]);
    expect(files).toEqual(["file 1 4096 /tmp/db"]);
  });

  test("that make a file empty: it had nothing before", () => {
    const { events, files } = imported([
      `7 ${T}.000001 openat(AT_FDCWD</tmp>, "/tmp/new", O_RDWR|O_CREAT|O_TRUNC, 0644) = 3</tmp/new>`,
      `7 ${T}.000002 write(3</tmp/new>, ""..., 50) = 50`,
      `7 ${T}.000003 pread64(3</tmp/new>, ""..., 50, 0) = 50`,
    ]);
    expect([files, events]).toEqual([["file 1 0 /tmp/new"], ["7 write 1 0 50", "7 read 1 0 50"]]);
  });

  test("cut in two are one, at the time of their first half", () => {
    const { text } = importStrace(
      [
        `7 ${T}.000001 munmap(0x7f0000000000, 4096) = 0`,
        `7 ${T}.000010 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0 <unfinished ...>`,
        `8 ${T}.000012 munmap(0x7f1000000000, 4096 <unfinished ...>`,
        `7 ${T}.000020 <... mmap resumed>)        = 0x7f0000000000`,
        `8 ${T}.000030 <... munmap resumed>) = 0`,
      ].join("\n"),
      "",
      [],
    );
    expect(text.split("\n").slice(1, -1)).toEqual([
      "0.000000000 7 munmap 0x7f0000000000 4096",
      "0.000009000 7 mmap 0x7f0000000000 4096 r private",
      "0.000011000 8 munmap 0x7f1000000000 4096",
    ]);
  });
});

describe("who", () => {
  test("threads share their process's mappings, a fork begins with none, execve ends them", () => {
    const { events, left } = imported([
      `7 ${T}.000001 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000`,
      `7 ${T}.000002 clone3({flags=CLONE_VM|CLONE_THREAD, stack=0x1, stack_size=0x7ffd00} => {parent_tid=[8]}, 88) = 8`,
      `8 ${T}.000003 mprotect(0x7f0000000000, 4096, PROT_READ|PROT_WRITE) = 0`,
      `7 ${T}.000004 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 9`,
      `9 ${T}.000005 mprotect(0x7f0000000000, 4096, PROT_READ) = 0`,
      `8 ${T}.000006 execve("/bin/true", ["true"], 0x1 /* 2 vars */) = 0`,
    ]);
    expect(events).toEqual([
      "7 mmap 0x7f0000000000 4096 r private",
      "7.8 mprotect 0x7f0000000000 4096 rw",
      "7.8 munmap 0x7f0000000000 4096",
    ]);
    expect(left).toMatchObject({ "mprotect outside of recorded mappings": 1, "forks: a child begins with nothing mapped": 1 });
  });

  test("[pid N] and no pid at all are read as well", () => {
    expect(imported([`[pid  7] ${T}.000001 munmap(0x7f0000000000, 4096) = 0`]).events).toEqual(["7 munmap 0x7f0000000000 4096"]);
    expect(imported([`${T}.000001 munmap(0x7f0000000000, 4096) = 0`]).events).toEqual(["1 munmap 0x7f0000000000 4096"]);
  });
});

describe("page faults", () => {
  const MAPPED = `7 ${T}.000001 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000`;
  const at = (us: string, address: string, code: string): string =>
    `  7/8  2023-11-14 22:13:20.${us}500 25356.8: exceptions:page_fault_user: address=${address} ip=0x1 error_code=${code}`;

  test("are loads and stores by their error code, in the order of time with the calls", () => {
    const { text } = importStrace(
      [MAPPED, `7 ${T}.000020 munmap(0x7f0000000000, 4096) = 0`].join("\n"),
      [at("000003", "0x7f0000000010", "0x4"), at("000004", "0x7f0000000018", "0x7")].join("\n"),
      [],
    );
    expect(text.split("\n").slice(2, -1)).toEqual([
      "0.000002500 7.8 load 0x7f0000000010 1",
      "0.000003500 7.8 store 0x7f0000000018 1",
      "0.000019000 7 munmap 0x7f0000000000 4096",
    ]);
  });

  test("outside of what is mapped, and before the first call, are left out", () => {
    const { events, left } = imported([MAPPED], [at("000000", "0x7f0000000010", "0x4"), at("000003", "0x7ffe00000010", "0x6")]);
    expect(events).toHaveLength(1);
    expect(left).toEqual({ "faults outside of recorded mappings (stack, heap, image)": 1 });
  });
});

test("calls that failed, sockets, devices and what a trace does not know are counted and left out", () => {
  const { events, left } = imported([
    `7 ${T}.000001 munmap(0x7f0000000000, 4096) = -1 EINVAL (Invalid argument)`,
    `7 ${T}.000002 write(1<pipe:[400589]>, "OK"..., 24) = 24`,
    `7 ${T}.000003 read(3</dev/null>, "", 10) = 0`,
    `7 ${T}.000004 getpid() = 7`,
    `7 ${T}.000005 +++ exited with 0 +++`,
    `7 ${T}.000006 --- SIGCHLD {si_signo=SIGCHLD} ---`,
  ]);
  expect(events).toEqual([]);
  expect(left).toEqual({ "calls that failed": 1, "write of what is no file": 1, "read of what is no file": 1, "calls of getpid": 1 });
});
