/*
 * Every allocation of a small workload fails once: page frames, then objects, the nth of them in the nth run. Each call says so
 * with an errno of its own or with the death that Linux has for it, nothing breaks, and nothing is left behind.
 *
 *   N=17 KIND=slab npx vitest run kernel-tests/kernel/fault-injection.test.ts     runs one of them
 * Checks: [slab-3] [mr-2] [fk-2] [oom-1] [mk-6].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  type FaultLockRegime,
  MADV_POPULATE_WRITE,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  SIGKILL,
  mem,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ANON, E, PAGE, RW, TestMachine, anon } from "../test-machine.js";

const AT = 0x10_0000_0000;
const TO = 0x11_0000_0000;

/** Errnos that a lack of memory may end in: of the call itself, and of what depends on one that failed. */
const EXPECTED = new Set([E.NOMEM, E.AGAIN, E.NOSPC, E.BADF, E.FAULT, E.NOENT, E.INVAL, E.CHILD]);

/** A step and what it returns when everything is there. */
interface Step {
  name: string;
  run: () => Call;
}

function* files(): Call {
  const fd = yield* sys.open("/dir/file", O_RDWR | O_CREAT);
  if (fd < 0) return fd;
  const results = [
    yield* sys.write(fd, new Uint8Array(2 * PAGE).fill(5)),
    yield* sys.fallocate(fd, 0, 0, 5 * PAGE),
    yield* sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE),
    yield* sys.dup(fd),
  ];
  return results.find((result) => result < 0) ?? 0;
}

function* children(): Call {
  const pid = yield* sys.fork(function* () {
    yield* mem.tryTouch(AT, 4 * PAGE, { write: true });
    yield* sys.exitGroup(7);
  });
  if (pid < 0) return pid;
  const { status } = yield* sys.wait(pid);
  return status === 7 << 8 || status === SIGKILL ? 0 : status;
}

function* threads(): Call {
  const tid = yield* sys.thread(function* () {
    yield* mem.tryTouch(AT + 4 * PAGE, PAGE, { write: true });
  });
  yield* sys.nanosleep(1e6);
  return tid < 0 ? tid : 0;
}

function* touched(at: number, lenBytes: number): Call {
  return (yield* mem.tryTouch(at, lenBytes, { write: true })).signal === 0 ? 0 : -E.FAULT;
}

const STEPS: Step[] = [
  { name: "mkdir", run: () => sys.mkdir("/dir") },
  { name: "files", run: files },
  { name: "a long name", run: () => sys.open("/dir/a-name-that-is-longer-than-thirty-one-bytes", O_RDWR | O_CREAT) },
  { name: "mmap of the file", run: () => sys.mmap(AT, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, 0, 0) },
  { name: "shared touch", run: () => touched(AT, 4 * PAGE) },
  { name: "private mapping", run: () => sys.mmap(TO, 2 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, 0, 0) },
  { name: "private touch", run: () => touched(TO, 2 * PAGE) },
  { name: "anonymous", run: () => anonymous() },
  { name: "mprotect", run: () => sys.mprotect(AT + PAGE, PAGE, PROT_READ) },
  { name: "mlock", run: () => sys.mlock(AT + 2 * PAGE, PAGE) },
  { name: "populate", run: () => sys.madvise(TO, 2 * PAGE, MADV_POPULATE_WRITE) },
  { name: "mremap", run: () => sys.mremap(TO, PAGE, 3 * PAGE, 3, TO + 0x4000_0000) },
  { name: "fork", run: children },
  { name: "thread", run: threads },
  { name: "brk", run: () => sys.brk(0x5555_0000_3000) },
  { name: "msync", run: () => sys.msync(AT, PAGE, MS_SYNC) },
  { name: "read into fresh memory", run: () => readFresh() },
  { name: "rename", run: () => sys.rename("/dir/file", "/dir/other") },
  { name: "munmap in the middle", run: () => sys.munmap(AT + PAGE, PAGE) },
];

function* anonymous(): Call {
  const at = yield* sys.mmap(AT + 4 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED);
  return at < 0 ? at : yield* touched(at, 4 * PAGE);
}

function* readFresh(): Call {
  const at = yield* sys.mmap(0, PAGE, RW, ANON);
  return at < 0 ? at : yield* sys.preadTo(0, at, 100, 0);
}

/** What takes the machine back to where it began; run with nothing failing. */
function* clear(): Call<void> {
  yield* waitAll();
  for (const name of ["file", "other", "a-name-that-is-longer-than-thirty-one-bytes"]) yield* sys.unlink(`/dir/${name}`);
  yield* sys.rmdir("/dir");
}

interface Outcome {
  /** Allocations of the workload, when none fails. */
  results: (readonly [string, number])[];
  killed: boolean;
  fired: boolean;
}

/** Runs all steps with the nth allocation failing (0: none), then clears up and checks everything. */
function run(kind: "page" | "slab", n: number, faultLock: FaultLockRegime): Outcome {
  const t = new TestMachine({ cpus: 2, faultLock });
  const { kernel } = t.machine;
  const failAfter = kind === "page" ? kernel.failPageAfter : kernel.failSlabAfter;
  const results: (readonly [string, number])[] = [];
  const guest = t.spawn(function* () {
    // The operation buffer is the host's to allocate: its failure is not a guest's.
    yield* sys.open("/none", O_RDONLY);
    yield* anon(PAGE);
    failAfter(n);
    for (const step of STEPS) {
      const result = yield* step.run();
      results.push([step.name, result]);
      t.check();
    }
    failAfter(0);
  });
  t.run();
  failAfter(0);
  t.check();
  const fired = t.stat(kind === "page" ? "page_alloc_failures" : "slab_failures") > 0;
  t.runOne(clear);
  t.finish();
  expect(/Cached: +0 kB/.exec(t.machine.inspect("meminfo")), "pages of the cache are left").not.toBeNull();
  return { results, killed: !guest.done, fired };
}

function fails(kind: "page" | "slab", n: number, faultLock: FaultLockRegime, clean: Outcome): boolean {
  const outcome = run(kind, n, faultLock);
  const where = `N=${n} KIND=${kind} npx vitest run kernel-tests/kernel/fault-injection.test.ts (${faultLock})`;
  outcome.results.forEach(([name, result], i) => {
    const same = result === clean.results[i]?.[1];
    const failed = result < 0 && EXPECTED.has(-result as never);
    // Addresses and numbers of files move when an earlier call failed.
    expect(same || failed || result >= 0, `${where}: ${name} returned ${result}`).toBe(true);
  });
  if (outcome.killed) expect(kind, `${where}: killed`).toBe("page");
  return outcome.fired;
}

const ONLY = process.env.N === undefined ? undefined : Number(process.env.N);
const KINDS = (["page", "slab"] as const).filter((kind) => process.env.KIND === undefined || process.env.KIND === kind);

describe.each(KINDS)("the nth %s allocation fails", (kind) => {
  it.each(FAULT_LOCK_REGIMES)("under %s", (faultLock) => {
    const clean = run(kind, 0, faultLock);
    expect(clean.killed).toBe(false);
    expect(clean.results.filter(([, result]) => result < 0)).toEqual([]);
    if (ONLY !== undefined) {
      fails(kind, ONLY, faultLock, clean);
      return;
    }
    let n = 1;
    while (fails(kind, n, faultLock, clean)) n++;
    // The last run was one in which there was no nth allocation any more.
    expect(n).toBeGreaterThan(kind === "page" ? 25 : 15);
  });
});
