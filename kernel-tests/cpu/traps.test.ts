/*
 * Precise traps: which accesses fault, with what cause and address, how often they are made, and what the handler may answer.
 *
 * Checks: [acc-1] [acc-2] [mmu-3].
 */
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { A, ACCESS, type Answer, CAUSE, CpuMachine, D, PAGE, R, U, V, W, X, pteOf } from "./machine";

const RW = V | R | W | U;
const base = 0x10_0000n;
const KIND = { touch: 0, store: 1, load: 2 } as const;

/** What a task gets for one job. */
function job(m: CpuMachine, kind: keyof typeof KIND, options: { write?: boolean; at?: bigint; len: number; linear?: number }): number {
  const { write = false, at = base, len, linear = 0 } = options;
  const address = m.call("mmuTask", KIND[kind], write ? 1 : 0, at, len, linear);
  expect(m.call("machineRun", 1e15, 1)).toBe(1);
  return m.view.getUint32(address + 24, true);
}

/** An answer that maps the page of an address. */
function fix(m: CpuMachine, address: bigint, flags = RW, more: Partial<Answer> = {}): Answer {
  return { result: 0, map: { address, pte: pteOf(m.page(), flags) }, ...more };
}

describe("touches", () => {
  it("[acc-1] fault once a page, with cause and address, and are made again once it is mapped", () => {
    for (const write of [false, true]) {
      const m = new CpuMachine();
      const pages = [0n, 1n, 2n, 3n].map((i) => base + i * 4096n);
      m.answers(pages.map((page) => fix(m, page)));
      expect(job(m, "touch", { write, len: 4 * PAGE, linear: 0x5a })).toBe(4);
      expect(m.faults()).toEqual(pages.map((page) => [write ? CAUSE.write : CAUSE.read, page]));
      for (const page of pages) {
        const frame = m.lookup(page, "read");
        expect([m.bytes(frame, 1)[0], m.pte(m.slot(page)) & (A | D)]).toEqual(write ? [0x5a, A | D] : [0, A]);
      }
      m.answers([]);
      expect(job(m, "touch", { write, len: 4 * PAGE }), "no fault any more").toBe(4);
    }
  });

  it("[acc-1] an access that is given up is not made, and ends the batch with the number made", () => {
    const m = new CpuMachine();
    const frame = m.map(base, RW);
    m.map(base + 4096n, V | R | U);
    expect(job(m, "touch", { write: true, len: 3 * PAGE, linear: 7 })).toBe(1);
    expect(m.faults()).toEqual([[CAUSE.write, base + 4096n]]);
    expect(m.bytes(frame, 1)[0]).toBe(7);
  });

  it("a handler that changes nothing is asked again and again, until it gives up", () => {
    const m = new CpuMachine();
    m.answers([{ result: 0 }, { result: 0 }, { result: 0 }, { result: 1 }]);
    expect(job(m, "touch", { len: PAGE })).toBe(0);
    expect(m.faults()).toEqual(Array(4).fill([CAUSE.read, base]));
  });

  it("a write to a page that the handler maps read-only faults again", () => {
    const m = new CpuMachine();
    m.answers([fix(m, base, V | R | U), fix(m, base, RW)]);
    expect(job(m, "touch", { write: true, len: PAGE })).toBe(1);
    expect(m.faults()).toEqual([
      [CAUSE.write, base],
      [CAUSE.write, base],
    ]);
  });

  it("no address of the other half reaches memory", () => {
    const m = new CpuMachine();
    m.use(0, 0x1000);
    m.map(base, RW);
    expect(job(m, "touch", { write: true, len: PAGE })).toBe(1);
    const alias = base | (1n << 48n);
    expect(job(m, "touch", { at: alias, write: true, len: PAGE })).toBe(0);
    expect(m.faults()).toEqual([[CAUSE.write, alias]]);
  });
});

describe("the trap vector", () => {
  it("enter, handle and leave are called in this order, leave only when the lock is held", () => {
    const m = new CpuMachine();
    m.answers([fix(m, base), fix(m, base + 4096n, RW, { result: 2, leave: 0 }), { result: 2, leave: 1 }]);
    expect(job(m, "touch", { len: 3 * PAGE }), "the third is given up by leave").toBe(2);
    const [one, two, three] = ["enter handle", "enter handle leave", "enter handle leave"].map((each) => each.split(" "));
    expect(m.traps().map((t) => t.event)).toEqual([...one!, ...two!, ...three!]);
  });

  it("the lock's line is touched between enter and handle, and its price is the access's", () => {
    const m = new CpuMachine({ costs: true });
    const line = m.page();
    m.answers([fix(m, base, RW, { line })]);
    expect(job(m, "touch", { len: PAGE })).toBe(1);
    const [enter, handle] = m.traps();
    expect(handle!.timeNs - enter!.timeNs).toBe(m.call("cost", m.harness.constant("C_ATOMIC_LOCAL")));
  });

  it("a handler may sleep; the access is made when it has come back", () => {
    const m = new CpuMachine();
    m.answers([fix(m, base, RW, { sleepNs: 5000 }), fix(m, base + 4096n)]);
    expect(job(m, "touch", { write: true, len: 2 * PAGE, linear: 3 })).toBe(2);
    expect(m.traps().map((t) => t.timeNs)).toEqual([0, 0, 5000, 5000]);
    expect(m.bytes(m.lookup(base, "read"), 1)[0]).toBe(3);
  });
});

