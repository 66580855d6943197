/*
 * The space map: which sectors of the filesystem are used, given up but pinned, or free; allocation from it.
 *
 *     free --alloc--> used --pinFreed--> pinned --the transaction is on the disk--> free
 *                      \--freeNow (allocated in this very transaction)-----------> free
 *
 *     Space is handed out in clusters of 4 KiB (a tree block) and in blocks (data). A cluster is of one kind:
 *       whole    no bit set                                        freeClusters counts them
 *       pinned   nothing used, nothing free                        pinnedClusters: whole once the transactions are on the disk
 *       partial  anything else                                     partialBlocks counts their free blocks
 *
 * Interface: spaceInit, spaceReserveFixed, treeMarkUsed, treeClusterAlloc, dataAlloc, dataFill, dataReturn, dataMarkUsed, pinFreed,
 *            freeNow, unpinAll, needForData, freeBlocksNow, checkSpace.
 * Invariants:
 *   [cow-1] nothing that the last transaction on the disk refers to is written over: freed space is pinned until the
 *           transaction that freed it is on the disk.
 *   [cow-2] freeClusters, pinnedClusters and partialBlocks are what a count over the map gives.
 *   [cow-3] a tree block's cluster has all bits used and refs != 0; data never shares a cluster with a tree block.
 *   [cow-4] an allocation keeps every promise of reserve.ts: data opens a whole cluster only when no fragment is left, or
 *           when the promises hold without it.
 * Locks: none; each call is one emulated step.
 * Why not block groups: a cluster is data or tree as it comes; what keeps tree blocks possible is arithmetic (reserve.ts).
 * Why not reuse at once: a crash must find the old tree whole.
 */
import { M_FREED_EARLY, mutant } from "../../lib/mutant";
import { CLUSTER_SECTORS, SUPER_CLUSTER } from "./layout";
import { promisesHold } from "./reserve";
import { ClusterState, CowfsInfo } from "./state";

const FULL: u32 = 0xff;

function busyMask(c: ClusterState): u32 {
  return c.used | c.pinnedEven | c.pinnedOdd;
}

/** Adds (sign 1) or takes away (-1) what a cluster contributes to the counters. */
function count(info: CowfsInfo, c: ClusterState, sign: i32): void {
  const busy = busyMask(c);
  if (busy == 0) {
    info.freeClusters += sign;
    return;
  }
  const free = (CLUSTER_SECTORS - <u32>popcnt(busy)) / info.blockSectors;
  info.partialBlocks += <i32>free * sign;
  if (free == 0 && c.used == 0) info.pinnedClusters += sign;
}

/** A map in which everything is free. */
export function spaceInit(info: CowfsInfo): void {
  memory.fill(info.clusterStates, 0, info.clusters * offsetof<ClusterState>());
  info.freeClusters = info.clusters;
  info.pinnedClusters = 0;
  info.partialBlocks = 0;
  info.treeRotor = 0;
  info.dataRotor = info.clusters >> 3;
}

/** The superblocks' clusters are nobody else's, and the first is nobody's: address 0 says that there is a hole. */
export function spaceReserveFixed(info: CowfsInfo): void {
  markCluster(info, 0);
  markCluster(info, SUPER_CLUSTER);
  markCluster(info, info.mirrorCluster);
}

/** A tree block found at mount: used, with one reference. False when the cluster is taken. */
export function treeMarkUsed(info: CowfsInfo, cluster: u32): bool {
  const c = info.cluster(cluster);
  if (busyMask(c) != 0) return false;
  markCluster(info, cluster);
  c.refs = 1;
  return true;
}

function markCluster(info: CowfsInfo, cluster: u32): void {
  const c = info.cluster(cluster);
  count(info, c, -1);
  c.used = <u8>FULL;
  count(info, c, 1);
}

/** The first cluster without a bit at or behind `from`, wrapping; the number of clusters when there is none. */
function nextWhole(info: CowfsInfo, from: u32): u32 {
  const base = info.clusterStates;
  const total = info.clusters;
  if (info.freeClusters == 0) return total;
  let at = from;
  for (let n: u32 = 0; n < total; n++) {
    if (at >= total) at = 0;
    // used, pinnedEven, pinnedOdd, dirty: a free cluster is never dirty.
    if (load<u32>(base + (at << 3)) == 0) return at;
    at++;
  }
  return total;
}

/** A cluster for a tree block, with one reference; info.clusters when there is none now (the caller waits for a commit). */
export function treeClusterAlloc(info: CowfsInfo): u32 {
  const at = nextWhole(info, info.treeRotor);
  if (at == info.clusters) return at;
  markCluster(info, at);
  info.cluster(at).refs = 1;
  info.treeRotor = at + 1;
  return at;
}

function sectorMask(first: u32, sectors: u32): u32 {
  return ((1 << sectors) - 1) << first;
}

