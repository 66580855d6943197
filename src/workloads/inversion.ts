/**
 * inversion: the three actors of SCENARIOS section 6. A fault is stuck in page_mkwrite from 0 to 1500 ms; at 150 ms another thread
 * of the process does `op`, which wants mmap_sem or the VMA for writing; at 350 ms another process reads /proc/PID/cmdline. Beside
 * them a fourth thread takes an anonymous fault at 400 ms.
 *
 *     0 ms          150 ms              350 ms               400 ms                    1500 ms
 *     store stuck   op (writer queues)  victim reads cmdline  another thread's fault   the stall ends
 *
 * What page_mkwrite waits for, by --set stall=:
 *     frozen      the filesystem is frozen until 1500 ms
 *     writeback   the page is under writeback, last in a queue of 6 MiB on a disk that writes 4 MB/s
 *     tickets     space is short: a reservation ticket waits for the commit that sets it free, on a disk with slow flushes
 *     slow_disk   the page is under writeback, and the disk takes 1500 ms for one request
 *
 * Interface: inversion, INVERSION_CASES, INVERSION_STALLS.
 * Invariants: [inv-1] times are measured around each actor's own call; every actor starts at its time after one common start.
 * Locks: mmap_sem, the VMA's lock, freeze protection.
 * Why not a loop of many: one event a run, as it was measured on metal; the figures are waits, not rates.
 */
import { FIFREEZE, FITHAW, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, O_CREAT, O_RDWR, PROT_READ } from "../guest/constants.js";
import { record, timed } from "../guest/io.js";
import { barrier, mem, now, procRead } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import type { DiskModel } from "../host/disk.js";
import type { GuestFn } from "../host/guests.js";
import { type Options, textOption } from "./options.js";
import { RW } from "./shared-file.js";
import { type RunContext, type Workload, touchesOf } from "./workload.js";

const MS = 1e6;
const OP_AT_NS = 150 * MS;
const VICTIM_AT_NS = 350 * MS;
const ANON_AT_NS = 400 * MS;
const STALL_END_NS = 1500 * MS;
const PAGES = 4;
/** Pages that are written ahead of the mapped ones when writeback is the stall: 1500 ms at 4 bytes a us. */
const BACKLOG_PAGES = 1465;
const SLOW_BYTES_PER_US = 4;
const PAGE = 4096;
/** Faulter, op, anonymous faulter, victim, and the leader that ends the stall. */
const PARTIES = 5;
const START = 1;

export const INVERSION_STALLS = ["frozen", "writeback", "tickets", "slow_disk"] as const;
type Stall = (typeof INVERSION_STALLS)[number];

const OP_BLOCKED = 0;
const VICTIM_BLOCKED = 1;
const ANON_FAULT = 2;
const STORE = 3;

/** The rows of calibration/inversion-2vcpu.csv. */
export const INVERSION_CASES: readonly (readonly string[])[] = [
  ...["none", "mmap_elsewhere", "mprotect_same_vma", "munmap_same_vma", "fork"].map((op) => ["fault_from=user_store", `op=${op}`]),
  ...["none", "mmap_elsewhere", "mprotect_same_vma", "fork"].map((op) => ["fault_from=kernel_access", `op=${op}`]),
];

interface Scene {
  options: Options;
  directory: string;
  /** The file, and its PAGES pages, mapped shared and read in. */
  fd: number;
  at: number;
  /** An anonymous page that nobody has touched, and a file to read from. */
  anon: number;
  source: number;
}

function* waitUntil(timeNs: number): Call {
  const leftNs = timeNs - (yield* now());
  return leftNs > 0 ? yield* sys.nanosleep(leftNs) : 0;
}

/** Meets the others; returns the common start. */
function* meet(): Call {
  yield* barrier(START, PARTIES);
  return yield* now();
}

function* op(scene: Scene): Call {
  switch (textOption(scene.options, "op")) {
    case "mmap_elsewhere":
      return yield* sys.mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    case "mprotect_same_vma":
      return yield* sys.mprotect(scene.at + 2 * PAGE, PAGE, PROT_READ);
    case "munmap_same_vma":
      return yield* sys.munmap(scene.at + 2 * PAGE, PAGE);
    case "fork":
      return yield* sys.fork(function* () {
        yield* sys.getpid();
      });
    default:
      return yield* sys.getpid();
  }
}

