/*
 * The facade: a machine from whatever holds its kernel, configurations that make none, guests that make mistakes.
 *
 * Checks: [host-1] [host-2] [dt-1]; that no mistake of a caller or of a guest ends in a kernel panic.
 */
import { describe, expect, it } from "vitest";
import {
  ConfigError,
  type GuestFn,
  GuestFailure,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Machine,
  type MachineConfig,
  PROT_READ,
  PROT_WRITE,
  kernelBytes,
  mem,
  sys,
} from "../../src/node.js";

const MIB = 2 ** 20;
const bytes = kernelBytes();
const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
const small: MachineConfig = { memoryBytes: 2 * MIB };

const faults: GuestFn = function* () {
  const at = yield* sys.mmap(0, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  yield* mem.touch(at, 16 * 4096, { write: true });
};

async function endOf(machine: Machine): Promise<[number, string]> {
  machine.spawn(faults);
  expect(machine.run()).toBe("idle");
  return [machine.stat("faults"), await machine.stateSha256()];
}

const wasm = (body: BodyInit, status = 200): Response => new Response(body, { status, headers: { "content-type": "application/wasm" } });
const copy = (): ArrayBuffer => new Uint8Array(bytes).buffer;

describe("a machine is made from", () => {
  it("bytes, a buffer, a view into a larger one, a response, a promise of one, a module: the same machine", async () => {
    const padded = new Uint8Array(bytes.length + 64);
    padded.set(bytes, 32);
    const sources = [
      new Uint8Array(copy()),
      copy(),
      padded.subarray(32, 32 + bytes.length),
      wasm(copy()),
      Promise.resolve(wasm(copy())),
      module,
    ];
    const expected = await endOf(Machine.createSync(module, small));
    expect(expected[0]).toBe(16);
    for (const source of sources) expect(await endOf(await Machine.create(source, small))).toEqual(expected);
  });

  it("a response of an error: says which", async () => {
    await expect(Machine.create(wasm("not here", 404), small)).rejects.toThrow("kernel.wasm: HTTP 404");
  });

  it("a fetch that fails: its own error", async () => {
    await expect(Machine.create(Promise.reject(new TypeError("fetch failed")), small)).rejects.toThrow("fetch failed");
  });

  it("what is no module: the engine's error", async () => {
    await expect(Machine.create(new Uint8Array([1, 2, 3, 4]), small)).rejects.toThrow(WebAssembly.CompileError);
    await expect(Machine.create(wasm("<!doctype html>"), small)).rejects.toThrow(WebAssembly.CompileError);
  });

  it("no configuration at all", () => {
    const machine = Machine.createSync(module);
    machine.spawn(faults);
    expect(machine.run()).toBe("idle");
  });
});

describe("a configuration that makes no machine", () => {
  const ROWS: readonly [config: object, message: RegExp][] = [
    [{ cpus: 0 }, /^cpus is 0; it must be a whole number from 1 to 128$/],
    [{ cpus: 129 }, /^cpus is 129;/],
    [{ cpus: 1.5 }, /^cpus is 1\.5;/],
    [{ cpus: NaN }, /^cpus is NaN;/],
    [{ cpus: "2" }, /^cpus is 2;/],
    [{ cpus: 2, sockets: 3 }, /^sockets is 3; it must be a whole number from 1 to 2$/],
    [{ memoryBytes: 4096 }, /^memoryBytes is 4096; it must be a whole number from 262144 to/],
    [{ memoryBytes: -1 }, /^memoryBytes is -1;/],
    [{ memoryBytes: Infinity }, /^memoryBytes is Infinity;/],
    [{ seed: -1 }, /^seed is -1;/],
    [{ seed: 2 ** 53 }, /^seed is 9007199254740992;/],
    [{ tlbEntries: 48 }, /^tlbEntries is 48; it must be a power of two$/],
    [{ traceEvents: 17 }, /^traceEvents is 17; it must be a power of two$/],
    [{ faultLock: "linux-2.6" }, /^faultLock is linux-2\.6; it must be one of linux-4\.19, linux-5\.1, linux-6\.7$/],
    [{ mkwrite: "none" }, /^mkwrite is none; it must be one of generic_page_mkwrite, /],
    [{ choices: "pct" }, /^choices is pct; it must be one of default, random, script, explore$/],
    [{ cpu: 4 }, /^unknown configuration field "cpu"; the fields are cpus, /],
    [{ costs: { syscal: 4 } }, /syscal/],
    [{ costs: { syscall: -4 } }, /syscall/],
    [{ costs: { syscall: 0.5 } }, /syscall/],
  ];
  it.each(ROWS)("%j names the field", (config, message) => {
    const make = (): Machine => Machine.createSync(module, { memoryBytes: 8 * MIB, ...config });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

describe("a caller's mistake", () => {
  it.each([-2, 1, 0.5, NaN])("a spawn on CPU %d of one names the CPUs there are", (cpu) => {
    const machine = Machine.createSync(module, small);
    expect(() => machine.spawn(faults, { cpu })).toThrow(`cpu is ${cpu}; the machine has CPUs 0 to 0`);
  });

  it("too many processes: says so, and those that are there run", () => {
    const machine = Machine.createSync(module, { ...small, maxTasks: 4 });
    let spawned = 0;
    const spawnAll = (): void => {
      for (; ; spawned++) machine.spawn(faults);
    };
    expect(spawnAll).toThrow(ConfigError);
    expect(spawned).toBeGreaterThan(0);
    expect(machine.run()).toBe("idle");
    expect(machine.stat("faults")).toBe(16 * spawned);
  });

  it.each([NaN, -1])("a run until %d ns", (untilNs) => {
    expect(() => Machine.createSync(module, small).run({ untilNs })).toThrow(RangeError);
  });

  it("a counter or a process that is none", () => {
    const machine = Machine.createSync(module, small);
    expect(() => machine.stat("fault")).toThrow('no counter "fault"');
    expect(() => machine.inspect("maps", 99)).toThrow(/maps of 99: errno 3/);
    expect(() => machine.pageTable(99, 0)).toThrow("no process 99");
  });

  it("running the machine from a guest", () => {
    const machine = Machine.createSync(module, small);
    machine.spawn(function* () {
      yield* sys.gettid();
      machine.run();
    });
    expect(() => machine.run()).toThrow(/a guest cannot run it/);
  });
});

describe("[host-2] a guest's mistake is the guest's failure", () => {
  const ROWS: readonly [name: string, guest: GuestFn, message: RegExp][] = [
    [
      "an error of its own",
      function* () {
        yield* sys.gettid();
        throw new Error("no such luck");
      },
      /^guest 1: no such luck$/,
    ],
    [
      "an argument that is no number",
      function* () {
        yield* sys.munmap(NaN, 4096);
      },
      /^guest 1: .*NaN/,
    ],
    [
      "seven arguments",
      function* () {
        yield { nr: 1, args: [1, 2, 3, 4, 5, 6, 7] };
      },
      /^guest 1: operation 1 has 7 arguments/,
    ],
  ];
  it.each(ROWS)("%s; the others go on", (_name, guest, message) => {
    const machine = Machine.createSync(module, small);
    machine.spawn(guest);
    machine.spawn(faults);
    let failure: unknown;
    try {
      machine.run();
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(GuestFailure);
    expect((failure as GuestFailure).message).toMatch(message);
    expect(machine.run()).toBe("idle");
    expect([machine.guestCount, machine.stat("faults"), machine.stat("live_tasks")]).toEqual([0, 16, 0]);
    machine.check();
  });

  it("a store to address 0 is SIGSEGV: the process is gone, the machine is not", () => {
    const machine = Machine.createSync(module, small);
    let status = -1;
    machine.spawn(function* () {
      const pid = yield* sys.fork(function* () {
        yield* mem.touch(0, 1, { write: true });
      });
      status = (yield* sys.wait(pid)).status;
    });
    expect(machine.run()).toBe("idle");
    expect(status & 0x7f, "the signal in the status").toBe(11);
  });
});
