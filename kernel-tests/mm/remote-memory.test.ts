/*
 * Memory of another process: process_vm_readv, process_vm_writev, /proc/PID/mem. Linux's values and errnos row by row, and random
 * iovecs over holes against a model that copies byte by byte.
 *
 *   SEED=7 npx vitest run kernel-tests/mm/remote-memory.test.ts      runs one seed of the model
 * Checks: [gup-2] [gup-7] [pvm-1] [pvm-2] [pmem-1] [pmem-2] [iov-1] [iov-2] [ua-1], S25.
 */
import { describe, expect, it } from "vitest";
import {
  type IoVec,
  MAP_FIXED,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  SYS,
  barrier,
  mem,
  procMemRead,
  procMemWrite,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Random, randomOf, seedsOf } from "../oracle/random.js";
import { ANON, E, PAGE, RW, type Row, anon, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;

/** Runs `body` beside a process that has done `setup` and then waits; what the target left is gone at the end. */
function* withTarget<T>(setup: () => Call<unknown>, body: (pid: number) => Call<T>): Call<T> {
  const pid = must(
    yield* sys.fork(function* () {
      yield* setup();
      yield* barrier(0, 2);
      yield* barrier(1, 2);
    }),
    "fork",
  );
  yield* barrier(0, 2);
  const value = yield* body(pid);
  yield* barrier(1, 2);
  expect((yield* sys.wait(pid)).status).toBe(0);
  return value;
}

/** Pages at AT with these rights, full of their number plus 1; undefined leaves a hole. */
function* pages(rights: readonly (number | undefined)[]): Call<void> {
  for (const [page, prot] of rights.entries()) {
    if (prot === undefined) continue;
    must(yield* sys.mmap(AT + page * PAGE, PAGE, RW, ANON | MAP_FIXED), "mmap");
    yield* mem.touch(AT + page * PAGE, PAGE, { write: true, stride: 1, value: page + 1 });
    if (prot !== RW) must(yield* sys.mprotect(AT + page * PAGE, PAGE, prot), "mprotect");
  }
}

interface Access {
  /** Of the target: offset from AT and length. */
  remote: readonly [offset: number, len: number][];
  /** Bytes of local memory, one iovec; all of it by default. */
  local?: number;
}

const LOCAL_PAGES = 8;

/** What one call of each kind to a target with these rights returns. */
function access(name: string, rights: (number | undefined)[], { remote, local }: Access, readv: number, writev: number): Row {
  return [
    name,
    function* (t) {
      return yield* withTarget(
        () => pages(rights),
        function* (pid) {
          const at = yield* anon(LOCAL_PAGES * PAGE);
          const iov = remote.map(([offset, len]) => ({ base: AT + offset, len }));
          const mine = [{ base: at, len: local ?? LOCAL_PAGES * PAGE }];
          const results = [yield* sys.processVmReadv(pid, mine, iov), yield* sys.processVmWritev(pid, mine, iov)];
          t.check();
          return results;
        },
      );
    },
    [readv, writev],
  ];
}

table("process_vm_readv, process_vm_writev of memory that is", [
  access("there", [RW, RW, RW], { remote: [[0, 3 * PAGE]] }, 3 * PAGE, 3 * PAGE),
  access("there, in pieces", [RW, RW, RW], { remote: [[100, 5], [4000, 5000], [0, 0], [9000, 1]] }, 5006, 5006), // prettier-ignore
  access("longer than what is asked for", [RW, RW], { remote: [[0, 2 * PAGE]], local: 5000 }, 5000, 5000),
  access("not there", [undefined], { remote: [[0, 10]] }, -E.FAULT, -E.FAULT),
  access("there up to a hole", [RW, RW, undefined], { remote: [[10, 3 * PAGE]] }, 2 * PAGE - 10, 2 * PAGE - 10),
  access("there, and then in a hole", [RW, undefined, RW], { remote: [[0, 7], [PAGE, 7], [2 * PAGE, 7]] }, 7, 7), // prettier-ignore
  access("in a hole first", [RW, undefined], { remote: [[PAGE, 7], [0, 7]] }, -E.FAULT, -E.FAULT), // prettier-ignore
  access("to be read only", [PROT_READ], { remote: [[0, 10]] }, 10, -E.FAULT),
  access("no more writable behind", [RW, PROT_READ], { remote: [[0, 2 * PAGE]] }, 2 * PAGE, PAGE),
  access("to be written only", [PROT_WRITE], { remote: [[0, 10]] }, -E.FAULT, 10),
  access("PROT_NONE", [PROT_NONE], { remote: [[0, 10]] }, -E.FAULT, -E.FAULT),
  access("beyond all addresses", [RW], { remote: [[2 ** 47 - AT, 10]] }, -E.FAULT, -E.FAULT),
  access("an alias of it in the page table's index", [RW], { remote: [[2 ** 48, 10]] }, -E.FAULT, -E.FAULT),
  access("of no length", [RW], { remote: [[0, 0], [PAGE, 0]] }, 0, 0), // prettier-ignore
  access("asked for by nobody", [RW], { remote: [[0, 10]], local: 0 }, 0, 0),
]);

/** A call by number with arrays of the guest's own; `pid` is a target with a page at AT. */
function raw(name: string, args: (pid: number, vec: number) => (number | bigint)[], expected: number): Row {
  return [
    name,
    function* () {
      return yield* withTarget(
        () => pages([RW]),
        function* (pid) {
          // 1100 iovecs of one byte each; the first is of memory that nobody has, the last of a negative length.
          const vec = yield* anon(8 * PAGE);
          const data = new Uint8Array(16 * 1100);
          const view = new DataView(data.buffer);
          for (let i = 0; i < 1100; i++) {
            view.setBigUint64(16 * i, BigInt(i === 0 ? AT + PAGE : AT), true);
            view.setBigInt64(16 * i + 8, i === 1099 ? -1n : 1n, true);
          }
          yield* mem.store(vec, data);
          must(yield* sys.mmap(AT, PAGE, RW, ANON | MAP_FIXED), "mmap");
          const results: number[] = [];
          for (const nr of [SYS.process_vm_readv, SYS.process_vm_writev]) results.push(yield* sys.raw(nr, ...args(pid, vec)));
          expect(results[0]).toBe(results[1]);
          return results[0];
        },
      );
    },
    expected,
  ];
}

const [SECOND, LAST] = [16, 16 * 1099];
table("arguments", [
  raw("as they should be", (pid, vec) => [pid, vec + SECOND, 1, vec + SECOND, 1, 0], 1),
  raw("1024 iovecs", (pid, vec) => [pid, vec + SECOND, 1024, vec + SECOND, 1024, 0], 1024),
  raw("1025 of one's own", (pid, vec) => [pid, vec + SECOND, 1025, vec + SECOND, 1, 0], -E.INVAL),
  raw("1025 of the other's", (pid, vec) => [pid, vec + SECOND, 1, vec + SECOND, 1025, 0], -E.INVAL),
  raw("2^32 + 1 iovecs", (pid, vec) => [pid, vec + SECOND, 2 ** 32 + 1, vec + SECOND, 1, 0], -E.INVAL),
  raw("flags", (pid, vec) => [pid, vec + SECOND, 1, vec + SECOND, 1, 1], -E.INVAL),
  raw("a negative length of one's own", (pid, vec) => [pid, vec + LAST, 1, vec + SECOND, 1, 0], -E.INVAL),
  raw("a negative length of the other's", (pid, vec) => [pid, vec + SECOND, 1, vec + LAST, 1, 0], -E.INVAL),
  raw("nobody", (_pid, vec) => [999, vec + SECOND, 1, vec + SECOND, 1, 0], -E.SRCH),
  raw("nobody, and nothing to move", (_pid, vec) => [999, vec + SECOND, 0, vec + SECOND, 1, 0], 0),
  raw("nobody, and nothing there to move", (_pid, vec) => [999, vec + SECOND, 1, vec + SECOND, 0, 0], 0),
  raw("an array that is not there", (pid, vec) => [pid, AT + PAGE, 1, vec + SECOND, 1, 0], -E.FAULT),
  raw("an array of the other's that is not there", (pid, vec) => [pid, vec + SECOND, 1, AT + PAGE, 1, 0], -E.FAULT),
  raw("an array that ends in a hole", (pid, vec) => [pid, vec + 8 * PAGE - 16, 2, vec + SECOND, 1, 0], -E.FAULT),
  raw("memory of one's own that is not there", (pid, vec) => [pid, vec, 2, vec + SECOND, 2, 0], -E.FAULT),
]);

table("whose memory it is", [
  [
    "of a zombie: nobody's any more",
    function* () {
      const at = yield* anon(PAGE);
      const pid = must(yield* sys.fork(function* () {}));
      yield* sys.nanosleep(1e6);
      const iov = [{ base: at, len: 10 }];
      const results = [yield* sys.processVmReadv(pid, iov, iov), yield* procMemWrite(pid, at, new Uint8Array(4))];
      yield* sys.wait(pid);
      return results;
    },
    [-E.SRCH, -E.SRCH],
  ],
  [
    "one's own",
    function* (_t, ctx) {
      const at = yield* anon(2 * PAGE);
      yield* mem.store(at, new Uint8Array([1, 2, 3]));
      expect(yield* sys.processVmWritev(ctx.pid, [{ base: at, len: 3 }], [{ base: at + PAGE - 1, len: 3 }])).toBe(3);
      expect(yield* procMemWrite(ctx.pid, at + PAGE, new Uint8Array([9]))).toBe(1);
      return yield* mem.load(at + PAGE - 1, 3);
    },
    new Uint8Array([1, 9, 3]),
  ],
  [
    "a copy on write of fork: the other's alone changes",
    function* () {
      const at = yield* anon(PAGE);
      yield* mem.store(at, new Uint8Array([7, 7]));
      return yield* withTarget(
        function* () {},
        function* (pid) {
          const from = yield* anon(PAGE);
          yield* mem.store(from, new Uint8Array([5]));
          expect(yield* sys.processVmWritev(pid, [{ base: from, len: 1 }], [{ base: at, len: 1 }])).toBe(1);
          expect(yield* procMemWrite(pid, at + 1, new Uint8Array([6]))).toBe(1);
          return [yield* mem.load(at, 2), yield* procMemRead(pid, at, 2)];
        },
      );
    },
    [new Uint8Array([7, 7]), new Uint8Array([5, 6])],
  ],
  [
    "a zero page, until it is stored to",
    function* () {
      const at = yield* anon(2 * PAGE);
      return yield* withTarget(
        () => mem.touch(at, PAGE),
        function* (pid) {
          const before = yield* procMemRead(pid, at + PAGE - 2, 4);
          expect(yield* procMemWrite(pid, at + PAGE - 1, new Uint8Array([8, 9]))).toBe(2);
          return [before, yield* procMemRead(pid, at + PAGE - 2, 4), yield* mem.load(at + PAGE - 2, 4)];
        },
      );
    },
    [new Uint8Array(4), new Uint8Array([0, 8, 9, 0]), new Uint8Array(4)],
  ],
  [
    "a file's, up to its end",
    function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0));
      return yield* withTarget(
        function* () {},
        function* (pid) {
          const from = yield* anon(PAGE);
          const mine = [{ base: from, len: 100 }];
          return [
            yield* sys.processVmWritev(pid, mine, [{ base: at + PAGE - 40, len: 100 }]),
            yield* sys.processVmWritev(pid, mine, [{ base: at + PAGE, len: 100 }]),
            yield* procMemWrite(pid, at + PAGE - 4, new Uint8Array(10)),
            yield* procMemWrite(pid, at + PAGE, new Uint8Array(10)),
            (yield* sys.pread(fd, 42, PAGE - 42)).toString(),
          ];
        },
      );
    },
    [40, -E.FAULT, 4, -E.IO, `1,1${",0".repeat(40)}`],
  ],
]);

