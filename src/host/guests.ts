/**
 * Guests: the generators that decide what each emulated task does next, and the log that brings them back after a restore.
 *
 * A generator cannot be copied. A snapshot therefore keeps, for each guest, its function and the results of all its
 * operations so far; a restore makes a fresh generator and feeds it those results. So a guest must be a function of its
 * context and its results alone: no clocks, no Math.random, no shared mutable state outside its context.
 */

const CLONE_THREAD = 0x10000;

/** One operation: a system call (nr below 0x10000) or a pseudo operation of the mailbox. */
export interface Op {
  nr: number;
  args: readonly (number | bigint)[];
  /** Bit 0, CATCH: a fault's signal comes back as a result and does not kill. */
  flags?: number;
  /** Bytes to put into the operation buffer first, 4096 at most. */
  data?: Uint8Array;
  /** Arguments that are addresses in the operation buffer: their value is an offset into it. */
  bufferArgs?: readonly number[];
  /** Bytes of the operation buffer to hand back. */
  readBack?: number;
  /** fork and clone: what the child runs. */
  child?: GuestFn;
}

export interface OpResult {
  /** The value, or -errno. */
  ret: number;
  /** Signal of a caught fault, else 0. */
  signal: number;
  /** Address of a caught fault. */
  faultAddress: number;
  /** Touches made, bytes of text, or wait status, as the operation says. */
  bytes: number;
  data?: Uint8Array;
}

export type GuestGenerator = Generator<Op, unknown, OpResult>;

export interface GuestContext {
  /** Task id and process id in the machine. */
  tid: number;
  pid: number;
  /** Emulated CPUs. */
  cpus: number;
  /** A number in [0, 1) from the machine's seed and this guest's id: the only randomness a guest may use. */
  random(): number;
}

export type GuestFn = (ctx: GuestContext) => GuestGenerator;

/** A live guest. */
export class Guest {
  readonly log: OpResult[] = [];
  /** The child function of a fork or clone that is under way. */
  pendingChild: GuestFn | undefined;
  /** Whether that child is a thread of this guest's process. */
  pendingThread = false;
  /** Bytes to read back when the operation is done. */
  readBack = 0;
  /** Set once the generator has returned and the exit operation is posted. */
  finished = false;
  private generator: GuestGenerator | undefined;

  constructor(
    readonly fn: GuestFn,
    readonly tid: number,
    readonly pid: number,
    readonly context: () => GuestContext,
  ) {}

  /** The next operation after `result`, or undefined when the guest has returned. */
  next(result: OpResult): Op | undefined {
    this.log.push(result);
    const step = this.live().next(result);
    return step.done === true ? undefined : step.value;
  }

  /** Notes what the operation that was just given out will bring back. */
  expect(op: Op | undefined): void {
    this.finished = op === undefined;
    this.pendingChild = op?.child;
    this.pendingThread = (Number(op?.args[0] ?? 0) & CLONE_THREAD) !== 0;
    this.readBack = op?.readBack ?? 0;
  }

  private live(): GuestGenerator {
    this.generator ??= this.fn(this.context());
    return this.generator;
  }

  /** A guest in the state this one was in after `count` results. */
  replayed(count: number): Guest {
    const copy = new Guest(this.fn, this.tid, this.pid, this.context);
    for (const result of this.log.slice(0, count)) {
      copy.expect(copy.next(result));
    }
    return copy;
  }
}

/** splitmix32 on a seed: a guest's random numbers. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 2 ** 32;
  };
}
