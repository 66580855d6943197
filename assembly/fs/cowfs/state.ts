/*
 * The structs of a mounted cowfs: the filesystem, its trees, its inodes, a transaction handle, a path in a tree; their caches.
 *
 *     CowfsInfo --> CowRoot x 4 (fs, extent, csum, root tree), and one for each snapshot that was looked into
 *               \-> ClusterState, 8 bytes a cluster, carved at boot for the whole disk
 *
 * Interface: CowfsInfo, CowRoot, CowInode, CowHandle, CowPath, TreeReserve, ClusterState, cowfsStateInit, cowfsState, cowCache,
 *            CACHE_*, TREE_*.
 * Invariants:
 *   [cs-1] a range of the disk is mounted once ([mnt-1]), so the state of a cluster belongs to one CowfsInfo.
 * Locks: a CowRoot's rwsem for its tree. What has no lock here changes in one emulated step.
 * Why not globals: a snapshot of the machine is a copy of memory (DESIGN D2).
 */
import { CRC32C_TABLE_BYTES, crc32cInit } from "../../lib/crc32c";
import { IntervalRoot } from "../../lib/interval-tree";
import { ListHead } from "../../lib/list";
import { KmemCache, kmemCacheInit } from "../../lib/slab";
import { bootConfig } from "../../config";
import { bootAlloc } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { RwSemaphore } from "../../sched/rwsem";
import { Task } from "../../sched/state";
import { WaitQueue } from "../../sched/wait-queue";
import { Inode } from "../inode";
import { fsState } from "../state";
import { SuperBlock } from "../super";
import { MAX_LEVEL } from "./layout";

/** The live trees, as indexes of reservations. */
export const TREE_FS: u32 = 0;
export const TREE_EXTENT: u32 = 1;
export const TREE_CSUM: u32 = 2;
export const TREE_ROOT: u32 = 3;
export const TREES: u32 = 4;

/** A tree in memory. */
@unmanaged
export class CowRoot {
  /** Held for reading by lookups, for writing by changes: RwSemaphore. */
  sem0: u64; sem1: u64; sem2: u64; sem3: u64; sem4: u64; sem5: u64;
  objectid: u64;
  /** Offset of its ROOT_ITEM's key: 0, or the generation in which the snapshot was made. */
  keyOffset: u64;
  /** Generation of the root block. */
  generation: u64;
  info: CowfsInfo;
  /** TREE_*, or TREES for a snapshot. */
  index: u32;
  /** Where the root block is, and its level. */
  cluster: u32;
  level: u32;
  /** Tree blocks of a live tree, and the bytes of its items with their headers. */
  blocks: u32;
  itemBytes: u32;
  /** Blocks that a snapshot has, too: each will leave the old copy behind when it changes. */
  shared: u32;
  /** Snapshots: next in CowfsInfo.snapshots. */
  next: usize;

  get rwsem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this));
  }
}

/** A place in a tree: for each level from the leaf up the block and the slot taken in it, and the key that was looked for. */
@unmanaged
export class CowPath {
  block0: u32; block1: u32; block2: u32; block3: u32; block4: u32; block5: u32; block6: u32; block7: u32;
  slot0: u32; slot1: u32; slot2: u32; slot3: u32; slot4: u32; slot5: u32; slot6: u32; slot7: u32;
  objectid: u64;
  offset: u64;
  type: u8;

  /** Address of the block's frame; 0 above the root. The path holds a reference. */
  block(level: u32): usize {
    assert(level < MAX_LEVEL, "a tree has few levels");
    return load<u32>(changetype<usize>(this) + (level << 2));
  }
  setBlock(level: u32, block: usize): void {
    assert(level < MAX_LEVEL, "a tree has few levels");
    store<u32>(changetype<usize>(this) + (level << 2), <u32>block);
  }
  slot(level: u32): u32 {
    return load<u32>(changetype<usize>(this) + (level << 2), 32);
  }
  setSlot(level: u32, slot: u32): void {
    store<u32>(changetype<usize>(this) + (level << 2), slot, 32);
  }
  get leaf(): usize {
    return this.block0;
  }
}

