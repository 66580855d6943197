/*
 * `faultline crash` as a user meets it: what it prints, its exit codes, and that the command a failure ends in shows the failure.
 *
 * Checks: [cli-c1] [crt-1] [cpl-1].
 */
import { describe, expect, it } from "vitest";
import { faultline } from "../cli/faultline.js";

const QUICK = ["--fs", "jbdfs", "--budget", "60"];

describe("faultline crash", () => {
  it("prints a row a workload and what it comes to, and exits 0", async () => {
    const { code, stdout, stderr } = await faultline(["crash", "holes,names", ...QUICK]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^holes +jbdfs( +\d+){6}$/m);
    expect(stdout).toMatch(/^names +jbdfs( +\d+){6}$/m);
    expect(stdout).toMatch(/^\d+ crash states, \d+ different disks, [\d.]+ s: \d+ states\/s; no state is one that it may not be$/m);
  });

  it("prints JSON", async () => {
    const { stdout } = await faultline(["crash", "all", ...QUICK, "--format", "json"]);
    const parsed = JSON.parse(stdout) as { schema: string; failed: number; runs: { workload: string }[] };
    expect(parsed).toMatchObject({ schema: "faultline.crash/1", failed: 0 });
    // What needs a reflink or a snapshot is not for jbdfs.
    expect(parsed.runs.map(({ workload }) => workload)).toEqual([
      "write-fsync",
      "mmap-msync",
      "rename-over",
      "truncate-extend",
      "holes",
      "names",
    ]);
  });

  it("exits 1 on a failure, whose command shows it again", async () => {
    const { code, stdout } = await faultline(["crash", "holes", ...QUICK, "--fault", "lost-flush"]);
    expect(code).toBe(1);
    const again = /again: faultline (.*)$/m.exec(stdout)?.[1]?.split(" ") ?? [];
    const replayed = await faultline(again);
    expect(replayed.code).toBe(1);
    expect(replayed.stdout).toMatch(/^state \d+:[0-9a-f]+: power fails (during|after) step/);
    expect(replayed.stdout).toContain("[mk-7]");
  });

  it("shows a state that is allowed, and exits 0", async () => {
    const { code, stdout } = await faultline(["crash", "names", "--fs", "cowfs", "--at", "0:0"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/0 of 0 loose sectors are on the disk\nallowed\n$/);
  });

  it.each([
    [["crash", "name"], /crash workload "name": expected all, or .*Did you mean names\?|names/],
    [["crash", "names", "--fs", "jbd"], /filesystem "jbd"/],
    [["crash", "snapshot", "--fs", "jbdfs"], /snapshot needs snapshot, which jbdfs has not/],
    [["crash", "names", "--fault", "lost"], /fault "lost": expected lost-flush or lost-write/],
    [["crash", "names", "--at", "0:0"], /--at is a state of one run, not of 3/],
    [["crash", "names", "--fs", "cowfs", "--at", "9999:0"], /the run has points 0 to \d+/],
    [["crash", "names", "--budget", "0"], /budget "0"/],
  ])("%j is a usage error", async (args, message) => {
    const { code, stdout, stderr } = await faultline(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
  });
});
