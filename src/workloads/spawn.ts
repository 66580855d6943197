/**
 * spawn: tasks fault on files of their own while threads are created and joined: pthread_create maps a stack, takes its guard page
 * away and clones, the join unmaps it, each under mmap_sem for writing.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE } from "../guest/constants.js";
import { record } from "../guest/io.js";
import { mem, now } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { faultAgain } from "./mmap-churn.js";
import { numberOption } from "./options.js";
import { RW, ownMapping } from "./shared-file.js";
import { VICTIM_OPTIONS, procVictim, victimRecord } from "./victim.js";
import { type Actor, type Workload, touchesOf } from "./workload.js";

const SPAWN = 0;
const VICTIM = 1;
const STACK_BYTES = 256 * 1024;
const JOIN_PAUSE_NS = 5000;

function spawner(count: number, rate: number): Actor {
  const periodNs = Math.floor(1e9 / rate);
  return {
    name: "spawner",
    where: "thread",
    count,
    *pass({ targetPid }) {
      const startNs = yield* now();
      const stack = must(yield* sys.mmap(0, STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
      must(yield* sys.mprotect(stack + 4096, STACK_BYTES - 4096, RW), "mprotect");
      const tid = yield* sys.thread(function* () {
        yield* mem.touch(stack + STACK_BYTES - 4096, 4096, { write: true });
      });
      must(tid, "clone");
      yield* record(SPAWN, (yield* now()) - startNs);
      // The join: there is no futex, so the spawner looks until the thread is gone.
      while ((yield* sys.tgkill(targetPid, tid, 0)) === 0) yield* sys.nanosleep(JOIN_PAUSE_NS);
      must(yield* sys.munmap(stack, STACK_BYTES), "munmap");
      const leftNs = periodNs - ((yield* now()) - startNs);
      if (leftNs > 0) yield* sys.nanosleep(leftNs);
    },
  };
}

export const spawn: Workload = {
  name: "spawn",
  summary: "threads created and joined while others fault on own files",
  origin: "Faultline",
  footprint: 1,
  lenBytes: 4 << 20,
  options: [
    { name: "spawners", kind: "count", default: "1", min: 1, max: 16, summary: "threads that create threads" },
    { name: "rate", kind: "count", default: "2000", min: 1, max: 100_000, summary: "threads created a second, each spawner" },
    ...VICTIM_OPTIONS,
  ],
  recorded: [{ name: "spawn_ns", summary: "mmap, mprotect and clone of one new thread" }, victimRecord()],
  prepare: ownMapping,
  pass: faultAgain,
  actors: ({ options }) => [spawner(numberOption(options, "spawners"), numberOption(options, "rate")), procVictim(options, VICTIM)],
  iterations: touchesOf,
};
