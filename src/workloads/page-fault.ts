/**
 * page_fault1 to page_fault4: every task maps lenBytes, touches one byte of each page, unmaps, and starts again.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { type TaskContext, type Workload, touchesOf } from "./workload.js";

/** An unlinked file of the task's own, all its pages in the page cache: what a first pass would leave behind. */
export function* ownFile(task: TaskContext, fill: boolean): Call {
  const path = `${task.directory}/willitscale.${task.index}`;
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, task.lenBytes), "ftruncate");
  must(yield* sys.unlink(path), "unlink");
  if (fill) yield* mapTouchUnmap(task, MAP_SHARED, fd, true);
  return fd;
}

/** Maps the file or anonymous memory whole, touches every page, unmaps. */
export function* mapTouchUnmap(task: { lenBytes: number }, flags: number, fd: number, write: boolean): Call {
  const at = must(yield* sys.mmap(0, task.lenBytes, PROT_READ | PROT_WRITE, flags, fd, 0), "mmap");
  yield* mem.touch(at, task.lenBytes, { write });
  return must(yield* sys.munmap(at, task.lenBytes), "munmap");
}

function* nothing(): Call {
  return yield* sys.gettid();
}

const ORIGIN = "will-it-scale";

export const pageFault1: Workload = {
  name: "page_fault1",
  summary: "anonymous memory, written",
  origin: ORIGIN,
  footprint: 1,
  prepare: nothing,
  pass: (task) => mapTouchUnmap(task, MAP_PRIVATE | MAP_ANONYMOUS, -1, true),
  iterations: touchesOf,
};

export const pageFault2: Workload = {
  name: "page_fault2",
  summary: "private mapping of an own file, written: every page is copied",
  origin: ORIGIN,
  footprint: 2,
  prepare: (task) => ownFile(task, true),
  pass: (task, fd) => mapTouchUnmap(task, MAP_PRIVATE, fd, true),
  iterations: touchesOf,
};

export const pageFault3: Workload = {
  name: "page_fault3",
  summary: "shared mapping of an own file, written: the main job",
  origin: ORIGIN,
  footprint: 1,
  prepare: (task) => ownFile(task, true),
  pass: (task, fd) => mapTouchUnmap(task, MAP_SHARED, fd, true),
  iterations: touchesOf,
};

export const pageFault4: Workload = {
  name: "page_fault4",
  summary: "private mapping of an own file, read",
  origin: ORIGIN,
  footprint: 1,
  prepare: (task) => ownFile(task, true),
  pass: (task, fd) => mapTouchUnmap(task, MAP_PRIVATE, fd, false),
  iterations: touchesOf,
};
