/**
 * The kernel's lock_stat: acquisitions, waits and holds of each lock class, readers and writers apart.
 *
 * Interface: LockStat, readLockStat.
 */
import type { KernelExports } from "./wasm.js";

/** lock_stat of one class in one mode; times in ns. */
export interface LockStat {
  acquisitions: number;
  contentions: number;
  waitNs: number;
  waitMaxNs: number;
  waitMinNs: number;
  holdNs: number;
  holdMaxNs: number;
  holdMinNs: number;
}

function statOf(kernel: KernelExports, id: number, mode: number): LockStat {
  const at = (field: number): number => kernel.lockStatField(id, mode, field);
  return {
    acquisitions: at(0),
    contentions: at(1),
    waitNs: at(2),
    waitMaxNs: at(3),
    waitMinNs: at(4),
    holdNs: at(5),
    holdMaxNs: at(6),
    holdMinNs: at(7),
  };
}

/** Every class that was used, by name and mode. `names` has the classes by number. */
export function readLockStat(kernel: KernelExports, names: readonly string[]): Record<string, { read: LockStat; write: LockStat }> {
  const result: Record<string, { read: LockStat; write: LockStat }> = {};
  names.forEach((name, id) => {
    if (name === "") return;
    const entry = { read: statOf(kernel, id, 0), write: statOf(kernel, id, 1) };
    if (entry.read.acquisitions + entry.write.acquisitions > 0) result[name] = entry;
  });
  return result;
}
