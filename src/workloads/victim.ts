/**
 * The victim of most workloads: a process that reads /proc/PID/cmdline of the tasks' process now and then, as ps does. It meets
 * them nowhere but at their mmap_sem.
 *
 * Interface: procVictim, VICTIM_OPTIONS, victimRecord.
 * Invariants: [vic-1] a read's time is measured around the read alone, never around the pause.
 * Locks: mmap_sem of the target, for reading.
 * Why not a thread of the tasks: the argument is about somebody who did nothing to deserve the wait.
 */
import { procRead } from "../guest/mem.js";
import { timed } from "../guest/io.js";
import { sys } from "../guest/sys.js";
import { type Options, type WorkloadOption, numberOption } from "./options.js";
import type { Actor, Recorded } from "./workload.js";

export const VICTIM_OPTIONS: readonly WorkloadOption[] = [
  { name: "victims", kind: "count", default: "1", max: 64, summary: "processes that read /proc/PID/cmdline" },
  { name: "victim_pause", kind: "duration", default: "50us", summary: "between two reads of a victim" },
];

export function victimRecord(): Recorded {
  return { name: "victim_cmdline_ns", summary: "a read of /proc/PID/cmdline of the tasks' process", victim: true };
}

/** Actors that read and record under `recorder`. */
export function procVictim(options: Options, recorder: number): Actor {
  const pauseNs = numberOption(options, "victim_pause");
  return {
    name: "victim",
    where: "process",
    count: numberOption(options, "victims"),
    *pass({ targetPid }) {
      yield* timed(recorder, procRead("cmdline", targetPid));
      yield* sys.nanosleep(pauseNs);
    },
  };
}
