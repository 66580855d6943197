/**
 * What guests measure, and IO in batches whose entries the kernel times one by one (assembly/kernel/io-batch.ts).
 *
 * Interface: record, timed, ioBatch, BATCH_ENTRIES, NO_RECORDER.
 * Invariants: [gio-1] a batch that ends early says how many entries were done; the rest did not happen.
 * Locks: none.
 * Why not results in host variables: a restored machine must not keep what the run it left has measured.
 */
import { OP } from "./constants.js";
import { now } from "./mem.js";
import { type Call, OP_BUFFER_BYTES, type Word } from "./sys.js";

/** Entries that one batch carries. */
export const BATCH_ENTRIES = OP_BUFFER_BYTES / 8;
/** A recorder number that records nothing. */
export const NO_RECORDER = 0xffff;
/** The longest block of an entry, bytes. */
export const MAX_BLOCK_BYTES = 2 ** 23 - 1;

/** Puts a value, ns, into recorder `id`. -EINVAL when the machine has no such recorder. */
export function* record(id: number, ns: number): Call {
  return (yield { nr: OP.record, args: [id, ns] }).ret;
}

/** Runs a call and records how long it took. Returns what the call returned. */
export function* timed<T>(id: number, call: Call<T>): Call<T> {
  const startNs = yield* now();
  const result = yield* call;
  yield* record(id, (yield* now()) - startNs);
  return result;
}

/** One block of a batch. */
export interface IoEntry {
  /** From the base address, or in the file; bytes. */
  offset: number;
  /** Bytes, MAX_BLOCK_BYTES at most. */
  lenBytes: number;
  write: boolean;
}

export interface IoTarget {
  /** Recorders of loads and of stores. */
  readRecorder: number;
  writeRecorder: number;
  /** No entry begins at or after this time, ns; 0: no limit. */
  deadlineNs: number;
  /** A mapping, or a file reached through read and write calls with a buffer in guest memory. */
  into: { address: number } | { fd: number; buffer: Word };
}

export interface IoResult {
  /** Entries done. */
  done: number;
  /** 0, or the errno that ended the batch early. */
  errno: number;
}

function encode(entries: readonly IoEntry[]): Uint8Array {
  const data = new Uint8Array(entries.length * 8);
  const view = new DataView(data.buffer);
  entries.forEach(({ offset, lenBytes, write }, i) => {
    view.setUint32(i * 8, offset % 2 ** 32, true);
    view.setUint32(i * 8 + 4, ((write ? 0x8000_0000 : 0) | (lenBytes << 8) | Math.floor(offset / 2 ** 32)) >>> 0, true);
  });
  return data;
}

/** Runs up to BATCH_ENTRIES blocks, one after the other. */
export function* ioBatch(entries: readonly IoEntry[], target: IoTarget): Call<IoResult> {
  const { into } = target;
  const { ret, bytes } = yield {
    nr: OP.io,
    args: [
      "address" in into ? into.address : into.fd,
      entries.length,
      0,
      target.readRecorder + target.writeRecorder * 0x10000,
      target.deadlineNs,
      "address" in into ? 0 : into.buffer,
    ],
    data: encode(entries),
  };
  return { done: ret < 0 ? bytes : ret, errno: ret < 0 ? -ret : 0 };
}
