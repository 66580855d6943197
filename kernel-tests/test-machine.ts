/*
 * TestMachine: a whole machine of the checked kernel in one call. A test runs guests to their end and looks at what they
 * return; every invariant walk runs at the end of every test, and nothing may be left of a process.
 *
 *   expect(runGuest(function* () { return yield* sys.munmap(1, PAGE); })).toBe(-EINVAL);
 *   const delta = yield* t.measure(mem.touch(at, PAGE, { write: true }));      // in a guest: delta.counts.faults is 1
 *
 * Interface: TestMachine, runGuest, runGuests, table, Row, TestConfig, Body, Counts, errno numbers (E), PAGE, helpers of guests
 *            (anon, ramFile, bytesAt, must, layout).
 * Invariants:
 *   [tm-1] a run is bounded in simulated time and in operations: a hang is a failure that lists the tasks, never a hang.
 *   [tm-2] a failed expectation inside a guest fails the test as itself, not as the guest's failure.
 * Why not the release kernel: the checked build has the costly walks, and it is the same source.
 */
import { describe, expect, it } from "vitest";
import {
  type GuestContext,
  GuestFailure,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Machine,
  type MachineConfig,
  O_CREAT,
  O_RDWR,
  O_TRUNC,
  PROT_READ,
  PROT_WRITE,
  kernelBytes,
  must,
  sys,
} from "../src/node.js";
import type { Call } from "../src/guest/index.js";

export { must };
export const PAGE = 4096;
export const MIB = 1024 * 1024;
export const RW = PROT_READ | PROT_WRITE;
export const ANON = MAP_PRIVATE | MAP_ANONYMOUS;

/** errno values that tests name. */
export const E = {
  PERM: 1,
  NOENT: 2,
  SRCH: 3,
  INTR: 4,
  IO: 5,
  BADF: 9,
  CHILD: 10,
  AGAIN: 11,
  NOMEM: 12,
  ACCES: 13,
  FAULT: 14,
  BUSY: 16,
  EXIST: 17,
  XDEV: 18,
  NODEV: 19,
  NOTDIR: 20,
  ISDIR: 21,
  INVAL: 22,
  MFILE: 24,
  FBIG: 27,
  NOSPC: 28,
  ROFS: 30,
  NAMETOOLONG: 36,
  NOSYS: 38,
  NOTEMPTY: 39,
  LOOP: 40,
  OVERFLOW: 75,
  OPNOTSUPP: 95,
} as const;

export interface TestConfig extends MachineConfig {
  /** Simulated time after which a run counts as hung, ns. Default 20 s. */
  limitNs?: number;
  /** Operations of guests after which a run counts as hung. Default 2 million. */
  limitOps?: number;
}

/** What a guest of a test does; what it returns is the test's. */
export type Body<T> = (t: TestMachine, ctx: GuestContext) => Call<T>;

/** Counters and tracepoints that moved, by name. A name that is absent did not move. */
export type Counts = Readonly<Record<string, number>>;

let compiled: WebAssembly.Module | undefined;

/** The checked kernel, compiled once a test file. */
export function checkedKernel(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(kernelBytes(true) as BufferSource);
  return compiled;
}

/** A guest that was spawned, and its result once it has returned. */
export class Running<T> {
  value: T | undefined;
  done = false;
  constructor(readonly pid: number) {}

  /** Throws when the guest never came to its end (it was killed). */
  result(): T {
    if (!this.done) throw new Error(`guest ${this.pid} did not return: it was killed or the machine hung`);
    return this.value as T;
  }
}

export class TestMachine {
  readonly machine: Machine;
  private readonly limitNs: number;
  private readonly limitOps: number;
  private ops = 0;

  constructor(config: TestConfig = {}) {
    const { limitNs, limitOps, ...rest } = config;
    this.limitNs = limitNs ?? 20e9;
    this.limitOps = limitOps ?? 2e6;
    this.machine = Machine.createSync(checkedKernel(), { memoryBytes: 4 * MIB, pagePoison: true, traceEvents: 256, trace: true, ...rest });
    const name = expect.getState().currentTestName ?? "";
    const file = expect.getState().testPath?.replace(/^.*kernel-tests/, "kernel-tests") ?? "kernel-tests";
    this.machine.command = `npx vitest run ${file} -t ${JSON.stringify(name)}`;
  }

  spawn<T>(body: Body<T>, options: { cpu?: number } = {}): Running<T> {
    const self = new Running<T>(0);
    const pid = this.machine.spawn((ctx) => this.guest(body, ctx, self), options);
    return Object.assign(self, { pid });
  }

