/*
 * The /proc-like views: they parse, they agree with counters and with each other, and a guest that reads one takes the lock.
 *
 * Checks: [proc-mm] [text-1].
 */
import { describe, expect, it } from "vitest";
import {
  INSPECT_KINDS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  barrier,
  mem,
  procRead,
  sys,
} from "../../src/node.js";
import { ANON, E, PAGE, RW, TestMachine, anon, must, ramFile, runGuest } from "../test-machine.js";

const AT = 0x10_0000_0000;

/** "name:  123 kB" lines as numbers. */
function fields(text: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const line of text.trimEnd().split("\n")) {
    const match = /^([A-Za-z_()]+): +(\d+)( kB| ns| B)?$/.exec(line);
    if (!match) throw new Error(`no field: "${line}"`);
    found[match[1] ?? ""] = Number(match[2]);
  }
  return found;
}

describe("the machine's views", () => {
  it("meminfo adds up and follows what is used", () => {
    runGuest(function* (t) {
      const before = fields(t.machine.inspect("meminfo"));
      expect(before.MemTotal).toBe(4096);
      expect(before.MemFree).toBe(t.stat("free_frames") * 4);
      const fd = yield* ramFile("/f", 5);
      const at = yield* anon(7 * PAGE);
      yield* mem.touch(at, 7 * PAGE, { write: true });
      const after = fields(t.machine.inspect("meminfo"));
      expect((after.Cached ?? 0) - (before.Cached ?? 0)).toBe(20);
      expect(after.AnonPages).toBe(28);
      expect(after.PageTables).toBe(t.stat("page_tables") * 4);
      // Total is free, cached, anonymous, tables, the zero page and the guest's operation buffer.
      const known = (after.MemFree ?? 0) + (after.Cached ?? 0) + (after.AnonPages ?? 0) + (after.PageTables ?? 0) + 8;
      expect(known).toBe(after.MemTotal);
      must(yield* sys.close(fd));
      return 0;
    });
  });

  it("vmstat is the counters under Linux's names", () => {
    runGuest(function* (t) {
      const at = yield* anon(3 * PAGE);
      yield* mem.touch(at, 3 * PAGE, { write: true });
      must(yield* sys.munmap(at, 3 * PAGE));
      const vmstat = fields(t.machine.inspect("vmstat"));
      expect(vmstat.pgfault).toBe(t.stat("faults"));
      expect(vmstat.pgmajfault).toBe(t.stat("maj_flt"));
      expect(vmstat.pgalloc_normal).toBe(t.stat("page_allocs"));
      expect(vmstat.pgfree).toBe(t.stat("page_frees"));
      expect(vmstat.nr_tlb_flush).toBe(t.stat("tlb_shootdowns"));
      return 0;
    });
  });

  it("lock_stat is what lockStat() says, line by line", () => {
    const t = new TestMachine({ cpus: 2 });
    t.runOne(function* () {
      const at = yield* anon(32 * PAGE);
      for (let i = 0; i < 2; i++) {
        must(
          yield* sys.thread(function* () {
            yield* mem.touch(at, 32 * PAGE, { write: true });
            must(yield* sys.munmap(yield* anon(PAGE), PAGE));
            yield* barrier(0, 3);
          }),
        );
      }
      yield* barrier(0, 3);
      return 0;
    });
    const stats = t.machine.lockStat();
    const lines = t.machine.inspect("lock_stat").trimEnd().split("\n").slice(1);
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      const match = /^(.*)-([RW]) +(\d.*)$/.exec(line);
      if (!match) throw new Error(`no line of lock_stat: "${line}"`);
      const [contentions, waitMin, waitMax, wait, acquisitions, holdMin, holdMax, hold] = (match[3] ?? "").split(/ +/).map(Number);
      const stat = stats[match[1] ?? ""]?.[match[2] === "R" ? "read" : "write"];
      expect(stat, line).toEqual({
        contentions,
        waitMinNs: waitMin,
        waitMaxNs: waitMax,
        waitNs: wait,
        acquisitions,
        holdMinNs: holdMin,
        holdMaxNs: holdMax,
        holdNs: hold,
      });
    }
    expect(stats.mmap_sem?.write.acquisitions).toBeGreaterThanOrEqual(5);
    t.finish();
  });

  it("tasks lists each living task once, and what it waits for", () => {
    runGuest(function* (t, ctx) {
      const pid = must(
        yield* sys.fork(function* () {
          yield* barrier(0, 2);
        }),
      );
      yield* sys.nanosleep(1e6);
      const lines = t.machine.inspect("tasks").trimEnd().split("\n").slice(1);
      const ids = lines.map((line) => Number(line.trim().split(/ +/)[0])).sort((a, b) => a - b);
      expect(ids).toEqual([ctx.tid, pid]);
      const child = lines.find((line) => line.trim().startsWith(`${pid} `));
      expect(child?.trim().split(/ +/)[4]).not.toBe("00000000");
      yield* barrier(0, 2);
      yield* sys.wait(pid);
      return 0;
    });
  });

  it("stat of pid 0 has a line a CPU", () => {
    const t = new TestMachine({ cpus: 3 });
    t.runOne(() => sys.getpid());
    const lines = t.machine.inspect("stat").trimEnd().split("\n");
    expect(lines.slice(0, 3).map((line) => line.split(" ")[0])).toEqual(["cpu0", "cpu1", "cpu2"]);
    expect(lines.length).toBe(5);
    t.finish();
  });
});

