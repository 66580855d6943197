/*
 * Other processes' memory: process_vm_readv and process_vm_writev (get_user_pages with ALLOW_RETRY), /proc/PID/mem (without).
 *
 * Checks: [gup-1] [gup-2] [gup-6] [gup-7] [pvm-1] [mk-4] [mk-6], S25, S29.
 */
import { describe, expect, it } from "vitest";
import {
  MAP_PRIVATE,
  type MkwriteRegime,
  PROT_READ,
  SYS,
  compute,
  mem,
  now,
  procMemRead,
  procMemWrite,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { FILESYSTEMS, filesystemMachine, makeAndMount, mountAgain, unmountClean } from "../mkwrite/filesystems.js";
import { byteOf, mapShared, mkwriteMachine, slowStore, storeFile } from "../mkwrite/machine.js";
import { randomOf, seedsOf } from "../oracle/random.js";
import { ANON, E, PAGE, RW, anon, must, runGuest } from "../test-machine.js";

const SLEEP_NS = 1e6;
const ACT_NS = 300_000;

/** Runs `child` in a forked process, the parent's memory its target. Returns what it returned. */
function* inChild<T>(child: (parent: number) => Call<T>): Call<T | undefined> {
  const parent = yield* sys.getpid();
  let value: T | undefined;
  must(
    yield* sys.fork(function* () {
      value = yield* child(parent);
    }),
    "fork",
  );
  yield* waitAll();
  return value;
}

/** Three pages, the middle one unmapped; the first and the last hold their bytes. */
function* holed(): Call {
  const at = yield* anon(3 * PAGE);
  yield* mem.store(at, new Uint8Array([1, 2, 3]));
  yield* mem.store(at + 2 * PAGE, new Uint8Array([9]));
  must(yield* sys.munmap(at + PAGE, PAGE), "munmap");
  return at;
}

interface Row {
  name: string;
  call: (parent: number, at: number, own: number) => Call;
  want: number;
}

const READS: Row[] = [
  { name: "nothing asked", call: (p) => sys.processVmReadv(p, [], []), want: 0 },
  { name: "no local iovec", call: (p, at) => sys.processVmReadv(p, [], [{ base: at, len: 1 }]), want: 0 },
  { name: "a flag", call: (p, at, own) => sys.processVmReadv(p, [{ base: own, len: 1 }], [{ base: at, len: 1 }], 1), want: -E.INVAL },
  { name: "too many iovecs", call: (p, at) => sys.raw(SYS.process_vm_readv, p, at, 1025, at, 1, 0), want: -E.INVAL },
  { name: "iovecs from nowhere", call: (p) => sys.raw(SYS.process_vm_readv, p, 0, 1, 0, 1, 0), want: -E.FAULT },
  {
    name: "a length below zero",
    call: (p, at, own) => sys.processVmReadv(p, [{ base: own, len: 1 }], [{ base: at, len: -1 }]),
    want: -E.INVAL,
  },
  {
    name: "no such process",
    call: (_p, at, own) => sys.processVmReadv(77, [{ base: own, len: 1 }], [{ base: at, len: 1 }]),
    want: -E.SRCH,
  },
  { name: "a hole", call: (p, at, own) => sys.processVmReadv(p, [{ base: own, len: 1 }], [{ base: at + PAGE, len: 1 }]), want: -E.FAULT },
  {
    name: "up to a hole",
    call: (p, at, own) => sys.processVmReadv(p, [{ base: own, len: 3 * PAGE }], [{ base: at, len: 3 * PAGE }]),
    want: PAGE,
  },
  {
    name: "beyond all address space",
    call: (p, _at, own) => sys.processVmReadv(p, [{ base: own, len: 8 }], [{ base: 2n ** 64n - 4n, len: 8 }]),
    want: -E.FAULT,
  },
  {
    name: "a local buffer that is not there",
    call: (p, at) => sys.processVmReadv(p, [{ base: 4096, len: 8 }], [{ base: at, len: 8 }]),
    want: -E.FAULT,
  },
  {
    name: "as much as the local side takes",
    call: (p, at, own) => sys.processVmReadv(p, [{ base: own, len: 2 }], [{ base: at, len: 3 }]),
    want: 2,
  },
];

describe("process_vm_readv", () => {
  it.each(READS)("$name: $want", ({ call, want }) => {
    runGuest(function* (t) {
      const at = yield* holed();
      const got = yield* inChild(function* (parent) {
        return yield* call(parent, at, yield* anon(3 * PAGE));
      });
      expect(got).toBe(want);
      t.check();
      return 0;
    });
  });

  it("gathers and scatters across pages", () => {
    runGuest(function* () {
      const at = yield* anon(2 * PAGE);
      const bytes = Uint8Array.from({ length: 10 }, (_, i) => i + 1);
      yield* mem.store(at + PAGE - 5, bytes);
      const got = yield* inChild(function* (parent) {
        const own = yield* anon(2 * PAGE);
        const local = [
          { base: own + PAGE - 2, len: 3 },
          { base: own, len: 0 },
          { base: own + 100, len: 9 },
        ];
        const remote = [
          { base: at + PAGE - 5, len: 7 },
          { base: at + PAGE + 2, len: 3 },
        ];
        const copied = yield* sys.processVmReadv(parent, local, remote);
        return [copied, yield* mem.load(own + PAGE - 2, 3), yield* mem.load(own + 100, 7)];
      });
      expect(got).toEqual([10, bytes.subarray(0, 3), bytes.subarray(3)]);
      return 0;
    });
  });
});

describe("a store into another process", () => {
  it("is that process's alone after a fork: both ways (S25)", () => {
    runGuest(function* () {
      const at = yield* anon(PAGE);
      yield* mem.store(at, new Uint8Array([7, 7]));
      const child = yield* inChild(function* (parent) {
        const own = yield* anon(PAGE);
        yield* mem.store(own, new Uint8Array([5]));
        const vector = yield* sys.processVmWritev(parent, [{ base: own, len: 1 }], [{ base: at, len: 1 }]);
        const file = yield* procMemWrite(parent, at + 1, new Uint8Array([6]));
        return [vector, file, yield* mem.load(at, 2)];
      });
      expect(child).toEqual([1, 1, new Uint8Array([7, 7])]);
      expect(yield* mem.load(at, 2)).toEqual(new Uint8Array([5, 6]));
      return 0;
    });
  });

  it("is refused where that process may not store", () => {
    runGuest(function* () {
      const at = must(yield* sys.mmap(0, PAGE, PROT_READ, ANON), "mmap");
      const got = yield* inChild(function* (parent) {
        const own = yield* anon(PAGE);
        const vector = yield* sys.processVmWritev(parent, [{ base: own, len: 1 }], [{ base: at, len: 1 }]);
        return [vector, yield* procMemWrite(parent, at, new Uint8Array([1])), yield* procMemRead(parent, at, 2)];
      });
      expect(got).toEqual([-E.FAULT, -E.IO, new Uint8Array(2)]);
      return 0;
    });
  });

  it("/proc/PID/mem: as much as there is, EIO for none, ESRCH without the process", () => {
    runGuest(function* () {
      const at = yield* holed();
      const got = yield* inChild(function* (parent) {
        const upToHole = yield* procMemRead(parent, at + PAGE - 2, 10);
        return [upToHole, yield* procMemRead(parent, at + PAGE, 1), yield* procMemRead(77, at, 1)];
      });
      expect(got).toEqual([new Uint8Array(2), -E.IO, -E.SRCH]);
      return 0;
    });
  });
});

/** How the store arrives in the other process's mapping of a file. */
const WAYS: { name: string; store(parent: number, at: number, own: number): Call; mayDrop: boolean }[] = [
  {
    name: "process_vm_writev",
    store: (p, at, own) => sys.processVmWritev(p, [{ base: own, len: 1 }], [{ base: at, len: 1 }]),
    mayDrop: true,
  },
  { name: "/proc/PID/mem", store: (p, at) => procMemWrite(p, at, new Uint8Array([5])), mayDrop: false },
];
const REGIMES: { mkwrite: MkwriteRegime; drops: boolean }[] = [
  { mkwrite: "generic_page_mkwrite", drops: false },
  { mkwrite: "generic_page_mkwrite_nommapsem", drops: true },
  { mkwrite: "kara", drops: true },
  { mkwrite: "completed", drops: true },
];

for (const way of WAYS) {
  describe(`a remote store through page_mkwrite, ${way.name} (S29)`, () => {
    it.each(REGIMES)("$mkwrite: the lock is dropped only where the caller allows it", ({ mkwrite, drops }) => {
      const t = mkwriteMachine({ faultLock: "linux-4.19", mkwrite }, slowStore(SLEEP_NS));
      let blockedNs = -1;
      t.runOne(function* () {
        const fd = yield* storeFile(2);
        const at = yield* mapShared(fd, 1);
        yield* mem.touch(at, PAGE);
        must(
          yield* sys.thread(function* () {
            yield* sys.nanosleep(ACT_NS);
            const from = yield* now();
            must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | 0x20), "mmap");
            blockedNs = (yield* now()) - from;
          }),
        );
        const stored = yield* inChild(function* (parent) {
          const own = yield* anon(PAGE);
          yield* mem.touch(own, PAGE, { write: true, value: 5 });
          return yield* way.store(parent, at, own);
        });
        while (blockedNs < 0) yield* sys.nanosleep(100_000);
        expect(stored).toBe(1);
        expect(yield* byteOf(fd, 0)).toBe(5);
        expect(yield* mem.load(at, 1)).toEqual(new Uint8Array([5]));
      });
      const unlocked = drops && way.mayDrop;
      expect(t.stat("mkwrite_runs")).toBe(1);
      expect(t.stat("mkwrite_unlocked_attempts")).toBe(unlocked ? 1 : 0);
      if (unlocked) expect(blockedNs).toBeLessThan(50_000);
      else expect(blockedNs).toBeGreaterThan(SLEEP_NS - ACT_NS - 100_000);
      expect(t.stat("stashes")).toBe(0);
      t.finish();
    });
  });
}

