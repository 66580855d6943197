/*
 * Random system calls with random and absurd arguments, from several processes and threads at once: no assert, no trap of the
 * module, no hang, every walk clean, and nothing left when the last one is gone.
 *
 *   SEED=7 npx vitest run kernel-tests/fuzz/syscalls.test.ts      runs one seed;  SEEDS=500 ... a longer campaign
 * Checks: [config-1] [ua-1] [sys-1] [oom-1] [mk-6]; whatever a kernel assert says.
 */
import { describe, expect, it } from "vitest";
import {
  CLONE_FILES,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VM,
  FAULT_LOCK_REGIMES,
  type GuestContext,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  SIGKILL,
  SYS,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Random, randomOf, seedsOf } from "../oracle/random.js";
import { MIB, PAGE, RW, TestMachine } from "../test-machine.js";

const OPS = 150;
const AT = 0x10_0000_0000;
const SEEDS = seedsOf(24);

/** Calls that a draw may not make by number: the first three need the guest's help, the others stop the machine for good reason. */
const NOT_DRAWN = new Set<number>([SYS.clone, SYS.exit, SYS.exit_group, SYS.kill, SYS.tgkill, SYS.ioctl, SYS.wait4]);
const NUMBERS = Object.values(SYS).filter((nr) => !NOT_DRAWN.has(nr));

type Word = number | bigint;

const EDGES: Word[] = [
  0,
  1,
  -1,
  7,
  4095,
  4096,
  4097,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 32 + 4096,
  2 ** 43,
  2 ** 44 - 4096,
  2 ** 47 - 4096,
  2 ** 47 - 1,
  2 ** 47,
  2 ** 62,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 4096n,
  2n ** 64n - 1n,
  0xffff_8000_0000_0000n,
  0xffff_8000_0002_0000n,
];

/** One guest's draws. Addresses that mmap gave are drawn again, so that calls meet. */
class Drawer {
  readonly r: Random;
  private readonly known: number[] = [AT, AT + 4 * PAGE];

  constructor(seed: number) {
    this.r = randomOf(seed);
  }

  address(): Word {
    const { r } = this;
    const base = r.pick(this.known);
    return r.pick<Word>([
      base,
      base,
      base + r.below(8) * PAGE,
      base + r.below(3 * PAGE),
      base - PAGE,
      AT + r.below(64) * PAGE,
      r.pick(EDGES),
    ]);
  }

  length(): Word {
    const { r } = this;
    return r.pick<Word>([PAGE, r.below(16) * PAGE, r.below(20_000), r.below(64) * PAGE, r.oneIn(3) ? r.pick(EDGES) : 2 * PAGE]);
  }

  /** Any argument: small numbers, flags, addresses, edges. */
  word(): Word {
    const { r } = this;
    switch (r.below(6)) {
      case 0:
        return r.below(8);
      case 1:
        return 2 ** r.below(21);
      case 2:
        return r.below(2 ** 21);
      case 3:
        return this.address();
      case 4:
        return this.length();
      default:
        return r.pick(EDGES);
    }
  }

  /** A system call's number, known or not. */
  anyNumber(): number {
    const nr = this.r.below(600);
    return NOT_DRAWN.has(nr) ? SYS.getpid : nr;
  }

  path(): string {
    const { r } = this;
    return r.pick([
      "/a",
      "/b",
      "/tmp",
      "/tmp/c",
      "/a/..",
      "/",
      "",
      "/x".repeat(r.below(30)),
      `/${"n".repeat(r.below(300))}`,
      "//tmp//../b/",
    ]);
  }

  learn(result: number): void {
    if (result >= 65536 && result < 2 ** 47 && result % PAGE === 0 && this.known.length < 16) this.known.push(result);
  }
}

/** A mapping that is likely to be one. */
function* mapping(d: Drawer): Call {
  const { r } = d;
  const flags =
    r.pick([MAP_PRIVATE, MAP_SHARED]) | r.pick([MAP_ANONYMOUS, MAP_ANONYMOUS, 0]) | r.pick([0, 0, MAP_FIXED, 0x8000, 0x2000, 0x100000]);
  const length = r.pick([PAGE, 4 * PAGE, 16 * PAGE, r.below(60 * PAGE)]);
  return yield* sys.mmap(r.pick([0, AT + r.below(64) * PAGE]), length, r.below(8), flags, r.below(5), r.below(4) * PAGE);
}

function* files(d: Drawer): Call {
  const { r } = d;
  switch (r.below(9)) {
    case 0:
      return yield* sys.open(d.path(), r.below(2 ** 16));
    case 1:
      return yield* sys.open(d.path(), O_RDWR | O_CREAT);
    case 2:
      return yield* sys.unlink(d.path());
    case 3:
      return yield* sys.mkdir(d.path());
    case 4:
      return yield* sys.rmdir(d.path());
    case 5:
      return yield* sys.rename(d.path(), d.path(), r.below(4));
    case 6:
      return yield* sys.ftruncate(r.below(5), r.pick<Word>([0, 100, 8 * PAGE, 40 * PAGE, r.pick(EDGES)]));
    case 7:
      return yield* sys.writeFrom(r.below(5), d.address(), r.below(9 * PAGE));
    default:
      return yield* sys.raw(SYS.read, r.below(5), d.address(), d.length());
  }
}