describe("a process's views", () => {
  it("maps has Linux's columns", () => {
    runGuest(function* (t, ctx) {
      const fd = yield* ramFile("/f", 4);
      const stat = yield* sys.fstat(fd);
      const ino = typeof stat === "number" ? 0 : stat.ino;
      must(yield* sys.brk(0x5555_0000_2000));
      must(yield* sys.mmap(AT, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, PAGE));
      must(yield* sys.mmap(AT + 8 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
      must(yield* sys.mmap(AT + 9 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED));
      expect(t.machine.inspect("maps", ctx.pid).split("\n")).toEqual([
        `1000000000-1000002000 r-xp 00001000 00:00 ${ino}`,
        `1000008000-1000009000 rw-s 00000000 00:00 ${ino}`,
        "1000009000-100000a000 ---p 00000000 00:00 0",
        "555500000000-555500002000 rw-p 00000000 00:00 0                          [heap]",
        "",
      ]);
      return 0;
    });
  });

  it("smaps adds up to the process's resident pages, shared and private, clean and dirty", () => {
    runGuest(function* (t, ctx) {
      const fd = yield* ramFile("/f", 4);
      must(yield* sys.mmap(AT, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
      must(yield* sys.mmap(AT + 8 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
      must(yield* sys.mmap(AT + 16 * PAGE, 8 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 4 * PAGE);
      yield* mem.touch(AT, 2 * PAGE, { write: true });
      yield* mem.touch(AT + 8 * PAGE, 4 * PAGE);
      yield* mem.touch(AT + 8 * PAGE, PAGE, { write: true });
      yield* mem.touch(AT + 16 * PAGE, 5 * PAGE, { write: true });
      yield* mem.touch(AT + 16 * PAGE, 8 * PAGE);
      const parts = t.machine
        .inspect("smaps", ctx.pid)
        .split(/^[0-9a-f]+-.*\n/m)
        .slice(1)
        .map(fields);
      expect(parts.map((part) => [part.Size, part.Rss, part.Shared, part.Dirty, part.Anonymous])).toEqual([
        [16, 16, 12, 8, 0],
        [16, 16, 12, 4, 4],
        [32, 20, 0, 20, 20],
      ]);
      const stat = fields(t.machine.inspect("stat", ctx.pid));
      expect(stat.rss).toBe((16 + 16 + 20) / 4);
      expect(stat.vsize).toBe(16 * PAGE);
      expect(stat.num_threads).toBe(1);
      return 0;
    });
  });

  it("stat counts faults of threads that have gone, and the threads that have not", () => {
    runGuest(function* (t, ctx) {
      const at = yield* anon(8 * PAGE);
      must(
        yield* sys.thread(function* () {
          yield* mem.touch(at, 8 * PAGE, { write: true });
        }),
      );
      must(
        yield* sys.thread(function* () {
          yield* barrier(0, 2);
        }),
      );
      yield* sys.nanosleep(1e6);
      expect(fields(t.machine.inspect("stat", ctx.pid))).toMatchObject({ minflt: 8, majflt: 0, num_threads: 2 });
      yield* barrier(0, 2);
      return 0;
    });
  });

  it.each(["maps", "smaps", "cmdline", "stat"] as const)("%s of nobody is ESRCH, to the host and to a guest", (kind) => {
    runGuest(function* (t) {
      expect(() => t.machine.inspect(kind, 999)).toThrow("errno 3");
      expect(yield* procRead(kind, 999)).toBe(-E.SRCH);
      return 0;
    });
  });

  it("a process of so many mappings that its text does not fit gets what fits", () => {
    runGuest(function* (t, ctx) {
      for (let i = 0; i < 400; i++) must(yield* sys.mmap(AT + 2 * i * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED));
      const text = t.machine.inspect("smaps", ctx.pid);
      expect(text.length).toBe(65536);
      expect(text.startsWith("1000000000-1000001000 r--p")).toBe(true);
      return 0;
    });
  });
});

describe("a guest that reads", () => {
  it("gets the length of what the host sees, and takes the other's mmap_sem for reading once", () => {
    runGuest(function* (t) {
      const pid = must(
        yield* sys.fork(function* () {
          yield* anon(3 * PAGE);
          yield* barrier(0, 2);
          yield* barrier(1, 2);
        }),
      );
      yield* barrier(0, 2);
      yield* sys.nanosleep(1e6);
      const before = t.machine.lockStat().mmap_sem?.read.acquisitions ?? 0;
      const length = yield* procRead("maps", pid);
      expect((t.machine.lockStat().mmap_sem?.read.acquisitions ?? 0) - before).toBe(1);
      expect(length).toBe(t.machine.inspect("maps", pid).length);
      yield* barrier(1, 2);
      yield* sys.wait(pid);
      return 0;
    });
  });
});

it("every kind there is can be looked at", () => {
  runGuest(function* (t, ctx) {
    yield* anon(PAGE);
    for (const kind of INSPECT_KINDS) expect(t.machine.inspect(kind, ctx.pid).length, kind).toBeGreaterThan(0);
    return 0;
  });
});
