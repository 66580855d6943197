/*
 * Every instruction of RV64GC, Zba and Zbb on corner values and random operands: the same program here and under QEMU, compared line by
 * line. A line is one instruction and a hash of its results (and flags).
 *
 * Laws: [rv-4] [run-2] [rvm-1] [code-1] [amo-1] [sf-1] [sf-2] [cvt-1] [fp-1] [rvc-1] [dec-1].
 * A line that differs: run the program with the instruction's name as argument under both, and compare the cases.
 */
import { describe, expect, it } from "vitest";
import { compile, runHere, runQemu } from "./toolchain";

function lines(text: string): string[] {
  return text.trimEnd().split("\n");
}

describe("instructions agree with QEMU", () => {
  it("integers, branches, compressed forms, accesses, atomics, page crossings, code that changes, CSRs", async () => {
    const program = compile("instructions.c");
    const ours = lines((await runHere(program)).stdout);
    expect(ours).toEqual(lines(runQemu(program)));
    expect(ours.length).toBeGreaterThan(130);
  });

  it("[sf-2] F and D under every rounding mode, with their flags", async () => {
    const program = compile("floats.c");
    const ours = lines((await runHere(program)).stdout);
    expect(ours).toEqual(lines(runQemu(program)));
    expect(ours.length).toBeGreaterThan(60);
  });

  it("ctzw of a word that is 0 is 32, whatever stands above it", async () => {
    const program = compile("instructions.c");
    expect((await runHere(program, { args: ["ctzw-high"] })).stdout).toBe("32\n");
  });

  it("the same instructions on the build with every check, in slices that end everywhere", async () => {
    const program = compile("instructions.c");
    const once = await runHere(program);
    // Another process would hand over; here the cost alone makes the budget small.
    const checked = await runHere(program, { checked: true, config: { costs: { thousand_instructions: 1_000_000 } } });
    expect(checked.stdout).toBe(once.stdout);
    expect(checked.simulated.instructions).toBe(once.simulated.instructions);
  });
});
