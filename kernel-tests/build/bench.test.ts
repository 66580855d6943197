/*
 * The statistics and the words of `npm run bench`. What it measures is never asserted: that depends on the computer.
 *
 * Checks: [bench-1] [bench-2] [bench-4] [bench-5].
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nativeBaseline } from "../../src/build/bench/native.js";
import { BENCH_SCHEMA, type BenchResult, barText, benchText, figure } from "../../src/build/bench/result.js";
import { inRounds, ratios, spreadOf } from "../../src/build/bench/rounds.js";

describe("a spread", () => {
  const ROWS: readonly [samples: number[], low: number, median: number, high: number][] = [
    [[7], 7, 7, 7],
    [[1, 3], 1.5, 2, 2.5],
    [[3, 1, 2], 1.5, 2, 2.5],
    [[5, 1, 4, 2, 3], 2, 3, 4],
    [[1, 1, 1, 1, 1000], 1, 1, 1],
  ];
  it.each(ROWS)("of %j", (samples, low, median, high) => {
    expect(spreadOf(samples)).toEqual({ low, median, high });
  });

  it("lies within the samples, in order, whatever order they came in", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1e12 }), { minLength: 1 }), (samples) => {
        const { low, median, high } = spreadOf(samples);
        expect(spreadOf([...samples].reverse())).toEqual({ low, median, high });
        const inOrder = [Math.min(...samples), low, median, high, Math.max(...samples)];
        expect([...inOrder].sort((a, b) => a - b)).toEqual(inOrder);
      }),
    );
  });

  it("of nothing is an error", () => {
    expect(() => spreadOf([])).toThrow(RangeError);
  });
});

describe("[bench-2] ratios", () => {
  it("are taken round by round: a machine that is slow for both in one round changes none", () => {
    expect(ratios([10, 2, 10], [5, 1, 5])).toEqual([2, 2, 2]);
  });

  it("of unequal numbers of rounds are an error", () => {
    expect(() => ratios([1, 2], [1])).toThrow(/2 samples over 1/);
  });
});

describe("[bench-1] rounds", () => {
  it("interleave, every second one reversed, and leave the cold one out", async () => {
    const order: string[] = [];
    let ticks = 0;
    const step = (name: string): { name: string; sample: () => number } => ({ name, sample: () => order.push(name) });
    const samples = await inRounds(2, [step("a"), step("b"), step("c")], () => ticks++);
    expect(order.join("")).toBe("cbaabccba");
    expect(Object.fromEntries(samples)).toEqual({ a: [4, 9], b: [5, 8], c: [6, 7] });
    expect(ticks).toBe(9);
  });
});

describe("[bench-4] the text", () => {
  it.each([
    [{ at: 0.5, should: "reach" }, [0.5], "0.50 or more: passed"],
    [{ at: 0.5, should: "reach" }, [0.49], "0.50 or more: MISSED"],
    [{ at: 2, should: "stay below" }, [1.99], "below 2.00: passed"],
    [{ at: 2, should: "stay below" }, [2], "below 2.00: MISSED"],
  ] as const)("of the bar %j at %j", (bar, samples, text) => {
    expect(barText(figure("x", "ratio", samples, bar))).toBe(text);
  });

  const PARTS = [figure("switch", "ns", [200]), figure("restore", "us", [250]), figure("copied", "bytes", [4096])];
  const result: BenchResult = {
    schema: BENCH_SCHEMA,
    version: "0.0.0",
    wasm_sha256: "ab".repeat(32),
    node: "v20",
    cpu: "abacus",
    cpus: 2,
    rounds: 3,
    sample_ms: 5,
    sections: [
      {
        title: "Faults",
        figures: [figure("here", "per s", [2e6, 1e6, 3e6]), figure("ratio", "ratio", [2, 2.5, 3], { at: 0.5, should: "reach" })],
        notes: ["No baseline: no compiler."],
      },
      { title: "Parts", figures: PARTS, notes: [] },
    ],
    scaling: ["processes", "threads"].flatMap((mode, m) =>
      [1, 128].map((tasks, t) => ({
        mode,
        tasks,
        hostNsPerFault: figure("n", "ns", [400 * (1 + t) * (1 + m)]),
        toOneTask: figure("r", "ratio", [1 + t, 1 + t], ...(t === 0 ? [] : [{ at: 2, should: "stay below" } as const])),
      })),
    ),
  };

  it("has every figure with its unit, quartiles and bar, and the points of scaling side by side", () => {
    expect(benchText(result).split("\n")).toEqual([
      "Host time, this computer: Node v20, 2 x abacus.",
      "3 interleaved rounds, 5 ms a sample; medians and quartiles.",
      "",
      "Faults",
      "here   2.00 M/s  1.50 M/s to 2.50 M/s",
      "ratio      2.50          2.25 to 2.75  0.50 or more: passed",
      "No baseline: no compiler.",
      "",
      "Parts",
      "switch   200 ns",
      "restore  250 us",
      "copied   4096 B",
      "",
      "Host time a simulated fault, page_fault3 on ramfs, the same working set in all",
      "tasks = CPUs  processes  to 1 task     quartiles                 bar  threads  to 1 task     quartiles                 bar",
      "1                400 ns       1.00  1.00 to 1.00                       800 ns       1.00  1.00 to 1.00",
      "128              800 ns       2.00  2.00 to 2.00  below 2.00: MISSED  1.60 us       2.00  2.00 to 2.00  below 2.00: MISSED",
      "",
      "wasm abababababab  version 0.0.0",
    ]);
  });

  it("comes from JSON that went through a file", () => {
    expect(benchText(JSON.parse(JSON.stringify(result)) as BenchResult)).toBe(benchText(result));
  });
});

describe("[bench-5] the native baseline", () => {
  it("says when its source is not there", () => {
    expect(nativeBaseline("/nonexistent/faults.c", 1, 1)).toEqual({ missing: "no /nonexistent/faults.c" });
  });

  it("says when its source does not compile", () => {
    const dir = mkdtempSync(join(tmpdir(), "faultline-test-"));
    try {
      writeFileSync(join(dir, "faults.c"), "this is no C\n");
      expect(nativeBaseline(join(dir, "faults.c"), 1, 1)).toHaveProperty("missing");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