/** Items and bytes that may still be inserted into each tree (reserve.ts). */
@unmanaged
export class TreeReserve {
  fsItems: u32; extentItems: u32; csumItems: u32; rootItems: u32;
  fsBytes: u32; extentBytes: u32; csumBytes: u32; rootBytes: u32;

  items(tree: u32): u32 {
    return load<u32>(changetype<usize>(this) + (tree << 2));
  }
  bytes(tree: u32): u32 {
    return load<u32>(changetype<usize>(this) + (tree << 2), 16);
  }
  add(tree: u32, items: i32, bytes: i32): void {
    const at = changetype<usize>(this) + (tree << 2);
    assert(<i32>load<u32>(at) + items >= 0, "[mk-6] no more items are inserted than were reserved");
    assert(<i32>load<u32>(at, 16) + bytes >= 0, "[mk-6] no more bytes are inserted than were reserved");
    store<u32>(at, load<u32>(at) + items);
    store<u32>(at, load<u32>(at, 16) + bytes, 16);
  }
}

/** One use of the running transaction. */
@unmanaged
export class CowHandle {
  reserve0: u64; reserve1: u64; reserve2: u64; reserve3: u64;
  transid: u64;
  /** Where a search leaves a number for the next. */
  spare: u64;
  info: CowfsInfo;
  /** The path of its owner's searches. */
  path: CowPath;

  /** What is left of its reservation; counted in CowfsInfo.handles. */
  get reserve(): TreeReserve {
    return changetype<TreeReserve>(changetype<usize>(this));
  }
}

/** The bit of ClusterState.dirty that belongs to a transaction. */
export function dirtyBit(transid: u64): u8 {
  return (transid & 1) != 0 ? 2 : 1;
}

/** What the disk's space map says of a cluster: masks have a bit a sector. */
@unmanaged
export class ClusterState {
  /** Part of what the running transaction sees: trees, data, superblocks. */
  used: u8;
  /** Given up in an even, in an odd transaction that is not on the disk yet. */
  pinnedEven: u8;
  pinnedOdd: u8;
  /** dirtyBit(transid): a tree block that this transaction will write. */
  dirty: u8;
  /** Pointers to the tree block here: from other blocks, ROOT_ITEMs or the superblock; 0 for anything else. */
  refs: u16;
  pad: u16;
}

/** cowfs's part of an inode: Inode.fsPrivate. */
@unmanaged
export class CowInode {
  inode: Inode;
  root: CowRoot;
  /** Creation: generation of the inode; the last transaction that changed it. */
  generation: u64;
  lastTrans: u64;
  /** Index of the directory's next entry. 0: not looked up yet. */
  dirIndex: u64;
  /** Bytes of extents that the file refers to. */
  nbytes: u64;
  otimeNs: u64;
  /** Link in CowfsInfo.delayedList, which holds a reference of the inode while `delayed` is 1. */
  delayedNext: u32;
  delayedPrev: u32;
  delayed: u32;
  /** Blocks with a delalloc bit in some page; link in CowfsInfo.delallocList while there are any. */
  delallocBlocks: u32;
  delallocNext: u32;
  delallocPrev: u32;
  /** Ordered extents under way. */
  orderedNext: u32;
  orderedPrev: u32;
  /** Extent maps: IntervalRoot, by byte of the file. */
  maps0: u64; maps1: u64;
  /** 1: a task writes the file's pages back. */
  writing: u32;
  /** Links that the disk knows of: ahead of Inode.nlink between an operation and the VFS's own count. */
  nlink: u32;
  /** 1: a truncate is under way in several transactions (truncate.ts). */
  orphan: u32;
  /** A truncate has set i_size and not dropped an item yet: the disk has the file as long as this. Else 0. */
  sizeBefore: u64;

  get delayedLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowInode>("delayedNext"));
  }
  get delallocLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowInode>("delallocNext"));
  }
  get orderedList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowInode>("orderedNext"));
  }
  get maps(): IntervalRoot {
    return changetype<IntervalRoot>(changetype<usize>(this) + offsetof<CowInode>("maps0"));
  }
}

