/**
 * A crash workload as data: a list of steps that a guest makes one after the other, and that the oracle understands.
 *
 * Interface: Step, CrashWorkload, Feature, StepRunner (makes steps), describeStep, bytesOf, MNT.
 * Invariants:
 *   [cst-1] a step's bytes follow from its number and place: no two steps store the same bytes.
 *   [cst-2] a step is one promise or one change: what is true before and after it is the oracle's to say.
 * Locks: none.
 * Why not generators that call the kernel: an oracle that must know what happened would have to be told of each call.
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MAP_SHARED,
  MS_SYNC,
  OP,
  OP_FLAG_CATCH,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
} from "../../guest/constants.js";
import { type Call, sys } from "../../guest/sys.js";

/** Where the filesystem is mounted. */
export const MNT = "/mnt";

/** Paths are below the mount; a file that was created, or is opened, stays open until `close`. */
export type Step =
  | { do: "create" | "open" | "close" | "mkdir" | "rmdir" | "unlink" | "fsync" | "fdatasync"; path: string }
  | { do: "write" | "store" | "msync" | "punch" | "allocate"; path: string; at: number; length: number }
  | { do: "map" | "truncate"; path: string; size: number }
  | { do: "rename" | "link"; from: string; to: string }
  | { do: "symlink"; path: string; target: string }
  | { do: "clone"; from: string; to: string; length: number }
  | { do: "snapshot"; name: string }
  | { do: "sync" };

/** What a filesystem may not have. */
export type Feature = "clone" | "snapshot";

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
const RW = PROT_READ | PROT_WRITE;
const full = (path: string): string => (path === "" ? MNT : `${MNT}/${path}`);

/** Makes steps, with the descriptors and mappings that they leave open. One a guest. */
export class StepRunner {
  private readonly fds = new Map<string, number>();
  private readonly maps = new Map<string, number>();

  /** Returns what the step's call returned: 0 or more, or -errno. A store that a signal stopped is -EFAULT. */
  *run(step: Step, number: number): Call {
    switch (step.do) {
      case "create":
        return yield* this.open(step.path, O_RDWR | O_CREAT);
      case "open":
        return yield* this.open(step.path, O_RDWR);
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

  private *open(path: string, flags: number): Call {
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
      if (signal !== 0 || ret < 0) return -EFAULT;
      done += chunk.length;
    }
    return 0;
  }

  private *withDirectory(path: string, call: (fd: number) => Call): Call {
    const fd = yield* sys.open(full(path), O_RDONLY);
    if (fd < 0) return fd;
    const result = yield* call(fd);
    yield* sys.close(fd);
    return result;
  }
}

/** A write that did a part of its work. */
const SHORT = -1000;

/** A short count is the errno that cut it short, which the call did not tell. */
function* whole(length: number, call: Call): Call {
  const done = yield* call;
  return done >= 0 && done < length ? SHORT : done;
}
