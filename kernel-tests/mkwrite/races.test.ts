/*
 * What may happen while page_mkwrite runs without the fault lock (SCENARIOS section 3): each row stores through a page_mkwrite
 * that sleeps, does something in the meantime, and says what the store must come to. A mark proves that it was in the meantime.
 *
 * Checks: [mk-2] [mk-3] [mk-4] [mk-5] [mk-6], S1 to S7, S11, S14, S16, S23, S24, S27.
 */
import { describe, expect, it } from "vitest";
import {
  FIFREEZE,
  FITHAW,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  type MkwriteRegime,
  O_CREAT,
  O_RDWR,
  PROT_READ,
  SIGBUS,
  SIGKILL,
  SIGSEGV,
  type TouchResult,
  mem,
  now,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { byteOf, mapShared, mkwriteMachine, slowStore, storeFile } from "./machine.js";

const SLEEP_NS = 1e6;
/** When the other thread acts: in the middle of the callback's sleep. */
const ACT_NS = 300_000;

interface Window {
  fd: number;
  /** Page 3 of the file, mapped at `at`; page 3 is what is stored to. */
  at: number;
}

interface Scenario {
  name: string;
  /** What the other thread does while the callback sleeps. Returns what the test wants to see. */
  act(w: Window): Call<unknown>;
  store: Partial<TouchResult>;
  /** After both are done. */
  after?(w: Window): Call<void>;
}

const PGOFF = 3;
const DONE = { done: 1, signal: 0 };

const SCENARIOS: Scenario[] = [
  { name: "S1 munmap", act: (w) => sys.munmap(w.at, PAGE), store: { done: 0, signal: SIGSEGV } },
  {
    name: "S2 another file at the same address",
    *act(w) {
      const other = must(yield* sys.open("/mnt/g", O_RDWR | O_CREAT), "open");
      must(yield* sys.ftruncate(other, PAGE), "ftruncate");
      must(yield* sys.mmap(w.at, PAGE, RW, MAP_SHARED | MAP_FIXED, other, 0), "mmap");
      return 0;
    },
    store: DONE,
    *after(w) {
      // The store went to the file that is mapped there now, and only there.
      expect(yield* byteOf(w.fd, PGOFF)).toBe(0);
      const other = must(yield* sys.open("/mnt/g", O_RDWR), "open");
      expect(yield* byteOf(other, 0)).toBe(5);
      must(yield* sys.close(other), "close");
    },
  },
  {
    name: "S3 the same file at another offset",
    act: (w) => sys.mmap(w.at, PAGE, RW, MAP_SHARED | MAP_FIXED, w.fd, 5 * PAGE),
    store: DONE,
    *after(w) {
      expect(yield* byteOf(w.fd, PGOFF)).toBe(0);
      expect(yield* byteOf(w.fd, 5)).toBe(5);
    },
  },
  { name: "S4 mprotect to read-only", act: (w) => sys.mprotect(w.at, PAGE, PROT_READ), store: { done: 0, signal: SIGSEGV } },
  {
    name: "S4 a private mapping in its place",
    act: (w) => sys.mmap(w.at, PAGE, RW, MAP_PRIVATE | MAP_FIXED, w.fd, PGOFF * PAGE),
    store: DONE,
    *after(w) {
      expect(yield* byteOf(w.fd, PGOFF)).toBe(0);
    },
  },
  { name: "S6 truncate", act: (w) => sys.ftruncate(w.fd, PAGE), store: { done: 0, signal: SIGBUS } },
  {
    name: "S7 truncate and extend",
    *act(w) {
      must(yield* sys.ftruncate(w.fd, PAGE), "ftruncate");
      return yield* sys.ftruncate(w.fd, 8 * PAGE);
    },
    store: DONE,
    *after(w) {
      expect(yield* byteOf(w.fd, PGOFF)).toBe(5);
    },
  },
  { name: "S10 the page is punched out", act: (w) => sys.fallocate(w.fd, 3, PGOFF * PAGE, PAGE), store: DONE },
  { name: "S11 fsync", act: (w) => sys.fsync(w.fd), store: DONE },
  { name: "S24 fork", act: () => sys.fork(function* () {}), store: DONE },
];

/** Runs one scenario; returns how long the other thread was blocked, ns. */
function play(t: TestMachine, scenario: Scenario): number {
  return t.runOne(function* () {
    const fd = yield* storeFile(8);
    const whole = yield* mapShared(fd, 1, PGOFF);
    const w: Window = { fd, at: whole };
    yield* mem.touch(w.at, PAGE);
    let storeDoneNs = 0;
    let blockedNs = 0;
    let finished = 0;
    let store: TouchResult | undefined;
    must(
      yield* sys.thread(function* () {
        store = yield* mem.tryTouch(w.at, PAGE, { write: true, value: 5 });
        storeDoneNs = yield* now();
        finished++;
      }),
    );
    must(
      yield* sys.thread(function* () {
        yield* sys.nanosleep(ACT_NS);
        const from = yield* now();
        const result = yield* scenario.act(w);
        blockedNs = (yield* now()) - from;
        if (typeof result === "number") must(result, "act");
        finished++;
      }),
    );
    while (finished < 2) yield* sys.nanosleep(100_000);
    expect(storeDoneNs).toBeGreaterThan(SLEEP_NS);
    expect(store).toMatchObject(scenario.store);
    if (scenario.after) yield* scenario.after(w);
    return blockedNs;
  });
}

const DROPPING: readonly MkwriteRegime[] = ["generic_page_mkwrite_nommapsem", "kara", "completed"];

for (const mkwrite of DROPPING) {
  describe(`while page_mkwrite runs without mmap_sem, ${mkwrite}`, () => {
    for (const scenario of SCENARIOS) {
      it(scenario.name, () => {
        const t = mkwriteMachine({ faultLock: "linux-4.19", mkwrite }, slowStore(SLEEP_NS));
        const blockedNs = play(t, scenario);
        // The window was entered: the callback ran unlocked, and the other thread did not wait for it.
        expect(t.stat("mkwrite_unlocked_attempts")).toBeGreaterThan(0);
        expect(blockedNs).toBeLessThan(SLEEP_NS - ACT_NS);
        expect(t.stat("stashes")).toBe(0);
        t.finish();
      });
    }
  });
}

describe("under the lock", () => {
  it("a writer of mmap_sem waits for the callback", () => {
    const t = mkwriteMachine({ mkwrite: "generic_page_mkwrite" }, slowStore(SLEEP_NS));
    const munmap: Scenario = { name: "munmap", act: (w) => sys.munmap(w.at, PAGE), store: DONE };
    expect(play(t, munmap)).toBeGreaterThan(SLEEP_NS - ACT_NS - 50_000);
    expect(t.stat("mkwrite_unlocked_attempts")).toBe(0);
    t.finish();
  });

  it("linux-6.7: mmap elsewhere does not wait, munmap of the same VMA does", () => {
    const blocked = (act: Scenario["act"]): number => {
      const t = mkwriteMachine({ faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite" }, slowStore(SLEEP_NS));
      const ns = play(t, { name: "", act, store: DONE });
      t.finish();
      return ns;
    };
    expect(blocked(() => sys.mmap(0, PAGE, RW, MAP_PRIVATE | 0x20))).toBeLessThan(50_000);
    expect(blocked((w) => sys.munmap(w.at, PAGE))).toBeGreaterThan(SLEEP_NS - ACT_NS - 50_000);
  });
});

describe("a frozen filesystem (S14)", () => {
  for (const mkwrite of DROPPING) {
    it(`${mkwrite}: the store waits for the thaw without mmap_sem`, () => {
      const t = mkwriteMachine({ mkwrite });
      t.runOne(function* () {
        const fd = yield* storeFile(2);
        const at = yield* mapShared(fd, 1);
        yield* mem.touch(at, PAGE);
        must(yield* sys.ioctl(fd, FIFREEZE), "freeze");
        let doneNs = 0;
        must(
          yield* sys.thread(function* () {
            yield* mem.touch(at, PAGE, { write: true, value: 3 });
            doneNs = yield* now();
          }),
        );
        yield* sys.nanosleep(2e6);
        const from = yield* now();
        const elsewhere = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | 0x20), "mmap");
        must(yield* sys.munmap(elsewhere, PAGE), "munmap");
        expect((yield* now()) - from).toBeLessThan(100_000);
        expect(doneNs).toBe(0);
        must(yield* sys.ioctl(fd, FITHAW), "thaw");
        while (doneNs === 0) yield* sys.nanosleep(100_000);
        expect(yield* byteOf(fd, 0)).toBe(3);
      });
      t.finish();
    });
  }
});

describe("the faulting task itself", () => {
  it("S23 two threads store to one page: both stores are there", () => {
    for (const mkwrite of DROPPING) {
      const t = mkwriteMachine({ mkwrite }, slowStore(SLEEP_NS));
      t.runOne(function* () {
        const fd = yield* storeFile(1);
        const at = yield* mapShared(fd, 1);
        yield* mem.touch(at, PAGE);
        let finished = 0;
        for (const offset of [0, 1]) {
          must(
            yield* sys.thread(function* () {
              yield* mem.store(at + offset, new Uint8Array([offset + 1]));
              finished++;
            }),
          );
        }
        while (finished < 2) yield* sys.nanosleep(100_000);
        const data = yield* sys.pread(fd, 2, 0);
        expect(data).toEqual(new Uint8Array([1, 2]));
      });
      expect(t.stat("mkwrite_unlocked_attempts"), mkwrite).toBe(2);
      t.finish();
    }
  });

  it("S27 SIGKILL during the callback: the process goes, nothing is left", () => {
    for (const mkwrite of DROPPING) {
      const t = mkwriteMachine({ mkwrite }, slowStore(SLEEP_NS));
      t.runOne(function* () {
        const fd = yield* storeFile(1);
        const at = yield* mapShared(fd, 1);
        yield* mem.touch(at, PAGE);
        const child = must(
          yield* sys.fork(function* () {
            yield* mem.touch(at, PAGE, { write: true });
          }),
        );
        yield* sys.nanosleep(ACT_NS);
        must(yield* sys.kill(child, SIGKILL), "kill");
        yield* waitAll();
        must(yield* sys.munmap(at, PAGE), "munmap");
        must(yield* sys.close(fd), "close");
        must(yield* sys.unlink("/mnt/f"), "unlink");
        must(yield* sys.umount("/mnt"), "umount");
      });
      expect(t.stat("stashes"), mkwrite).toBe(0);
      t.finish();
    }
  });
});
