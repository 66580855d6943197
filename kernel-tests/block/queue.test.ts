/*
 * The request queue: merging, data, waiting tasks, snapshots, statistics, trace, and the invariant walk.
 *
 * Checks: [rq-1] [bio-1] [disk-1] [disk-2] [blk-1].
 */
import { describe, expect, it } from "vitest";
import { DiskMachine, EIO, FLUSH, FUA, META, PAGE, PREFLUSH, READ, SECTOR, SYNC, WRITE } from "./machine";

/** A disk of depth 1 that is busy, so that what follows has to wait. */
function busy(maxRequestBytes = 64 * 1024): DiskMachine {
  const m = new DiskMachine({ blocks: 128, model: { queueDepth: 1, maxRequestBytes } });
  m.submit(READ, 800, PAGE, 255);
  return m;
}

describe("merging", () => {
  it("contiguous bios become one request and complete together, each with its own data", () => {
    const m = busy();
    for (let i = 0; i < 4; i++) {
      m.frame(i).fill(0x30 + i);
      m.submit(WRITE, i * 8, PAGE, i);
    }
    expect(m.stat("pending")).toBe(1);
    expect(m.call("blkCheck")).toBe(5);
    m.run();
    expect(m.drain().map((c) => c.doneNs)).toEqual([1000, 3000, 3000, 3000, 3000]);
    expect(m.opStat(WRITE, "merges")).toBe(3);
    for (let i = 0; i < 4; i++) expect(m.image()[i * PAGE + 17]).toBe(0x30 + i);
  });

  it("streams that interleave merge each with its own", () => {
    const m = busy();
    for (let i = 0; i < 4; i++) {
      m.submit(WRITE, i * 8, PAGE, i);
      m.submit(WRITE, 400 + i * 8, PAGE, i);
    }
    expect(m.stat("pending")).toBe(2);
    expect(m.opStat(WRITE, "merges")).toBe(6);
    m.run();
    expect(m.drain()).toHaveLength(9);
  });

  it("does not merge past maxRequestBytes, nor at all when that is 0", () => {
    const m = busy(2 * PAGE);
    for (let i = 0; i < 4; i++) m.submit(READ, i * 8, PAGE, i);
    expect(m.stat("pending")).toBe(2);
    const none = busy(0);
    for (let i = 0; i < 4; i++) none.submit(READ, i * 8, PAGE, i);
    expect(none.stat("pending")).toBe(4);
  });

  it("does not merge what the disk must treat apart", () => {
    const m = busy();
    m.submit(WRITE, 0, PAGE, 0);
    m.submit(READ, 8, PAGE, 1);
    m.submit(WRITE, 8, PAGE, 2, FUA);
    m.submit(WRITE, 16, PAGE, 2, FUA | PREFLUSH);
    m.submit(FLUSH, 24, 0);
    m.submit(WRITE, 32, PAGE, 3);
    expect(m.stat("pending")).toBe(6);
    m.submit(WRITE, 24, PAGE, 4, FUA | PREFLUSH);
    expect(m.stat("pending"), "each PREFLUSH covers what completed before its own submission").toBe(7);
    m.submit(WRITE, 40, PAGE, 4, SYNC | META);
    expect(m.stat("pending"), "SYNC and META make no difference to the disk").toBe(7);
    m.run();
    expect(m.call("blkCheck")).toBe(0);
  });

  it("a fault in one bio of a request leaves the others alone", () => {
    const m = busy();
    m.setFaults({ eioWriteNth: 2 });
    for (let i = 0; i < 3; i++) {
      m.frame(i).fill(0x40 + i);
      m.submit(WRITE, i * 8, PAGE, i);
    }
    expect(m.stat("pending")).toBe(1);
    m.run();
    expect(m.drain().map((c) => c.status)).toEqual([0, 0, -EIO, 0]);
    expect([m.image()[0], m.image()[PAGE], m.image()[2 * PAGE]]).toEqual([0x40, 0, 0x42]);
  });
});