/** Sets or clears bits of one kind over [sector, sector + sectors). `kind`: offset of the mask in ClusterState. */
function changeRange(info: CowfsInfo, sector: u32, sectors: u32, kind: usize, set: bool): void {
  let at = sector;
  let left = sectors;
  while (left != 0) {
    const first = at % CLUSTER_SECTORS;
    const n = min(left, CLUSTER_SECTORS - first);
    const c = info.cluster(at / CLUSTER_SECTORS);
    const mask = sectorMask(first, n);
    const byte = changetype<usize>(c) + kind;
    const old = <u32>load<u8>(byte);
    assert((old & mask) == (set ? 0 : mask), "[cow-2] a sector changes its state once");
    count(info, c, -1);
    store<u8>(byte, <u8>(old ^ mask));
    count(info, c, 1);
    at += n;
    left -= n;
  }
}

/** Data that a tree refers to, found at mount. False when the space is taken. */
export function dataMarkUsed(info: CowfsInfo, sector: u32, sectors: u32): bool {
  for (let at = sector; at < sector + sectors; at++) {
    if (at / CLUSTER_SECTORS >= info.clusters) return false;
    if ((busyMask(info.cluster(at / CLUSTER_SECTORS)) >> (at % CLUSTER_SECTORS)) & 1) return false;
  }
  changeRange(info, sector, sectors, offsetof<ClusterState>("used"), true);
  return true;
}

/** Used space that the running transaction gives up: free once that transaction is on the disk. */
export function pinFreed(info: CowfsInfo, sector: u32, sectors: u32): void {
  if (MUTANTS && mutant(M_FREED_EARLY)) {
    freeNow(info, sector, sectors);
    return;
  }
  const odd = (info.transid & 1) != 0;
  // Pin first: in between the cluster must not look free.
  changeRange(info, sector, sectors, odd ? offsetof<ClusterState>("pinnedOdd") : offsetof<ClusterState>("pinnedEven"), true);
  changeRange(info, sector, sectors, offsetof<ClusterState>("used"), false);
}

/** Used space that no transaction has ever referred to: free at once. */
export function freeNow(info: CowfsInfo, sector: u32, sectors: u32): void {
  changeRange(info, sector, sectors, offsetof<ClusterState>("used"), false);
}

/** Transaction `transid` is on the disk: what it gave up is free. */
export function unpinAll(info: CowfsInfo, transid: u64): void {
  const odd = (transid & 1) != 0;
  for (let i: u32 = 0; i < info.clusters; i++) {
    const c = info.cluster(i);
    if ((odd ? c.pinnedOdd : c.pinnedEven) == 0) continue;
    count(info, c, -1);
    if (odd) c.pinnedOdd = 0;
    else c.pinnedEven = 0;
    count(info, c, 1);
  }
}

/** Whole clusters that the data promised, and not allocated yet, needs beyond the fragments. */
export function needForData(info: CowfsInfo): u32 {
  const covered = info.partialBlocks + info.dataAllocated;
  if (info.dataReserved <= covered) return 0;
  return (info.dataReserved - covered + info.clusterBlocks - 1) / info.clusterBlocks;
}

/** A run of whole clusters of at most `want`, the longest among the first few found. Returns start << 32 | length, 0: none. */
function findWholeRun(info: CowfsInfo, want: u32): u64 {
  let best: u32 = 0;
  let bestAt: u32 = 0;
  let at = nextWhole(info, info.dataRotor);
  const total = info.clusters;
  if (at == total) return 0;
  for (let tries: u32 = 0; tries < 16 && at < total; tries++) {
    let length: u32 = 1;
    while (length < want && at + length < total && load<u32>(info.clusterStates + ((at + length) << 3)) == 0) length++;
    if (length > best) {
      best = length;
      bestAt = at;
    }
    if (best == want) break;
    const next = nextWhole(info, at + length);
    if (next <= at) break;
    at = next;
  }
  return ((<u64>bestAt) << 32) | best;
}

/** The longest run of free blocks in the fragments, up to `want` blocks. Returns sector << 32 | blocks, 0: none. */
function findFragment(info: CowfsInfo, want: u32): u64 {
  if (info.partialBlocks == 0) return 0;
  let best: u64 = 0;
  let bestBlocks: u32 = 0;
  for (let n: u32 = 0; n < info.clusters && bestBlocks < want; n++) {
    const at = (info.dataRotor + n) % info.clusters;
    const busy = busyMask(info.cluster(at));
    if (busy == 0 || busy == FULL) continue;
    let run: u32 = 0;
    for (let sector: u32 = 0; sector < CLUSTER_SECTORS; sector += info.blockSectors) {
      run = (busy >> sector) & 1 ? 0 : run + 1;
      if (run <= bestBlocks || run > want) continue;
      bestBlocks = run;
      const first = at * CLUSTER_SECTORS + sector - (run - 1) * info.blockSectors;
      best = ((<u64>first) << 32) | run;
    }
  }
  return best;
}

