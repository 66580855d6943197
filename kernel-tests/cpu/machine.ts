/*
 * A machine of the cpu room: page tables built here, walked by the kernel's MMU, faults answered from a table.
 *
 * Interface: CpuMachine, Trap, Answer, PTE flags, ACCESS, CAUSE, PAGE, USER_LIMIT.
 * Invariants: [cm-1] physical pages are given out once; page 0 of the test's is the root of address space 0.
 */
import { type Harness, loadHarness, u64 } from "../host-harness";

export const PAGE = 4096;
export const USER_LIMIT = 1n << 47n;
export const V = 1n;
export const R = 2n;
export const W = 4n;
export const X = 8n;
export const U = 16n;
export const G = 32n;
export const A = 64n;
export const D = 128n;
export const ACCESS = { read: 0, write: 1, fetch: 2 } as const;
export type Access = keyof typeof ACCESS;
/** scause of the RISC-V privileged specification. */
export const CAUSE = { read: 13, write: 15, fetch: 12 } as const;
const TAG = { read: 0, write: 8, fetch: 16 } as const;
const TRAP_BYTES = 32;
const ANSWER_BYTES = 32;

export interface Trap {
  event: "enter" | "handle" | "leave";
  cause: number;
  address: bigint;
  timeNs: number;
}

/** What the handler does at one fault. */
export interface Answer {
  /** 0: make the access again, 1: give it up, 2: the lock is held, ask faultLeave. */
  result: number;
  leave?: number;
  line?: number;
  /** Maps address to pte before it returns. */
  map?: { address: bigint; pte: bigint };
  sleepNs?: number;
}

export class CpuMachine {
  readonly harness: Harness = loadHarness({ bytes: 8 << 20 });
  readonly view = new DataView(this.harness.memory.buffer);
  private readonly base: number;
  private nextPage = 0;
  private roots = new Map<number, number>();
  /** CPU under test. */
  readonly cpu: number;

  constructor(options: { cpus?: number; tlbEntries?: number; costs?: boolean } = {}) {
    const { cpus = 1, tlbEntries = 64, costs = false } = options;
    const ok = this.call("mmuBoot", cpus, tlbEntries, this.harness.memory.buffer.byteLength, costs ? 1 : 0);
    if (ok !== 1) throw new Error("the machine does not boot");
    this.base = this.call("mmuPages");
    this.cpu = this.use(0, 0);
  }

  call(name: string, ...args: (number | bigint)[]): number {
    return this.harness.call(name, ...args);
  }

  /** A fresh physical page: its address. */
  page(): number {
    return this.base + PAGE * this.nextPage++;
  }

  /** The page table root of an address space. */
  root(space: number): number {
    const root = this.roots.get(space) ?? this.page();
    this.roots.set(space, root);
    return root;
  }

  /** Loads an address space on a CPU under a context number. Returns the CPU. */
  use(space: number, context: number, id = 0): number {
    return this.call("mmuCpu", id, this.root(space), u64(this.call("contextTag", context)));
  }

  /** Where the PTE of an address lies at a level (0 leaf .. 3 root); tables on the way are made. */
  slot(address: bigint, space = 0, level = 0): number {
    let table = this.root(space);
    for (let at = 3; ; at--) {
      const slot = table + Number((address >> BigInt(12 + 9 * at)) & 511n) * 8;
      if (at === level) return slot;
      const pte = this.pte(slot);
      if ((pte & V) === 0n) this.setPte(slot, pteOf(this.page(), V));
      table = Number(this.pte(slot) >> 10n) * PAGE;
    }
  }

  pte(slot: number): bigint {
    return this.view.getBigUint64(slot, true);
  }

  setPte(slot: number, pte: bigint): void {
    this.view.setBigUint64(slot, pte, true);
  }

  /** Maps a page of its own at the address. Returns its physical address. */
  map(address: bigint, flags: bigint, space = 0): number {
    const page = this.page();
    this.setPte(this.slot(address, space), pteOf(page, flags));
    return page;
  }

  refill(address: bigint, access: Access): number {
    return this.call("mmuRefill", this.cpu, address, ACCESS[access]);
  }

  /** Linear address when the TLB grants the access as it stands, else 0. */
  lookup(address: bigint, access: Access, lenBytes = 1): number {
    return this.call("tlbLookup", this.cpu, address, lenBytes, TAG[access]);
  }

  /** What the TLB grants for a page, as letters. */
  grants(address: bigint): string {
    const letters = { read: "r", write: "w", fetch: "x" } as const;
    return (["read", "write", "fetch"] as const).map((a) => (this.lookup(address, a) !== 0 ? letters[a] : "-")).join("");
  }

  answers(list: readonly Answer[]): void {
    const at = this.call("mmuAnswers");
    list.forEach(({ result, leave = 0, line = 0, map, sleepNs = 0 }, i) => {
      const slot = map ? this.slot(map.address) : 0;
      [result, leave, line, slot].forEach((word, k) => this.view.setUint32(at + i * ANSWER_BYTES + k * 4, word, true));
      this.view.setBigUint64(at + i * ANSWER_BYTES + 16, map?.pte ?? 0n, true);
      this.view.setUint32(at + i * ANSWER_BYTES + 24, sleepNs, true);
    });
    this.call("mmuAnswerCount", list.length);
  }

  traps(): Trap[] {
    const at = this.call("mmuTraps");
    return Array.from({ length: this.call("mmuTrapCount") }, (_, i) => ({
      event: (["enter", "handle", "leave"] as const)[this.view.getUint32(at + i * TRAP_BYTES + 4, true)]!,
      cause: this.view.getUint32(at + i * TRAP_BYTES, true),
      address: this.view.getBigUint64(at + i * TRAP_BYTES + 8, true),
      timeNs: Number(this.view.getBigUint64(at + i * TRAP_BYTES + 16, true)),
    }));
  }

  /** Cause and address of the faults that were handled. */
  faults(): [number, bigint][] {
    return this.traps()
      .filter((t) => t.event === "handle")
      .map((t) => [t.cause, t.address]);
  }

  bytes(at: number, lenBytes: number): Uint8Array {
    return new Uint8Array(this.harness.memory.buffer, at, lenBytes);
  }

  /** Everything that a fault must leave alone: page tables, data, TLBs. */
  state(): Uint8Array {
    const end = this.base + PAGE * this.nextPage;
    const tlb = this.bytes(this.call("tlbEntry", this.cpu, 0n), (this.call("mmuState", 3) + 1) * 32);
    return Buffer.concat([this.bytes(this.base, end - this.base), tlb]);
  }
}

export function pteOf(physical: number, flags: bigint): bigint {
  return (BigInt(physical / PAGE) << 10n) | flags;
}