/** The store that gets stuck: a user's, or the kernel's copy of read(2) into the mapping. */
function* stuckStore(scene: Scene): Call<unknown> {
  if (textOption(scene.options, "fault_from") === "user_store") return yield* mem.touch(scene.at, PAGE, { write: true });
  return must(yield* sys.preadTo(scene.source, scene.at, PAGE, 0), "read into the mapping");
}

function threads(scene: Scene): GuestFn[] {
  const at = (cpu: number, delayNs: number, id: number, what: () => Call<unknown>): GuestFn =>
    function* () {
      yield* sys.pin(cpu);
      const start = yield* meet();
      yield* waitUntil(start + delayNs);
      yield* timed(id, what());
    };
  return [
    at(1, 0, STORE, () => stuckStore(scene)),
    at(2, OP_AT_NS, OP_BLOCKED, () => op(scene)),
    at(3, ANON_AT_NS, ANON_FAULT, () => mem.touch(scene.anon, PAGE, { write: true })),
  ];
}

/** A child that waits for its time and reads its parent's /proc entry. */
function victim(pid: number): GuestFn {
  return function* () {
    yield* sys.pin(4);
    const start = yield* meet();
    yield* waitUntil(start + VICTIM_AT_NS);
    yield* timed(VICTIM_BLOCKED, procRead("cmdline", pid));
  };
}

function stallOf(options: Options): Stall {
  const name = textOption(options, "stall");
  const found = INVERSION_STALLS.find((stall) => stall === name);
  if (found === undefined) throw new Error(`a stall of the options' table: ${name}`);
  return found;
}

/** Writes pages until one has to wait. */
function* writeUntilItWaits(fd: number): Call<void> {
  const chunk = new Uint8Array(PAGE).fill(9);
  for (let at = 0; ; at += PAGE) {
    const before = yield* now();
    if ((yield* sys.pwrite(fd, chunk, at)) !== PAGE || (yield* now()) - before > MS) return;
  }
}

/**
 * Fills the filesystem, and deletes what fills it: the space comes back with the next commit. A writer takes what is left and
 * waits with a ticket for more; the store will queue behind it.
 */
function* exhaust(scene: Scene): Call {
  const path = `${scene.directory}/fill`;
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  const chunk = new Uint8Array(PAGE).fill(9);
  let at = 0;
  while ((yield* sys.pwrite(fd, chunk, at)) === PAGE) at += PAGE;
  must(yield* sys.fsync(fd), "fsync");
  must(yield* sys.close(fd), "close");
  must(yield* sys.unlink(path), "unlink");
  const more = must(yield* sys.open(`${scene.directory}/more`, O_RDWR | O_CREAT), "open");
  must(
    yield* sys.thread(function* () {
      yield* sys.pin(0);
      yield* writeUntilItWaits(more);
    }),
    "clone",
  );
  return yield* sys.nanosleep(MS);
}

/** Writes everything of the file in a task of its own; the mapped pages are the last to be written. */
function* writeBack(scene: Scene, backlogPages: number): Call {
  const { fd } = scene;
  const chunk = new Uint8Array(PAGE).fill(7);
  for (let pgoff = 0; pgoff < backlogPages; pgoff++) must(yield* sys.pwrite(fd, chunk, pgoff * PAGE), "pwrite");
  yield* mem.touch(scene.at, PAGE, { write: true, value: 2 });
  must(
    yield* sys.thread(function* () {
      yield* sys.pin(0);
      must(yield* sys.fsync(fd), "fsync");
    }),
    "clone",
  );
  // Time for fsync to clean the pages and to give them to the disk.
  return yield* sys.nanosleep(10 * MS);
}

function* stallBegins(scene: Scene): Call {
  switch (stallOf(scene.options)) {
    case "frozen":
      return must(yield* sys.ioctl(scene.fd, FIFREEZE), "FIFREEZE");
    case "writeback":
      return yield* writeBack(scene, BACKLOG_PAGES);
    case "slow_disk":
      return yield* writeBack(scene, 0);
    case "tickets":
      return yield* exhaust(scene);
  }
}

