/*
 * Memory that runs out: who is killed and how that is told, what everybody else gets, and that everything comes back.
 *
 * Checks: [oom-1] [oom-2] [pa-1] [pa-3] [slab-3] [mk-6].
 */
import { describe, expect, it } from "vitest";
import {
  CLONE_VM,
  FAULT_LOCK_REGIMES,
  MAP_ANONYMOUS,
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  SIGKILL,
  SIGSEGV,
  barrier,
  mem,
  procRead,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ANON, E, MIB, PAGE, RW, TestMachine, anon, must, runGuest } from "../test-machine.js";

const MEMORY = { memoryBytes: MIB };
const FRAMES = MIB / PAGE;

/** Writes more anonymous memory than there is. */
function* hog(): Call {
  const at = must(yield* sys.mmap(0, 2 * MIB, RW, ANON));
  return yield* mem.touch(at, 2 * MIB, { write: true });
}

describe.each(FAULT_LOCK_REGIMES)("the OOM killer under %s", (faultLock) => {
  it("kills the process that has most, with SIGKILL, and names it", () => {
    runGuest(
      function* (t) {
        const small = yield* anon(4 * PAGE);
        yield* mem.touch(small, 4 * PAGE, { write: true, value: 3 });
        const pid = must(yield* sys.fork(hog));
        expect((yield* sys.wait(pid)).status).toBe(SIGKILL);
        expect(t.stat("oom_kills")).toBe(1);
        expect(t.stat("oom_pid")).toBe(pid);
        expect(t.stat("oom_rss_pages")).toBeGreaterThan(FRAMES / 2);
        expect(t.machine.traceCounts()["oom:mark_victim"]).toBe(1);
        t.check();
        expect(yield* mem.load(small, 1)).toEqual(new Uint8Array([3]));
        expect(t.stat("free_frames")).toBeGreaterThan(FRAMES * 0.9);
        return 0;
      },
      { ...MEMORY, faultLock },
    );
  });

  it("kills a process of several threads whole", () => {
    runGuest(
      function* (t) {
        const pid = must(
          yield* sys.fork(function* () {
            for (let i = 0; i < 3; i++) must(yield* sys.thread(hog));
            yield* hog();
          }),
        );
        expect((yield* sys.wait(pid)).status).toBe(SIGKILL);
        expect(t.stat("oom_kills")).toBe(1);
        return 0;
      },
      { ...MEMORY, cpus: 4, faultLock },
    );
  });
});

describe("victims", () => {
  it("are the largest, one at a time, no more than it takes", () => {
    runGuest(function* (t) {
      const sizes = [60, 75, 65];
      const pids: number[] = [];
      for (const size of sizes) {
        pids.push(
          must(
            yield* sys.fork(function* () {
              const at = yield* anon(size * PAGE);
              yield* mem.touch(at, size * PAGE, { write: true });
              yield* barrier(0, 4);
              yield* sys.nanosleep(1e12);
            }),
          ),
        );
      }
      yield* barrier(0, 4);
      const at = yield* anon(60 * PAGE);
      expect(yield* mem.touch(at, 60 * PAGE, { write: true })).toBe(60);
      expect(t.stat("oom_kills")).toBe(1);
      expect(t.stat("oom_pid")).toBe(pids[1]);
      for (const pid of pids) yield* sys.kill(pid, 15);
      const statuses = yield* waitAll();
      expect(pids.map((pid) => statuses.get(pid))).toEqual([15, SIGKILL, 15]);
      return 0;
    }, MEMORY);
  });

  it("an address space that outlived its first process is found and killed", () => {
    const t = new TestMachine(MEMORY);
    t.spawn(function* () {
      must(
        yield* sys.clone(function* () {
          yield* sys.nanosleep(1e6);
          yield* hog();
        }, CLONE_VM),
      );
    });
    t.run();
    t.finish();
    expect(t.stat("oom_kills")).toBe(1);
  });

  it("a reader of /proc may hold the address space of a victim", () => {
    const t = new TestMachine({ ...MEMORY, cpus: 3 });
    const victim = t.spawn(hog);
    t.spawn(function* () {
      let last = 0;
      for (let i = 0; i < 3000 && last !== -E.SRCH; i++) last = yield* procRead("smaps", victim.pid);
      expect(last).toBe(-E.SRCH);
    });
    t.run();
    t.finish();
    expect(victim.done).toBe(false);
  });

  it("the host's request for a process is an error, not a kill", () => {
    const t = new TestMachine(MEMORY);
    t.runOne(function* () {
      const at = yield* anon(MIB);
      let pages = 0;
      while (t.stat("free_frames") > 18) pages += yield* mem.touch(at + pages * PAGE, PAGE, { write: true });
      expect(() => {
        for (let i = 0; i < 20; i++) t.machine.spawn(() => sys.getpid());
      }).toThrow("errno 12");
      expect(t.stat("oom_kills")).toBe(0);
      return 0;
    });
    t.finish();
  });
});

