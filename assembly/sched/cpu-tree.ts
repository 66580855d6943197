/*
 * Which CPU is furthest behind: a winner tree over the CPUs' clocks.
 *
 *        node 1            a node holds a key and the id of the CPU that it is of: the winner's below it;
 *       /      \           a leaf is a CPU; a CPU with nothing to run has key TIME_NEVER
 *     2          3
 *    / \        / \
 *   c0  c1    c2   c3
 *
 * Interface: cpuTreeInit, cpuTreeSet(id, key), cpuTreeFirst(), cpuTreeKey(id), cpuTreeFirstKey(), cpuTreeOthersKey(id).
 * Invariants: [tree-1] node 1 is of the lowest id among those with the smallest key.
 * Locks: none (dispatcher only).
 * Why not a heap: one CPU's key changes at a time, at a known leaf: log2(n) compares, no search, ties fall to the lowest id.
 *
 * Nothing here branches on a key: which CPU is behind is what a host's branch predictor cannot know.
 */
import { bootAlloc } from "../memlayout";
import { TIME_NEVER, sched } from "./state";

/** Carves the tree for `nCpus`. Returns false when memory is too small. */
export function cpuTreeInit(nCpus: u32): bool {
  const s = sched();
  let leaves: u32 = 1;
  while (leaves < nCpus) leaves <<= 1;
  s.treeLeaves = leaves;
  s.treeKeys = bootAlloc(leaves << 4, 64);
  s.treeIds = bootAlloc(leaves << 3, 64);
  if (s.treeKeys == 0 || s.treeIds == 0) return false;
  for (let node: u32 = leaves << 1; --node > 0;) {
    store<u64>(s.treeKeys + (node << 3), TIME_NEVER);
    store<u32>(s.treeIds + (node << 2), node >= leaves ? node - leaves : load<u32>(s.treeIds + (node << 3)));
  }
  return true;
}

export function cpuTreeKey(id: u32): u64 {
  const s = sched();
  return load<u64>(s.treeKeys + ((s.treeLeaves + id) << 3));
}

export function cpuTreeSet(id: u32, key: u64): void {
  const s = sched();
  const keys = s.treeKeys;
  const ids = s.treeIds;
  let node = s.treeLeaves + id;
  let winner = id;
  let winnerKey = key;
  store<u64>(keys + (node << 3), key);
  while (node > 1) {
    const otherKey = load<u64>(keys + ((node ^ 1) << 3));
    // An odd node stands to the right of the other, whose ids are lower and win a tie.
    const isOther = u32(otherKey < winnerKey) | (u32(otherKey == winnerKey) & (node & 1));
    winner = select<u32>(load<u32>(ids + ((node ^ 1) << 2)), winner, isOther);
    winnerKey = select<u64>(otherKey, winnerKey, isOther);
    node >>= 1;
    store<u64>(keys + (node << 3), winnerKey);
    store<u32>(ids + (node << 2), winner);
  }
}

/** The CPU with the smallest key. */
export function cpuTreeFirst(): u32 {
  return load<u32>(sched().treeIds + 4);
}

export function cpuTreeFirstKey(): u64 {
  return load<u64>(sched().treeKeys + 8);
}

/** The smallest key of any CPU but this one. */
export function cpuTreeOthersKey(id: u32): u64 {
  const s = sched();
  const keys = s.treeKeys;
  let smallest = TIME_NEVER;
  for (let node = s.treeLeaves + id; node > 1; node >>= 1) {
    const key = load<u64>(keys + ((node ^ 1) << 3));
    smallest = select<u64>(key, smallest, key < smallest);
  }
  return smallest;
}
