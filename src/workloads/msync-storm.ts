/**
 * msync-storm: threads store to a shared file while others msync it in a loop: every page is write-protected again and again,
 * and every store is a fault that asks page_mkwrite.
 */
import { MS_SYNC } from "../guest/constants.js";
import { timed } from "../guest/io.js";
import { mem, now } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { numberOption } from "./options.js";
import { makeShared, mapShared } from "./shared-file.js";
import { VICTIM_OPTIONS, procVictim, victimRecord } from "./victim.js";
import { type Workload, accessesOf } from "./workload.js";

const MSYNC = 0;
const VICTIM = 1;

export const msyncStorm: Workload = {
  name: "msync-storm",
  summary: "stores to a shared file while others msync it in a loop",
  origin: "Faultline",
  footprint: 1,
  lenBytes: 4 << 20,
  options: [
    { name: "syncers", kind: "count", default: "1", min: 1, max: 64, summary: "threads that msync" },
    { name: "sync_bytes", kind: "size", default: "256K", summary: "bytes of one msync, at a place of the syncer's choice" },
    { name: "stores", kind: "count", default: "64", min: 1, max: 4096, summary: "random stores between two looks at the clock" },
    ...VICTIM_OPTIONS,
  ],
  recorded: [{ name: "msync_ns", summary: "msync(MS_SYNC) of one range" }, victimRecord()],
  setup: makeShared,
  share: mapShared,
  *prepare(task) {
    return yield* mem.touch(task.shared, task.lenBytes, { write: task.index === 0 });
  },
  *pass(task) {
    yield* mem.touchRandom(task.shared, task.lenBytes, numberOption(task.options, "stores"), 100, (yield* now()) * 131 + task.index);
  },
  actors({ options, lenBytes }) {
    const bytes = Math.min(lenBytes, Math.ceil(numberOption(options, "sync_bytes") / 4096) * 4096);
    const places = Math.floor(lenBytes / bytes);
    return [
      {
        name: "syncer",
        where: "thread",
        count: numberOption(options, "syncers"),
        *pass({ shared, index }) {
          const place = Math.floor((yield* now()) / 1000 + index) % places;
          must(yield* timed(MSYNC, sys.msync(shared + place * bytes, bytes, MS_SYNC)), "msync");
        },
      },
      procVictim(options, VICTIM),
    ];
  },
  iterations: accessesOf,
};
