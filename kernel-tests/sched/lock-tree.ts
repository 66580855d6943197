/*
 * The lock tree as written (assembly/sched/lock-class.ts) against what lockdep of a machine has learned.
 *
 * Interface: learnedOrders(machine), ordersAgainstTree(machine), lockClasses().
 * Invariants: [lk-1] every order learned goes down the tree: from a lower rank to a higher.
 */
import { type Harness, loadHarness } from "../host-harness";

const ROW_BYTES = 8;
const UNRANKED = 0xff;

export interface LockClass {
  id: number;
  name: string;
  rank: number;
}

/** outer was held while inner was taken. */
export interface LockOrder {
  outer: LockClass;
  inner: LockClass;
}

/** The parts of a Machine that this needs. */
interface HasMemory {
  readonly memory: WebAssembly.Memory;
}

let harness: Harness | undefined;
let classes: LockClass[] | undefined;

/** Every class that has a name, with its place in the tree. The kernel and the harness are built from one source. */
export function lockClasses(): LockClass[] {
  harness ??= loadHarness({ bytes: 1 << 20 });
  if (classes) return classes;
  const h = harness;
  const ids = Array.from({ length: h.constant("LC_MAX") }, (_, id) => id);
  const all = ids.map((id) => ({ id, name: h.text(h.call("lockClassName", id)), rank: h.call("lockClassRank", id) }));
  return (classes = all.filter((c) => c.name !== ""));
}

export function learnedOrders(machine: HasMemory): LockOrder[] {
  const byId = new Map(lockClasses().map((c) => [c.id, c]));
  const view = new DataView(machine.memory.buffer);
  const rows = view.getUint32(harness?.constant("LOCKDEP_STATE") ?? 0, true);
  const orders: LockOrder[] = [];
  for (const outer of byId.values()) {
    const row = view.getBigUint64(rows + outer.id * ROW_BYTES, true);
    for (let id = 0; id < 64; id++) {
      if (((row >> BigInt(id)) & 1n) === 0n) continue;
      orders.push({ outer, inner: byId.get(id) ?? { id, name: `class ${id}`, rank: UNRANKED } });
    }
  }
  return orders;
}

/** The learned orders that the tree does not allow, as text. */
export function ordersAgainstTree(machine: HasMemory): string[] {
  return learnedOrders(machine)
    .filter(({ outer, inner }) => outer.rank === UNRANKED || inner.rank === UNRANKED || outer.rank >= inner.rank)
    .map(({ outer, inner }) => `${outer.name} (rank ${outer.rank}) -> ${inner.name} (rank ${inner.rank})`);
}
