/**
 * mixed: what a program with a file-backed heap does: random loads and stores in a shared file mapping, anonymous scratch
 * memory that comes and goes, a change of protection now and then, and a little work in between.
 */
import { MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "../guest/constants.js";
import { compute, mem } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { ownFile } from "./page-fault.js";
import { type Workload, touchesOf } from "./workload.js";

const TOUCHES = 64;
const WRITE_PERCENT = 30;
const SCRATCH_BYTES = 16 * 4096;

export const mixed: Workload = {
  name: "mixed",
  summary: "random loads and stores in a shared file, scratch memory, mprotect, a little work",
  origin: "Faultline",
  footprint: 1,
  *prepare(task) {
    const fd = yield* ownFile(task, true);
    return must(yield* sys.mmap(0, task.lenBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), "mmap");
  },
  *pass(task, at) {
    const seed = task.seed * 1009 + task.index;
    yield* mem.touchRandom(at, task.lenBytes, TOUCHES, WRITE_PERCENT, seed + (yield* sys.gettid()));
    const scratch = must(yield* sys.mmap(0, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
    yield* mem.touch(scratch, SCRATCH_BYTES, { write: true });
    must(yield* sys.mprotect(scratch, SCRATCH_BYTES / 2, PROT_READ), "mprotect");
    yield* compute(5000);
    must(yield* sys.munmap(scratch, SCRATCH_BYTES), "munmap");
    must(yield* sys.madvise(at, Math.min(task.lenBytes, 64 * 4096), MADV_DONTNEED), "madvise");
  },
  iterations: touchesOf,
};
