/*
 * What is no program, or no good one: an errno or a signal as Linux gives it, no trap of the module, no law broken.
 *
 *   SEED=7 npx vitest run kernel-tests/rv64/bad-input.test.ts      runs one seed of the fuzz
 * Laws: [elf-1] [exec-1] [dec-1] [run-2] [mk-6] [code-1].
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ExecError, GuestFailure, type KernelImage, loadKernel, whyNotExecutable } from "../../src/node.js";
import { startProgram } from "../../src/sim/exec.js";
import { randomOf, seedsOf } from "../oracle/random";
import { CODE_AT, elfOf } from "./elf";
import { compile, runHere } from "./toolchain";

const ENOEXEC = 8;
/** Instructions that a run of garbage may take: 100 us at 333 ns for a thousand. */
const BOUND_NS = 100_000;

/** Machine code of a few instructions. */
function code(...words: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(words).buffer);
}

async function errnoOf(bytes: Uint8Array): Promise<number> {
  try {
    await runHere(bytes, { checked: true });
    return 0;
  } catch (error) {
    if (error instanceof GuestFailure && error.cause instanceof ExecError) return error.cause.errno;
    throw error;
  }
}

const LI_A7_EXIT = 0x05e00893;
const ECALL = 0x00000073;
const segment = (address: bigint, fileBytes: bigint, memBytes: bigint, offset = 0x1000) =>
  [offset, address, fileBytes, memBytes, 7] as const;

describe("files that are not executed", () => {
  const good = code(LI_A7_EXIT, ECALL);
  const long = new Uint8Array(64);
  it.each([
    ["nothing", new Uint8Array(0)],
    ["a text", new TextEncoder().encode("#!/bin/sh\n")],
    ["half a header", elfOf(good).subarray(0, 40)],
    ["an x86-64 program", elfOf(good, { machine: 62 })],
    ["an object file", elfOf(good, { type: 1 })],
    ["no segment", elfOf(good, { segments: [] })],
    ["a file part larger than its memory", elfOf(good, { segments: [segment(0x11000n, 100n, 50n)] })],
    ["an address that wraps", elfOf(good, { segments: [segment(0xfffffffffffff000n, 8n, 8n)] })],
    ["an address of the kernel's half", elfOf(good, { segments: [segment(0x800000000000n, 8n, 8n)] })],
    ["a size that wraps", elfOf(good, { segments: [segment(0x11000n, 8n, 0xfffffffffffff000n)] })],
    ["an offset that is not the address's within a page", elfOf(good, { segments: [segment(0x11010n, 8n, 8n)] })],
    ["zeros", long],
  ])("ENOEXEC: %s", async (_, bytes) => {
    expect(await errnoOf(bytes)).toBe(ENOEXEC);
  });

  it("says why, in words", () => {
    expect(whyNotExecutable(new Uint8Array(3))).toBe("not an ELF file");
    expect(whyNotExecutable(elfOf(good, { machine: 183 }))).toBe("for another machine (e_machine 183, aarch64); riscv64 is 243");
    expect(whyNotExecutable(elfOf(good).subarray(0, 100))).toMatch(/^truncated: its program headers end at byte 120 of 100$/);
    expect(whyNotExecutable(elfOf(good))).toBeUndefined();
  });
});

