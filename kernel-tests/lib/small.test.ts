/*
 * The small parts of lib: CRC-32C and the generator against published vectors, errno against the system's, the trace ring.
 *
 * Checks: [crc-1] [prng-1] [trace-1].
 */
import { constants } from "node:os";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf, u64 } from "../host-harness";
import { holds } from "../property";
import { LibRoom } from "./room";

/** RFC 3720 B.4, and the check value that CRC catalogues give. */
const CRC_VECTORS: readonly [name: string, bytes: readonly number[], crc: number][] = [
  ["nothing", [], 0],
  ["123456789", Array.from("123456789", (c) => c.charCodeAt(0)), 0xe3069283],
  ["32 bytes of zero", Array<number>(32).fill(0), 0x8a9136aa],
  ["32 bytes of ones", Array<number>(32).fill(0xff), 0x62a8ab43],
  ["32 incrementing bytes", Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ["32 decrementing bytes", Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [
    "an iSCSI read command",
    [
      [0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0],
      [0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0],
    ].flat(),
    0xd9963a56,
  ],
];

describe("crc32c", () => {
  const room = new LibRoom();
  const table = room.alloc(room.harness.constant("CRC32C_TABLE_BYTES"));
  const data = room.alloc(4096);
  room.call("crc32cInit", table);

  it.each(CRC_VECTORS)("[crc-1] %s", (_name, bytes, crc) => {
    room.bytes(data, bytes.length).set(bytes);
    expect(room.call("crc32c", table, 0, data, bytes.length) >>> 0).toBe(crc);
  });

  it("goes on where it stopped", () => {
    holds(fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 200 })), 60, ([bytes, cut]) => {
      const at = Math.min(cut, bytes.length);
      room.bytes(data, bytes.length).set(bytes);
      const whole = room.call("crc32c", table, 0, data, bytes.length);
      const head = room.call("crc32c", table, 0, data, at);
      expect(room.call("crc32c", table, head, data + at, bytes.length - at)).toBe(whole);
    });
  });
});

describe("prng", () => {
  it("[prng-1] gives splitmix64's published sequence", () => {
    const room = new LibRoom();
    const state = room.alloc(16);
    room.call("prngSeed", state, 1234567n);
    const want = [6457827717110365317n, 3203168211198807973n, 9817491932198370423n, 4593380528125082431n, 16408922859458223821n];
    expect(want.map(() => u64(room.call("prngU64", state)))).toEqual(want);
    room.call("prngSeed", state, 1234567n);
    expect(room.call("prngU32", state) >>> 0, "the high half").toBe(Number((want[0] ?? 0n) >> 32n));
  });

  it("draws below n, evenly: chi-square of 16000 draws within its 99.99 % bound", () => {
    const room = new LibRoom();
    const state = room.alloc(16);
    for (const [n, bound] of [
      [2, 15.1],
      [7, 27.9],
      [16, 44.3],
      [100, 166],
    ] as const) {
      room.call("prngSeed", state, 42n);
      const counts = Array<number>(n).fill(0);
      for (let i = 0; i < 16000; i++) {
        const draw = room.call("prngBelow", state, n) >>> 0;
        counts[draw] = (counts[draw] ?? NaN) + 1;
      }
      expect(counts).toHaveLength(n);
      const expected = 16000 / n;
      const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
      expect(chi, `n = ${n}`).toBeLessThan(bound);
    }
    // A bare remainder would give the lowest third twice as often as the others.
    const big = 3 * 2 ** 30;
    let high = 0;
    for (let i = 0; i < 2000; i++) {
      const draw = room.call("prngBelow", state, big) >>> 0;
      expect(draw).toBeLessThan(big);
      if (draw >= 2 ** 30) high++;
    }
    expect(Math.abs(high - (2000 * 2) / 3), "a draw that would favour low answers is rejected").toBeLessThan(120);
    expect(room.call("prngBelow", state, 1)).toBe(0);
    expect(lawOf(() => room.call("prngBelow", state, 0))).toMatch("there is something to draw from");
  });
});

describe("errno", () => {
  it.skipIf(process.platform !== "linux")("values are Linux's", () => {
    const { harness } = new LibRoom();
    const names = Object.keys(harness.exports).filter((name) => /^E[0-9A-Z]+$/.test(name));
    expect(names.length).toBeGreaterThan(40);
    const known: Readonly<Record<string, number>> = { ...constants.errno, ENOTBLK: 15 };
    const ours = Object.fromEntries(names.map((name) => [name, harness.constant(name)]));
    expect(ours).toEqual(Object.fromEntries(names.map((name) => [name, known[name]])));
  });
});

const EVENT_BYTES = 32;

class Ring {
  readonly room = new LibRoom();
  readonly ring: number;
  readonly state: number;

  constructor(readonly capacity: number) {
    this.ring = this.room.alloc(capacity * EVENT_BYTES);
    this.room.call("traceInit", this.ring, capacity);
    this.state = this.room.call("traceState");
    this.enable(true);
  }

  enable(on: boolean): void {
    this.room.set(this.state + 16, on ? 1 : 0);
  }

  seq(): bigint {
    return this.room.view.getBigUint64(this.state, true);
  }

  event(slot: number): unknown[] {
    const { view } = this.room;
    const at = this.ring + slot * EVENT_BYTES;
    const [time, a, b] = [0, 16, 24].map((offset) => view.getBigUint64(at + offset, true));
    return [time, view.getUint16(at + 8, true), view.getUint16(at + 10, true), view.getUint32(at + 12, true), a, b];
  }
}

describe("trace ring", () => {
  it("[trace-1] event n is at slot n modulo the capacity, its fields in full width", () => {
    const t = new Ring(8);
    const given = Array.from({ length: 21 }, (_, i) => [BigInt(i) << 40n, i % 47, 127 - i, 0xfffffff0 + (i % 16), ~BigInt(i), BigInt(i)]);
    for (const [time, id, cpu, task, a, b] of given) {
      t.room.call("traceEmit", time ?? 0, id ?? 0, cpu ?? 0, task ?? 0, a ?? 0, b ?? 0);
    }
    expect(t.seq()).toBe(21n);
    for (let n = 13; n < 21; n++) {
      const [time, id, cpu, task, a, b] = given[n] ?? [];
      expect(t.event(n % 8), `event ${n}`).toEqual([time, id, cpu, task, BigInt.asUintN(64, a as bigint), b]);
    }
  });

  it("counters run when the ring does not", () => {
    const t = new Ring(4);
    t.enable(false);
    for (let i = 0; i < 10; i++) t.room.call("traceEmit", 1n, i % 3, 0, 0, 0n, 0n);
    expect([0, 1, 2, 3].map((id) => t.room.call("traceCount", id))).toEqual([4, 3, 3, 0]);
    expect(t.seq()).toBe(0n);
    t.room.call("traceClear");
    expect([0, 1, 2].map((id) => t.room.call("traceCount", id))).toEqual([0, 0, 0]);
  });

  it("has a counter for every tracepoint, and wants a capacity that is a power of two", () => {
    const t = new Ring(4);
    for (let id = 0; id < 128; id++) for (let n = 0; n <= id; n++) t.room.call("traceEmit", 0n, id, 0, 0, 0n, 0n);
    for (let id = 0; id < 128; id++) expect(t.room.call("traceCount", id)).toBe(id + 1);
    expect(lawOf(() => t.room.call("traceInit", t.ring, 6))).toMatch("the ring's capacity is a power of two");
  });
});