/** Takes the blocks if the promises, less the blocks' own, hold afterwards; `must`: in any case. */
function tryTake(info: CowfsInfo, sector: u32, blocks: u32, must: bool): bool {
  changeRange(info, sector, blocks * info.blockSectors, offsetof<ClusterState>("used"), true);
  info.dataAllocated += blocks;
  if (must || promisesHold(info)) return true;
  info.dataAllocated -= blocks;
  changeRange(info, sector, blocks * info.blockSectors, offsetof<ClusterState>("used"), false);
  return false;
}

/**
 * Space for up to `want` blocks of data that are reserved; they count as allocated until dataFill or dataReturn. Returns
 * sector << 32 | blocks, or 0 when nothing is free now (the caller waits for a commit).
 */
export function dataAlloc(info: CowfsInfo, want: u32): u64 {
  assert(want != 0 && info.dataAllocated + want <= info.dataReserved, "[cow-4] data is reserved before it is allocated");
  const perCluster = info.clusterBlocks;
  // Rounded up: the blocks left over in the last cluster are fragments for the next.
  const clusters = want >= perCluster ? want / perCluster : 1;
  const run = findWholeRun(info, clusters);
  if (run != 0) {
    const at = <u32>(run >> 32);
    const blocks = min(want, <u32>run * perCluster);
    // Small files fill fragments first, large ones ask for whole clusters.
    const fragment: u64 = blocks < perCluster ? findFragment(info, want) : 0;
    if (<u32>fragment == want) return takeFragment(info, fragment);
    if (tryTake(info, at * CLUSTER_SECTORS, blocks, false)) {
      info.dataRotor = at + <u32>run;
      if (info.dataRotor >= info.clusters) info.dataRotor = 0;
      return ((<u64>(at * CLUSTER_SECTORS)) << 32) | blocks;
    }
  }
  const fragment = findFragment(info, want);
  if (fragment != 0) return takeFragment(info, fragment);
  if (run == 0) return 0;
  const at = <u32>(run >> 32);
  const blocks = min(want, perCluster);
  tryTake(info, at * CLUSTER_SECTORS, blocks, true);
  assert(promisesHold(info), "[cow-4] the last fragment is gone: a whole cluster for data is part of the promise");
  return ((<u64>(at * CLUSTER_SECTORS)) << 32) | blocks;
}

function takeFragment(info: CowfsInfo, fragment: u64): u64 {
  tryTake(info, <u32>(fragment >> 32), <u32>fragment, true);
  return fragment;
}

/** Allocated blocks get their data: the reservation is used up. */
export function dataFill(info: CowfsInfo, blocks: u32): void {
  assert(blocks <= info.dataAllocated && blocks <= info.dataReserved, "[cow-4] data that is written was reserved and allocated");
  info.dataAllocated -= blocks;
  info.dataReserved -= blocks;
}

/** Allocated blocks that were not needed: free again. */
export function dataReturn(info: CowfsInfo, sector: u32, blocks: u32): void {
  freeNow(info, sector, blocks * info.blockSectors);
  info.dataAllocated -= blocks;
}

/** Blocks that hold nothing, pinned ones not counted. */
export function freeBlocksNow(info: CowfsInfo): u32 {
  return info.freeClusters * info.clusterBlocks + info.partialBlocks;
}

/** [cow-2] [cow-3]: counts the map again. */
export function checkSpace(info: CowfsInfo): void {
  let whole: u32 = 0;
  let pinned: u32 = 0;
  let partial: u32 = 0;
  let trees: u32 = 0;
  for (let i: u32 = 0; i < info.clusters; i++) {
    const c = info.cluster(i);
    assert((c.used & (c.pinnedEven | c.pinnedOdd)) == 0, "[cow-2] a sector is used or pinned, not both");
    assert((c.pinnedEven & c.pinnedOdd) == 0, "[cow-2] a sector is given up once");
    if (c.refs != 0) assert(c.used == <u8>FULL, "[cow-3] a tree block has its cluster to itself");
    // A transaction may be writing what the next one has given up already: it stays pinned till that one commits.
    if (c.dirty != 0) assert(c.refs != 0 || (c.pinnedEven | c.pinnedOdd) != 0, "[cow-3] what will be written is a tree block");
    const busy = busyMask(c);
    if (busy == 0) whole++;
    else {
      const free = (CLUSTER_SECTORS - <u32>popcnt(busy)) / info.blockSectors;
      partial += free;
      if (free == 0 && c.used == 0) pinned++;
    }
    if (c.refs != 0) trees++;
  }
  assert(whole == info.freeClusters && pinned == info.pinnedClusters && partial == info.partialBlocks, "[cow-2] the counters are a count");
  assert(trees != 0, "[cow-3] a mounted filesystem has trees");
}