describe.each(FILESYSTEMS)("remote stores on $name", (fs) => {
  it.each(WAYS)("$name: in the file, and after a writeback asked for again", (way) => {
    const t = filesystemMachine(fs, { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite_nommapsem" });
    t.runOne(function* () {
      yield* makeAndMount(fs);
      const fd = must(yield* sys.open("/mnt/f", 0o102), "open");
      must(yield* sys.ftruncate(fd, PAGE), "ftruncate");
      const at = yield* mapShared(fd, 1);
      for (const offset of [3, 1500]) {
        const stored = yield* inChild(function* (parent) {
          const own = yield* anon(PAGE);
          yield* mem.touch(own, PAGE, { write: true, value: 5 });
          return yield* way.store(parent, at + offset, own);
        });
        expect(stored).toBe(1);
        must(yield* sys.fsync(fd), "fsync");
        expect(yield* sys.pread(fd, 1, offset)).toEqual(new Uint8Array([5]));
      }
      must(yield* sys.munmap(at, PAGE), "munmap");
      must(yield* sys.close(fd), "close");
      yield* unmountClean(fs);
    });
    if (fs.mkwrite) expect(t.stat("mkwrite_runs")).toBe(2);
    t.finish();
  });
});

describe("remote stores while the file is written back all the time", () => {
  const ROUNDS = 40;
  const RACES = WAYS.flatMap((way) =>
    ["generic_page_mkwrite", "generic_page_mkwrite_nommapsem", "completed"].map((mkwrite) => ({ way, mkwrite })),
  );

  it.each(RACES)("$way.name, $mkwrite: every store is in the file, whoever goes first", ({ way, mkwrite }) => {
    for (const seed of seedsOf(12)) {
      const fs = FILESYSTEMS.find(({ type, mkfs }) => type === "cowfs" && mkfs === "blocksize=1024");
      if (!fs) throw new Error("cowfs with small blocks is among the filesystems");
      const t = filesystemMachine(fs, { faultLock: "linux-5.1", mkwrite: mkwrite as MkwriteRegime }, { choices: "random", seed });
      t.machine.command = `SEED=${seed} npx vitest run kernel-tests/mm/remote.test.ts`;
      t.runOne(function* () {
        yield* makeAndMount(fs);
        const fd = must(yield* sys.open("/mnt/f", 0o102), "open");
        must(yield* sys.ftruncate(fd, PAGE), "ftruncate");
        const at = yield* mapShared(fd, 1);
        const parent = yield* sys.getpid();
        let left = 2;
        for (const half of [0, 1]) {
          must(
            yield* sys.fork(function* () {
              const own = yield* anon(PAGE);
              yield* mem.touch(own, PAGE, { write: true, value: 5 });
              const r = randomOf(seed * 2 + half);
              for (let i = 0; i < ROUNDS; i++) {
                // Spread over many writebacks, each of which takes the disk's time.
                yield* compute(r.below(30_000));
                expect(yield* way.store(parent, at + half * 2048 + i, own)).toBe(1);
              }
              left--;
            }),
            "fork",
          );
        }
        while (left > 0) must(yield* sys.fsync(fd), "fsync");
        yield* waitAll();
        must(yield* sys.munmap(at, PAGE), "munmap");
        must(yield* sys.close(fd), "close");
        yield* mountAgain(fs);
        const again = must(yield* sys.open("/mnt/f", 0o2), "open");
        for (const start of [0, 2048]) expect(yield* sys.pread(again, ROUNDS, start)).toEqual(new Uint8Array(ROUNDS).fill(5));
        must(yield* sys.close(again), "close");
        yield* unmountClean(fs);
      });
      expect(t.stat("stashes")).toBe(0);
      t.finish();
    }
  });
});