describe("copies", () => {
  it("go page by page and arrive whole, at every offset around a page boundary", () => {
    const m = new CpuMachine();
    const frames = [0n, 1n, 2n].map((i) => m.map(base + i * 4096n, RW));
    const source = m.page();
    const target = m.page();
    m.bytes(source, PAGE).forEach((_, i, all) => (all[i] = (i * 7 + 3) & 255));
    for (const offset of [0, 1, 4000, 4095, 4096, 5000, 8191]) {
      for (const len of [1, 2, 95, 97, 200, 4000, 4096].filter((n) => offset + n <= 3 * PAGE)) {
        for (const frame of frames) m.bytes(frame, PAGE).fill(0);
        const at = base + BigInt(offset);
        expect(job(m, "store", { at, len, linear: source })).toBe(len);
        m.bytes(target, PAGE).fill(0xee);
        expect(job(m, "load", { at, len, linear: target })).toBe(len);
        expect(Buffer.compare(m.bytes(target, len), m.bytes(source, len)), `${len} bytes at ${offset}`).toBe(0);
        expect(m.bytes(target + len, 1)[0], "nothing behind").toBe(len < PAGE ? 0xee : m.bytes(target + len, 1)[0]);
        const stored = frames.reduce((sum, frame) => sum + m.bytes(frame, PAGE).filter((b) => b !== 0).length, 0);
        expect(stored).toBe(m.bytes(source, len).filter((b) => b !== 0).length);
      }
    }
    expect(m.faults()).toEqual([]);
  });

  it("[acc-2] the fault names the first missing byte, and what came before is counted", () => {
    for (const kind of ["store", "load"] as const) {
      const m = new CpuMachine();
      m.map(base, RW);
      m.map(base + 2n * 4096n, RW);
      const buffer = m.page();
      expect(job(m, kind, { at: base + 4000n, len: 4096, linear: buffer })).toBe(96);
      expect(m.faults()).toEqual([[kind === "store" ? CAUSE.write : CAUSE.read, base + 4096n]]);
      m.answers([fix(m, base + 4096n)]);
      expect(job(m, kind, { at: base + 4000n, len: 4096 + 200, linear: buffer })).toBe(4096 + 200);
    }
  });

  it("one access does not cross a page", () => {
    const m = new CpuMachine();
    expect(lawOf(() => m.call("accessPage", base + 4090n, 7, ACCESS.read))).toMatch("accessPage works on one page");
  });

  it("a page that may only be executed is neither read nor written", () => {
    const m = new CpuMachine();
    m.map(base, V | X | U);
    for (const write of [false, true]) expect(job(m, "touch", { write, len: PAGE })).toBe(0);
    expect(m.faults()).toEqual([
      [CAUSE.read, base],
      [CAUSE.write, base],
    ]);
  });
});

describe("random touches", () => {
  it("stay in range, write their share, and are a function of the seed", () => {
    const run = (seed: bigint): { hits: number[]; written: number } => {
      const m = new CpuMachine({ tlbEntries: 8 });
      const frames = Array.from({ length: 16 }, (_, i) => m.map(base + BigInt(i) * 4096n, RW));
      const prng = m.page();
      m.call("prngSeed", prng, seed);
      const state = m.page();
      expect(m.call("touchRandom", state, base, 16n * 4096n, 400n, 30, prng)).toBe(1);
      expect(new DataView(m.bytes(state, 8).slice().buffer).getBigUint64(0, true), "touches made").toBe(400n);
      expect(m.faults()).toEqual([]);
      const dirty = frames.filter((_, i) => (m.pte(m.slot(base + BigInt(i) * 4096n)) & D) !== 0n);
      return { hits: frames.map((frame) => m.bytes(frame, 1)[0]!), written: dirty.length };
    };
    expect(run(1n)).toEqual(run(1n));
    expect(run(1n)).not.toEqual(run(2n));
    expect(run(3n).written, "thirty in a hundred of 400 reach all of 16 pages").toBe(16);
  });

  it("never write when the share is 0, always when it is 100", () => {
    for (const [percent, want] of [
      [0, A],
      [100, A | D],
    ] as const) {
      const m = new CpuMachine();
      for (let i = 0n; i < 4n; i++) m.map(base + i * 4096n, RW);
      const prng = m.page();
      m.call("touchRandom", m.page(), base, 4n * 4096n, 100n, percent, prng);
      for (let i = 0n; i < 4n; i++) expect(m.pte(m.slot(base + i * 4096n)) & (A | D)).toBe(want);
    }
  });
});
