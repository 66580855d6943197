/*
 * `faultline exec` as a user runs it: streams, exit codes, the program's own options, the summary, files that are no programs.
 *
 * Laws: [cli-x1] [cli-x2].
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ExecResult } from "../../src/sim/exec.js";
import { faultline, scratch } from "../cli/faultline";
import { elfOf } from "./elf";
import { compile } from "./toolchain";

const program = compile("hello.c", ["-lm"]);
const directory = scratch();

function file(name: string, bytes: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

describe("faultline exec", () => {
  it("[cli-x1] output, exit code and options are the program's; the summary is last on stderr", async () => {
    const input = file("input", new TextEncoder().encode("a line\n"));
    const { code, stdout, stderr } = await faultline(["exec", "--env", "A=1", "--stdin", input, program, "--fs", "-x"]);
    expect(code).toBe(43);
    expect(stdout).toContain("argument 1: --fs\nargument 2: -x\nenvironment: A=1\n");
    expect(stdout).toContain("read: a line\n");
    expect(stderr).toMatch(/^to standard error\nfaultline: hello exited with 43 after [\d.]+ ms of simulated time on ramfs\n/);
  });

  it("--json is the summary for a machine, --quiet none", async () => {
    const { stderr } = await faultline(["exec", "--fs", "cowfs", "--fault-lock", "linux-6.7", "--json", program]);
    const result = JSON.parse(stderr.split("\n")[1] ?? "") as ExecResult;
    expect(result).toMatchObject({ schema: "faultline-exec-1", program: "hello", fs: "cowfs", exit: { kind: "exited", code: 41 } });
    expect(result.simulated.instructions).toBeGreaterThan(1e6);
    expect((await faultline(["exec", "--quiet", program])).stderr).toBe("to standard error\n");
  });

  it("[cli-x2] a signal is 128 and its number; what cannot be executed is 126, with the reason", async () => {
    const illegal = file("illegal", elfOf(new Uint8Array(8)));
    expect((await faultline(["exec", illegal])).code).toBe(132);
    const foreign = await faultline(["exec", file("foreign", elfOf(new Uint8Array(8), { machine: 62 }))]);
    expect([foreign.code, foreign.stdout]).toEqual([126, ""]);
    expect(foreign.stderr).toMatch(/^faultline: cannot execute .*foreign: for another machine \(e_machine 62, x86-64\); riscv64 is 243\n$/);
    const empty = await faultline(["exec", file("empty", elfOf(new Uint8Array(8), { segments: [] }))]);
    expect([empty.code, empty.stderr]).toEqual([126, expect.stringContaining("ENOEXEC") as string]);
  });

  it.each([
    [["exec"], "missing required argument"],
    [["exec", "/nowhere/program"], "cannot read program"],
    [["exec", "--fs", "ext4", "program"], 'filesystem "ext4"'],
    [["exec", "--cpus", "0", program], "cpus"],
  ])("%j is a usage error", async (args, text) => {
    const { code, stdout, stderr } = await faultline(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(text);
  });
});