/** The same bytes of a target with these rights through /proc/PID/mem: results of a read and a write. */
function procMem(name: string, rights: (number | undefined)[], offset: number, len: number, read: number, write: number): Row {
  return [
    name,
    function* (t) {
      return yield* withTarget(
        () => pages(rights),
        function* (pid) {
          const data = yield* procMemRead(pid, AT + offset, len);
          const wrote = yield* procMemWrite(pid, AT + offset, new Uint8Array(len));
          t.check();
          if (typeof data !== "number") for (let i = 0; i < data.length; i++) expect(data[i]).toBe(1 + Math.floor((offset + i) / PAGE));
          return [typeof data === "number" ? data : data.length, wrote];
        },
      );
    },
    [read, write],
  ];
}

table("/proc/PID/mem of memory that is", [
  procMem("there", [RW, RW], 100, PAGE, PAGE, PAGE),
  procMem("of no length", [RW], 0, 0, 0, 0),
  procMem("not there", [undefined], 0, 10, -E.IO, -E.IO),
  procMem("there up to a hole", [RW, undefined], 4000, 1000, 96, 96),
  procMem("to be read only", [PROT_READ], 0, 10, 10, -E.IO),
  procMem("no more writable behind", [RW, PROT_READ], 4000, 1000, 1000, 96),
  procMem("PROT_NONE", [PROT_NONE], 0, 10, -E.IO, -E.IO),
  procMem("beyond all addresses", [RW], 2 ** 47 - AT, 10, -E.IO, -E.IO),
  procMem("at the last address", [RW], 2 ** 47 - AT - 1, 10, -E.IO, -E.IO),
  [
    "nobody's",
    function* () {
      return [yield* procMemRead(999, AT, 10), yield* procMemWrite(999, AT, new Uint8Array(1))];
    },
    [-E.SRCH, -E.SRCH],
  ],
]);

