/**
 * The console of a machine's programs: what they write to standard output and standard error, what they read from standard input.
 *
 * Interface: Console (serve, drain), ConsoleStream.
 * Invariants:
 *   [con-1] the kernel's rings are only read, and the kernel waits before it overwrites: no byte is lost or seen twice.
 *   [con-2] standard input is a function of how many bytes were read before: a restored machine reads the same.
 * Locks: none.
 * Why not a callback from the module: nothing leaves it but numbers.
 */
import { CALL } from "./scripted-fs.js";
import type { KernelExports } from "./wasm.js";

export type ConsoleStream = "stdout" | "stderr";

/** HostCall.kind of the console (assembly/fs/scripted/call.ts). */
const CALL_CONSOLE_FLUSH = 5;
const CALL_CONSOLE_READ = 6;
const STREAMS: readonly [ConsoleStream, number][] = [
  ["stdout", 1],
  ["stderr", 2],
];

export class Console {
  /** Gets what programs write, in the order of each stream. The bytes are its own. */
  onOutput: ((stream: ConsoleStream, bytes: Uint8Array) => void) | undefined;
  /** What programs read from standard input; the end of it is the end of the file. */
  input: Uint8Array = new Uint8Array(0);
  private readonly seen: Record<ConsoleStream, number> = { stdout: 0, stderr: 0 };

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly kernel: KernelExports,
  ) {}

  /** Answers a task that waits for the console. False: it waits for something else. */
  serve(task: number, at: number): boolean {
    const view = new DataView(this.memory.buffer);
    const kind = view.getUint32(at + CALL.kind, true);
    if (kind !== CALL_CONSOLE_FLUSH && kind !== CALL_CONSOLE_READ) return false;
    this.drain();
    const arg = (i: number): number => Number(view.getBigUint64(at + CALL.args + 8 * i, true));
    let result = 0;
    if (kind === CALL_CONSOLE_READ) {
      const bytes = this.input.subarray(arg(2), arg(2) + arg(1));
      new Uint8Array(this.memory.buffer).set(bytes, arg(0));
      result = bytes.length;
    }
    view.setBigInt64(at + CALL.result, BigInt(result), true);
    this.kernel.hostAnswered(task);
    return true;
  }

  /** Hands on what was written since the last time. */
  drain(): void {
    for (const [stream, number] of STREAMS) {
      const written = this.kernel.consoleWritten(number);
      if (written === this.seen[stream]) continue;
      this.onOutput?.(stream, this.between(number, this.seen[stream], written));
      this.seen[stream] = written;
    }
  }

  /** After a restore: what the kernel has written by then was seen. */
  forget(): void {
    for (const [stream, number] of STREAMS) this.seen[stream] = this.kernel.consoleWritten(number);
  }

  private between(number: number, from: number, to: number): Uint8Array {
    const ring = new Uint8Array(this.memory.buffer, this.kernel.consoleRing(number), this.kernel.consoleRingBytes());
    const start = from % ring.length;
    const bytes = new Uint8Array(to - from);
    const first = ring.subarray(start, start + bytes.length);
    bytes.set(first);
    bytes.set(ring.subarray(0, bytes.length - first.length), first.length);
    return bytes;
  }
}