@unmanaged
export class CowfsInfo {
  /** Reservations of all handles: TreeReserve. */
  handles0: u64; handles1: u64; handles2: u64; handles3: u64;
  /** Generation of the running transaction, and of the last one that is on the disk. */
  transid: u64;
  committed: u64;
  /** Generation being written, 0: none. */
  committing: u64;
  /** First sector of the filesystem on the disk. */
  startSector: u64;
  fsid0: u64; fsid1: u64;
  commitIntervalNs: u64;
  commitDueNs: u64;
  /** The superblock of the transaction being written. */
  superGeneration: u64;
  superUsed: u64;
  sb: SuperBlock;
  /** ClusterState of cluster 0. */
  clusterStates: usize;
  clusters: u32;
  mirrorCluster: u32;
  blockSize: u32;
  blockShift: u32;
  /** Sectors of a block, blocks of a cluster. */
  blockSectors: u32;
  clusterBlocks: u32;
  /** CowRoot by TREE_*; snapshots in a list. */
  root0: u32; root1: u32; root2: u32; root3: u32;
  snapshots: usize;
  /* Space: space.ts and reserve.ts. */
  freeClusters: u32;
  pinnedClusters: u32;
  /** Of the pinned clusters, those that the transaction being written will set free. */
  pinnedCommitting: u32;
  partialBlocks: u32;
  cleanBlocks: u32;
  dataReserved: u32;
  dataAllocated: u32;
  metaBlocks: u32;
  treeRotor: u32;
  dataRotor: u32;
  ticketNext: u32;
  ticketPrev: u32;
  /* The transaction: transaction.ts, commit.ts. */
  state: u32;
  writers: u32;
  /** 1: the running transaction has something to commit. */
  changed: u32;
  dirtyCount: u32;
  /** Dirty tree blocks above which a transaction should commit. */
  dirtyLimit: u32;
  /** 1: a kernel thread is at work here; unmount waits. */
  threadBusy: u32;
  writesPending: u32;
  writeError: i32;
  /** -errno after which nothing is written any more. */
  aborted: i32;
  readOnly: u32;
  superRoot: u32;
  superLevel: u32;
  /** A frame of its own to write superblocks from. */
  superFrame: usize;
  delayedNext: u32;
  delayedPrev: u32;
  /** The snapshot that the next commit makes (snapshot.ts), or 0. */
  pendingSnapshot: usize;
  /** Number of the newest snapshot's tree. */
  lastTreeId: u64;
  transWait0: u64; transWait1: u64;
  /* Data: delalloc and ordered extents. */
  delallocNext: u32;
  delallocPrev: u32;
  /** Files in delallocList; ordered extents, and how many writeback may have under way. */
  delallocInodes: u32;
  orderedCount: u32;
  orderedLimit: u32;
  nextIno: u32;
  ioWait0: u64; ioWait1: u64;
  orderedWait0: u64; orderedWait1: u64;
  /** Link in CowfsState.mounts. */
  mountNext: u32;
  mountPrev: u32;
  /* Counters. */
  csumErrors: u32;
  commits: u32;
  flushes: u32;
  ticketsQueued: u32;

  get handles(): TreeReserve {
    return changetype<TreeReserve>(changetype<usize>(this));
  }
  root(index: u32): CowRoot {
    assert(index < TREES, "a live tree");
    return changetype<CowRoot>(<usize>load<u32>(changetype<usize>(this) + (index << 2), offsetof<CowfsInfo>("root0")));
  }
  setRoot(index: u32, root: CowRoot): void {
    store<u32>(changetype<usize>(this) + (index << 2), <u32>changetype<usize>(root), offsetof<CowfsInfo>("root0"));
  }
  cluster(index: u32): ClusterState {
    assert(index < this.clusters, "a cluster lies in the filesystem");
    return changetype<ClusterState>(this.clusterStates + (index << 3));
  }
  get ticketList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsInfo>("ticketNext"));
  }
  get delayedList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsInfo>("delayedNext"));
  }
  get delallocList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsInfo>("delallocNext"));
  }
  /** Those who wait for a transaction: to start, to end, to be on the disk. */
  get transWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<CowfsInfo>("transWait0"));
  }
  /** The committer, for its writes. */
  get ioWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<CowfsInfo>("ioWait0"));
  }
  /** Those who wait for ordered extents. */
  get orderedWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<CowfsInfo>("orderedWait0"));
  }
  get mountLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsInfo>("mountNext"));
  }
  /** The page cache of tree blocks, by cluster, behind the struct. */
  get treeMapping(): AddressSpace {
    return changetype<AddressSpace>(changetype<usize>(this) + INFO_HEAD_BYTES);
  }
}

