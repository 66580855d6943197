/*
 * What a user may type, and what comes back: help, exit codes 0, 1 and 2, errors that name the word and the nearest right one.
 *
 * Checks: [cli-1] on every row: an error's stdout is empty.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { faultline, scratch } from "./faultline.js";

const dir = scratch();
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

const COMMANDS =
  "run compare settle workloads replay replay-trace import-strace inspect fsck crash sites explore mutants exec calibrate costs".split(" ");

describe.concurrent("help", () => {
  it("names every command", async () => {
    const { code, stdout, stderr } = await faultline(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    for (const command of COMMANDS) {
      expect(stdout).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
    }
  });

  it.each(COMMANDS)("of %s", async (command) => {
    const { code, stdout, stderr } = await faultline([command, "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^Usage: faultline ${command} `));
  });

  it("names every option of a run", async () => {
    const { stdout } = await faultline(["run", "--help"]);
    const machine = "cpus sockets memory costs fault-lock mkwrite fs checked";
    const run = "tasks mode seed seeds duration warmup length set output format";
    for (const option of `${machine} ${run}`.split(" ")) expect(stdout).toContain(`--${option}`);
  });

  it("is what a user who types nothing gets, on stderr", async () => {
    const { code, stdout, stderr } = await faultline([]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^Usage: faultline/);
  });

  it("the version is the package's", async () => {
    const { stdout } = await faultline(["--version"]);
    const { default: manifest } = await import("../../package.json", { with: { type: "json" } });
    expect(stdout.trim()).toBe(manifest.version);
  });
});

/** What is typed, and what the error says. Exit code 2, nothing on stdout. */
const USAGE: readonly [args: readonly string[], stderr: RegExp][] = [
  [["frobnicate"], /unknown command 'frobnicate'/],
  [["rum", "page_fault3"], /unknown command 'rum'\n\(Did you mean run\?\)/],
  [["run"], /missing required argument 'workload'/],
  [["run", "page_fault3", "page_fault1"], /too many arguments/],
  [["run", "pagefault3"], /unknown workload "pagefault3"\. Did you mean page_fault3\?\nThe workloads: page_fault1, .*mixed/],
  [["run", "xyzzy"], /unknown workload "xyzzy"\.\nThe workloads:/],
  [["run", "page_fault3", "--taks", "3"], /unknown option '--taks'\n\(Did you mean --tasks\?\)/],
  [["run", "page_fault3", "--tasks"], /option '-t, --tasks <list>' argument missing/],
  [["run", "page_fault3", "--format", "jsn"], /format "jsn": expected one of table, json, .*\. Did you mean json\?/],
  [["run", "page_fault3", "--mode", "thread"], /mode "thread": expected one of threads, processes\. Did you mean threads\?/],
  [["run", "page_fault3", "--fault-lock", "linux-4.18"], /fault lock "linux-4\.18": .*Did you mean linux-4\.19\?/],
  [["run", "page_fault3", "--mkwrite", "chinner"], /mkwrite "chinner": expected one of generic_page_mkwrite, /],
  [["run", "page_fault3", "--fs", "ext4"], /"ext4"/],
  [["run", "page_fault3", "--set", "nosuch=1"], /nosuch/],
  [["run", "page_fault3", "-t", "0"], /tasks "0": expected a whole number from 1 to 128/],
  [["run", "page_fault3", "-t", "129"], /tasks "129": expected a whole number from 1 to 128/],
  [["run", "page_fault3", "-t", "4-1"], /tasks "4-1": the range runs backwards/],
  [["run", "page_fault3", "-t", "1,,2"], /tasks "1,,2": expected counts and ranges, such as 1,2,4 or 1-16/],
  [["run", "page_fault3", "-t", "many"], /tasks "many": expected counts and ranges/],
  [["run", "page_fault3", "--cpus", "0"], /cpus "0": expected a whole number from 1 to 128/],
  [["run", "page_fault3", "--cpus", "2", "--sockets", "3"], /sockets is 3; it must be a whole number from 1 to 2/],
  [["run", "page_fault3", "--seed", "-1"], /seed "-1": expected a whole number/],
  [["run", "page_fault3", "--seeds", "0"], /seeds "0": expected a whole number from 1 to 10000/],
  [["run", "page_fault3", "--memory", "12Q"], /size "12Q": expected a number with a unit, such as 256M/],
  [["run", "page_fault3", "--memory", "100K"], /memoryBytes is 102400; it must be a whole number from 262144 to/],
  [["run", "page_fault3", "--memory", "4G"], /memoryBytes is 4294967296; it must be a whole number/],
  [["run", "page_fault3", "-t", "128", "--memory", "256K"], /too small for 128 tasks of page_fault3/],
  [["run", "page_fault3", "--memory", "1"], /memoryBytes is 1; it must be a whole number from 262144 to/],
  [["run", "page_fault3", "--duration", "10"], /duration "10": expected a number with a unit, such as 10ms/],
  [["run", "page_fault3", "--duration", "0ms"], /duration "0ms": expected some time to measure/],
  [["run", "page_fault3", "--duration", "-5ms"], /duration "-5ms": expected a number with a unit/],
  [["run", "page_fault3", "--warmup", "soon"], /duration "soon": expected a number with a unit/],
  [["run", "page_fault3", "--length", "100"], /length 100 is not a number of 4096-byte pages/],
  [["run", "page_fault3", "-o", "/nonexistent/x"], /cannot write \/nonexistent\/x: ENOENT/],
  [["run", "page_fault3", "-o", dir], /is a directory/],
  [["run", "page_fault3", "--costs", join(dir, "none.json")], /none\.json: ENOENT/],
  [["run", "page_fault3", "--costs", '{"syscal": 5}'], /--costs:1:2: unknown cost "syscal"\. Did you mean syscall\?/],
  [["run", "page_fault3", "--costs", file("half.json", '{\n  "syscall": 1.5\n}')], /half\.json:2:14: expected a whole number of ns/],
  [["inspect", "page_fault3", "--view", "map"], /view "map": expected one of meminfo, .*\. Did you mean maps\?/],
  [["inspect", "page_fault3", "--seeds", "2"], /unknown option '--seeds'/],
  [["inspect", "page_fault3", "-t", "1,2"], /inspect looks at one run, not at 2/],
  [["calibrate", "--format", "xml"], /format "xml": expected one of table, json/],
  [["replay"], /missing required argument 'what'/],
  [["replay", "/nonexistent.json"], /nonexistent\.json: ENOENT/],
];

describe.concurrent("usage errors", () => {
  const rows = USAGE.map(([args, stderr]) => ({ args, stderr, title: args.join(" ").replace(dir, "DIR") }));
  it.each(rows)("$title", async ({ args, stderr }) => {
    const outcome = await faultline(args);
    expect(outcome.stderr).toMatch(stderr);
    expect(outcome.stderr).not.toMatch(/^\s+at /m);
    expect([outcome.code, outcome.stdout]).toEqual([2, ""]);
  });
});

describe.concurrent("runs that fail", () => {
  it("out of memory says so, and what to raise; exit 1", async () => {
    const outcome = await faultline(["run", "page_fault1", "-t", "1", "--memory", "16M", "--length", "64M", "--duration", "1s"]);
    expect(outcome.stderr).toMatch(/^faultline: out of memory: process 1 was killed .*raise --memory\n$/);
    expect([outcome.code, outcome.stdout]).toEqual([1, ""]);
  });
});