function* stallEnds(scene: Scene, startNs: number): Call {
  yield* waitUntil(startNs + STALL_END_NS);
  return stallOf(scene.options) === "frozen" ? must(yield* sys.ioctl(scene.fd, FITHAW), "FITHAW") : 0;
}

/** The disk that makes the stall as long as it is. */
function diskOf(options: Options): DiskModel | undefined {
  switch (stallOf(options)) {
    case "frozen":
      return undefined;
    case "writeback":
      return { bytesPerUs: SLOW_BYTES_PER_US };
    case "slow_disk":
      return { writeNs: STALL_END_NS };
    case "tickets":
      // A commit has two.
      return { flushNs: STALL_END_NS / 2 };
  }
}

function* prepareScene(context: RunContext): Call<Scene> {
  const { options, directory } = context;
  const source = must(yield* sys.open("/tmp/source", O_RDWR | O_CREAT), "open");
  must(yield* sys.pwrite(source, new Uint8Array(PAGE).fill(3), 0), "pwrite");
  const fd = must(yield* sys.open(`${directory}/inversion`, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, (BACKLOG_PAGES + PAGES) * PAGE), "ftruncate");
  // Above the file: fork locks the VMAs in the order of their addresses, and it is the file's that it gets stuck on.
  const anon = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
  const at = must(yield* sys.mmap(0, PAGES * PAGE, RW, MAP_SHARED, fd, BACKLOG_PAGES * PAGE), "mmap");
  yield* mem.touch(at, PAGES * PAGE, { write: true });
  must(yield* sys.fsync(fd), "fsync");
  return { options, directory, fd, at, anon, source };
}

function leader(context: RunContext): GuestFn {
  return function* (ctx) {
    const scene = yield* prepareScene(context);
    must(yield* sys.fork(victim(ctx.pid)), "fork");
    for (const body of threads(scene)) must(yield* sys.thread(body), "clone");
    yield* stallBegins(scene);
    const start = yield* meet();
    yield* stallEnds(scene, start);
    // The process lives until its threads are done: exit of this one alone.
    yield* record(STORE + 1, (yield* now()) - start);
    yield* sys.exit(0);
  };
}

export const inversion: Workload = {
  name: "inversion",
  summary: "a fault stuck in page_mkwrite, a writer of mmap_sem, a victim that reads /proc/PID/cmdline",
  origin: "Linux 6.18 measured, 2 CPUs",
  footprint: 1,
  lenBytes: (BACKLOG_PAGES + PAGES) * PAGE,
  options: [
    {
      name: "fault_from",
      kind: "choice",
      default: "user_store",
      choices: ["user_store", "kernel_access"],
      summary: "who stores: the program, or read(2) into the mapping",
    },
    {
      name: "op",
      kind: "choice",
      default: "mprotect_same_vma",
      choices: ["none", "mmap_elsewhere", "mprotect_same_vma", "munmap_same_vma", "fork"],
      summary: "what another thread does at 150 ms",
    },
    { name: "stall", kind: "choice", default: "frozen", choices: INVERSION_STALLS, summary: "what page_mkwrite waits for" },
  ],
  cases: INVERSION_CASES,
  recorded: [
    { name: "op_blocked_ns", summary: "the other thread's op" },
    { name: "cmdline_read_blocked_ns", summary: "the read of /proc/PID/cmdline", victim: true },
    { name: "other_thread_anon_fault_ns", summary: "an anonymous fault of another thread" },
    { name: "stuck_store_ns", summary: "the store that was stuck" },
    { name: "stall_ns", summary: "from the start to the end of the stall" },
  ],
  ends: true,
  needsMkwrite: true,
  machine({ options }) {
    const disk = diskOf(options);
    return disk ? { disk } : {};
  },
  *prepare() {
    return yield* sys.getpid();
  },
  *pass() {
    yield* sys.getpid();
  },
  processes: (context) => [{ fn: leader(context), cpu: 0 }],
  cpus: () => 5,
  iterations: touchesOf,
};
