/*
 * The power fails in every crash workload on every filesystem, at every point, in a bounded number of states: none is one that it may
 * not be. And the explorer's power: a disk that loses a flush, or a FUA write, is found out, and the failure's state shows it again.
 *
 *   npx faultline crash all --fs all --budget 3000       the same, deeper
 * Checks: [mk-7] [mk-9] [cow-1] [tx-4] [jnl-2] [rec-1] [cex-1] [cpl-1].
 */
import { describe, expect, it } from "vitest";
import { crashJson, crashText } from "../../src/report/crash-text.js";
import { exploreCrashes, replayState } from "../../src/sim/crash/explore.js";
import { CRASH_TEXT_DEFAULTS, type CrashText, crashPlan } from "../../src/sim/crash/plan.js";
import { checkedKernel } from "../test-machine.js";

const BUDGET = 200;

function explore(text: Partial<CrashText>, budget = BUDGET): ReturnType<typeof outcomesOf> {
  return outcomesOf(text, budget);
}

function outcomesOf(
  text: Partial<CrashText>,
  budget: number,
): { job: ReturnType<typeof crashPlan>["jobs"][number]; report: ReturnType<typeof exploreCrashes> }[] {
  const { jobs } = crashPlan({ workload: "all", ...CRASH_TEXT_DEFAULTS, ...text });
  return jobs.map((job) => ({ job, report: exploreCrashes({ module: checkedKernel(), ...job }, { budget }) }));
}

describe("no crash state is one that it may not be", () => {
  const everywhere = crashPlan({ workload: "all", ...CRASH_TEXT_DEFAULTS, fs: "all" }).jobs;
  it.each([...new Set(everywhere.map(({ fs }) => fs.name))])("on %s", (fs) => {
    const outcomes = explore({ fs });
    expect(outcomes.length).toBeGreaterThanOrEqual(6);
    for (const outcome of outcomes) {
      expect(outcome.report.failed, crashText([outcome], 120)).toBe(0);
      // The seed and the budget decide how many; a run of nothing would be found here.
      expect(outcome.report.states).toBeGreaterThan(BUDGET / 2);
      expect(outcome.report.images).toBeGreaterThan(10);
      expect(outcome.report.points).toBeGreaterThan(25);
    }
  });

  it("under a regime that keeps the lock, and with another order of writes", () => {
    const outcomes = explore({ workload: "mmap-msync,holes", regime: "linux-4.19+completed", seed: "7" });
    for (const outcome of outcomes) expect(outcome.report.failed, crashText([outcome], 120)).toBe(0);
  });
});

describe("a disk that lies is found out", () => {
  it.each([
    ["cowfs", "mmap-msync", "lost-flush"],
    ["cowfs-1024", "snapshot", "lost-flush"],
    ["iomapfs", "rename-over", "lost-flush"],
    ["jbdfs", "names", "lost-flush"],
    ["jbdfs", "write-fsync", "lost-flush:2"],
    ["jbdfs", "write-fsync", "lost-write:3"],
  ])("%s, %s, %s", (fs, workload, fault) => {
    const outcomes = explore({ fs, workload, fault });
    const [{ job, report } = expect.fail("a job")] = outcomes;
    expect(report.failed).toBeGreaterThan(0);
    const [failure = expect.fail("a failure")] = report.failures;
    const again = replayState({ module: checkedKernel(), ...job }, failure.state);
    expect(again).toMatchObject({ state: failure.state, during: failure.during, problems: failure.problems });
    const command = `faultline crash ${workload} --fs ${fs} --regime ${CRASH_TEXT_DEFAULTS.regime} --seed 1 --fault ${fault}`;
    expect(crashText(outcomes, 120)).toContain(`again: ${command} --at ${failure.state}`);
    expect(crashJson(outcomes)).toContain(`--at ${failure.state}"`);
  });
});

it("[cex-1] a report is the same each time, but for its time", () => {
  const once = explore({ workload: "holes", fs: "jbdfs" }).map(({ report }) => ({ ...report, seconds: 0 }));
  expect(explore({ workload: "holes", fs: "jbdfs" }).map(({ report }) => ({ ...report, seconds: 0 }))).toEqual(once);
});
