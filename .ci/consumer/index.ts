/*
 * A program that has installed the package: what its types and its entry points promise, used once.
 */
import { Machine, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, type MachineConfig, mem, must, sys } from "faultline";
import { kernelBytes, loadKernel, type RunResult, runPoint, SCHEMA } from "faultline/node";

const LENGTH = 64 * 4096;
const config: MachineConfig = { cpus: 2, memoryBytes: 4 << 20 };

const machine = await Machine.create(kernelBytes(), config);
let touched = 0;
machine.spawn(function* () {
  const at = must(yield* sys.mmap(0, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
  touched = yield* mem.touch(at, LENGTH, { write: true });
  must(yield* sys.munmap(at, LENGTH), "munmap");
});
const reason: "time" | "idle" | "stop" = machine.run();
if (reason !== "idle" || touched !== 64) throw new Error(`the guest touched ${touched} pages and the machine is ${reason}`);

const kernel = await loadKernel();
const result: RunResult = await runPoint(kernel, {
  workload: "page_fault1",
  tasks: 2,
  mode: "processes",
  durationNs: 1e6,
  config: { memoryBytes: 16 << 20 },
});
if (result.schema !== SCHEMA || result.simulated.faults === 0) throw new Error("no result");

const wasm = new URL(import.meta.resolve("faultline/kernel.wasm"));
if (!wasm.pathname.endsWith("/build/faultline.wasm")) throw new Error(`kernel.wasm resolves to ${wasm.href}`);

// @ts-expect-error a machine has no such field: the types are looked at
if (machine.noSuchField !== undefined) throw new Error("unreachable");
console.log(`${result.simulated.faults} faults, state ${await machine.stateSha256()}`);
