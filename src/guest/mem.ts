/**
 * Memory accesses of guests, in batches that the emulated MMU executes, and the other operations that are no system calls.
 */
import { type GuestFn, OP_BECOME, OP_PARK } from "../host/guests.js";
import { OP, OP_FLAG_CATCH } from "./constants.js";
import { type Call, OP_BUFFER_BYTES, type Word } from "./sys.js";

export interface TouchOptions {
  /** Store instead of load. */
  write?: boolean;
  /** Distance between touches, bytes. Default one page. */
  stride?: number;
  /** The byte that is stored. Default 1. */
  value?: number;
}

/** What a caught access came to. */
export interface TouchResult {
  /** Touches made. */
  done: number;
  /** Signal of the access that failed, 0 when none did. */
  signal: number;
  /** Its address. */
  address: number;
}

function touchArgs(addr: Word, len: Word, options: TouchOptions): Word[] {
  return [addr, len, options.stride ?? 4096, options.write === true ? 1 : 0, options.value ?? 1];
}

export const mem = {
  /** Touches one byte every stride; a bad access is a fatal signal. Returns the number of touches. */
  *touch(addr: Word, len: Word, options: TouchOptions = {}): Call {
    return (yield { nr: OP.touch, args: touchArgs(addr, len, options) }).ret;
  },
  /** As touch, but a bad access ends the batch and is reported. */
  *tryTouch(addr: Word, len: Word, options: TouchOptions = {}): Call<TouchResult> {
    const result = yield { nr: OP.touch, args: touchArgs(addr, len, options), flags: OP_FLAG_CATCH };
    return { done: result.bytes, signal: result.signal, address: result.faultAddress };
  },
  /** Touches `count` random pages of the range, `writePercent` of them with a store. */
  *touchRandom(addr: Word, len: Word, count: number, writePercent: number, seed: number): Call {
    return (yield { nr: OP.touchRandom, args: [addr, len, count, writePercent, seed] }).ret;
  },
  /** Stores bytes. Returns how many, or -EFAULT. */
  *store(addr: number, data: Uint8Array): Call {
    for (let done = 0; done < data.length; done += OP_BUFFER_BYTES) {
      const chunk = data.subarray(done, done + OP_BUFFER_BYTES);
      const { ret } = yield { nr: OP.store, args: [addr + done, chunk.length], data: chunk };
      if (ret < 0) return ret;
    }
    return data.length;
  },
  /** Loads bytes; -EFAULT as a number on failure. */
  *load(addr: number, len: number): Call<Uint8Array | number> {
    const all = new Uint8Array(len);
    for (let done = 0; done < len; done += OP_BUFFER_BYTES) {
      const n = Math.min(OP_BUFFER_BYTES, len - done);
      const { ret, data } = yield { nr: OP.load, args: [addr + done, n], readBack: n };
      if (ret < 0 || !data) return ret;
      all.set(data.subarray(0, n), done);
    }
    return all;
  },
};

/** Burns CPU time, ns. */
export function* compute(ns: number): Call {
  return (yield { nr: OP.compute, args: [ns] }).ret;
}

/** The CPU's clock, ns of simulated time. */
export function* now(): Call {
  return (yield { nr: OP.gettime, args: [] }).ret;
}

/**
 * Ends this generator: the guest goes on as `fn`, and a restore replays its results from here on only. A guest that loops for
 * long does this now and then: `const loop = function* () { ...; yield* become(loop); }`.
 */
export function* become(fn: GuestFn): Call<never> {
  yield { nr: OP_BECOME, args: [], child: fn };
  throw new Error("a guest that became another goes on");
}

/** As become, but `fn` begins when the host calls Machine.unpark; until then the task sleeps, and a snapshot keeps no result of it. */
export function* park(fn: GuestFn): Call<never> {
  yield { nr: OP_PARK, args: [], child: fn };
  throw new Error("a guest that became another goes on");
}

/** Sleeps until `parties` tasks have come to barrier `id` (0 to 63). */
export function* barrier(id: number, parties: number): Call {
  return (yield { nr: OP.barrier, args: [id, parties] }).ret;
}

const PROC = { maps: 1, smaps: 2, cmdline: 3, stat: 4 } as const;

/** Reads /proc/PID/...: takes that process's mmap_sem for reading. Returns the length of the text, or -errno. */
export function* procRead(kind: keyof typeof PROC, pid: number): Call {
  return (yield { nr: OP.procRead, args: [PROC[kind], pid] }).ret;
}

/**
 * Reads /proc/PID/mem at an address: at most OP_BUFFER_BYTES. The other's mmap_sem is held for reading throughout, whatever its
 * pages' faults wait for. -EIO as a number when not one byte can be had; fewer bytes where the memory ends.
 */
export function* procMemRead(pid: number, addr: Word, len: number): Call<Uint8Array | number> {
  // A read of nothing has a buffer all the same: the kernel is asked.
  const { ret, data } = yield { nr: OP.procMemRead, args: [pid, addr, 0, len], bufferArgs: [2], readBack: len };
  return ret < 0 ? ret : (data ?? new Uint8Array(0)).subarray(0, ret);
}

/** Writes /proc/PID/mem at an address: at most OP_BUFFER_BYTES. Returns the bytes written, or -errno as procMemRead. */
export function* procMemWrite(pid: number, addr: Word, data: Uint8Array): Call {
  return (yield { nr: OP.procMemWrite, args: [pid, addr, 0, data.length], bufferArgs: [2], data }).ret;
}
