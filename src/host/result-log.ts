/**
 * The results of a guest's operations, compactly: two numbers each for nearly all of them.
 *
 * Interface: ResultLog: push, at, length.
 * Invariants: [log-1] at(i) equals what was pushed ith, for ever: entries are never changed.
 * Locks: none.
 * Why not an array of results: a million system calls would hold 100 MB of objects; here they hold 16 bytes each.
 */
import type { OpResult } from "./guests.js";

const FIRST_CAPACITY = 32;

export class ResultLog {
  length = 0;
  /** ret, bytes, ret, bytes ... */
  private numbers = new Float64Array(2 * FIRST_CAPACITY);
  /** The few that carry more: a signal, or bytes read back. */
  private readonly rest = new Map<number, OpResult>();

  push(result: OpResult): void {
    const at = 2 * this.length;
    if (at === this.numbers.length) {
      const grown = new Float64Array(2 * at);
      grown.set(this.numbers);
      this.numbers = grown;
    }
    this.numbers[at] = result.ret;
    this.numbers[at + 1] = result.bytes;
    if (result.signal !== 0 || result.faultAddress !== 0 || result.data) this.rest.set(this.length, result);
    this.length++;
  }

  at(i: number): OpResult {
    if (i < 0 || i >= this.length) throw new Error(`no result ${i} in a log of ${this.length}`);
    const full = this.rest.get(i);
    if (full) return full;
    return { ret: this.numbers[2 * i] ?? 0, signal: 0, faultAddress: 0, bytes: this.numbers[2 * i + 1] ?? 0 };
  }
}
