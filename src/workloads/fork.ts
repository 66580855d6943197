/**
 * fork1: every task forks a child that exits at once, waits for it, and starts again.
 */
import { must, sys } from "../guest/sys.js";
import type { Workload } from "./workload.js";

export const fork1: Workload = {
  name: "fork1",
  summary: "fork, exit and wait",
  origin: "will-it-scale",
  footprint: 0,
  *prepare() {
    return yield* sys.getpid();
  },
  *pass() {
    const pid = must(
      yield* sys.fork(function* () {
        yield* sys.exitGroup(0);
      }),
      "fork",
    );
    const { pid: reaped } = yield* sys.wait(pid);
    return must(reaped, "wait4");
  },
  iterations: (machine) => machine.traceCounts()["sched:sched_process_fork"] ?? 0,
};