describe("memory that a file takes", () => {
  it("a write stops at what there is; the file keeps what was written; truncating it gives everything back", () => {
    const t = new TestMachine(MEMORY);
    t.spawn(function* () {
      const fd = must(yield* sys.open("/f", O_RDWR | O_CREAT));
      const data = new Uint8Array(PAGE).fill(1);
      for (let i = 0; i < 2 * FRAMES; i++) if ((yield* sys.write(fd, data)) !== PAGE) break;
    });
    t.run();
    t.check();
    const cached = Number(/Cached: +(\d+) kB/.exec(t.machine.inspect("meminfo"))?.[1]) / 4;
    expect(cached).toBeGreaterThan(FRAMES / 2);
    expect(cached + t.stat("free_frames")).toBe(FRAMES - 1);
  });

  it("fallocate of more than there is fails, and unlinking the file gives everything back", () => {
    const t = new TestMachine(MEMORY);
    const filler = t.spawn(function* () {
      const fd = must(yield* sys.open("/f", O_RDWR | O_CREAT));
      must(yield* sys.unlink("/f"));
      return yield* sys.fallocate(fd, 0, 0, 2 * MIB);
    });
    t.run();
    t.finish();
    // Nobody but the caller was there to be killed for it.
    if (filler.done) expect(filler.result()).toBe(-E.NOSPC);
    else expect(t.stat("oom_pid")).toBe(filler.pid);
    expect(t.stat("free_frames")).toBe(FRAMES - 1);
  });

  it("shared anonymous memory beyond what there is ends its process", () => {
    const t = new TestMachine(MEMORY);
    const guest = t.spawn(function* () {
      const at = must(yield* sys.mmap(0, 2 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS));
      yield* mem.touch(at, 2 * MIB, { write: true });
    });
    t.run();
    t.finish();
    expect(guest.done).toBe(false);
    expect(t.stat("free_frames")).toBe(FRAMES - 1);
  });
});

describe("poison", () => {
  it("a frame that is written to after it was freed is caught when it is handed out", () => {
    const t = new TestMachine();
    expect(() =>
      t.runOne(function* () {
        const at = yield* anon(PAGE);
        yield* mem.touch(at, 1, { write: true, value: 0x5c });
        const frame = frameOf(t, 1, at);
        must(yield* sys.munmap(at, PAGE));
        new Uint8Array(t.machine.memory.buffer)[frame + 100] = 1;
        const next = yield* anon(200 * PAGE);
        yield* mem.touch(next, 200 * PAGE, { write: true });
        return 0;
      }),
    ).toThrow("[pa-3]");
  });

  it("a freed frame holds nothing of what was in it", () => {
    runGuest(function* (t) {
      const at = yield* anon(PAGE);
      yield* mem.touch(at, PAGE, { write: true, stride: 8, value: 0x5c });
      const frame = frameOf(t, 1, at);
      must(yield* sys.munmap(at, PAGE));
      const bytes = new Uint8Array(t.machine.memory.buffer, frame, PAGE);
      expect(bytes.every((byte) => byte === 0xaa)).toBe(true);
      return 0;
    });
  });

  it("a VMA that is written to after it was freed is caught", () => {
    const t = new TestMachine();
    expect(() =>
      t.runOne(function* () {
        const at = yield* anon(PAGE);
        const u32 = new Uint32Array(t.machine.memory.buffer);
        const magic = 0x564d4121;
        const vma = u32.indexOf(magic);
        expect(vma).toBeGreaterThan(0);
        must(yield* sys.munmap(at, PAGE));
        expect(u32[vma]).toBe(0x6b6b6b6b);
        u32[vma] = magic;
        yield* anon(PAGE);
        return 0;
      }),
    ).toThrow("[slab-1]");
  });
});

/** Linear address of the frame that a mapped page lies in. */
function frameOf(t: TestMachine, pid: number, at: number): number {
  const steps = t.machine.pageTable(pid, at);
  const leaf = steps[steps.length - 1];
  if (!leaf) throw new Error("the page is not mapped");
  return Number((leaf.entry >> 10n) << 12n);
}

it("SIGSEGV of a bad access stays SIGSEGV when memory is short", () => {
  runGuest(
    function* () {
      const pid = must(
        yield* sys.fork(function* () {
          yield* barrier(0, 1);
          yield* mem.touch(64, 1);
        }),
      );
      expect((yield* sys.wait(pid)).status).toBe(SIGSEGV);
      return 0;
    },
    { memoryBytes: MIB / 4 },
  );
});
