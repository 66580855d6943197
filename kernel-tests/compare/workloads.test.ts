/**
 * Workloads with actors and options: each runs in both modes on the checked kernel, keeps its invariants, measures what it says,
 * and is the same run twice. Laws: [wl-1] [wo-1] [start-1] [vic-1].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { loadKernel } from "../../src/node.js";
import { type KernelImage, Run, type RunDescription } from "../../src/sim/run.js";
import { cpusOf, partiesOf } from "../../src/sim/start.js";
import { WORKLOADS, optionHelp, optionValues, workloadByName } from "../../src/workloads/index.js";
import type { Mode, RunContext } from "../../src/workloads/index.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

function describeRun(workload: string, mode: Mode, set: string[] = []): RunDescription {
  const config = { memoryBytes: 24 << 20, seed: 3 };
  const { ends } = workloadByName(workload) ?? {};
  const length = ends === true ? {} : { lenBytes: 1 << 20 };
  return { workload, mode, tasks: 2, warmupNs: 200_000, durationNs: 1e6, set, staggerNs: 5000, config, ...length };
}

function finished(description: RunDescription): Run {
  const run = new Run(kernel, description);
  run.warmUp();
  run.measure();
  run.machine.check();
  return run;
}

const WITH_ACTORS = ["msync-storm", "truncate-race", "mmap-churn", "spawn"];

describe.each(WITH_ACTORS)("%s", (workload) => {
  test.each(["threads", "processes"] as const)("as %s faults, measures everything it names, and repeats itself", async (mode) => {
    const result = await finished(describeRun(workload, mode)).result();
    expect(result.simulated.iterations).toBeGreaterThan(0);
    expect(Object.keys(result.simulated.recorded)).toEqual(workloadByName(workload)?.recorded?.map((r) => r.name));
    for (const [name, latency] of Object.entries(result.simulated.recorded)) expect(latency.N, name).toBeGreaterThan(0);
    expect((await finished(describeRun(workload, mode)).result()).state_sha256).toBe(result.state_sha256);
  });

  test("without victims records none", async () => {
    const result = await finished(describeRun(workload, "threads", ["victims=0"])).result();
    expect(result.simulated.recorded.victim_cmdline_ns?.N).toBe(0);
  });
});

describe("actors", () => {
  const context = (set: string[], mode: Mode): RunContext => {
    const options = optionValues("mmap-churn", workloadByName("mmap-churn")?.options ?? [], set);
    return { tasks: 3, mode, lenBytes: 4096, seed: 1, directory: "/tmp", options };
  };

  test.each([
    ["threads", [], 3 + 1 + 1],
    ["processes", [], 3 + 3 * 1 + 1],
    ["threads", ["writers=4", "victims=0"], 3 + 4],
    ["processes", ["writers=2", "victims=5"], 3 + 3 * 2 + 5],
  ] as const)("as %s with %j: %i meet at the barrier, with a CPU each", (mode, set, parties) => {
    const workload = workloadByName("mmap-churn")!;
    expect(partiesOf(workload, context([...set], mode))).toBe(parties);
    expect(cpusOf(workload, context([...set], mode))).toBe(parties);
  });

  test("churn at the rate that is set", async () => {
    for (const rate of [2000, 10_000]) {
      const description = { ...describeRun("mmap-churn", "threads", [`rate=${rate}`, "victims=0"]), tasks: 1, durationNs: 10e6 };
      const result = await finished(description).result();
      // Two calls a pair; a period is cut short or begun at either end of the measured time, and a sleep is rounded up.
      const pairs = (result.simulated.recorded.churn_ns?.N ?? 0) / 2;
      expect(pairs).toBeLessThanOrEqual(rate / 100 + 1);
      expect(pairs).toBeGreaterThan((rate / 100) * 0.6);
    }
  });
});

describe("options", () => {
  const table = workloadByName("mmap-churn")?.options ?? [];

  test.each([
    ["writers=0", 'writers "0": expected a whole number from 1 to 64'],
    ["writers", "--set writers: expected key=value"],
    ["writer=1", 'mmap-churn has no option "writer"; they are writers, rate, victims, victim_pause. Did you mean writers?'],
    ["victim_pause=5", 'duration "5": expected a number with a unit'],
  ])("%s is refused", (entry, message) => {
    expect(() => optionValues("mmap-churn", table, [entry])).toThrow(message);
  });

  test("have a value each, the later one counts", () => {
    expect(optionValues("mmap-churn", table, ["rate=7", "rate=9"])).toEqual({ writers: 1, rate: 9, victims: 1, victim_pause: 50_000 });
  });

  test("of kinds", () => {
    const kinds = [
      { name: "share", kind: "percent", default: "1.5 %", summary: "" },
      { name: "size", kind: "size", default: "64K", summary: "" },
      { name: "word", kind: "choice", default: "a", choices: ["a", "b"], summary: "" },
    ] as const;
    expect(optionValues("x", kinds, [])).toEqual({ share: 1.5, size: 65536, word: "a" });
    expect(optionValues("x", kinds, ["share=0.01", "word=b"])).toMatchObject({ share: 0.01, word: "b" });
    expect(() => optionValues("x", kinds, ["share=101"])).toThrow('share "101": expected per cent from 0 to 100');
    expect(() => optionValues("x", kinds, ["word=c"])).toThrow('word "c": expected one of a, b');
  });

  test("have help and defaults that parse, in every workload", () => {
    for (const workload of WORKLOADS) {
      const options = workload.options ?? [];
      expect(Object.keys(optionValues(workload.name, options, []))).toEqual(options.map((o) => o.name));
      expect(optionHelp(options)).toHaveLength(options.length);
      expect(new Set(workload.recorded?.map((r) => r.name)).size).toBe(workload.recorded?.length ?? 0);
      for (const variant of workload.cases ?? []) optionValues(workload.name, options, variant);
    }
  });
});
