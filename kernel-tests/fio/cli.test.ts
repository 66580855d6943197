/**
 * Job files on the command line: what goes to stdout and stderr, exit codes, and that the shipped examples run.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CompareResult } from "../../src/sim/compare.js";
import type { FioReport } from "../../src/sim/fio.js";
import { faultline } from "../compare/cli.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "faultline-fio-"));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function jobFile(name: string, text: string): string {
  const file = join(dir, name);
  writeFileSync(file, text);
  return file;
}

const EXAMPLES = new URL("../../examples/", import.meta.url).pathname;

describe("faultline run job.fio", () => {
  test("prints fio's JSON on stdout and warnings on stderr", async () => {
    const file = jobFile("a.fio", "[j]\nioengine=mmap\nsize=64k\nrw=write\niodepth=8\n");
    const { code, stdout, stderr } = await faultline("run", file, "--format", "json");
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout) as FioReport;
    expect(report["fio version"]).toMatch(/^faultline /);
    expect(report.jobs[0]).toMatchObject({ jobname: "j", write: { io_bytes: 65536 } });
    expect(stderr).toContain(`warning: ${file}:5:1: iodepth is not modelled and has no effect.`);
  });

  test("clones every job -t times, and runs no longer than --duration", async () => {
    const file = jobFile("b.fio", "[j]\nioengine=mmap\nsize=64k\nrw=write\nruntime=100\ntime_based\n");
    const { code, stdout, stderr } = await faultline("run", file, "--format", "json", "-t", "3", "--duration", "100us");
    expect(code, stderr).toBe(0);
    const { jobs } = JSON.parse(stdout) as FioReport;
    expect(jobs).toHaveLength(3);
    for (const job of jobs) expect(job.write.runtime_ns).toBeLessThan(200_000);
  });

  test.each([
    ["[j]\nsize=1m\nrw=sideways\n", ':3:4: rw "sideways": expected'],
    ["size=1m\n", ":1:1: expected a section"],
  ])("%j: exit code 2 and the place", async (text, message) => {
    const file = jobFile("bad.fio", text);
    const { code, stdout, stderr } = await faultline("run", file);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`${file}${message}`);
    expect((await faultline("compare", file)).code).toBe(2);
  });

  test("of a file that is not there says so; of a word that is no file, which workloads there are", async () => {
    expect((await faultline("run", join(dir, "none.fio"))).stderr).toContain("none.fio: ENOENT");
    expect((await faultline("run", "page_fault33")).stderr).toContain("Did you mean page_fault3?");
  });

  test("refuses a format that jobs do not have", async () => {
    const file = jobFile("c.fio", "[j]\nsize=64k\n");
    expect(await faultline("run", file, "--format", "svg")).toMatchObject({ code: 2 });
  });
});

describe("faultline compare job.fio", () => {
  test("runs in workers what it runs in one thread", async () => {
    const file = jobFile("d.fio", "[j]\nioengine=mmap\nsize=256k\nrw=randwrite\nthread\nfilename=x\nfsync=8\n");
    const args = ["compare", file, "--fs", "pagestore", "-t", "1,2", "--seeds", "2", "--format", "json"];
    const [one, two] = await Promise.all([faultline(...args, "--threads", "1"), faultline(...args, "--threads", "2")]);
    expect(one.code, one.stderr).toBe(0);
    const [a, b] = [one, two].map((done) => JSON.parse(done.stdout) as CompareResult);
    expect({ ...b, command: "" }).toEqual({ ...a, command: "" });
    expect(a?.points.map((p) => p.path)).toEqual(["not asked", "not asked", "taken", "taken"]);
  });
});

describe("an example", () => {
  test.each(readdirSync(EXAMPLES).filter((name) => name.endsWith(".fio")))("%s runs without a warning", async (name) => {
    const { code, stdout, stderr } = await faultline("run", join(EXAMPLES, name), "--format", "json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect((JSON.parse(stdout) as FioReport).jobs.length).toBeGreaterThan(0);
  });
});