/** A child of any kind, while generations last. */
function* child(d: Drawer, generation: number): Call {
  if (generation >= 3) return yield* sys.getpid();
  const { r } = d;
  const body = fuzzer(r.below(2 ** 30), generation + 1, 40);
  const flags = r.pick([
    17,
    17,
    CLONE_VM,
    CLONE_FILES,
    CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES,
    CLONE_VM | CLONE_SIGHAND | CLONE_THREAD,
    r.below(2 ** 20),
  ]);
  return yield* sys.clone(body, flags);
}

function* step(d: Drawer, generation: number, ctx: GuestContext): Call<Word> {
  const { r } = d;
  switch (r.below(20)) {
    case 0:
    case 1:
    case 2:
      return yield* mapping(d);
    case 3:
    case 4:
    case 5:
      return yield* files(d);
    case 6:
      return yield* child(d, generation);
    case 7:
      return (yield* sys.wait(r.pick([-1, 0, 5, -7]), r.pick([0, 1, 1, 1, 255]))).pid;
    case 8:
      return r.oneIn(12) ? yield* sys.kill(r.below(40), r.pick([0, 9, 11, 64, 65, 99])) : yield* sys.kill(ctx.pid, 0);
    case 9:
      return r.oneIn(30) ? yield* sys.exit(r.below(300)) : yield* sys.schedYield();
    case 10:
    case 11:
    case 12:
      return (yield* mem.tryTouch(d.address(), r.below(12) * PAGE, { write: r.oneIn(2), stride: PAGE, value: r.below(256) })).done;
    case 13:
      return yield* sys.raw(d.anyNumber(), d.word(), d.word(), d.word(), d.word(), d.word(), d.word());
    case 14:
      return yield* sys.mremap(d.address(), d.length(), d.length(), r.below(4), d.address());
    case 15:
      return yield* sys.madvise(d.address(), d.length(), r.pick([3, 4, 22, 23, r.below(30)]));
    case 16:
      return yield* sys.mprotect(d.address(), d.length(), r.below(8));
    case 17:
      return yield* sys.munmap(d.address(), d.length());
    default:
      return yield* sys.raw(r.pick(NUMBERS), d.word(), d.word(), d.word(), d.word(), d.word(), d.word());
  }
}

/** `ops` random calls. */
function fuzzer(seed: number, generation: number, ops: number) {
  return function* (ctx: GuestContext): Call<void> {
    const d = new Drawer(seed);
    yield* sys.mmap(AT, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | (generation === 0 ? MAP_FIXED : 0));
    for (let i = 0; i < ops; i++) d.learn(Number(yield* step(d, generation, ctx)));
  };
}

/** Sleepers and waiters are killed at the end, round after round, until nobody is left. */
function killAll(t: TestMachine): void {
  for (let round = 0; round < 50 && t.machine.guestCount > 0; round++) {
    const lines = t.machine.inspect("tasks").trimEnd().split("\n").slice(1);
    const pids = new Set(lines.map((line) => Number(line.trim().split(/ +/)[1])));
    t.machine.spawn(function* (ctx) {
      for (const pid of pids) if (pid !== ctx.pid) yield* sys.kill(pid, SIGKILL);
    });
    t.machine.run({ untilNs: t.machine.nowNs() + 1e9 });
  }
}

describe("no assert, no trap, no hang", () => {
  it.each(SEEDS)("seed %i", (seed) => {
    const t = new TestMachine({
      cpus: 1 + (seed % 4),
      memoryBytes: seed % 5 === 0 ? MIB : 3 * MIB,
      seed,
      maxTasks: 40,
      choices: seed % 3 === 0 ? "default" : "random",
      faultLock: FAULT_LOCK_REGIMES[seed % FAULT_LOCK_REGIMES.length] ?? "linux-4.19",
      tlbEntries: 16 << (seed % 3),
      faultAroundPages: 1 << (seed % 6),
    });
    t.machine.command = `SEED=${seed} npx vitest run kernel-tests/fuzz/syscalls.test.ts`;
    for (let i = 0; i < 3; i++) t.machine.spawn(fuzzer(seed * 100 + i, 0, OPS));
    let ops = 0;
    const reason = t.machine.run({ untilNs: 5e9, stopWhen: () => ++ops > 50_000 });
    expect(reason, t.machine.command).not.toBe("stop");
    killAll(t);
    expect(t.machine.guestCount, `hung: ${t.machine.command}\n${t.machine.inspect("tasks")}`).toBe(0);
    t.finish();
  });
});
