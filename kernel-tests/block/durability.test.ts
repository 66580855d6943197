/*
 * What a flush and FUA promise, what a crash may leave, and every fault that can be injected.
 *
 * Checks: [log-2] [log-3] [inj-1].
 */
import { describe, expect, it } from "vitest";
import { crashImage, crashImageWithPending, durableImage, readLog } from "../../src/host/power-loss";
import { DiskMachine, EIO, FLUSH, FUA, PAGE, PREFLUSH, READ, SECTOR, WRITE } from "./machine";

function write(m: DiskMachine, sector: number, fill: number, flags = 0, lenBytes = PAGE, frame = fill & 63): void {
  for (let i = 0; i * PAGE < lenBytes; i++) m.frame(frame + i).fill(fill);
  m.submit(WRITE, sector, lenBytes, frame, flags);
}

describe("flush and FUA", () => {
  it("a write is durable once a flush that was submitted after its completion is done", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.run();
    expect(m.image()[0]).toBe(1);
    expect(durableImage(m.disk())[0]).toBe(0);
    m.submit(FLUSH, 0, 0);
    m.run(m.now() + 4999);
    expect(durableImage(m.disk())[0]).toBe(0);
    m.run();
    expect(durableImage(m.disk())[0]).toBe(1);
  });

  it("a flush does not cover a write that completes while the flush is under way", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.submit(FLUSH, 0, 0);
    m.run();
    expect(m.drain().map((c) => c.doneNs)).toEqual([2000, 5000]);
    expect(durableImage(m.disk())[0]).toBe(0);
  });

  it("FUA makes that write durable and no other", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.run();
    write(m, 8, 2, FUA);
    m.run();
    const durable = durableImage(m.disk());
    expect([durable[0], durable[PAGE]]).toEqual([0, 2]);
  });

  it("FUA over a write that may be lost: the newer data stays whatever becomes of the older", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.run();
    write(m, 0, 2, FUA);
    m.run();
    for (const kept of [0, 0xff]) expect(crashImage(m.disk(), () => kept)[0]).toBe(2);
  });

  it("PREFLUSH flushes before the data, not the data", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.run();
    write(m, 8, 2, PREFLUSH);
    m.run();
    const durable = durableImage(m.disk());
    expect([durable[0], durable[PAGE]]).toEqual([1, 0]);
  });

  it("a crash may keep any sectors of an unflushed write", () => {
    const m = new DiskMachine();
    write(m, 0, 1, 0, 2 * PAGE);
    m.run();
    const states = new Set<string>();
    for (let mask = 0; mask < 256; mask++) {
      const crash = crashImage(m.disk(), (e) => (e.firstByte === 0 ? mask : 0));
      states.add(Array.from({ length: 8 }, (_, s) => crash[s * SECTOR]).join(""));
      expect(crash[PAGE]).toBe(0);
    }
    expect(states.size).toBe(256);
  });

  it("a full log retires the oldest entries and counts them", () => {
    const m = new DiskMachine({ model: { logEntries: 4 } });
    for (let i = 0; i < 7; i++) write(m, i * 8, i + 1);
    m.run();
    expect(m.stat("logOverflows")).toBe(3);
    const durable = durableImage(m.disk());
    expect(Array.from({ length: 7 }, (_, i) => durable[i * PAGE])).toEqual([1, 2, 3, 0, 0, 0, 0]);
    expect(m.call("blkCheck")).toBe(0);
  });

  it("an image the host loaded is durable", () => {
    const m = new DiskMachine();
    write(m, 0, 1);
    m.run();
    m.image().fill(5);
    m.call("blkLogReset");
    expect(durableImage(m.disk()).every((b) => b === 5)).toBe(true);
    m.submit(READ, 40, PAGE, 9);
    m.run();
    expect(m.frame(9)[4095]).toBe(5);
  });
});

describe("a crash in the middle", () => {
  it("writes that the disk has begun may survive, those that wait or still flush may not", () => {
    const m = new DiskMachine({ model: { queueDepth: 3, maxRequestBytes: 64 * 1024 } });
    write(m, 0, 1);
    m.submit(READ, 80, PAGE, 60);
    write(m, 8, 2, PREFLUSH);
    write(m, 16, 3);
    write(m, 24, 4);
    m.run(1500);
    // The read made room: the two that waited were merged into one request.
    expect(m.pendingWrites().map((w) => [w.bioId, w.firstByte / PAGE])).toEqual([
      [0, 0],
      [3, 2],
      [4, 3],
    ]);
    const crash = crashImageWithPending(
      m.disk(),
      () => 0,
      m.pendingWrites(),
      (i) => (i === 1 ? 0b101 : 0),
    );
    expect([0, 1, 2, 3].map((s) => crash[(16 + s) * SECTOR])).toEqual([3, 0, 3, 0]);
    m.run(6000);
    expect(
      m.pendingWrites().map((w) => w.bioId),
      "its flush is done",
    ).toEqual([2]);
    m.run();
    expect(m.pendingWrites()).toEqual([]);
  });
});

