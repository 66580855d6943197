/**
 * Starting programs: a guest that writes the executable into its filesystem, opens the console, and becomes the program by execve.
 *
 * Interface: ExecOptions, programGuest, execveOp, exitOf, ProgramExit, ExecError, whyNotExecutable.
 * Invariants: [pro-1] after execve the guest is never asked again: its generator stays where it is until the task exits.
 * Locks: none.
 * Why not load segments from the host: the kernel's execve maps files through the page cache, which is what is measured.
 */
import type { GuestFn, Op, OpResult } from "./guests.js";
import { OP_BUFFER_BYTES } from "./mailbox.js";

/** A program to run. */
export interface ExecOptions {
  /** Where the executable is, or is written to, in the guest's files. */
  path: string;
  /** Its bytes; absent: the file is there already. */
  bytes?: Uint8Array;
  /** Arguments, the program's name first. Default: the path alone. */
  argv?: readonly string[];
  /** Environment, NAME=value. Default: none. */
  env?: readonly string[];
  /** CPU that it is bound to. */
  cpu?: number;
  /** Runs before, in the same process: mounts, files. */
  setup?: () => Generator<Op, unknown, OpResult>;
}

/** How a program ended. */
export type ProgramExit = { kind: "exited"; code: number } | { kind: "killed"; signal: number };

/** A wait status as Linux packs it. */
export function exitOf(status: number): ProgramExit {
  const signal = status & 0x7f;
  return signal === 0 ? { kind: "exited", code: (status >> 8) & 0xff } : { kind: "killed", signal };
}

/** The kernel would not start the program. */
export class ExecError extends Error {
  constructor(
    readonly call: string,
    readonly errno: number,
  ) {
    super(`${call}: errno ${errno}`);
    this.name = "ExecError";
  }
}

const SYS = { mkdirat: 34, openat: 56, close: 57, dup: 23, write: 64, execve: 221 } as const;
const AT_FDCWD = -100;
const O_RDWR = 2;
const O_WRONLY_CREAT_TRUNC = 0x241;
const EXECUTABLE = 0o755;
const encoder = new TextEncoder();

type Steps<T = void> = Generator<Op, T, OpResult>;

function* must(call: string, op: Op): Steps<number> {
  const { ret } = yield op;
  if (ret < 0) throw new ExecError(call, -ret);
  return ret;
}

function pathOp(nr: number, path: string, ...rest: number[]): Op {
  return { nr, args: [AT_FDCWD, 0, ...rest], bufferArgs: [1], data: encoder.encode(`${path}\0`) };
}

function* writeFile(path: string, bytes: Uint8Array): Steps {
  const fd = yield* must(`open ${path}`, pathOp(SYS.openat, path, O_WRONLY_CREAT_TRUNC, EXECUTABLE));
  for (let done = 0; done < bytes.length;) {
    const data = bytes.subarray(done, done + OP_BUFFER_BYTES);
    done += yield* must(`write ${path}`, { nr: SYS.write, args: [fd, 0, data.length], bufferArgs: [1], data });
  }
  yield* must("close", { nr: SYS.close, args: [fd] });
}

/** Descriptors 0, 1 and 2, unless the setup has left files open there. */
function* openConsole(): Steps {
  yield* must("open /dev/console", pathOp(SYS.openat, "/dev/console", O_RDWR, 0));
  yield* must("dup", { nr: SYS.dup, args: [0] });
  yield* must("open /dev/stderr", pathOp(SYS.openat, "/dev/stderr", O_RDWR, 0));
}

/** execve's strings and vectors, as they lie in the operation buffer. Throws RangeError when they do not fit. */
export function execveOp(path: string, argv: readonly string[], env: readonly string[]): Op {
  const words = argv.length + 1 + env.length + 1;
  const texts = [...argv, ...env, path].map((text) => encoder.encode(`${text}\0`));
  const total = words * 8 + texts.reduce((sum, text) => sum + text.length, 0);
  if (total > OP_BUFFER_BYTES) {
    throw new RangeError(`arguments and environment take ${total} bytes; ${OP_BUFFER_BYTES} is the most that the host can pass`);
  }
  const data = new Uint8Array(OP_BUFFER_BYTES);
  const view = new DataView(data.buffer);
  const bufferPointers: number[] = [];
  let at = words * 8;
  let pathAt = 0;
  texts.forEach((text, i) => {
    data.set(text, at);
    // A null word ends each vector; behind them lies the path.
    const place = 8 * (i < argv.length ? i : i + 1);
    if (i === texts.length - 1) pathAt = at;
    else {
      view.setBigUint64(place, BigInt(at), true);
      bufferPointers.push(place);
    }
    at += text.length;
  });
  return { nr: SYS.execve, args: [pathAt, 0, (argv.length + 1) * 8], bufferArgs: [0, 1, 2], data, bufferPointers };
}

/** The guest that becomes the program. */
export function programGuest(options: ExecOptions): GuestFn {
  const { path, bytes, argv = [path], env = [], setup } = options;
  const op = execveOp(path, argv, env);
  return function* () {
    if (setup) yield* setup();
    if (bytes) yield* writeFile(path, bytes);
    yield* openConsole();
    const { ret } = yield op;
    throw new ExecError(`execve ${path}`, -ret);
  };
}

const MAGIC = [0x7f, 0x45, 0x4c, 0x46];

/** Why the bytes are no program for this machine, undefined when they look like one. The kernel has the last word (ENOEXEC). */
export function whyNotExecutable(bytes: Uint8Array): string | undefined {
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) return "not an ELF file";
  if (bytes.length < 64) return `truncated: ${bytes.length} bytes are no ELF header`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(4) !== 2) return "a 32-bit ELF file; riscv64 is what runs here";
  if (view.getUint8(5) !== 1) return "a big-endian ELF file; riscv64 is little-endian";
  const machine = view.getUint16(18, true);
  if (machine !== 243) {
    return `for another machine (e_machine ${machine}${MACHINES[machine] ? `, ${MACHINES[machine]}` : ""}); riscv64 is 243`;
  }
  const type = view.getUint16(16, true);
  if (type !== 2 && type !== 3) return type === 1 ? "an object file, not linked" : `no executable (e_type ${type})`;
  const end = Number(view.getBigUint64(32, true)) + view.getUint16(54, true) * view.getUint16(56, true);
  if (end > bytes.length) return `truncated: its program headers end at byte ${end} of ${bytes.length}`;
  return undefined;
}

const MACHINES: Readonly<Record<number, string>> = {
  3: "i386",
  8: "mips",
  20: "ppc",
  21: "ppc64",
  22: "s390",
  40: "arm",
  62: "x86-64",
  183: "aarch64",
};