it("a call that writes over its own array goes where the array said at first", () => {
  runGuest(function* (_t, ctx) {
    const at = yield* anon(2 * PAGE);
    // Remote iovecs at `at`: over themselves with zeros, then to the second page.
    const view = new DataView(new ArrayBuffer(48));
    [at, 32, at + PAGE, 8, at + 512, 40].forEach((word, i) => view.setBigUint64(8 * i, BigInt(word), true));
    yield* mem.store(at, new Uint8Array(view.buffer));
    yield* mem.store(at + 512 + 32, new Uint8Array(8).fill(5));
    expect(yield* sys.raw(SYS.process_vm_writev, ctx.pid, at + 32, 1, at, 2, 0)).toBe(40);
    expect(yield* mem.load(at, 32)).toEqual(new Uint8Array(32));
    expect(yield* mem.load(at + PAGE, 8)).toEqual(new Uint8Array(8).fill(5));
    return 0;
  });
});

const AREA = 20 * PAGE;

/** Iovecs over [0, AREA), some empty, some over the end of it. */
function iovecs(r: Random): IoVec[] {
  return Array.from({ length: r.below(7) }, () => ({ base: r.below(AREA), len: r.pick([0, 1, r.below(100), r.below(3 * PAGE), AREA]) }));
}

/** Addresses of the iovecs' bytes in order. */
function* bytesOf(list: readonly IoVec[]): Generator<number> {
  for (const { base, len } of list) for (let i = 0; i < Number(len); i++) yield Number(base) + i;
}

