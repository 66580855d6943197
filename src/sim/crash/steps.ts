/**
 * A crash workload as data: a list of steps that a guest makes one after the other, and that the oracle understands.
 *
 * Interface: Step, CrashWorkload, Feature, StepRunner (makes steps), describeStep, bytesOf, resultText, SIGNALLED, MNT.
 * Invariants:
 *   [cst-1] a step's bytes follow from its number and place: no two steps store the same bytes.
 *   [cst-2] a step is one promise or one change: what is true before and after it is the oracle's to say.
 * Locks: none.
 * Why not generators that call the kernel: an oracle that must know what happened would have to be told of each call.
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  OP,
  OP_FLAG_CATCH,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  errnoName,
} from "../../guest/constants.js";
import { mem } from "../../guest/mem.js";
import { type Call, sys } from "../../guest/sys.js";

/** Where the filesystem is mounted. */
export const MNT = "/mnt";

/** Paths are below the mount; a file that was created, or is opened, stays open until `close`. */
export type Step =
  | { do: "create" | "open" | "close" | "mkdir" | "rmdir" | "unlink" | "fsync" | "fdatasync"; path: string }
  | { do: "write" | "store" | "msync" | "punch" | "allocate"; path: string; at: number; length: number }
  | { do: "read" | "load" | "fork"; path: string; at: number; length: number }
  | { do: "map" | "private" | "truncate"; path: string; size: number }
  | { do: "anonymous"; size: number }
  | { do: "rename" | "link"; from: string; to: string }
  | { do: "symlink"; path: string; target: string }
  | { do: "clone"; from: string; to: string; length: number }
  | { do: "snapshot"; name: string }
  | { do: "sync" };

/** What a filesystem may not have. */
export type Feature = "clone" | "snapshot" | "symlink" | "allocate";

export interface CrashWorkload {
  name: string;
  /** What it is about, in a few words. */
  summary: string;
  needs?: readonly Feature[];
  /** Made, synced and unmounted first: the steps find cold caches, and what these left is certain. */
  before?: readonly Step[];
  steps: readonly Step[];
}

export function describeStep(step: Step): string {
  const { do: name, ...rest } = step;
  return [name, ...Object.values(rest)].join(" ");
}

/** What step `number` writes at `at`: bytes from 1 to 251. */
export function bytesOf(number: number, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = 1 + ((number * 37 + (at + i) * 7 + ((at + i) >> 8) * 13) % 251);
  return bytes;
}

const EBADF = 9;
const EFAULT = 14;
const ECHILD = 10;
/** A step that signal n stopped returns this less n. */
export const SIGNALLED = -2000;
/** A write that did a part of its work. */
const SHORT = -1000;
/** What the child of a fork exits with. */
const CHILD_DONE = 3;
const SIGNALS: Readonly<Record<number, string>> = { 7: "SIGBUS", 9: "SIGKILL", 11: "SIGSEGV" };

/** What a step returned, in a word: ok, an errno, a signal, or short. */
export function resultText(result: number): string {
  if (result >= 0) return "ok";
  if (result === SHORT) return "short";
  return result <= SIGNALLED ? (SIGNALS[SIGNALLED - result] ?? `signal ${SIGNALLED - result}`) : errnoName(result);
}

const RW = PROT_READ | PROT_WRITE;
/** Steps that work on the descriptor of their path. */
const NEED_FD: ReadonlySet<Step["do"]> = new Set([
  "close",
  "fdatasync",
  "write",
  "read",
  "map",
  "private",
  "truncate",
  "punch",
  "allocate",
]);
const full = (path: string): string => (path === "" ? MNT : `${MNT}/${path}`);

/** Makes steps, with the descriptors and mappings that they leave open. One a guest. */
export class StepRunner {
  private readonly fds = new Map<string, number>();
  private readonly maps = new Map<string, number>();
  /** What the last read or load found. */
  found: Uint8Array = new Uint8Array(0);

  /** Whether the step has the descriptor or the mapping that it works on. */
  has(step: Step): boolean {
    if (step.do === "clone") return this.fds.has(step.from) && this.fds.has(step.to);
    if (!("path" in step)) return true;
    if (["store", "load", "msync", "fork"].includes(step.do)) return this.maps.has(step.path);
    return !NEED_FD.has(step.do) || this.fds.has(step.path);
  }

  /** Paths that are open. */
  get open(): readonly string[] {
    return [...this.fds.keys()];
  }

  /** Returns what the step's call returned: 0 or more, -errno, or SIGNALLED less the signal that stopped it. */
  *run(step: Step, number: number): Call {
    switch (step.do) {
      case "create":
        return yield* this.opened(step.path, O_RDWR | O_CREAT);
      case "open":
        return yield* this.opened(step.path, O_RDWR);
      case "close":
        return yield* this.close(step.path);
      case "mkdir":
        return yield* sys.mkdir(full(step.path));
      case "rmdir":
        return yield* sys.rmdir(full(step.path));
      case "unlink":
        return yield* sys.unlink(full(step.path));
      case "link":
        return yield* sys.link(full(step.from), full(step.to));
      case "symlink":
        return yield* sys.symlink(step.target, full(step.path));
      case "rename":
        return yield* this.rename(step.from, step.to);
      case "snapshot":
        return yield* this.withDirectory("", (fd) => sys.snapshot(fd, step.name));
      case "sync":
        return yield* this.withDirectory("", (fd) => sys.syncfs(fd));
      case "anonymous":
        return yield* this.touched(-1, step.size);
      case "clone":
        return yield* sys.cloneRange(this.fd(step.from), 0, step.length, this.fd(step.to), 0);
      default:
        return yield* this.onFile(step, number);
    }
  }

