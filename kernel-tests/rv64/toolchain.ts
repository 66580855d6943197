/*
 * Programs of riscv64 Linux for tests: compiled from sources that the project owns, run here and under QEMU.
 *
 * Interface: compile(source, options), runHere(program, options), runQemu(program, args), Ran.
 * Invariants:
 *   [rvt-1] what is compiled depends on the source and the options alone; each test file has a directory of its own.
 *   [rvt-2] a missing compiler or emulator fails the test, with the command that installs it: no test is skipped.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { loadKernel } from "../../src/node.js";
import type { MachineConfig } from "../../src/host/config.js";
import { type ExecDescription, type ExecResult, runProgram } from "../../src/sim/exec.js";

const PACKAGES = "apt-get install --no-install-recommends gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user";
const GCC = "riscv64-linux-gnu-gcc";
const QEMU = ["qemu-riscv64", "-cpu", "rv64,zba=true,zbb=true"] as const;

const directory = mkdtempSync(join(tmpdir(), "faultline-rv64-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function tool(command: string, args: readonly string[], input?: string): Buffer {
  const { error, status, stdout, stderr } = spawnSync(command, args, { input, maxBuffer: 1 << 28 });
  if (error) throw new Error(`${command}: ${error.message}; it comes with: ${PACKAGES}`);
  if (status !== 0 && command === GCC) throw new Error(`${command} ${args.join(" ")}\n${stderr.toString()}`);
  return stdout;
}

/** Compiles a source of kernel-tests/rv64/programs to a static executable. Returns its path. */
export function compile(source: string, options: readonly string[] = [], name = source.replace(/\.\w+$/, "")): string {
  const file = fileURLToPath(new URL(`programs/${source}`, import.meta.url));
  const program = join(directory, name);
  tool(GCC, ["-O1", "-march=rv64gc_zba_zbb", "-static", "-o", program, file, ...options]);
  return program;
}

/** What a program wrote to standard output under QEMU. */
export function runQemu(program: string, args: readonly string[] = []): string {
  const [command, ...flags] = QEMU;
  return tool(command, [...flags, program, ...args]).toString();
}

export interface Ran extends ExecResult {
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  args?: readonly string[];
  env?: readonly string[];
  stdin?: string;
  fs?: string;
  config?: MachineConfig;
  /** The build with every costly check. Default: the one that ships. */
  checked?: boolean;
}

/** Runs an executable, a file or bytes, on a machine of its own. */
export async function runHere(program: string | Uint8Array, options: RunOptions = {}): Promise<Ran> {
  const { args = [], env = [], fs = "ramfs", config = {}, checked = false, stdin } = options;
  const bytes = typeof program === "string" ? readFileSync(program) : program;
  const written = { stdout: "", stderr: "" };
  const name = typeof program === "string" ? (program.split("/").at(-1) ?? "program") : "program";
  const description: ExecDescription = { fs, name, bytes, args, env, config: { memoryBytes: 64 << 20, ...config } };
  if (stdin !== undefined) description.stdin = new TextEncoder().encode(stdin);
  const decoder = new TextDecoder("latin1");
  const result = await runProgram(
    (await loadKernel(checked)).module,
    description,
    (stream, output) => (written[stream] += decoder.decode(output)),
    () => Promise.resolve(),
  );
  return { ...result, ...written };
}