describe("fault injection", () => {
  it("EIO on the n-th read or write, once", () => {
    const m = new DiskMachine();
    m.setFaults({ eioReadNth: 3, eioWriteNth: 2 });
    const ops = [READ, WRITE, READ, WRITE, READ, WRITE, READ, READ];
    ops.forEach((op, i) => m.submit(op, i * 16, PAGE, i));
    m.run();
    const byId = m.drain().sort((a, b) => a.id - b.id);
    expect(byId.map((c) => c.status)).toEqual([0, 0, 0, -EIO, -EIO, 0, 0, 0]);
    expect([m.fault("hitsEioRead"), m.fault("hitsEioWrite"), m.fault("eioReadNth")]).toEqual([1, 1, 0]);
    expect([m.opStat(READ, "errors"), m.opStat(WRITE, "errors")]).toEqual([1, 1]);
  });

  it("a failed read leaves the page alone, a failed write the disk", () => {
    const m = new DiskMachine();
    m.setFaults({ eioReadNth: 1, eioWriteNth: 1 });
    m.frame(1).fill(3);
    m.submit(READ, 0, PAGE, 1);
    m.submit(WRITE, 16, PAGE, 1);
    m.run();
    expect([m.frame(1)[0], m.image()[16 * SECTOR]]).toEqual([3, 0]);
    expect(readLog(m.disk()).entries).toHaveLength(0);
  });

  it("EIO on a range of sectors, for reads or writes or both", () => {
    for (const [ops, expected] of [
      [1, [-EIO, 0]],
      [2, [0, -EIO]],
      [3, [-EIO, -EIO]],
    ] as const) {
      const m = new DiskMachine();
      m.setFaults({ eioRangeOps: ops, eioFirstSector: 10, eioSectors: 2 });
      m.submit(READ, 8, PAGE);
      m.submit(WRITE, 11, SECTOR);
      // Neighbours that only touch the range's ends.
      m.submit(WRITE, 9, SECTOR);
      m.submit(READ, 12, SECTOR);
      m.run();
      const byId = m.drain().sort((a, b) => a.id - b.id);
      expect(byId.map((c) => c.status)).toEqual([...expected, 0, 0]);
      expect(m.fault("hitsEioRange")).toBe(ops === 3 ? 2 : 1);
    }
  });

  it("a torn write leaves its first sectors after a crash, across pages; a flush heals it", () => {
    const m = new DiskMachine();
    m.setFaults({ tornNth: 2, tornSectors: 11 });
    write(m, 0, 1);
    write(m, 16, 2, 0, 2 * PAGE);
    m.run();
    expect(m.fault("hitsTorn")).toBe(1);
    expect(m.image()[16 * SECTOR + 2 * PAGE - 1]).toBe(2);
    const crash = crashImage(m.disk(), () => 0xff);
    const sectors = Array.from({ length: 16 }, (_, s) => crash[(16 + s) * SECTOR]);
    expect(sectors).toEqual([...new Array<number>(11).fill(2), ...new Array<number>(5).fill(0)]);
    expect(crash[7 * SECTOR]).toBe(1);
    m.submit(FLUSH, 0, 0);
    m.run();
    expect(durableImage(m.disk())[31 * SECTOR]).toBe(2);
  });

  it("a torn FUA write is torn all the same", () => {
    const m = new DiskMachine();
    m.setFaults({ tornNth: 1, tornSectors: 3 });
    write(m, 0, 1, FUA);
    m.run();
    const durable = durableImage(m.disk());
    expect(Array.from({ length: 8 }, (_, s) => durable[s * SECTOR])).toEqual([1, 1, 1, 0, 0, 0, 0, 0]);
  });

  it("a lost flush reports success and flushes nothing", () => {
    const m = new DiskMachine();
    m.setFaults({ loseFlushNth: 2, loseFlushes: 2 });
    const durables: number[] = [];
    for (let i = 1; i <= 4; i++) {
      write(m, 0, i);
      m.run();
      m.submit(FLUSH, 0, 0);
      m.run();
      durables.push(durableImage(m.disk())[0] ?? -1);
    }
    expect(m.drain().every((c) => c.status === 0)).toBe(true);
    expect(durables).toEqual([1, 1, 1, 4]);
    expect(m.fault("hitsLostFlush")).toBe(2);
  });

  it("a lost PREFLUSH lets its write through; a flush that fails makes nothing durable", () => {
    const m = new DiskMachine();
    m.setFaults({ loseFlushNth: 1, eioFlushNth: 1 });
    write(m, 0, 1);
    m.run();
    write(m, 8, 2, PREFLUSH);
    m.run();
    m.submit(FLUSH, 0, 0);
    m.run();
    expect(m.drain().map((c) => c.status)).toEqual([0, 0, -EIO]);
    expect([m.image()[PAGE], durableImage(m.disk())[0]]).toEqual([2, 0]);
  });
});
