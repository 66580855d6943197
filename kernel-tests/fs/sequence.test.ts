/*
 * Random sequences of file system calls, each answer compared with the oracle's, seeded. Names collide, numbers are stale,
 * offsets cross pages; now and then the page is reached through a mapping instead.
 *
 * A failure prints the seed, the step and the calls before it:  SEED=7 npx vitest run kernel-tests/fs/sequence.test.ts
 * Checks: [dent-1] [dent-2] [dent-3] [fd-1] [file-1] [fm-1] [tr-1].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ModelFs } from "../oracle/model-fs.js";
import { type Random, randomOf, seedsOf } from "../oracle/random.js";
import { MIB, PAGE, TestMachine, must } from "../test-machine.js";
import { type FsCall, onMachine, onModel } from "./calls.js";

const STEPS = 500;
const SEEDS = seedsOf(16);
const NAMES = ["a", "b", "c", "long-name-that-does-not-fit-a-short-dentry", ".", ".."];

function path(r: Random): string {
  const parts: string[] = [];
  const depth = 1 + r.below(3);
  for (let i = 0; i < depth; i++) parts.push(r.pick(NAMES));
  return `/${parts.join(r.below(20) === 0 ? "//" : "/")}${r.below(12) === 0 ? "/" : ""}`;
}

const fd = (r: Random): number => r.below(6);
const bytes = (r: Random): number[] => Array.from({ length: r.below(r.below(8) === 0 ? 6000 : 40) }, () => r.below(256));

function offset(r: Random): number {
  const page = r.below(4) * PAGE;
  return Math.max(-1, page + r.pick([0, 0, -1, 1, 100, 2000, PAGE - 3]));
}

const MAKERS: [weight: number, make: (r: Random) => FsCall][] = [
  [
    14,
    (r) => ({
      op: "open",
      path: path(r),
      flags:
        r.pick([O_RDONLY, O_RDWR, O_RDWR, O_WRONLY]) |
        r.pick([0, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_CREAT | O_TRUNC, O_APPEND, O_DIRECTORY]),
    }),
  ],
  [3, (r) => ({ op: "close", fd: fd(r) })],
  [2, (r) => ({ op: "dup", fd: fd(r) })],
  [2, (r) => ({ op: "fsync", fd: fd(r) })],
  [4, (r) => ({ op: "getdents", fd: fd(r) })],
  [6, (r) => ({ op: "fstat", fd: fd(r) })],
  [5, (r) => ({ op: "read", fd: fd(r), count: r.below(5000) })],
  [5, (r) => ({ op: "pread", fd: fd(r), count: r.below(9000), offset: offset(r) })],
  [7, (r) => ({ op: "write", fd: fd(r), bytes: bytes(r) })],
  [7, (r) => ({ op: "pwrite", fd: fd(r), bytes: bytes(r), offset: offset(r) })],
  [4, (r) => ({ op: "lseek", fd: fd(r), offset: offset(r), whence: r.below(4) })],
  [4, (r) => ({ op: "ftruncate", fd: fd(r), length: offset(r) })],
  [
    4,
    (r) => ({
      op: "fallocate",
      fd: fd(r),
      mode: r.pick([0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE, 0x80]),
      offset: offset(r),
      length: r.pick([0, 1, 100, PAGE, 2 * PAGE + 50]),
    }),
  ],
  [6, (r) => ({ op: "mkdir", path: path(r) })],
  [5, (r) => ({ op: "unlink", path: path(r) })],
  [4, (r) => ({ op: "rmdir", path: path(r) })],
  [8, (r) => ({ op: "rename", from: path(r), to: path(r), flags: r.below(5) === 0 ? 1 : 0 })],
  [5, (r) => ({ op: "mappedStore", fd: fd(r), offset: Math.max(0, offset(r)), value: r.below(256) })],
  [5, (r) => ({ op: "mappedLoad", fd: fd(r), offset: Math.max(0, offset(r)) })],
];
const WEIGHT = MAKERS.reduce((sum, [weight]) => sum + weight, 0);

function draw(r: Random): FsCall {
  let left = r.below(WEIGHT);
  for (const [weight, make] of MAKERS) {
    if (left < weight) return make(r);
    left -= weight;
  }
  throw new Error("weights add up");
}

function say(call: FsCall): string {
  return JSON.stringify(call, (key, value: unknown) => (key === "bytes" && Array.isArray(value) ? `${value.length} bytes` : value));
}

/** A position of a directory means nothing to Linux's lseek that the model could know. */
function compares(model: ModelFs, call: FsCall): boolean {
  if (call.op !== "lseek") return true;
  const stat = model.fstat(call.fd);
  return typeof stat === "number" || stat.kind === "file";
}

function* walkThrough(t: TestMachine, seed: number): Call<void> {
  const r = randomOf(seed);
  const model = new ModelFs();
  const past: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    const call = draw(r);
    if (!compares(model, call)) continue;
    const want = onModel(model, call);
    const got = yield* onMachine(call);
    past.push(`${step} ${say(call)} = ${JSON.stringify(want).slice(0, 60)}`);
    const where = `SEED=${seed} npx vitest run kernel-tests/fs/sequence.test.ts\n${past.slice(-8).join("\n")}`;
    expect(got, where).toEqual(want);
    if (step % 100 === 99) t.check();
  }
}

describe("against the oracle", () => {
  it.each(SEEDS)("seed %i", (seed) => {
    const t = new TestMachine({ memoryBytes: 2 * MIB, seed });
    t.runOne((machine) => walkThrough(machine, seed));
    t.finish();
  });
});

it("read(2) of several threads through one description: every byte once, whatever pread and pwrite of others do", () => {
  for (const seed of SEEDS.slice(0, 6)) {
    const t = new TestMachine({ cpus: 3, choices: "random", seed });
    t.runOne(function* () {
      const file = must(yield* sys.open("/f", O_RDWR | O_CREAT));
      must(
        yield* sys.write(
          file,
          Uint8Array.from({ length: 200 }, (_, i) => i),
        ),
      );
      must(yield* sys.lseek(file, 0, 0));
      const seen: number[] = [];
      const reader = function* (): Call<void> {
        for (;;) {
          const data = yield* sys.read(file, 1);
          if (typeof data === "number" || data.length === 0) return;
          seen.push(data[0] ?? -1);
        }
      };
      must(yield* sys.thread(reader));
      must(
        yield* sys.thread(function* () {
          const at = must(yield* sys.mmap(0, PAGE, 3, 0x22));
          for (let i = 0; i < 60; i++) {
            yield* sys.preadTo(file, at, 50, 100);
            yield* sys.pwriteFrom(file, at, 50, 100);
            yield* mem.touch(at, 50, { stride: 1 });
          }
        }),
      );
      yield* reader();
      while (seen.length < 200) yield* sys.nanosleep(1000);
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
      return 0;
    });
    t.finish();
  }
});
