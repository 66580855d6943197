/*
 * Which CPU is furthest behind: a winner tree over the CPUs' clocks.
 *
 *        node 1            each inner node holds the id of the CPU that wins below it;
 *       /      \           a leaf is a CPU; a CPU with nothing to run has key TIME_NEVER
 *     2          3
 *    / \        / \
 *   c0  c1    c2   c3
 *
 * Interface: cpuTreeInit, cpuTreeSet(id, key), cpuTreeFirst(), cpuTreeKey(id), cpuTreeFirstKey().
 * Invariants: [tree-1] node[1] is the lowest id among those with the smallest key.
 * Locks: none (dispatcher only).
 * Why not a heap: one CPU's key changes at a time, at a known leaf: log2(n) compares, no search, ties fall to the lowest id.
 */
import { bootAlloc } from "../memlayout";
import { TIME_NEVER, sched } from "./state";

/** Carves the tree for `nCpus`. Returns false when memory is too small. */
export function cpuTreeInit(nCpus: u32): bool {
  const s = sched();
  let leaves: u32 = 1;
  while (leaves < nCpus) leaves <<= 1;
  s.treeLeaves = leaves;
  s.treeKeys = bootAlloc(leaves << 3, 64);
  s.treeNodes = bootAlloc(leaves << 2, 64);
  if (s.treeKeys == 0 || s.treeNodes == 0) return false;
  for (let i: u32 = 0; i < leaves; i++) store<u64>(s.treeKeys + (i << 3), TIME_NEVER);
  for (let i: u32 = 1; i < leaves; i++) {
    let depthStride = leaves;
    for (let n = i; n > 1; n >>= 1) depthStride >>= 1;
    let top: u32 = 1;
    while (top << 1 <= i) top <<= 1;
    store<u32>(s.treeNodes + (i << 2), (i - top) * depthStride);
  }
  return true;
}

export function cpuTreeKey(id: u32): u64 {
  return load<u64>(sched().treeKeys + (id << 3));
}

export function cpuTreeSet(id: u32, key: u64): void {
  const s = sched();
  const keys = s.treeKeys;
  const nodes = s.treeNodes;
  const leaves = s.treeLeaves;
  store<u64>(keys + (id << 3), key);
  if (leaves == 1) return;
  // The bottom inner nodes compare two leaves, the others two winners.
  let node = (leaves + id) >> 1;
  const left = id & ~1;
  let winner = load<u64>(keys + (left << 3)) <= load<u64>(keys + ((left | 1) << 3)) ? left : left | 1;
  store<u32>(nodes + (node << 2), winner);
  let winnerKey = load<u64>(keys + (winner << 3));
  while (node > 1) {
    const otherId = load<u32>(nodes + ((node ^ 1) << 2));
    const otherKey = load<u64>(keys + (otherId << 3));
    if (otherKey < winnerKey || (otherKey == winnerKey && otherId < winner)) {
      winner = otherId;
      winnerKey = otherKey;
    }
    node >>= 1;
    store<u32>(nodes + (node << 2), winner);
  }
}

/** The CPU with the smallest key. */
export function cpuTreeFirst(): u32 {
  const s = sched();
  return s.treeLeaves == 1 ? 0 : load<u32>(s.treeNodes + 4);
}

export function cpuTreeFirstKey(): u64 {
  return cpuTreeKey(cpuTreeFirst());
}
