/*
 * The inversion as measured on metal, row by row: who blocks, who does not, for how long; and nobody once the helper drops the lock.
 * Every way in which page_mkwrite can get stuck stalls the same ones.
 *
 * Checks: [inv-1] [cal-1].
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type KernelImage, loadKernel, runPoint } from "../../src/node.js";
import { INVERSION_MEASURED, type InversionPoint, type InversionTimes, calibrateInversion } from "../../src/sim/calibrate-inversion.js";
import { ParseError } from "../../src/sim/parse.js";
import { INVERSION_CASES, INVERSION_STALLS } from "../../src/workloads/inversion.js";

/** A wait that counts as none: the store is stuck for 1500. */
const FREE_MS = 1;
const CLOSE = 0.1;

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

function actors(times: InversionTimes): number[] {
  return [times.op, times.cmdlineRead, times.otherThreadAnonFault];
}

/** True when every actor waits as long as measured, within 10 %, or as little. */
function agrees(point: InversionPoint): boolean {
  const simulated = actors(point.simulated);
  return actors(point.measured).every((ms, i) => (ms < FREE_MS ? simulated[i]! < FREE_MS : Math.abs(simulated[i]! / ms - 1) <= CLOSE));
}

describe.each(INVERSION_STALLS)("stall: %s", (stall) => {
  let points: InversionPoint[];
  beforeAll(async () => {
    points = await calibrateInversion(kernel, stall);
  });

  it("blocks whom Linux blocks, for as long", () => {
    expect(points.filter((p) => !agrees(p))).toEqual([]);
    // Six rows of nine have somebody blocked: the table is not trivially met.
    expect(points.filter((p) => actors(p.simulated).some((ms) => ms > 1000)).length).toBe(6);
  });

  it("blocks nobody under the helper, in the user's rows and in the kernel's", () => {
    expect(points.filter((p) => actors(p.helper).some((ms) => !(ms < FREE_MS)))).toEqual([]);
  });
});

it("the store itself is stuck all the while, and the helper was used", async () => {
  for (const stall of INVERSION_STALLS) {
    const result = await runPoint(kernel, {
      workload: "inversion",
      tasks: 1,
      mode: "threads",
      fs: "cowfs",
      set: [`stall=${stall}`],
      config: { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite_nommapsem" },
    });
    expect(result.simulated.recorded["stuck_store_ns"]!.max, stall).toBeGreaterThan(1.4e9);
    expect(result.simulated.recorded["stuck_store_ns"]!.max, stall).toBeLessThan(1.6e9);
    expect(result.simulated.counters["mkwrite_stash_accepted"], stall).toBeGreaterThan(0);
  }
});

it("needs a filesystem with page_mkwrite", () => {
  const run = runPoint(kernel, { workload: "inversion", tasks: 1, mode: "threads", fs: "ramfs", config: {} });
  return expect(run).rejects.toThrow(ParseError);
});

it("has the measurement's rows", () => {
  const rows = INVERSION_MEASURED.map((r) => [`fault_from=${r.faultFrom}`, `op=${r.op}`]);
  expect(rows).toEqual(INVERSION_CASES);
});

it("says what the measurement's file says", () => {
  const csv = readFileSync(new URL("inversion-2vcpu.csv", import.meta.url), "utf8");
  const rows = INVERSION_MEASURED.map((r) => {
    const op = r.faultFrom === "kernel_access" ? r.op.replace("_same_vma", "") : r.op;
    return [r.faultFrom, op, ...actors(r.measured)].join(",");
  });
  expect(csv.trim().split("\n").slice(1)).toEqual(rows);
});
