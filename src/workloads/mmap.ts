/**
 * mmap1 and mmap2: every task maps lenBytes and unmaps it again, touching nothing.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "../guest/constants.js";
import { type Call, must, sys } from "../guest/sys.js";
import { ownFile } from "./page-fault.js";
import { type TaskContext, type Workload, mmapsOf } from "./workload.js";

function* mapUnmap(task: TaskContext, flags: number, fd: number): Call {
  const at = must(yield* sys.mmap(0, task.lenBytes, PROT_READ | PROT_WRITE, flags, fd, 0), "mmap");
  return must(yield* sys.munmap(at, task.lenBytes), "munmap");
}

export const mmap1: Workload = {
  name: "mmap1",
  summary: "anonymous mmap and munmap",
  origin: "will-it-scale",
  footprint: 0,
  *prepare() {
    return yield* sys.gettid();
  },
  pass: (task) => mapUnmap(task, MAP_PRIVATE | MAP_ANONYMOUS, -1),
  iterations: mmapsOf,
};

export const mmap2: Workload = {
  name: "mmap2",
  summary: "mmap and munmap of an own file",
  origin: "will-it-scale",
  footprint: 0,
  prepare: (task) => ownFile(task, false),
  pass: (task, fd) => mapUnmap(task, MAP_SHARED, fd),
  iterations: mmapsOf,
};