describe("data", () => {
  it("what was written is read, in any pieces", () => {
    const m = new DiskMachine();
    for (let i = 0; i < 8; i++) m.frame(i).forEach((_, k, f) => (f[k] = (i * 31 + k * 7) & 255));
    m.submit(WRITE, 8, 8 * PAGE, 0);
    m.run();
    m.submitChunks(READ, 8, 8 * PAGE, 100, 0, 2048);
    m.run();
    for (let i = 0; i < 16; i++) {
      const half = m.frame(Math.floor(i / 2)).subarray((i % 2) * 2048, (i % 2) * 2048 + 2048);
      expect(m.frame(100 + i).subarray(0, 2048)).toEqual(half);
    }
    expect([m.opStat(WRITE, "bytes"), m.opStat(READ, "bytes")]).toEqual([8 * PAGE, 8 * PAGE]);
  });

  it("[disk-1] a write takes the page as it is at completion", () => {
    const m = new DiskMachine();
    m.frame(0).fill(1);
    m.submit(WRITE, 0, PAGE, 0);
    m.run(1999);
    expect(m.image()[0]).toBe(0);
    m.frame(0).fill(2);
    m.run();
    expect(m.image()[0]).toBe(2);
  });

  it("IO past the end of the disk is EIO and touches nothing", () => {
    const m = new DiskMachine({ blocks: 4 });
    m.frame(0).fill(9);
    const before = m.image().slice();
    m.submit(WRITE, 4 * 8, PAGE);
    m.submit(WRITE, 4 * 8 - 1, PAGE);
    m.submit(WRITE, 4 * 8, SECTOR);
    m.submit(READ, 0xfffffff0, SECTOR);
    m.run();
    expect(m.drain().map((c) => c.status)).toEqual([-EIO, -EIO, -EIO, -EIO]);
    expect(m.image().slice()).toEqual(before);
    m.submit(WRITE, 4 * 8 - 1, SECTOR);
    m.run();
    expect([m.drain()[0]?.status, m.image()[4 * PAGE - 1]]).toEqual([0, 9]);
  });

  it("a machine without a disk answers EIO; one without room for it does not boot", () => {
    const m = new DiskMachine({ blocks: 0 });
    expect(m.bootOk).toBe(true);
    m.submit(READ, 0, PAGE);
    m.submit(FLUSH, 0, 0);
    m.run();
    expect(m.drain().map((c) => c.status)).toEqual([-EIO, 0]);
    expect(new DiskMachine({ blocks: 1 << 20 }).bootOk).toBe(false);
  });

  it("bioAlloc answers null when the arena is full, and all comes back", () => {
    const m = new DiskMachine({ model: { queueDepth: 1, maxRequestBytes: 0 } });
    let made = 0;
    while (made < 200_000 && m.submit(READ, (made % 32) * 16, SECTOR) >= 0) made++;
    expect(made).toBeGreaterThan(100);
    expect(made).toBeLessThan(200_000);
    m.run();
    expect(m.stat("liveBios")).toBe(0);
    expect(m.submit(READ, 0, SECTOR)).toBeGreaterThanOrEqual(0);
  });
});

describe("submitBioWait", () => {
  it("blocks the task until the disk is done", () => {
    const m = new DiskMachine();
    m.frame(3).fill(0x77);
    m.task(0, [{ op: WRITE, sector: 8, frame: 3, len: PAGE }, { op: FLUSH }, { op: READ, sector: 8, frame: 4, len: PAGE }]);
    m.run();
    expect(m.steps(0, 3)).toEqual([
      { status: 0, timeNs: 2000 },
      { status: 0, timeNs: 7000 },
      { status: 0, timeNs: 8000 },
    ]);
    expect(m.frame(4)[5]).toBe(0x77);
    expect(m.stat("liveBios")).toBe(0);
  });

  it("tasks on several CPUs share the disk's depth", () => {
    const m = new DiskMachine({ cpus: 4, model: { queueDepth: 2, maxRequestBytes: 0 } });
    for (let t = 0; t < 4; t++) {
      m.task(
        t,
        [0, 1, 2].map((i) => ({ op: READ, sector: (t * 3 + i) * 8, frame: t, len: PAGE })),
      );
    }
    m.run();
    const ends = [0, 1, 2, 3].map((t) => m.steps(t, 3)[2]?.timeNs ?? 0);
    // 12 reads, two at a time.
    expect(Math.max(...ends)).toBe(6000);
    expect(m.stat("maxInFlight")).toBe(2);
    expect(m.call("blkCheck")).toBe(0);
  });

  it("returns the errno", () => {
    const m = new DiskMachine();
    m.setFaults({ eioReadNth: 1, eioFlushNth: 2 });
    m.task(0, [{ op: READ, sector: 0, len: PAGE }, { op: FLUSH }, { op: FLUSH }, { op: FLUSH }]);
    m.run();
    expect(m.steps(0, 4).map((s) => s.status)).toEqual([-EIO, 0, -EIO, 0]);
  });
});

