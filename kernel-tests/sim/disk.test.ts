/*
 * The disk as a host sees it: a saved image shows its files in another machine, faults hit and are counted, models change times.
 *
 * Checks: [hdisk-1].
 */
import { describe, expect, it } from "vitest";
import { type Disk, type DiskFaults, type DiskModel, Machine, O_CREAT, O_RDWR } from "../../src/node.js";
import { type Call, sys } from "../../src/guest/index.js";
import { E, MIB, checkedKernel, must } from "../test-machine.js";

const CONFIG = { cpus: 2, memoryBytes: 8 * MIB, diskBlocks: 1024 };
const DATA = new Uint8Array(9000).map((_, i) => i * 7);

/** Runs a guest to its end on a machine; what it returns. */
function run<T>(machine: Machine, body: () => Call<T>): T {
  let result: T | undefined;
  machine.spawn(function* () {
    result = yield* body();
  });
  expect(machine.run()).toBe("idle");
  machine.check();
  if (result === undefined) throw new Error("the guest returned nothing");
  return result;
}

function* mount(make: boolean): Call {
  must(yield* sys.mkdir("/mnt"));
  if (make) must(yield* sys.mkfs("cowfs"));
  return must(yield* sys.mount("cowfs", "/mnt", ""));
}

function machineOf(disk: DiskModel = {}): Machine {
  return Machine.createSync(checkedKernel(), { ...CONFIG, disk });
}

/** A machine whose disk has one file. */
function withFile(): Machine {
  const machine = machineOf();
  run(machine, function* () {
    yield* mount(true);
    const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT));
    must(yield* sys.pwrite(fd, DATA, 0));
    must(yield* sys.close(fd));
    return must(yield* sys.umount("/mnt"));
  });
  return machine;
}

/** What a read of the file gives, or -errno. */
function* readFile(): Call<Uint8Array | number> {
  yield* mount(false);
  const fd = must(yield* sys.open("/mnt/f", O_RDWR));
  return yield* sys.pread(fd, DATA.length, 0);
}

describe("an image", () => {
  it("saved, loaded in a new machine and mounted shows the same files", () => {
    const image = withFile().disk.image().slice();
    const other = machineOf();
    other.disk.load(image);
    expect(run(other, readFile)).toEqual(DATA);
  });

  it("of another size is refused; a machine without a disk has none", () => {
    expect(() => {
      machineOf().disk.load(new Uint8Array(4096));
    }).toThrow("the image has 4096 bytes, the disk 4194304");
    expect(Machine.createSync(checkedKernel(), { memoryBytes: 8 * MIB }).disk.image().length).toBe(0);
  });
});

describe("faults", () => {
  const TABLE: readonly (readonly [DiskFaults, keyof ReturnType<Disk["faultHits"]>, number])[] = [
    [{ eioReadNth: 1 }, "eioRead", E.IO],
    [{ eioRangeOps: 1, eioFirstSector: 0, eioSectors: 8192 }, "eioRange", E.IO],
  ];
  it.each(TABLE)("%j: a mount fails with EIO, and the hit is counted", (faults, hit, errno) => {
    const image = withFile().disk.image().slice();
    const machine = machineOf();
    machine.disk.load(image);
    machine.disk.injectFaults(faults);
    const result = run(machine, function* () {
      must(yield* sys.mkdir("/mnt"));
      return yield* sys.mount("cowfs", "/mnt", "");
    });
    // One bad superblock has a second copy to stand in for it; a bad disk has none.
    expect(result).toBe(hit === "eioRange" ? -errno : 0);
    expect(machine.disk.faultHits()[hit]).toBeGreaterThan(0);
  });

  it("of writing reach fsync once", () => {
    const machine = machineOf();
    const results = run(machine, function* () {
      yield* mount(true);
      const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT));
      must(yield* sys.fsync(fd));
      must(yield* sys.pwrite(fd, DATA, 0));
      machine.disk.injectFaults({ eioWriteNth: 1 });
      return [yield* sys.fsync(fd), yield* sys.fsync(fd)];
    });
    expect(results[0]).toBe(-E.IO);
    expect(machine.disk.faultHits().eioWrite).toBe(1);
  });

  it("that are no numbers are refused", () => {
    expect(() => {
      machineOf().disk.injectFaults({ tornNth: -1 });
    }).toThrow("disk tornNth is -1; it must be a whole number from 0");
  });
});

describe("the model", () => {
  /** Simulated time of mkfs, mount, write and fsync. */
  function timeOf(disk: DiskModel): number {
    const machine = machineOf(disk);
    run(machine, function* () {
      yield* mount(true);
      const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT));
      must(yield* sys.pwrite(fd, DATA, 0));
      return must(yield* sys.fsync(fd));
    });
    return machine.nowNs();
  }

  const SLOWER: readonly (readonly [DiskModel, number])[] = [
    [{ readNs: 1e9 }, 1e9],
    [{ writeNs: 1e9 }, 2e9],
    [{ flushNs: 1e9 }, 2e9],
    [{ fuaNs: 1e9 }, 9e8],
    [{ kind: "bimodal", slowOneIn: 1, slowNs: 1e9 }, 3e9],
    [{ bytesPerUs: 1 }, 1e7],
  ];
  it.each(SLOWER)("%j takes at least so many ns more: %d", (model, ns) => {
    expect(timeOf(model) - timeOf({})).toBeGreaterThanOrEqual(ns);
  });

  it("may change in the middle; a queue of no depth is refused", () => {
    const machine = withFile();
    machine.disk.setModel({ readNs: 5e8 });
    const before = machine.nowNs();
    run(machine, readFileAgain);
    expect(machine.nowNs() - before).toBeGreaterThan(5e8);
    expect(() => {
      machine.disk.setModel({ queueDepth: 0 });
    }).toThrow("disk queueDepth is 0");
  });
});

function* readFileAgain(): Call {
  return must(yield* sys.mount("cowfs", "/mnt", ""));
}
