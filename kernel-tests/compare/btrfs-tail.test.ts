/**
 * btrfs-tail: reservations of space in page_mkwrite are slow by cowfs' own tickets; who waits for mmap_sem meanwhile depends on the
 * regime. On the checked kernel. Laws: [bt-1] [fl-1] [mk-6] [met-1].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { loadKernel } from "../../src/node.js";
import { metricsOf } from "../../src/sim/metrics.js";
import { type KernelImage, Run } from "../../src/sim/run.js";
import type { RunResult } from "../../src/sim/result.js";
import type { MkwriteRegime } from "../../src/host/config.js";
import { workloadByName } from "../../src/workloads/index.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

interface Shape {
  mkwrite?: MkwriteRegime;
  free?: string;
  fs?: string;
  tasks?: number;
  lenBytes?: number;
  syncPause?: string;
}

/** A smaller one: the file and what is left beside it an eighth of the workload's own. */
async function measured({
  mkwrite = "generic_page_mkwrite",
  free = "8M",
  fs = "cowfs",
  tasks = 4,
  lenBytes = 8 << 20,
  syncPause = "0ns",
}: Shape): Promise<{
  result: RunResult;
  live: number;
}> {
  const run = new Run(kernel, {
    workload: "btrfs-tail",
    ...{ fs, tasks, lenBytes, mode: "threads" as const, durationNs: 40e6 },
    set: [`free=${free}`, "rate=5000", `sync_pause=${syncPause}`],
    config: { memoryBytes: 48 << 20, seed: 1, mkwrite },
  });
  run.warmUp();
  run.measure();
  run.machine.check();
  return { result: await run.result(), live: run.machine.guestCount };
}

/** Tasks, writer, victim, and the leader of the threads. */
const LIVE = 4 + 1 + 1 + 1;

describe("on a nearly full filesystem", () => {
  test("reservations are slow, nobody is refused, and the writer waits for as long as they take, unless the lock is dropped", async () => {
    const under = await measured({});
    const helper = await measured({ mkwrite: "generic_page_mkwrite_nommapsem" });
    for (const { result, live } of [under, helper]) {
      expect(live).toBe(LIVE);
      expect(result.simulated.counters.reservation_waits).toBeGreaterThan(10);
      expect(result.simulated.counters.mkwrite_runs).toBeGreaterThan(500);
    }
    expect(helper.result.simulated.counters.mkwrite_unlocked_attempts).toBeGreaterThan(500);
    // A slow page_mkwrite takes more than a millisecond; the writer behind it waits as long, without it not a fifth of that.
    expect(under.result.simulated.fault_ns.max).toBeGreaterThan(1e6);
    expect(helper.result.simulated.fault_ns.max).toBeGreaterThan(1e6);
    const waits = [under, helper].map(({ result }) => result.simulated.mmap_sem_wait_ns.write.percentile["99"]);
    expect(waits[0]).toBeGreaterThan(1e6);
    expect(waits[1]).toBeLessThan(waits[0]! / 5);
    const victims = [under, helper].map(({ result }) => result.simulated.recorded.victim_cmdline_ns?.percentile["99"] ?? 0);
    expect(victims[1]).toBeLessThan(victims[0]! / 5);
  });

  test("the less space is left, the more reservations are slow", async () => {
    const metric = metricsOf(workloadByName("btrfs-tail")!).find((m) => m.name === "slow_reservations_percent");
    const shares: number[] = [];
    for (const free of ["256M", "32M", "4M"]) {
      const { result, live } = await measured({ free });
      expect(live).toBe(LIVE);
      shares.push(metric?.of(result) ?? -1);
    }
    expect(shares[0]).toBe(0);
    expect(shares[1]).toBeGreaterThan(0);
    expect(shares[2]).toBeGreaterThan(shares[1]!);
  });

  test("a thread that syncs now and then makes them rarer, down to none: the rare end of the range", async () => {
    const metric = metricsOf(workloadByName("btrfs-tail")!).find((m) => m.name === "slow_reservations_percent");
    const share = async (free: string, syncPause: string): Promise<number> => {
      const { result, live } = await measured({ free, syncPause });
      expect(live).toBe(LIVE + (syncPause === "0ns" ? 0 : 1));
      expect(result.simulated.counters.mkwrite_runs).toBeGreaterThan(500);
      return metric?.of(result) ?? -1;
    };
    const without = await share("16M", "0ns");
    const rare = await share("16M", "5ms");
    expect(rare).toBeGreaterThan(0);
    expect(rare).toBeLessThan(without / 4);
    expect(await share("32M", "0ns")).toBeGreaterThan(0);
    expect(await share("32M", "5ms")).toBe(0);
  });

  test("[fl-1] tickets that come while others are served are served, too: with next to nothing left no store is a SIGBUS", async () => {
    const { result, live } = await measured({ free: "1M", lenBytes: 4 << 20 });
    expect(live).toBe(LIVE);
    expect(result.simulated.counters.reservation_waits).toBeGreaterThan(100);
  });
});

test("on pagestore, which has no tickets, no reservation is slow", async () => {
  const { result, live } = await measured({ fs: "pagestore", free: "1M", lenBytes: 1 << 20 });
  expect(live).toBe(LIVE);
  expect(result.simulated.counters.reservation_waits).toBe(0);
  expect(result.simulated.recorded.churn_ns?.N).toBeGreaterThan(0);
});