  private fd(path: string): number {
    return this.fds.get(path) ?? -EBADF;
  }

  private *onFile(step: Extract<Step, { path: string }>, number: number): Call {
    const fd = this.fd(step.path);
    switch (step.do) {
      case "write":
        return yield* whole(step.length, sys.pwrite(fd, bytesOf(number, step.at, step.length), step.at));
      case "store":
        return yield* this.store(step.path, step.at, bytesOf(number, step.at, step.length));
      case "msync":
        return yield* sys.msync((this.maps.get(step.path) ?? 0) + step.at, step.length, MS_SYNC);
      case "read":
        return yield* this.looked(sys.pread(fd, step.length, step.at));
      case "load":
        return yield* this.load((this.maps.get(step.path) ?? 0) + step.at, step.length);
      case "fork":
        return yield* this.fork(step.path, step.at, bytesOf(number, step.at, step.length));
      case "private":
        return yield* this.touched(fd, step.size);
      case "map":
        return yield* this.map(step.path, fd, step.size);
      case "truncate":
        return yield* sys.ftruncate(fd, step.size);
      case "punch":
        return yield* sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, step.at, step.length);
      case "allocate":
        return yield* sys.fallocate(fd, 0, step.at, step.length);
      case "fdatasync":
        return yield* sys.fdatasync(fd);
      default:
        // A directory has no descriptor of its own.
        if (this.fds.has(step.path)) return yield* sys.fsync(fd);
        return yield* this.withDirectory(step.path, (dir) => sys.fsync(dir));
    }
  }

  private *opened(path: string, flags: number): Call {
    const fd = yield* sys.open(full(path), flags);
    if (fd >= 0) this.fds.set(path, fd);
    return fd;
  }

  private *close(path: string): Call {
    const fd = this.fd(path);
    this.fds.delete(path);
    return yield* sys.close(fd);
  }

  private *rename(from: string, to: string): Call {
    const result = yield* sys.rename(full(from), full(to));
    const fd = this.fds.get(from);
    if (result === 0 && fd !== undefined) {
      this.fds.delete(from);
      this.fds.set(to, fd);
    }
    return result;
  }

  private *map(path: string, fd: number, size: number): Call {
    const at = yield* sys.mmap(0, size, RW, MAP_SHARED, fd);
    if (at >= 0) this.maps.set(path, at);
    return at;
  }

  private *store(path: string, at: number, data: Uint8Array): Call {
    const base = this.maps.get(path);
    if (base === undefined) return -EFAULT;
    // A page at a time: a store that failed on its second page has made the first.
    for (let done = 0; done < data.length;) {
      const chunk = data.subarray(done, done + 4096 - ((at + done) % 4096));
      const { ret, signal } = yield { nr: OP.store, args: [base + at + done, chunk.length], data: chunk, flags: OP_FLAG_CATCH };
      if (signal !== 0) return SIGNALLED - signal;
      if (ret < 0) return ret;
      done += chunk.length;
    }
    return 0;
  }

  private *looked(call: Call<Uint8Array | number>): Call {
    const data = yield* call;
    if (typeof data === "number") return data;
    this.found = data;
    return data.length;
  }

  private *load(at: number, length: number): Call {
    const { ret, signal, data } = yield { nr: OP.load, args: [at, length], readBack: length, flags: OP_FLAG_CATCH };
    if (signal !== 0) return SIGNALLED - signal;
    if (ret >= 0 && data) this.found = data.subarray(0, length);
    return ret;
  }

  /** Memory of its own, anonymous or a file's, each page stored to, and given back. */
  private *touched(fd: number, size: number): Call {
    const at = yield* sys.mmap(0, size, RW, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, fd);
    if (at < 0) return at;
    const { signal } = yield* mem.tryTouch(at, size, { write: true });
    const unmapped = yield* sys.munmap(at, size);
    return signal === 0 ? unmapped : SIGNALLED - signal;
  }

  /** A child makes the stores, and dies of what it dies of. */
  private *fork(path: string, at: number, data: Uint8Array): Call {
    const made = this.store(path, at, data);
    const pid = yield* sys.fork(function* () {
      const result = yield* made;
      yield* sys.exitGroup(result === 0 ? CHILD_DONE : result <= SIGNALLED ? 64 + SIGNALLED - result : -result);
    });
    if (pid < 0) return pid;
    const { status } = yield* sys.wait(pid);
    const signal = status & 0x7f;
    if (signal !== 0) return SIGNALLED - signal;
    const code = status >> 8;
    return code === CHILD_DONE ? 0 : code === 0 ? -ECHILD : code > 64 ? SIGNALLED - (code - 64) : -code;
  }

  private *withDirectory(path: string, call: (fd: number) => Call): Call {
    const fd = yield* sys.open(full(path), O_RDONLY);
    if (fd < 0) return fd;
    const result = yield* call(fd);
    yield* sys.close(fd);
    return result;
  }
}

/** A short count is the errno that cut it short, which the call did not tell. */
function* whole(length: number, call: Call): Call {
  const done = yield* call;
  return done >= 0 && done < length ? SHORT : done;
}
