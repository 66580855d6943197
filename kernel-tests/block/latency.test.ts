/*
 * How long IO takes: fixed and bimodal latency, depth, bandwidth, and the order of completions.
 *
 * Checks: [rq-2] [rq-3] [rq-4] [disk-1].
 */
import { describe, expect, it } from "vitest";
import { DISK_BIMODAL_KIND, DiskMachine, FLUSH, FUA, PAGE, PREFLUSH, READ, WRITE } from "./machine";

describe("fixed latency", () => {
  for (const [depth, n] of [
    [1, 5],
    [2, 5],
    [4, 16],
    [8, 3],
    [32, 100],
  ] as const) {
    it(`${n} reads at queue depth ${depth} take ceil(n / depth) latencies`, () => {
      const m = new DiskMachine({ blocks: 128, model: { queueDepth: depth } });
      for (let i = 0; i < n; i++) m.submit(READ, i * 8, PAGE, i % 64);
      expect(m.call("blkCheck")).toBe(n);
      m.run();
      const done = m.drain();
      expect(done).toHaveLength(n);
      done.forEach((c, i) => expect(c.doneNs).toBe((Math.floor(i / depth) + 1) * 1000));
      expect(m.stat("maxInFlight")).toBe(Math.min(depth, n));
      expect(m.stat("inFlight") + m.stat("pending") + m.stat("liveBios")).toBe(0);
    });
  }

  it("completes in order of submission", () => {
    const m = new DiskMachine({ model: { queueDepth: 3 } });
    const ids = Array.from({ length: 20 }, (_, i) => m.submit(WRITE, ((i * 7) % 60) * 8, PAGE, i));
    m.run();
    expect(m.drain().map((c) => c.id)).toEqual(ids);
  });

  it("each operation has its own latency, FUA and PREFLUSH add theirs", () => {
    const m = new DiskMachine({ model: { queueDepth: 8, fuaNs: 300 } });
    const expected = new Map<number, number>();
    expected.set(m.submit(READ, 0, PAGE), 1000);
    expected.set(m.submit(WRITE, 8, PAGE), 2000);
    expected.set(m.submit(FLUSH, 0, 0), 5000);
    expected.set(m.submit(WRITE, 16, PAGE, 0, FUA), 2300);
    expected.set(m.submit(WRITE, 24, PAGE, 0, PREFLUSH), 7000);
    expected.set(m.submit(WRITE, 32, PAGE, 0, PREFLUSH | FUA), 7300);
    m.run();
    for (const c of m.drain()) expect(c.doneNs, `bio ${c.id}`).toBe(expected.get(c.id));
  });

  it("transfers share the channel's bandwidth", () => {
    const m = new DiskMachine({ model: { queueDepth: 8, bytesPerUs: 4096 } });
    for (let i = 0; i < 4; i++) m.submit(READ, i * 16, PAGE, i);
    m.run();
    expect(m.drain().map((c) => c.doneNs)).toEqual([2000, 3000, 4000, 5000]);
  });

  it("a disk without a host's model gets the default one", () => {
    const m = new DiskMachine({ model: { queueDepth: 0, readNs: 0 } });
    m.submit(READ, 0, PAGE);
    m.run();
    // 80 us and 4096 bytes at 3000 bytes/us.
    expect(m.drain()[0]?.doneNs).toBe(80_000 + 1365);
  });

  it("charges submission and completion to the clock, and neither delays the disk's next request", () => {
    const m = new DiskMachine({ model: { queueDepth: 1 } });
    m.call("blkSetCosts", 100, 70);
    m.submit(READ, 0, PAGE);
    m.submit(READ, 16, PAGE);
    expect(m.now()).toBe(200);
    m.run();
    expect(m.drain().map((c) => c.doneNs)).toEqual([1100, 2100]);
    expect(m.now()).toBe(2170);
  });
});

describe("bimodal latency", () => {
  function shares(seed: number): { slow: number; times: number[] } {
    const m = new DiskMachine({
      seed,
      blocks: 16,
      model: { kind: DISK_BIMODAL_KIND, queueDepth: 1, slowNs: 50_000, slowOneIn: 10 },
    });
    for (let i = 0; i < 2000; i++) {
      m.submit(READ, 0, PAGE);
      m.run();
    }
    let last = 0;
    const times = m.drain().map((c) => {
      const took = c.doneNs - c.submitNs;
      expect(c.submitNs).toBe(last);
      last = c.doneNs;
      return took;
    });
    expect(m.stat("drawnRequests")).toBe(2000);
    expect(m.stat("slowRequests")).toBe(times.filter((t) => t === 50_000).length);
    expect(times.every((t) => t === 50_000 || t === 1000)).toBe(true);
    return { slow: m.stat("slowRequests"), times };
  }

  it("one in N is slow", () => {
    const { slow } = shares(7);
    // 2000 draws of 1/10: mean 200, standard deviation 13.4.
    expect(slow).toBeGreaterThan(146);
    expect(slow).toBeLessThan(254);
  });

  it("the same seed draws the same, another seed does not", () => {
    expect(shares(3).times).toEqual(shares(3).times);
    expect(shares(3).times).not.toEqual(shares(4).times);
  });
});

describe("choice of completion", () => {
  function orders(policy: number, reorderNs: number): Set<string> {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const m = new DiskMachine({ seed, policy, model: { queueDepth: 3, reorderNs } });
      m.submit(READ, 0, PAGE);
      m.submit(READ, 16, PAGE);
      m.submit(WRITE, 32, PAGE);
      m.run();
      expect(m.call("blkCheck")).toBe(0);
      seen.add(
        m
          .drain()
          .map((c) => c.id)
          .join(""),
      );
    }
    return seen;
  }

  it("the default policy keeps the order of time", () => {
    expect(orders(0, 0)).toEqual(new Set(["012"]));
    expect(orders(0, 5000)).toEqual(new Set(["012"]));
  });
  it("a random policy reorders ties, and more within reorderNs", () => {
    expect([...orders(1, 0)].sort()).toEqual(["012", "102"]);
    expect([...orders(1, 5000)].sort()).toEqual(["012", "021", "102", "120", "201", "210"]);
  });
});
