/*
 * Random IO against a model of the disk: contents, what is durable, and crashes that keep a part.
 *
 * Checks: [log-1] [log-2] [disk-1].
 */
import { describe, expect, it } from "vitest";
import { crashImage, durableImage } from "../../src/host/power-loss";
import { DiskMachine, EIO, FLUSH, FUA, PAGE, PREFLUSH, READ, SECTOR, WRITE } from "./machine";

/** mulberry32: the test's own randomness. */
function random(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

interface Submitted {
  op: number;
  flags: number;
  sector: number;
  len: number;
  frame: number;
  data: Uint8Array;
  /** Writes that had completed when the bio was submitted. */
  writesBefore: number;
  status: number;
}

interface ModelWrite {
  bioId: number;
  at: number;
  data: Uint8Array;
  durable: boolean;
}

const BLOCKS = 24;
const SLOTS = 28;

/** The disk in twenty lines: an image, the writes in order of completion, and how many of them are certain. */
class ModelDisk {
  readonly current = new Uint8Array(BLOCKS * PAGE);
  readonly writes: ModelWrite[] = [];
  flushed = 0;

  complete(id: number, bio: Submitted): void {
    const flushes = bio.op === FLUSH ? bio.status === 0 : (bio.flags & PREFLUSH) !== 0;
    if (flushes) this.flushed = Math.max(this.flushed, bio.writesBefore);
    if (bio.op !== WRITE || bio.status !== 0) return;
    this.current.set(bio.data, bio.sector * SECTOR);
    this.writes.push({ bioId: id, at: bio.sector * SECTOR, data: bio.data, durable: (bio.flags & FUA) !== 0 });
  }

  crash(kept: (bioId: number) => boolean): Uint8Array {
    const image = new Uint8Array(BLOCKS * PAGE);
    this.writes.forEach((w, i) => {
      if (i < this.flushed || w.durable || kept(w.bioId)) image.set(w.data, w.at);
    });
    return image;
  }
}

class Fuzz {
  readonly m: DiskMachine;
  readonly model = new ModelDisk();
  readonly bios = new Map<number, Submitted>();
  readonly freeSlots = Array.from({ length: SLOTS }, (_, i) => i);
  readonly rnd: (below: number) => number;
  submitted = 0;
  completed = 0;
  compared = 0;
  private timeNs = 0;

  constructor(seed: number, policy: number) {
    this.rnd = random(seed);
    const bimodal = this.rnd(2);
    this.m = new DiskMachine({
      seed,
      policy,
      blocks: BLOCKS,
      model: {
        kind: bimodal,
        queueDepth: 1 + this.rnd(6),
        slowNs: 30_000,
        slowOneIn: 4,
        bytesPerUs: this.rnd(2) * 4096,
        maxRequestBytes: this.rnd(2) * 8 * PAGE,
        reorderNs: this.rnd(2) * 3000,
        logEntries: 2048,
      },
    });
  }

  submit(): void {
    const { rnd, m } = this;
    const slot = this.freeSlots.pop();
    if (slot === undefined) return;
    const op = [READ, WRITE, WRITE, WRITE, FLUSH][rnd(5)] ?? WRITE;
    const sectors = op === FLUSH ? 0 : 1 + rnd(24);
    const sector = op === FLUSH ? 0 : rnd(BLOCKS * 8 - sectors + (rnd(20) === 0 ? 8 : 0));
    const flags = op === WRITE ? ([0, 0, 0, FUA, PREFLUSH, PREFLUSH | FUA][rnd(6)] ?? 0) : 0;
    const len = sectors * SECTOR;
    const frame = slot * 3;
    const data = new Uint8Array(len);
    if (op === WRITE) {
      for (let i = 0; i < len; i++) data[i] = rnd(256);
      for (let i = 0; i * PAGE < len; i++) m.frame(frame + i).set(data.subarray(i * PAGE, (i + 1) * PAGE));
    }
    const eio = rnd(16) === 0;
    if (eio) m.setFaults({ [op === READ ? "eioReadNth" : op === WRITE ? "eioWriteNth" : "eioFlushNth"]: 1 });
    const beyond = sector + sectors > BLOCKS * 8;
    const writesBefore = this.model.writes.length;
    const id = m.submit(op, sector, len, frame, flags);
    expect(id).toBe(this.submitted++);
    this.bios.set(id, { op, flags, sector, len, frame, data, writesBefore, status: eio || beyond ? -EIO : 0 });
  }

  /** Completions so far go into the model, in order. */
  drain(): void {
    for (const c of this.m.drain()) {
      const bio = this.bios.get(c.id);
      if (bio === undefined) throw new Error(`bio ${c.id} completed twice`);
      this.bios.delete(c.id);
      this.completed++;
      expect(c.status).toBe(bio.status);
      this.checkRead(bio);
      this.model.complete(c.id, bio);
      this.freeSlots.push(bio.frame / 3);
    }
  }

  checkRead(bio: Submitted): void {
    if (bio.op !== READ || bio.status !== 0) return;
    for (let i = 0; i * PAGE < bio.len; i++) {
      const from = bio.sector * SECTOR + i * PAGE;
      const want = this.model.current.subarray(from, Math.min(from + PAGE, bio.sector * SECTOR + bio.len));
      expect(Buffer.compare(this.m.frame(bio.frame + i).subarray(0, want.length), want)).toBe(0);
    }
  }

  compare(): void {
    const disk = this.m.disk();
    expect(Buffer.compare(this.m.image(), this.model.current), "current image").toBe(0);
    // A PREFLUSH write under way may have flushed already: the model learns of it at completion.
    if ([...this.bios.values()].some((bio) => (bio.flags & PREFLUSH) !== 0)) return;
    this.compared++;
    expect(
      Buffer.compare(
        durableImage(disk),
        this.model.crash(() => false),
      ),
      "durable image",
    ).toBe(0);
    const salt = this.rnd(1 << 16);
    const kept = (bioId: number): boolean => (Math.imul(bioId + salt, 0x9e3779b1) & 0x10000) !== 0;
    const crash = crashImage(disk, (e) => (kept(e.bioId) ? 0xff : 0));
    expect(Buffer.compare(crash, this.model.crash(kept)), "a crash that keeps some writes").toBe(0);
  }

  /** Advances; every completion is known to the model before the next submission. */
  step(ns: number): void {
    this.timeNs += ns;
    this.m.run(this.timeNs);
    this.drain();
    this.m.call("blkSetNow", this.timeNs);
  }
}

describe("the disk against a model", () => {
  for (const policy of [0, 1]) {
    it(`holds what the model holds, whatever crashes (policy ${policy})`, { timeout: 60_000 }, () => {
      for (let seed = 1; seed <= 40; seed++) {
        const fuzz = new Fuzz(seed * 2 + policy, policy);
        for (let round = 0; round < 120; round++) {
          const burst = fuzz.rnd(5);
          for (let i = 0; i < burst; i++) fuzz.submit();
          fuzz.step(fuzz.rnd(8) * 250);
          fuzz.m.call("blkCheck");
          if (round % 6 === 0) fuzz.compare();
        }
        fuzz.step(2_000_000);
        fuzz.compare();
        expect(fuzz.bios.size).toBe(0);
        expect(fuzz.m.stat("logOverflows")).toBe(0);
        expect(fuzz.completed).toBe(fuzz.submitted);
        expect(fuzz.compared).toBeGreaterThan(0);
      }
    });
  }
});