describe("snapshot", () => {
  it("a copy of memory taken with tasks asleep and IO under way runs to the same end", () => {
    const m = new DiskMachine({ cpus: 2, model: { kind: 1, slowNs: 9000, slowOneIn: 3, queueDepth: 2 } });
    for (let t = 0; t < 3; t++) {
      m.frame(t).fill(t + 1);
      m.task(
        t,
        [0, 1, 2, 3].map((i) => ({ op: WRITE, sector: (t * 4 + i) * 8, frame: t, len: PAGE })),
      );
    }
    m.run(3000);
    expect(m.stat("inFlight")).toBe(2);
    const bytes = new Uint8Array(m.memory.buffer);
    const middle = bytes.slice();
    m.run();
    const end = bytes.slice();
    bytes.set(middle);
    m.run();
    expect(Buffer.compare(bytes, end)).toBe(0);
    const other = new DiskMachine();
    new Uint8Array(other.memory.buffer).set(middle);
    other.run();
    expect(Buffer.compare(new Uint8Array(other.memory.buffer), end)).toBe(0);
    expect(m.opStat(WRITE, "ios")).toBe(12);
  });
});

describe("statistics and laws", () => {
  it("counts what /proc/diskstats counts", () => {
    const m = new DiskMachine({ model: { queueDepth: 1, maxRequestBytes: 0 } });
    m.submit(READ, 0, PAGE);
    m.submit(READ, 8, PAGE);
    m.run();
    m.call("blkSetNow", 10_000);
    m.submit(WRITE, 0, 2 * PAGE);
    m.submit(FLUSH, 0, 0);
    m.run();
    expect(m.opStat(READ, "ios")).toBe(2);
    expect(m.opStat(READ, "ticksNs")).toBe(1000 + 2000);
    expect(m.opStat(WRITE, "bytes")).toBe(2 * PAGE);
    expect(m.opStat(FLUSH, "ticksNs")).toBe(2000 + 5000);
    expect(m.stat("ioTicksNs")).toBe(2000 + 7000);
    expect(m.stat("queueTicksNs")).toBe(2000 + 1000 + 2 * 2000 + 5000);
  });

  it("traces each bio and each request under Linux's names", () => {
    const [issue, complete, queue] = [18, 19, 20];
    const m = busy();
    m.submit(WRITE, 8, PAGE, 0);
    m.submit(WRITE, 16, PAGE, 1);
    m.run();
    expect([queue, issue, complete].map((id) => m.call("blkTraceCount", id))).toEqual([3, 2, 2]);
    const event = (n: number): (number | bigint)[] => {
      const view = new DataView(m.memory.buffer, m.call("blkTraceEvent", n), 32);
      return [Number(view.getBigUint64(0, true)), view.getUint16(8, true), view.getBigUint64(16, true)];
    };
    expect([0, 1, 2, 3, 4, 5, 6].map(event)).toEqual([
      [0, queue, 800n],
      [0, issue, 800n],
      [0, queue, 8n],
      [0, queue, 16n],
      [1000, complete, 800n],
      [1000, issue, 8n],
      [3000, complete, 8n],
    ]);
  });

  it("blockCheck stops the machine on a count that is off", () => {
    const m = new DiskMachine();
    m.submit(READ, 0, PAGE);
    expect(m.call("blkCheck")).toBe(1);
    m.call("blkBreakCount", 1);
    expect(() => m.call("blkCheck")).toThrow(/blk-1/);
  });
});