const INFO_HEAD_BYTES: u32 = (<u32>offsetof<CowfsInfo>() + 15) & ~15;

/** Object caches. */
export const CACHE_INFO: u32 = 0;
export const CACHE_ROOT: u32 = 1;
export const CACHE_PATH: u32 = 2;
export const CACHE_HANDLE: u32 = 3;
export const CACHE_COW_INODE: u32 = 4;
export const CACHE_EXTENT_MAP: u32 = 5;
export const CACHE_ORDERED: u32 = 6;
export const CACHE_SUMS: u32 = 7;
export const CACHE_TICKET: u32 = 8;
export const CACHE_READ: u32 = 9;
export const CACHE_SNAPSHOT: u32 = 10;
const CACHES: u32 = 11;

/** What all mounts share: carved at boot. */
@unmanaged
export class CowfsState {
  crcTable: usize;
  /** ClusterState of the disk's first cluster; the number of clusters. */
  clusterStates: usize;
  clusters: u32;
  /** Tables of operations, one set for all mounts. */
  ops: usize;
  /** Kernel threads for all mounts, made by the first: completion of ordered extents; space and commits. */
  worker: Task;
  flusher: Task;
  /** Mounted filesystems (CowfsInfo.mountLink). */
  mountNext: u32;
  mountPrev: u32;
  /** Ordered extents whose IO is done. */
  doneNext: u32;
  donePrev: u32;
  /** Where the two threads sleep. */
  workWait0: u64; workWait1: u64;
  flushWait0: u64; flushWait1: u64;

  get mounts(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsState>("mountNext"));
  }
  get doneList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<CowfsState>("doneNext"));
  }
  get workWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<CowfsState>("workWait0"));
  }
  get flushWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<CowfsState>("flushWait0"));
  }
}

const STATE_BYTES: u32 = <u32>offsetof<CowfsState>() + CACHES * <u32>offsetof<KmemCache>();
/** Names of the caches in reports. */
const NAME_BASE: u32 = 32;

export function cowfsState(): CowfsState {
  return changetype<CowfsState>(fsState().cowfs);
}

export function cowCache(index: u32): KmemCache {
  assert(index < CACHES, "a cache of cowfs's");
  return changetype<KmemCache>(fsState().cowfs + offsetof<CowfsState>() + index * offsetof<KmemCache>());
}

export function cowCacheInit(index: u32, objBytes: u32): void {
  kmemCacheInit(cowCache(index), objBytes, NAME_BASE + index);
}

/** Carves what every mount shares. False when memory is too small. */
export function cowfsStateInit(): bool {
  const state = bootAlloc(STATE_BYTES, 16);
  if (state == 0) return false;
  fsState().cowfs = state;
  const s = cowfsState();
  s.crcTable = bootAlloc(CRC32C_TABLE_BYTES, 16);
  s.clusters = bootConfig().diskBlocks;
  s.clusterStates = bootAlloc(s.clusters * offsetof<ClusterState>() + 16, 16);
  if (s.crcTable == 0 || s.clusterStates == 0) return false;
  crc32cInit(s.crcTable);
  cowCacheInit(CACHE_INFO, INFO_HEAD_BYTES + <u32>offsetof<AddressSpace>());
  cowCacheInit(CACHE_ROOT, <u32>offsetof<CowRoot>());
  cowCacheInit(CACHE_PATH, <u32>offsetof<CowPath>());
  cowCacheInit(CACHE_HANDLE, <u32>offsetof<CowHandle>());
  cowCacheInit(CACHE_COW_INODE, <u32>offsetof<CowInode>());
  return true;
}
