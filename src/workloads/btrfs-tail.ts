/**
 * btrfs-tail: random stores to a read-mapped file on a filesystem that is nearly full, so that now and then a reservation of space in
 * page_mkwrite is slow; while a writer maps and unmaps at a set rate, and a victim reads /proc/PID/cmdline.
 *
 * The slow reservation falls out of the filesystem's own mechanism, nothing is injected: setup leaves `free` bytes beside the file, so
 * after some stores to clean pages the next reservation does not fit. On cowfs it becomes a ticket (fs/cowfs/reserve.ts), its task
 * sleeps in page_mkwrite, and the flusher writes all delalloc and commits a transaction. What a store costs in between is the same
 * at any `free`: `free` sets how often a reservation is slow, the disk how slow; `sync_pause` makes it rarer than any disk here is large
 * enough for. The counters reservation_waits and reservation_wait_ns say that it happened; docs/workloads.md has the shares beside those
 * measured on btrfs.
 *
 * Interface: btrfsTail.
 * Invariants: [bt-1] every store of a task is to a page that somebody has read-mapped: it asks page_mkwrite unless the page is dirty.
 *             [bt-2] the file's blocks lie scattered from the start: its trees are as large as random stores make them.
 * Locks: none of its own.
 * Why not a slow reservation by a coin: who waits for whom, and how many at once, is what is to be measured.
 */
import { O_CREAT, O_RDWR } from "../guest/constants.js";
import { mem, now } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import type { DiskModel } from "../host/disk.js";
import { churner } from "./mmap-churn.js";
import { numberOption } from "./options.js";
import { mapShared, openShared, sharedPath } from "./shared-file.js";
import { VICTIM_OPTIONS, procVictim, victimRecord } from "./victim.js";
import { type Actor, type RunContext, type Workload, accessesOf } from "./workload.js";

const CHURN = 0;
const VICTIM = 1;
const PAGE = 4096;
/** Blocks of the ballast that one write adds. */
const BALLAST_BLOCKS = 64;
/** Room for the trees of a file whose every block is an extent of its own, in blocks for each of the file's. */
const TREE_SHARE = 1 / 6;
const SPARE_BLOCKS = 512;
const SLICE_NS = 100_000;
/** The virtio disk under which the shares were measured: a read, and a flush as one msync took. */
const DISK: DiskModel = { readNs: 55_000, flushNs: 4_000_000 };
/** Flusher, space flusher, worker. */
const KERNEL_THREADS = 3;

function freeBlocks(context: RunContext): number {
  return Math.floor(numberOption(context.options, "free") / PAGE);
}

/** Makes the shared file, every second page first: no two blocks of it are one extent. */
function* makeScattered(context: RunContext): Call {
  const fd = must(yield* sys.open(sharedPath(context), O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, context.lenBytes), "ftruncate");
  const at = yield* mapShared(context);
  for (const first of [0, PAGE]) {
    yield* mem.touch(at + first, context.lenBytes - first, { write: true, stride: 2 * PAGE });
    must(yield* sys.fsync(fd), "fsync");
  }
  must(yield* sys.munmap(at, context.lenBytes), "munmap");
  return must(yield* sys.close(fd), "close");
}

/** Fills the filesystem until `free` bytes are left; one that does not count its blocks is left alone. */
function* fill(context: RunContext): Call {
  const wanted = freeBlocks(context);
  const fd = must(yield* sys.open(`${context.directory}/ballast`, O_RDWR | O_CREAT), "open");
  const block = new Uint8Array(BALLAST_BLOCKS * PAGE).fill(0x55);
  for (;;) {
    const st = yield* sys.statfs(context.directory);
    const left = typeof st === "number" || st.blocks === 0 ? 0 : Math.floor((st.bavail * st.bsize) / PAGE) - wanted;
    if (left <= 0) break;
    const bytes = Math.min(left, BALLAST_BLOCKS) * PAGE;
    must(yield* sys.write(fd, block.subarray(0, bytes)), "write");
  }
  must(yield* sys.fsync(fd), "fsync");
  return must(yield* sys.close(fd), "close");
}

/** Threads that sync, in each process. */
function syncers(options: RunContext["options"]): number {
  return numberOption(options, "sync_pause") > 0 ? 1 : 0;
}

/** Writes the shared file and commits now and then, as a filesystem's periodic commit does: space is made before anybody needs it. */
function syncer(count: number, pauseNs: number): Actor {
  return {
    name: "syncer",
    where: "thread",
    count,
    prepare: openShared,
    *pass(_context, fd) {
      yield* sys.nanosleep(pauseNs);
      must(yield* sys.fsync(fd), "fsync");
    },
  };
}

export const btrfsTail: Workload = {
  name: "btrfs-tail",
  summary: "random stores to a read-mapped file on a nearly full filesystem: now and then page_mkwrite waits for space",
  origin: "Faultline",
  footprint: 1,
  lenBytes: 64 << 20,
  duration: "200ms",
  needsMkwrite: true,
  options: [
    { name: "free", kind: "size", default: "64M", summary: "space left beside the file: the less, the more often a reservation is slow" },
    { name: "stores", kind: "count", default: "64", min: 1, max: 4096, summary: "random stores between two looks at the clock" },
    { name: "writers", kind: "count", default: "1", max: 64, summary: "threads that mmap and munmap" },
    { name: "rate", kind: "count", default: "1000", min: 1, max: 1_000_000, summary: "pairs of mmap and munmap a second, each writer" },
    {
      name: "sync_pause",
      kind: "duration",
      default: "0ns",
      summary: "between two syncs of the filesystem by a thread of its own; 0: none",
    },
    ...VICTIM_OPTIONS,
  ],
  recorded: [{ name: "churn_ns", summary: "one call of mmap or munmap of 64 KiB" }, victimRecord()],
  machine: (context) => {
    const blocks = context.lenBytes / PAGE;
    // Linux lets a thread that wakes preempt one that has run for long, here a slice has to end first: with slices of 3 ms a task that
    // shares its CPU with the flusher would hold mmap_sem for that long, and it would not be page_mkwrite's doing.
    const diskBlocks = Math.ceil(blocks * (1 + TREE_SHARE)) + freeBlocks(context) + SPARE_BLOCKS;
    return { sliceNs: SLICE_NS, diskBlocks, disk: DISK };
  },
  // A victim that waits for a CPU waits for nobody's lock: the filesystem's threads have CPUs of their own.
  cpus: ({ tasks, mode, options }) =>
    tasks +
    (numberOption(options, "writers") + syncers(options)) * (mode === "threads" ? 1 : tasks) +
    numberOption(options, "victims") +
    KERNEL_THREADS,
  *setup(context) {
    yield* makeScattered(context);
    yield* fill(context);
  },
  share: mapShared,
  *prepare({ shared, lenBytes }) {
    return yield* mem.touch(shared, lenBytes);
  },
  *pass(task) {
    yield* mem.touchRandom(task.shared, task.lenBytes, numberOption(task.options, "stores"), 100, (yield* now()) * 131 + task.index);
  },
  actors: ({ options }) => [
    churner(CHURN, numberOption(options, "writers"), numberOption(options, "rate")),
    syncer(syncers(options), numberOption(options, "sync_pause")),
    procVictim(options, VICTIM),
  ],
  iterations: accessesOf,
};
