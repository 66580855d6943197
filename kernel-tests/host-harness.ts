/*
 * Loads the test harness: build/kernel-tests.wasm, which is kernel-tests/harness on the rooms under test (checked build).
 *
 * Interface: loadHarness, Harness, HarnessCall, lawOf (what a broken law says), LawBroken, u64.
 * Invariants: [hh-1] every harness has an instance and a memory of its own; only the compiled module is shared.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { KernelAbort, instantiateKernel, readString } from "../src/host/wasm.js";

/** What a failed assert becomes: `law` is its text, `place` file:line:column. */
export { KernelAbort as LawBroken };

/** Numbers, and BigInts for 64-bit parameters. u32 results arrive signed. */
export type HarnessCall = (...args: (number | bigint)[]) => number;

export interface Harness {
  readonly memory: WebAssembly.Memory;
  readonly exports: Readonly<Record<string, HarnessCall>>;
  /** Calls an export by name, so that a missing one is named. */
  call(name: string, ...args: (number | bigint)[]): number;
  /** A constant of the kernel by its name. */
  constant(name: string): number;
  /** A static string of the kernel, given its address. */
  text(at: number): string;
}

const WASM = fileURLToPath(new URL("../build/kernel-tests.wasm", import.meta.url));
const BUILD = "npx tsx src/build/build.ts --only harness";
const DEFAULT_BYTES = 16 << 20;
const WASM_PAGE = 65536;

let compiled: WebAssembly.Module | undefined;

/** The harness module, compiled once. */
export function harnessModule(): WebAssembly.Module {
  if (!existsSync(WASM)) throw new Error(`${WASM} is missing; build it: ${BUILD}`);
  compiled ??= new WebAssembly.Module(readFileSync(WASM));
  return compiled;
}

/** A fresh instance; `memory` puts it on a memory that exists, for snapshots that go to another instance. */
export function loadHarness(options: { bytes?: number; memory?: WebAssembly.Memory } = {}): Harness {
  const pages = Math.ceil((options.bytes ?? DEFAULT_BYTES) / WASM_PAGE);
  const memory = options.memory ?? new WebAssembly.Memory({ initial: pages });
  const exports = instantiateKernel(harnessModule(), memory) as unknown as Record<string, HarnessCall>;
  return {
    memory,
    exports,
    call(name, ...args) {
      const f = exports[name];
      if (typeof f !== "function") throw new Error(`the harness has no function ${name}; if it is new: ${BUILD}`);
      return f(...args);
    },
    constant(name) {
      const global = exports[name] as unknown;
      if (!(global instanceof WebAssembly.Global)) throw new Error(`the harness has no constant ${name}: ${BUILD}`);
      return Number(global.value);
    },
    text: (at) => readString(memory, at),
  };
}

/** The law that `action` breaks; "" when it breaks none. Any other error passes through. */
export function lawOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof KernelAbort) return error.law;
    throw error;
  }
  return "";
}

/** A 64-bit result, which arrives as a signed BigInt, as unsigned. */
export function u64(value: unknown): bigint {
  return BigInt.asUintN(64, value as bigint);
}