describe("programs that end in a signal", () => {
  const overlapping = { segments: [segment(0x11000n, 8n, 8n), segment(0x11000n, 8n, 8n)] };
  it.each([
    ["SIGSEGV: overlapping segments", elfOf(code(LI_A7_EXIT, ECALL), overlapping), 11],
    ["SIGSEGV: a segment at address 0", elfOf(code(ECALL), { segments: [segment(0n, 4n, 4n)] }), 11],
    ["SIGSEGV: an entry where nothing is", elfOf(code(ECALL), { entry: 0x900000n }), 11],
    ["SIGSEGV: an entry in the kernel's half", elfOf(code(ECALL), { entry: 0xffff_ffff_ffff_f000n }), 11],
    ["SIGSEGV: a load from 0", elfOf(code(0x00003503)), 11],
    ["SIGSEGV: a store to an address that is none", elfOf(code(0xfff00513, 0x00153023)), 11],
    ["SIGBUS: behind the end of the file", elfOf(code(ECALL), { segments: [segment(0x11000n, 0x3000n, 0x3000n)], entry: 0x13000n }), 7],
    ["SIGBUS: an atomic that is not aligned", elfOf(code(0x00011517, 0x00250513, 0x00b5252f)), 7],
    ["SIGILL: no instruction", elfOf(code(0xffffffff)), 4],
    ["SIGILL: zeros", elfOf(code(0)), 4],
    ["SIGILL: a CSR of the kernel's", elfOf(code(0x10002573)), 4],
    ["SIGTRAP: ebreak", elfOf(code(0x00100073)), 5],
  ])("%s", async (_, bytes, signal) => {
    expect((await runHere(bytes, { checked: true })).exit).toEqual({ kind: "killed", signal });
  });

  it("a bad pointer in a system call is EFAULT", async () => {
    // write(1, -1, 8): its result becomes the exit code.
    const program = elfOf(code(0x00100513, 0xfff00593, 0x00800613, 0x04000893, ECALL, 0x40a00533, LI_A7_EXIT, ECALL));
    expect((await runHere(program)).exit).toEqual({ kind: "exited", code: 14 });
  });

  it("an unknown system call is ENOSYS, counted and named", async () => {
    const program = elfOf(code(0x1f300893, ECALL, 0x00600893, ECALL, 0x40a00533, LI_A7_EXIT, ECALL));
    const ran = await runHere(program);
    expect(ran.exit).toEqual({ kind: "exited", code: 38 });
    expect(ran.unknown_syscalls).toEqual({ "syscall 499": 1, lsetxattr: 1 });
  });
});

/** Runs a file for a bounded time, whatever it does; the machine must pass every walk afterwards. */
function runBounded(kernel: KernelImage, bytes: Uint8Array): void {
  const config = { memoryBytes: 8 << 20, codePages: 4, tlbEntries: 64, traceEvents: 256 };
  const { machine } = startProgram(kernel.module, { fs: "ramfs", name: "garbage", bytes, args: [], env: [], config });
  machine.command = "SEED=<seed> npx vitest run kernel-tests/rv64/bad-input.test.ts";
  try {
    machine.run({ untilNs: 1e6 + BOUND_NS + bytes.length * 4 });
  } catch (error) {
    if (!(error instanceof GuestFailure && error.cause instanceof ExecError)) throw error;
  }
  machine.check();
}

describe("fuzz", () => {
  it.each(seedsOf(40))("random bytes as code, seed %i", async (seed) => {
    const random = randomOf(seed);
    const bytes = Uint8Array.from({ length: 8192 }, () => random.below(256));
    runBounded(await loadKernel(true), elfOf(bytes, { entry: BigInt(CODE_AT + 0x1000 + 2 * random.below(4000)) }));
  });

  it.each(seedsOf(40))("instructions with random fields, seed %i", async (seed) => {
    const random = randomOf(seed + 1000);
    const majors = [
      0x03, 0x07, 0x0f, 0x13, 0x17, 0x1b, 0x23, 0x27, 0x2f, 0x33, 0x37, 0x3b, 0x43, 0x47, 0x4b, 0x4f, 0x53, 0x63, 0x67, 0x6f, 0x73,
    ];
    const words = Array.from({ length: 2000 }, () => ((random.below(1 << 25) << 7) | random.pick(majors)) >>> 0);
    runBounded(await loadKernel(true), elfOf(code(...words)));
  });

  it.each(seedsOf(40))("a real program with bytes changed, seed %i", async (seed) => {
    const random = randomOf(seed + 2000);
    const bytes = Uint8Array.from(readFileSync(compile("page_fault3.c")));
    for (let n = 1 + random.below(20); n > 0; n--) {
      const at = random.oneIn(2) ? random.below(0x400) : random.below(bytes.length);
      bytes[at] = random.below(256);
    }
    runBounded(await loadKernel(true), bytes);
  });
});
