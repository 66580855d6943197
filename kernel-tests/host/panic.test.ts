/*
 * A broken law as a user meets it: one Error with the law, its place, seed, simulated time, CPU, task, the last events and a
 * command to paste; the machine is dead until a snapshot brings it back.
 *
 * Checks: [host-2]. The laws are broken from outside: by writing into the machine's memory.
 */
import { describe, expect, it } from "vitest";
import {
  type GuestFn,
  KernelPanic,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Machine,
  type MachineConfig,
  PROT_READ,
  PROT_WRITE,
  loadKernel,
  mem,
  sys,
} from "../../src/node.js";
import { Run } from "../../src/sim/run.js";

const MIB = 2 ** 20;
const kernel = await loadKernel();
const config: MachineConfig = { memoryBytes: 2 * MIB, seed: 7, cpus: 2, traceEvents: 64 };

/** Points the page table entry of an address at a frame that is free. */
function breakMapping(machine: Machine, pid: number, address: number): void {
  const leaf = machine.pageTable(pid, address).at(-1)!;
  const view = new DataView(machine.memory.buffer);
  const lastFrame = BigInt(machine.config.memoryBytes! / 4096 - 1);
  view.setBigUint64(leaf.table + leaf.index * 8, (lastFrame << 10n) | (leaf.entry & 0x3ffn), true);
}

/** Maps a page, has it broken, and unmaps it on CPU 1. */
const unmapsBroken = (machine: () => Machine): GuestFn =>
  function* ({ pid }) {
    yield* sys.pin(1);
    const at = yield* sys.mmap(0, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    yield* mem.touch(at, 16 * 4096, { write: true });
    breakMapping(machine(), pid, at);
    yield* sys.munmap(at, 16 * 4096);
  };

function panicOf(work: () => unknown): KernelPanic {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(KernelPanic);
    return error as KernelPanic;
  }
  throw new Error("no panic");
}

function broken(more: MachineConfig = {}): { machine: Machine; panic: KernelPanic } {
  const machine = Machine.createSync(kernel.module, { ...config, ...more });
  machine.spawn(unmapsBroken(() => machine));
  return { machine, panic: panicOf(() => machine.run()) };
}

describe("a broken law", () => {
  const { machine, panic } = broken();
  const { context } = panic;

  it("says the law, and the file and line of its assert", () => {
    expect(panic.name).toBe("KernelPanic");
    expect(panic.law).toMatch(/\w+ \w+/);
    expect(panic.place).toMatch(/^assembly\/[\w/-]+\.ts:\d+:\d+$/);
  });

  it("says seed, simulated time, CPU and task", () => {
    expect([context.seed, context.cpu, context.task]).toEqual([7, 1, 1]);
    expect(context.timeNs).toBe(machine.nowNs());
    expect(context.timeNs).toBeGreaterThan(1000);
  });

  it("brings the last 32 events, the newest last", () => {
    expect(context.trace).toHaveLength(32);
    expect(context.trace.at(-1)?.name).toBe("faultline:munmap");
    const times = context.trace.map((event) => event.timeNs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it("is one text with all of it, a line an event, and the command last", () => {
    const lines = panic.message.split("\n");
    expect(lines.slice(0, 4)).toEqual([
      `kernel panic: ${panic.law}`,
      `  at ${panic.place}`,
      `  seed 7, simulated time ${context.timeNs} ns, CPU 1, task 1`,
      "  last 32 events:",
    ]);
    expect(lines).toHaveLength(4 + 32 + 1);
    expect(lines[4]).toMatch(/^ {4} +[\d.]+ us {2}cpu \d+ {2}task \d+ {2}[a-z_]+:\w+ {2}0x[0-9a-f]+ 0x[0-9a-f]+$/);
    expect(lines.at(-1)).toBe(`  again: ${machine.command}`);
  });

  it("kills the machine: every call that would go on brings the same error", () => {
    for (const call of [
      () => machine.run(),
      () => machine.check(),
      () => machine.spawn(() => [].values() as never),
      () => machine.inspect("vmstat"),
    ]) {
      expect(panicOf(call)).toBe(panic);
    }
  });

  it("is over once a snapshot from before is put back", () => {
    const other = Machine.createSync(kernel.module, config);
    let breaks = true;
    other.spawn(function* () {
      const at = yield* sys.mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
      yield* mem.touch(at, 4096, { write: true });
      yield* sys.nanosleep(1e6);
      if (breaks) breakMapping(other, 1, at);
      yield* sys.munmap(at, 4096);
    });
    other.run({ forNs: 500_000 });
    const before = other.snapshot();
    panicOf(() => other.run());
    breaks = false;
    other.restore(before);
    expect(other.run()).toBe("idle");
    other.check();
  });

  it("is the same at the second time: it can be seen again", () => {
    expect(broken().panic.message).toBe(panic.message);
  });

  it("of a machine without a trace says why there are no events", () => {
    expect(broken({ trace: false }).panic.message).toContain("\n  no trace: the machine was made with tracing off\n");
  });
});

it("a task that is not waiting is not given an operation: found by the host, with no CPU to name", () => {
  const machine = Machine.createSync(kernel.module, config);
  const fields = machine.kernel;
  const offsetOf = (wanted: string): number => {
    const name = (at: number): string => {
      const bytes = new DataView(machine.memory.buffer).getUint32(at - 4, true);
      return at === 0 ? "" : String.fromCharCode(...new Uint16Array(machine.memory.buffer, at, bytes / 2));
    };
    for (let i = 0; ; i++) if (name(fields.taskFieldName(i)) === wanted) return fields.taskFieldOffset(i);
  };
  machine.spawn(function* () {
    yield* sys.gettid();
    new Uint32Array(machine.memory.buffer)[(machine.kernel.guestTask() + offsetOf("state")) / 4] = 2;
    yield* sys.gettid();
  });
  const panic = panicOf(() => machine.run());
  expect(panic.law).toBe("the task waits for the host");
  expect([panic.context.cpu, panic.context.task]).toEqual([-1, 0]);
});

it("a trap of the module is a panic as well", () => {
  const machine = Machine.createSync(kernel.module, config);
  machine.spawn(function* () {
    yield* sys.gettid();
    // A leaf table far beyond the end of memory.
    const root = machine.pageTable(1, 0)[0]!;
    new DataView(machine.memory.buffer).setBigUint64(root.table, (0x3_ffffn << 10n) | 1n, true);
    yield* mem.tryTouch(0, 1);
  });
  const panic = panicOf(() => machine.run());
  expect(panic.law).toMatch(/^trap of the module: .*memory access out of bounds/);
  expect(panic.message).toContain("seed 7, simulated time ");
});

it("the command of a run is the one that makes it again", () => {
  const run = new Run(kernel, { workload: "page_fault1", tasks: 2, mode: "processes", lenBytes: 65536, config: { ...config, cpus: 2 } });
  const words = ["faultline run page_fault1", "-t 2", "--mode processes", "--length 65536", "--cpus 2", "--memory 2097152", "--seed 7"];
  for (const word of words) expect(run.machine.command).toContain(word);
  run.warmUp();
  run.machine.spawn(unmapsBroken(() => run.machine));
  const panic = panicOf(() => {
    run.measure();
  });
  expect(panic.message.split("\n").at(-1)).toBe(`  again: ${run.machine.command}`);
});
