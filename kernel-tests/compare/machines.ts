/**
 * Small machines and files for the tests of what is measured.
 */
import { O_CREAT, O_RDWR } from "../../src/guest/constants.js";
import { type Call, must, sys } from "../../src/guest/sys.js";
import type { MachineConfig } from "../../src/host/config.js";
import { Machine } from "../../src/host/machine.js";
import type { KernelImage } from "../../src/sim/run.js";

export const EINVAL_NUMBER = 22;

export function machineWith(kernel: KernelImage, config: MachineConfig = {}): Machine {
  return Machine.createSync(kernel.module, { memoryBytes: 8 << 20, ...config });
}

/** An open file of that size. */
export function* fileOf(path: string, lenBytes: number): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, lenBytes), "ftruncate");
  return fd;
}