/** Copies as the call does; returns what it returns. A hole ends it. */
function model(
  to: Uint8Array,
  toIov: readonly IoVec[],
  from: Uint8Array,
  fromIov: readonly IoVec[],
  holes: [Set<number>, Set<number>],
): number {
  const sources = bytesOf(fromIov);
  let done = 0;
  for (const target of bytesOf(toIov)) {
    const source = sources.next();
    if (source.done === true) break;
    const gone = (at: number, set: Set<number>): boolean => at >= AREA || set.has(Math.floor(at / PAGE));
    if (gone(target, holes[0]) || gone(source.value, holes[1])) return done > 0 ? done : -E.FAULT;
    to[target] = from[source.value] ?? 0;
    done++;
  }
  return done;
}

describe("random iovecs", () => {
  it.each(seedsOf(12))("seed %i", (seed) => {
    const r = randomOf(seed);
    const holes = [0, 1].map(() => new Set(r.oneIn(2) ? [r.below(20), r.below(20)] : [])) as [Set<number>, Set<number>];
    const [mine, theirs] = [0, 1].map(() => Uint8Array.from({ length: AREA }, () => r.below(256))) as [Uint8Array, Uint8Array];
    const fill = (bytes: Uint8Array, gone: Set<number>) =>
      function* (): Call<void> {
        must(yield* sys.mmap(AT, AREA, RW, ANON | MAP_FIXED), "mmap");
        yield* mem.store(AT, bytes);
        for (const page of gone) must(yield* sys.munmap(AT + page * PAGE, PAGE), "munmap");
      };
    const moved = (list: readonly IoVec[]): IoVec[] => list.map(({ base, len }) => ({ base: Number(base) + AT, len }));
    runGuest(
      function* (t) {
        t.machine.command = `SEED=${seed} npx vitest run kernel-tests/mm/remote-memory.test.ts`;
        return yield* withTarget(fill(theirs, holes[1]), function* (pid) {
          yield* fill(mine, holes[0])();
          for (let i = 0; i < 25; i++) {
            const [local, remote] = [iovecs(r), iovecs(r)];
            const write = r.oneIn(2);
            const result = yield* (write ? sys.processVmWritev : sys.processVmReadv)(pid, moved(local), moved(remote));
            const expected = write ? model(theirs, remote, mine, local, [holes[1], holes[0]]) : model(mine, local, theirs, remote, holes);
            expect(result, `${t.machine.command} step ${i}`).toBe(expected);
          }
          for (let page = 0; page < 20; page++) {
            const want = (bytes: Uint8Array, gone: Set<number>): Uint8Array | number =>
              gone.has(page) ? -1 : bytes.slice(page * PAGE, (page + 1) * PAGE);
            const own = yield* holes[0].has(page) ? sys.getpid() : mem.load(AT + page * PAGE, PAGE);
            if (typeof own !== "number") expect(own, `own page ${page}`).toEqual(want(mine, holes[0]));
            const other = yield* procMemRead(pid, AT + page * PAGE, PAGE);
            expect(typeof other === "number" ? -1 : other, `page ${page} of the other`).toEqual(want(theirs, holes[1]));
          }
          return 0;
        });
      },
      { seed, cpus: 2 },
    );
  });
});
