/*
 * Sites of every workload fail on every filesystem, a bounded number of each kind: nothing is lost, nothing is left, every error is one
 * that Linux allows. And the sweep's power: a hook that does nothing, and an oracle that was told a lie, are found out.
 *
 *   npm run sites:all       every site, alone and with all after it
 * Checks: [str-1] [str-2] [str-3] [ssw-1] [spl-1] [srt-1] [mk-6] [mk-7] [mk-9] [ct-3] [ct-4] [iu-3].
 */
import { describe, expect, it } from "vitest";
import { sitesJson, sitesText } from "../../src/report/sites-text.js";
import { SITE_FS_NAMES } from "../../src/sim/sites/filesystems.js";
import { SITE_KINDS, allowedResults } from "../../src/sim/sites/kinds.js";
import { SITE_TEXT_DEFAULTS, type SiteText, sitePlan } from "../../src/sim/sites/plan.js";
import { replaySite, sampled, sweepSites } from "../../src/sim/sites/sweep.js";
import { checkedKernel } from "../test-machine.js";

const BUDGET = 4;

function sweep(text: Partial<SiteText>, budget = BUDGET) {
  const { jobs } = sitePlan({ workload: "all", ...SITE_TEXT_DEFAULTS, ...text });
  return jobs.map((job) => ({ job, report: sweepSites({ module: checkedKernel(), ...job }, { budget }) }));
}

describe("whatever fails", () => {
  it.each(SITE_FS_NAMES)("on %s", (fs) => {
    const outcomes = sweep({ fs });
    expect(sitesText(outcomes, 200)).toContain("; nothing");
    const sum = (of: (one: (typeof outcomes)[number]) => number): number => outcomes.reduce((all, one) => all + of(one), 0);
    expect(sum(({ report }) => report.failed)).toBe(0);
    // A sweep of nothing would be found here.
    expect(sum(({ report }) => report.runs)).toBeGreaterThan(40);
    expect(sum(({ report }) => report.told)).toBeGreaterThan(20);
  });

  it.each(["linux-4.19+generic_page_mkwrite", "linux-6.7+kara", "linux-6.7+completed", "linux-5.1+bacik-v3"])("S16 under %s", (regime) => {
    const outcomes = sweep({ workload: "faults", fs: "cowfs,iomapfs,jbdfs-nodelalloc,pagestore", kind: "enospc", regime }, 100);
    expect(outcomes.length).toBeGreaterThanOrEqual(3);
    for (const { job, report } of outcomes) expect(report.failed, sitesText([{ job, report }], 200)).toBe(0);
  });
});

/** Sites where something was broken once. */
describe("seeds", () => {
  it.each([
    ["clone", "cowfs", "eio-write", "1"],
    ["mmap-msync", "jbdfs", "eio-write", "7"],
    ["truncate-extend", "cowfs", "enospc", "1+"],
    ["truncate-extend", "cowfs-1024", "enospc", "2+"],
    ["holes", "cowfs-1024", "enospc", "4"],
    ["holes", "cowfs", "enospc", "1+"],
    ["write-fsync", "iomapfs", "oom-page", "2+"],
    ["write-fsync", "cowfs", "oom-slab", "12+"],
    ["truncate-extend", "iomapfs", "oom-slab", "41+"],
    ["truncate-extend", "jbdfs", "oom-slab", "37+"],
    ["snapshot", "cowfs", "oom-slab", "19"],
    ["snapshot", "cowfs", "oom-page", "18+"],
    ["names", "iomapfs", "oom-slab", "13+"],
  ])("%s on %s, %s at %s", (workload, fs, kind, site) => {
    const [job = expect.fail("a job")] = sitePlan({ ...SITE_TEXT_DEFAULTS, workload, fs, kind }).jobs;
    const { problems, hits } = replaySite({ module: checkedKernel(), ...job }, site);
    expect(problems).toEqual([]);
    expect(hits).toBeGreaterThan(0);
  });
});

describe("the sweep bites", () => {
  const [job = expect.fail("a job")] = sitePlan({ ...SITE_TEXT_DEFAULTS, workload: "holes", fs: "jbdfs", kind: "enospc" }).jobs;
  const run = { module: checkedKernel(), ...job };

  it("when no site fails, although one should", () => {
    const report = sweepSites({ ...run, deaf: true }, { budget: 3 });
    expect(report.failed).toBe(3);
    expect(report.failures[0]?.problems).toEqual(["the site was not reached"]);
  });

  it("when a write that is said to have been made was not", () => {
    const [other = expect.fail("a job")] = sitePlan({ ...SITE_TEXT_DEFAULTS, workload: "writes", fs: "jbdfs", kind: "enospc" }).jobs;
    const lost = other.workload.steps.findIndex((step) => step.do === "write");
    const { problems } = replaySite({ module: checkedKernel(), ...other, lost }, "1");
    expect(problems.join("\n")).toMatch(/\[mk-7\] f at 300 /);
  });

  it("and the failure ends in its command, as text and as JSON", () => {
    const report = sweepSites({ ...run, deaf: true }, { budget: 1 });
    const options = `--fs jbdfs --regime ${SITE_TEXT_DEFAULTS.regime} --kind enospc --seed 1`;
    const command = `faultline sites holes ${options} --at ${report.failures[0]?.site ?? ""}`;
    expect(sitesText([{ job, report }], 200)).toContain(`again: ${command}`);
    expect(sitesJson([{ job, report }])).toContain(`"again": "${command}"`);
  });
});

describe("the table of what is allowed", () => {
  const healthy = { fs: "cowfs", aborted: false };
  it.each([
    ["eio-read", "load", ["SIGBUS"]],
    ["eio-read", "anonymous", []],
    ["eio-write", "write", []],
    ["eio-write", "fsync", ["EIO"]],
    ["enospc", "store", ["SIGBUS"]],
    ["enospc", "fsync", []],
    ["oom-page", "anonymous", ["ENOMEM", "SIGKILL"]],
  ] as const)("%s of %s", (kind, operation, expected) => {
    expect(allowedResults(kind, operation, healthy)).toEqual(expected);
  });

  it("a filesystem that has shut down says so, but no full disk shuts one down", () => {
    for (const kind of SITE_KINDS) {
      expect(allowedResults(kind, "write", { ...healthy, aborted: true }).includes("EROFS")).toBe(kind !== "enospc");
    }
  });
});

it("[ssw-1] a report is the same each time, but for its time", () => {
  const once = sweep({ workload: "names", fs: "iomapfs", kind: "oom" }, 10).map(({ report }) => ({ ...report, seconds: 0 }));
  expect(sweep({ workload: "names", fs: "iomapfs", kind: "oom" }, 10).map(({ report }) => ({ ...report, seconds: 0 }))).toEqual(once);
});

it("a budget takes every site when it can, else as many different ones, spread", () => {
  expect(sampled(5, 9, 1)).toEqual([0, 1, 2, 3, 4]);
  const some = sampled(100, 10, 7);
  expect(new Set(some).size).toBe(10);
  expect(some.every((i) => i >= 0 && i < 100)).toBe(true);
});
