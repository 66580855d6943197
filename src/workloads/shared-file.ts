/**
 * Files of workloads: one that all tasks share, and one of a task's own; and the store loops on their mappings.
 *
 * Interface: sharedPath, makeShared, openShared, mapShared, ownMapping, RW.
 * Invariants: [wsf-1] a shared file is made by setup, before any task: nobody sees it half made.
 * Locks: none.
 * Why not one file a workload file: four workloads share it.
 */
import { MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE } from "../guest/constants.js";
import { type Call, must, sys } from "../guest/sys.js";
import { mapTouchUnmap, ownFile } from "./page-fault.js";
import type { RunContext, TaskContext } from "./workload.js";

export const RW = PROT_READ | PROT_WRITE;

export function sharedPath(context: RunContext): string {
  return `${context.directory}/shared`;
}

/** Makes the shared file, its pages there. */
export function* makeShared(context: RunContext): Call {
  const fd = must(yield* sys.open(sharedPath(context), O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, context.lenBytes), "ftruncate");
  yield* mapTouchUnmap(context, MAP_SHARED, fd, true);
  return must(yield* sys.close(fd), "close");
}

export function* openShared(context: RunContext): Call {
  return must(yield* sys.open(sharedPath(context), O_RDWR), "open");
}

/** Maps the whole shared file. Returns the address. */
export function* mapShared(context: RunContext): Call {
  const fd = yield* openShared(context);
  const at = must(yield* sys.mmap(0, context.lenBytes, RW, MAP_SHARED, fd, 0), "mmap");
  must(yield* sys.close(fd), "close");
  return at;
}

/** Maps a file of the task's own, whole, its pages there. Returns the address. */
export function* ownMapping(task: TaskContext): Call {
  const fd = yield* ownFile(task, true);
  const at = must(yield* sys.mmap(0, task.lenBytes, RW, MAP_SHARED, fd, 0), "mmap");
  must(yield* sys.close(fd), "close");
  return at;
}
