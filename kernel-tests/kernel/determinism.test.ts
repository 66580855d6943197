/*
 * Same description, same bytes: twice, after save and restore in mid-run, looked at or not; random choices by seed, and replayed
 * from their log as a script.
 *
 * Checks: [dt-1] [hash-1] [choice-1] [choice-2] [layout-1].
 */
import { describe, expect, it } from "vitest";
import {
  FAULT_LOCK_REGIMES,
  INSPECT_KINDS,
  MADV_DONTNEED,
  MAP_SHARED,
  Machine,
  type MachineConfig,
  O_CREAT,
  O_RDWR,
  PROT_READ,
  type Snapshot,
  WORKLOADS,
  barrier,
  compute,
  loadKernel,
  mem,
  runPoint,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { MIB, PAGE, RW, anon, checkedKernel, must } from "../test-machine.js";

const CONFIG: MachineConfig = { cpus: 3, memoryBytes: 6 * MIB, seed: 42 };

/** A process of three threads and its child that fault, map, unmap, sleep and meet: pure functions of their results. */
function* program(): Call<void> {
  const fd = must(yield* sys.open("/f", O_RDWR | O_CREAT));
  must(yield* sys.ftruncate(fd, 64 * PAGE));
  const shared = must(yield* sys.mmap(0, 64 * PAGE, RW, MAP_SHARED, fd, 0));
  const worker = (index: number) =>
    function* (): Call<void> {
      yield* barrier(0, 4);
      for (let round = 0; round < 20; round++) {
        yield* mem.touchRandom(shared, 64 * PAGE, 20, 50, index * 100 + round);
        const own = yield* anon(8 * PAGE);
        yield* mem.touch(own, 8 * PAGE, { write: true, value: round });
        must(yield* sys.mprotect(own, 2 * PAGE, PROT_READ));
        yield* sys.madvise(shared, 16 * PAGE, MADV_DONTNEED);
        must(yield* sys.munmap(own, 8 * PAGE));
        yield* compute(300 * index);
        if (round % 7 === index) yield* sys.nanosleep(5000);
      }
      yield* barrier(1, 4);
    };
  must(yield* sys.thread(worker(1)));
  must(yield* sys.thread(worker(2)));
  const pid = must(yield* sys.fork(worker(3)));
  yield* worker(4)();
  yield* sys.wait(pid);
}

function booted(config: MachineConfig = CONFIG): Machine {
  const machine = Machine.createSync(checkedKernel(), config);
  machine.spawn(program);
  return machine;
}

/** Everything of a machine that is simulated, but for the hash. */
function results(machine: Machine): unknown {
  return {
    now: machine.nowNs(),
    stats: machine.stats(),
    counts: machine.traceCounts(),
    locks: machine.lockStat(),
    fault: machine.faultLatency(),
  };
}

const HALF_NS = 150_000;

describe("the same run", () => {
  it.each(FAULT_LOCK_REGIMES)("twice under %s: same bytes, same results", async (faultLock) => {
    const hashes = new Set<string>();
    const seen = new Set<string>();
    for (let i = 0; i < 2; i++) {
      const machine = booted({ ...CONFIG, faultLock });
      expect(machine.run()).toBe("idle");
      machine.check();
      hashes.add(await machine.stateSha256());
      seen.add(JSON.stringify(results(machine)));
    }
    expect([hashes.size, seen.size]).toEqual([1, 1]);
  });

  it("in slices: same bytes as in one piece", async () => {
    const whole = booted();
    whole.run();
    const sliced = booted();
    while (sliced.run({ forNs: 7919 }) !== "idle" || sliced.guestCount > 0);
    let stops = 0;
    const stopped = booted();
    while (stopped.run({ stopWhen: () => ++stops % 13 === 0 }) === "stop");
    const hash = await whole.stateSha256();
    // Time runs on to the end of the last slice: its CPUs idle until then.
    expect({ ...sliced.stats(), cpu_idle_ns: 0 }).toEqual({ ...whole.stats(), cpu_idle_ns: 0 });
    expect(sliced.stats()["cpu_idle_ns"]).toBeGreaterThan(whole.stats()["cpu_idle_ns"]!);
    expect(await stopped.stateSha256()).toBe(hash);
  });

  it("of another seed: the same where nothing is drawn; another configuration is another run", async () => {
    const first = booted();
    first.run();
    const second = booted({ ...CONFIG, costs: { page_zero: 999 } });
    second.run();
    expect(await second.stateSha256()).not.toBe(await first.stateSha256());
    expect(second.nowNs()).not.toBe(first.nowNs());
  });

  it("traced and not: the same simulated results", () => {
    const quiet = booted({ ...CONFIG, trace: false });
    quiet.run();
    const traced = booted({ ...CONFIG, trace: true, traceEvents: 4096 });
    traced.run();
    expect(results(traced)).toEqual(results(quiet));
    expect(traced.trace().length).toBe(4096);
    expect(quiet.trace().length).toBe(0);
  });

  it("looked at in the middle, in every way there is: the same bytes", async () => {
    const alone = booted();
    alone.run();
    const watched = booted();
    watched.run({ untilNs: HALF_NS });
    for (const kind of INSPECT_KINDS) watched.inspect(kind, kind === "stat" ? 0 : 1);
    watched.stats();
    watched.lockStat();
    watched.faultLatency();
    watched.trace(32);
    watched.snapshot();
    watched.pageTable(1, 0x7fff_0000_0000);
    watched.check();
    await watched.stateSha256();
    watched.run();
    expect(await watched.stateSha256()).toBe(await alone.stateSha256());
  });
});

describe("save and restore in mid-run", () => {
  /** A run to its end in one piece, and the snapshot at half time of another. */
  async function halves(): Promise<{ hash: string; snapshot: Snapshot; machine: Machine }> {
    const whole = booted();
    whole.run();
    const machine = booted();
    machine.run({ untilNs: HALF_NS });
    expect(machine.guestCount).toBeGreaterThan(2);
    return { hash: await whole.stateSha256(), snapshot: machine.snapshot(), machine };
  }

  it("run on, put back, run on: the same bytes both times", async () => {
    const { hash, snapshot, machine } = await halves();
    machine.run();
    expect(await machine.stateSha256()).toBe(hash);
    machine.restore(snapshot);
    expect(machine.nowNs()).toBeLessThan(HALF_NS + 1);
    machine.run();
    machine.check();
    expect(await machine.stateSha256()).toBe(hash);
  });

  it("into a fresh machine, and into one that ran something else", async () => {
    const { hash, snapshot } = await halves();
    const fresh = Machine.createSync(checkedKernel(), CONFIG);
    fresh.restore(snapshot);
    fresh.run();
    expect(await fresh.stateSha256()).toBe(hash);
    const used = Machine.createSync(checkedKernel(), CONFIG);
    used.spawn(function* () {
      yield* mem.touch(yield* anon(700 * PAGE), 700 * PAGE, { write: true, value: 0xee });
    });
    used.run();
    used.restore(snapshot);
    used.run();
    used.check();
    expect(await used.stateSha256()).toBe(hash);
  });

  it("a snapshot is not touched by what the machine does afterwards", async () => {
    const { snapshot, machine } = await halves();
    const before = snapshot.memory.slice();
    machine.run();
    machine.restore(snapshot);
    machine.run();
    expect(Buffer.compare(snapshot.memory, before)).toBe(0);
  });

  it("at every stop of a short run", async () => {
    const script = function* (): Call<void> {
      const at = yield* anon(4 * PAGE);
      yield* mem.touch(at, 4 * PAGE, { write: true });
      const pid = must(
        yield* sys.fork(function* () {
          yield* mem.touch(at, 2 * PAGE, { write: true });
        }),
      );
      yield* sys.wait(pid);
    };
    const start = (): Machine => {
      const machine = Machine.createSync(checkedKernel(), { cpus: 2, memoryBytes: MIB });
      machine.spawn(script);
      return machine;
    };
    const whole = start();
    whole.run();
    const hash = await whole.stateSha256();
    const snapshots: Snapshot[] = [];
    const stepped = start();
    while (stepped.run({ stopWhen: () => true }) === "stop") snapshots.push(stepped.snapshot());
    expect(snapshots.length).toBeGreaterThan(6);
    for (const snapshot of snapshots) {
      stepped.restore(snapshot);
      stepped.run();
      expect(await stepped.stateSha256()).toBe(hash);
    }
  });
});

describe("random choices", () => {
  const random = (seed: number): MachineConfig => ({ ...CONFIG, seed, choices: "random", choiceLog: 65536 });

  it("by seed: the same twice, and another walk for another seed", async () => {
    const hashes = new Map<number, string>();
    for (const seed of [1, 2, 3, 1, 2, 3]) {
      const machine = booted(random(seed));
      machine.run();
      machine.check();
      const hash = await machine.stateSha256();
      expect(hashes.get(seed) ?? hash).toBe(hash);
      hashes.set(seed, hash);
    }
    expect(new Set(hashes.values()).size).toBe(3);
  });

  it("played back from the log as a script: the same run, but for how the choices were answered", async () => {
    const drawn = booted(random(7));
    drawn.run();
    const made = drawn.kernel.choiceLogMade();
    expect(made).toBeGreaterThan(100);
    expect(made).toBeLessThan(65536);
    const log = new Uint32Array(drawn.memory.buffer, drawn.kernel.choiceLogPtr(), made);

    const played = Machine.createSync(checkedKernel(), { ...random(7), choices: "script" });
    new Uint32Array(played.memory.buffer, played.kernel.choiceScriptPtr(), made).set(log.map((entry) => entry & 0xfff));
    played.kernel.choiceScriptSet(made);
    played.spawn(program);
    played.run();
    expect(results(played)).toEqual(results(drawn));
    expect(played.kernel.choiceLogMade()).toBe(made);
    const again = new Uint32Array(played.memory.buffer, played.kernel.choiceLogPtr(), made);
    expect([...again]).toEqual([...log]);

    // Byte for byte: only the answers' own place in memory may differ.
    await drawn.stateSha256();
    await played.stateSha256();
    const a = new Uint32Array(drawn.snapshot().memory.buffer);
    const b = new Uint32Array(played.snapshot().memory.buffer);
    const script = played.kernel.choiceScriptPtr() / 4;
    const elsewhere: string[] = [];
    for (let i = 0; i < a.length; i++) {
      if (a[i] === b[i] || (i >= script && i < script + made)) continue;
      elsewhere.push(`0x${(i * 4).toString(16)}`);
    }
    const policy = elsewhere.filter((at) => Number(at) >= 0x2800 && Number(at) < 0x2c00);
    const schedRoom = elsewhere.filter((at) => Number(at) >= 0x400 && Number(at) < 0x800);
    expect(policy.length, "the boot configuration's policy").toBe(1);
    expect(schedRoom.length, "the policy in force, the generator, the script's cursor").toBeLessThan(10);
    expect(elsewhere.length).toBe(policy.length + schedRoom.length);
  });
});

describe("measured runs", () => {
  it.each(WORKLOADS)("$name", async ({ name: workload, needsMkwrite, ends }) => {
    const kernel = await loadKernel(true);
    for (const mode of ["threads", "processes"] as const) {
      const description = {
        workload,
        tasks: 2,
        mode,
        fs: needsMkwrite === true ? "cowfs" : "ramfs",
        warmupNs: 2e5,
        durationNs: 5e5,
        ...(ends === true ? {} : { lenBytes: 32 * PAGE }),
        config: { memoryBytes: 12 * MIB },
      };
      const first = await runPoint(kernel, description);
      const second = await runPoint(kernel, description);
      expect(second.state_sha256).toBe(first.state_sha256);
      expect(second.simulated).toEqual(first.simulated);
    }
  });
});