  private *guest<T>(body: Body<T>, ctx: GuestContext, self: Running<T>): Call<void> {
    self.value = yield* body(this, ctx);
    self.done = true;
  }

  /** Runs until every guest is gone. */
  run(): void {
    try {
      const reason = this.machine.run({ untilNs: this.machine.nowNs() + this.limitNs, stopWhen: () => ++this.ops > this.limitOps });
      if (reason !== "idle" || this.machine.guestCount !== 0) {
        throw new Error(`hung (${reason}) after ${this.ops} operations\n${this.machine.inspect("tasks")}\n${this.machine.command}`);
      }
    } catch (error) {
      throw error instanceof GuestFailure && error.cause instanceof Error ? error.cause : error;
    }
  }

  /** Runs one guest to its end. Guests spawned before run along. */
  runOne<T>(body: Body<T>): T {
    const running = this.spawn(body);
    this.run();
    return running.result();
  }

  /** Every invariant walk. Call it where no task is inside the kernel: between runs, or in a guest that runs alone. */
  check(): void {
    this.machine.check();
  }

  /** The end of a test: all walks; no process, so nothing but the page cache may hold memory ([mk-6]). */
  finish(): void {
    this.check();
    expect(this.machine.stats(), this.machine.command).toMatchObject({ live_tasks: 0, processes: 0, anon_pages: 0, page_tables: 0 });
  }

  /** All counters and tracepoint counts. */
  counts(): Counts {
    return { ...this.machine.stats(), ...this.machine.traceCounts() };
  }

  /** What moved since an earlier `counts`. */
  since(before: Counts): Counts {
    const moved: Record<string, number> = {};
    for (const [name, value] of Object.entries(this.counts())) {
      const delta = value - (before[name] ?? 0);
      if (delta !== 0) moved[name] = delta;
    }
    return moved;
  }

  /** Runs a call and tells what it moved. Exact while the guest runs alone. */
  *measure<T>(call: Call<T>): Call<{ value: T; counts: Counts }> {
    const before = this.counts();
    const value = yield* call;
    return { value, counts: this.since(before) };
  }

  stat(name: string): number {
    return this.machine.stat(name);
  }
}

/** Boots a machine, runs one guest to its end, checks everything, returns what the guest returned. */
export function runGuest<T>(body: Body<T>, config: TestConfig = {}): T {
  const t = new TestMachine(config);
  const value = t.runOne(body);
  t.finish();
  return value;
}

/** As runGuest, with several processes at once. */
export function runGuests<T>(bodies: readonly Body<T>[], config: TestConfig = {}): T[] {
  const t = new TestMachine({ cpus: bodies.length, ...config });
  const running = bodies.map((body) => t.spawn(body));
  t.run();
  t.finish();
  return running.map((one) => one.result());
}

/** Private anonymous memory, readable and writable. */
export function* anon(lenBytes: number, flags = ANON): Call {
  return must(yield* sys.mmap(0, lenBytes, RW, flags), "mmap");
}

/** A ramfs file of `pages` pages, page i full of byte i + 1, open read-write. */
export function* ramFile(path: string, pages: number): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT | O_TRUNC), "open");
  for (let i = 0; i < pages; i++) must(yield* sys.pwrite(fd, new Uint8Array(PAGE).fill(i + 1), i * PAGE), "pwrite");
  return fd;
}

/** Bytes of guest memory; the errno's name makes a failure readable. */
export function* bytesAt(load: Call<Uint8Array | number>): Call<number[]> {
  const data = yield* load;
  if (typeof data === "number") throw new Error(`load failed: ${data}`);
  return [...data];
}

/** One row of a table: what it is, the guest, and what the guest must return. */
export type Row = readonly [name: string, body: Body<unknown>, expected: unknown];

/** A table of rows, each on a machine of its own. */
export function table(title: string, rows: readonly Row[], config: TestConfig = {}): void {
  describe(title, () => {
    for (const [name, body, expected] of rows) it(name, () => expect(runGuest(body, config)).toEqual(expected));
  });
}

/** The VMAs of the running guest as "first-end rights" in pages from `base`, what lies below left out: "0-2 rw-p". */
export function layout(t: TestMachine, ctx: GuestContext, base: number): string[] {
  const lines = t.machine.inspect("maps", ctx.pid).split("\n").slice(0, -1);
  const vmas: string[] = [];
  for (const line of lines) {
    const [range = "", rights = ""] = line.split(" ");
    const [start = 0, end = 0] = range.split("-").map((text) => (parseInt(text, 16) - base) / PAGE);
    if (start >= 0) vmas.push(`${start}-${end} ${rights}`);
  }
  return vmas;
}
