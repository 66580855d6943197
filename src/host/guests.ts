/**
 * Guests: the generators that decide what each emulated task does next, and the log that brings them back after a restore.
 *
 * A generator cannot be copied. A snapshot therefore keeps, for each guest, its function and the results of all its
 * operations so far; a restore makes a fresh generator and feeds it those results. So a guest must be a function of its
 * context and its results alone: no clocks, no Math.random, no shared mutable state outside its context.
 *
 * Interface: Guest, GuestFn, GuestContext, GuestState, Op, OpResult, OP_BECOME, OP_PARK, randomWords, randomFrom.
 * Invariants:
 *   [guest-h1] a guest's state is its function, its life and the results of that life: replaying them gives the same guest.
 *   [guest-h2] a log is only ever added to, or left behind for a new one: a snapshot's count of results stays good.
 * Locks: none.
 * Why not one log for ever: a guest that loops for a simulated minute would fill the host's memory; `become` starts a new
 * life with an empty log.
 */
import { ResultLog } from "./result-log.js";

const CLONE_THREAD = 0x10000;

/** Op.nr of `become`: the host carries it out, the kernel never sees it. */
export const OP_BECOME = -1;
/** Op.nr of `park` (assembly/kernel/mailbox.ts): the task sleeps in the kernel, its guest becomes another. */
export const OP_PARK = 0x1000f;

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
  /** Places in `data` of u64 offsets into the operation buffer that become addresses: the vectors of execve. */
  bufferPointers?: readonly number[];
  /** Bytes of the operation buffer to hand back. */
  readBack?: number;
  /** fork and clone: what the child runs; become and park: what the guest goes on as. */
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
  /** A number in [0, 1) from the machine's seed, this guest's id and its life: the only randomness a guest may use. */
  random(): number;
}

export type GuestFn = (ctx: GuestContext) => GuestGenerator;

/** What brings a guest back: its function, and the first `count` results of the life it is in. */
export interface GuestState {
  tid: number;
  pid: number;
  fn: GuestFn;
  /** Times the guest has become another function. */
  life: number;
  log: ResultLog;
  count: number;
  /** Whether the child of its fork or clone has no guest yet. */
  childWaits: boolean;
  context: ContextFn;
}

/** The context of a guest in one of its lives. */
export type ContextFn = (life: number) => GuestContext;

/** A guest that becomes function after function does nothing for its machine. */
const MAX_LIVES_PER_OP = 1000;

/** A live guest. */
export class Guest {
  /** Whether that child is a thread of this guest's process. */
  pendingThread = false;
  /** Bytes to read back when the operation is done. */
  readBack = 0;
  /** The child function of a fork or clone that is under way and whose child has no guest yet. */
  private pendingChild: GuestFn | undefined;
  private log = new ResultLog();
  private life = 0;
  private generator: GuestGenerator | undefined;

  constructor(
    private fn: GuestFn,
    readonly tid: number,
    readonly pid: number,
    private readonly context: ContextFn,
  ) {}

  /** The next operation after `result`, or undefined when the guest has returned. */
  next(result: OpResult): Op | undefined {
    for (let lives = 0; lives < MAX_LIVES_PER_OP; lives++) {
      this.log.push(result);
      this.generator ??= this.fn(this.context(this.life));
      const step = this.generator.next(result);
      if (step.done === true) return undefined;
      const { nr, child } = step.value;
      if (nr === OP_BECOME || nr === OP_PARK) this.become(child);
      if (nr !== OP_BECOME) return step.value;
    }
    throw new Error(`became ${MAX_LIVES_PER_OP} functions without an operation`);
  }

  private become(fn: GuestFn | undefined): void {
    if (!fn) throw new Error("become without a function");
    this.fn = fn;
    this.life++;
    this.log = new ResultLog();
    this.generator = undefined;
  }

  /** Notes what the operation that was just given out will bring back. */
  expect(op: Op | undefined): void {
    this.pendingChild = op?.nr === OP_PARK ? undefined : op?.child;
    this.pendingThread = (Number(op?.args[0] ?? 0) & CLONE_THREAD) !== 0;
    this.readBack = op?.readBack ?? 0;
  }

  /** The function for the child of this guest's fork or clone: once. */
  takeChild(): GuestFn | undefined {
    const fn = this.pendingChild;
    this.pendingChild = undefined;
    return fn;
  }

  /** Whether the child of its fork or clone, should there be one, has no guest yet. */
  get childWaits(): boolean {
    return this.pendingChild !== undefined;
  }

  /** What brings this guest back as it is now. */
  state(): GuestState {
    const { tid, pid, fn, life, log, context } = this;
    return { tid, pid, fn, life, log, count: log.length, childWaits: this.childWaits, context };
  }

  /** The guest of a state. Its next operation is the one after the state's last result. */
  static restored(state: GuestState): Guest {
    const guest = new Guest(state.fn, state.tid, state.pid, state.context);
    guest.life = state.life;
    for (let i = 0; i < state.count; i++) guest.expect(guest.next(state.log.at(i)));
    if (!state.childWaits) guest.pendingChild = undefined;
    return guest;
  }
}

/** splitmix32 on a seed: 32-bit words. */
export function randomWords(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/** A guest's random numbers, in [0, 1). */
export function randomFrom(seed: number): () => number {
  const word = randomWords(seed);
  return () => word() / 2 ** 32;
}
