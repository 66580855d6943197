/*
 * The structs of a mounted iomapfs or jbdfs: the filesystem, its journal, a transaction, a handle, an inode's part, a unit of IO.
 *
 *     BlockFs --> Journal --> Transaction (running, committing, those to be checkpointed) --> Buffer (buffer.ts)
 *             \-> BlockInode of every inode in memory                IoUnit: pages under one read or writeback
 *
 * Interface: BlockFs, Journal, Transaction, Handle, BlockInode, IoUnit, IoRange, blockFsState, blockCache, blockFsStateInit.
 * Invariants:
 *   [bs-1] what mounts share is carved at boot: six bits for each 512 bytes of the disk, tables, caches.
 *   [mk-6] at rest reserved and every BlockInode's delalloc, converting and metaReserved are 0.
 * Locks: BlockInode.sem for the extent tree and what counts it; the rest changes in one emulated step.
 * Why not one struct per file that works on it: they point at each other; here their life is seen at once.
 */
import { bootConfig } from "../../config";
import { CRC32C_TABLE_BYTES, crc32cInit } from "../../lib/crc32c";
import { ListHead, listInit } from "../../lib/list";
import { KmemCache, kmemCacheInit } from "../../lib/slab";
import { XArray } from "../../lib/xarray";
import { bootAlloc } from "../../memlayout";
import { RwSemaphore } from "../../sched/rwsem";
import { Task } from "../../sched/state";
import { WaitQueue, waitQueueInit } from "../../sched/wait-queue";
import { Inode } from "../inode";
import { SuperBlock } from "../super";
import { fsState } from "../state";
import { ROOT_BYTES } from "./layout";

export const KIND_IOMAPFS: u32 = 0;
export const KIND_JBDFS: u32 = 1;

/** BlockFs.options. */
export const OPT_DAX: u32 = 1;
export const OPT_NODELALLOC: u32 = 2;

/** Most blocks of a transaction; with descriptor and commit block they fit the log's staging. */
export const MAX_CREDITS: u32 = 128;
export const STAGING_FRAMES: u32 = MAX_CREDITS + 2;

/** Transaction.state, in order. */
export const T_RUNNING: u32 = 0;
export const T_LOCKED: u32 = 1;
export const T_FLUSH: u32 = 2;
export const T_COMMITTED: u32 = 3;

@unmanaged
export class Transaction {
  tid: u32;
  state: u32;
  /** Open handles. */
  updates: u32;
  /** Credits of open handles, and buffers. */
  outstanding: u32;
  nrBuffers: u32;
  /** Bios of file data that must be done before the commit block is written (ordered mode). */
  dataInFlight: u32;
  /** Buffers of the running or committing transaction; when committed, those still to be written in place. */
  buffersNext: u32;
  buffersPrev: u32;
  checkpointNext: u32;
  checkpointPrev: u32;
  /** Link in Journal.checkpoints. */
  linkNext: u32;
  linkPrev: u32;
  /** Place and length in the ring. */
  logStart: u32;
  logBlocks: u32;
  /** Blocks freed by it: lowest and highest + 1, for the walk over the map. */
  freedLow: u32;
  freedHigh: u32;
  /** The same of those whose last owner but one it took away. */
  unsharedLow: u32;
  unsharedHigh: u32;
  startNs: u64;

  get buffers(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Transaction>("buffersNext"));
  }
  get checkpoint(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Transaction>("checkpointNext"));
  }
  get link(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Transaction>("linkNext"));
  }
}

/** One use of the running transaction. */
@unmanaged
export class Handle {
  fs: BlockFs;
  txn: Transaction;
  /** Buffers that it may still add to the transaction. */
  credits: u32;
  /** What extentRemove took away. */
  pieceBlock: u32;
  pieceBlocks: u32;
  pieceDisk: u32;
  pieceState: u32;
  /** An inode that it made, to be given up when the operation fails. */
  made: usize;
}

@unmanaged
export class Journal {
  running: Transaction;
  committing: Transaction;
  checkpointsNext: u32;
  checkpointsPrev: u32;
  nextTid: u32;
  /** The last transaction that is on the disk. */
  committedTid: u32;
  /** A commit is wanted up to this one. */
  requestTid: u32;
  /** Somebody waits for room in the ring: 1; for an empty ring: 2. */
  wantSpace: u32;
  /** First block of the journal, blocks of the ring behind its super block. */
  start: u32;
  ringBlocks: u32;
  /** Where the next transaction goes; blocks that are free. */
  head: u32;
  free: u32;
  maxCredits: u32;
  /** 1: the journal thread works for it now. */
  busy: u32;
  /** Bios of a commit or a checkpoint under way, and the first error. */
  ioPending: u32;
  ioError: i32;
  commitIntervalNs: u64;
  /** Everybody who waits for a change of the journal. */
  wait0: u64;
  wait1: u64;
  /** Pages that hold the transaction being written: u32[STAGING_FRAMES] behind the struct. */
  nrFrames: u32;
  /** Counters. */
  commits: u32;
  checkpoints: u32;
  handleWaits: u32;
  tailWrites: u32;
  pad: u32;

  get checkpointList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Journal>("checkpointsNext"));
  }
  get wait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<Journal>("wait0"));
  }
  frame(index: u32): usize {
    return load<u32>(changetype<usize>(this) + offsetof<Journal>() + (index << 2));
  }
  setFrame(index: u32, page: usize): void {
    assert(index < STAGING_FRAMES, "a transaction fits its staging");
    store<u32>(changetype<usize>(this) + offsetof<Journal>() + (index << 2), <u32>page);
  }
}

@unmanaged
export class BlockFs {
  startSector: u64;
  commitIntervalNs: u64;
  sb: SuperBlock;
  journal: Journal;
  kind: u32;
  options: u32;
  /** -errno after which nothing is written any more: a forced shutdown. */
  aborted: i32;
  /* Geometry (layout.ts): immutable while mounted. */
  blockSize: u32;
  blockShift: u32;
  blocksPerPage: u32;
  nodeCapacity: u32;
  nrBlocks: u32;
  orphanStart: u32;
  bitmapStart: u32;
  bitmapBlocks: u32;
  refcountStart: u32;
  refcountBlocks: u32;
  inodeBitmapStart: u32;
  inodeTableStart: u32;
  nrInodes: u32;
  dataStart: u32;
  /** 1: a refcount may be above zero. */
  hasShared: u32;
  /* Space (space.ts): bitmaps over the blocks. */
  busy: usize;
  freed0: usize;
  freed1: usize;
  hold: usize;
  unshared0: usize;
  unshared1: usize;
  freeBlocks: u32;
  /** Given up by transactions that are not on the disk, or not checkpointed. */
  pendingFree: u32;
  holdTid: u32;
  /** Promised to delalloc, to conversions, to extent nodes. */
  reserved: u32;
  rotor: u32;
  freeInodes: u32;
  inodeRotor: u32;
  /* Buffers (buffer.ts). */
  meta0: u64;
  meta1: u64;
  metaCount: u32;
  metaLimit: u32;
  lruNext: u32;
  lruPrev: u32;
  /** IoUnits that a worker still has to finish, their inodes' references included. */
  pendingUnits: u32;
  /** Link in BlockFsState.mounts. */
  mountNext: u32;
  mountPrev: u32;
  /** Who waits for pendingUnits. */
  ioWait0: u64;
  ioWait1: u64;
  /** Times that page_mkwrite knew the page for prepared; that a shortage of space was met by flushing. */
  fastPaths: u32;
  shrinks: u32;

  get metaPages(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<BlockFs>("meta0"));
  }
  get lru(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockFs>("lruNext"));
  }
  get mountLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockFs>("mountNext"));
  }
  get ioWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<BlockFs>("ioWait0"));
  }
  /** Bits freed by the transaction of that tid. */
  freedMap(tid: u32): usize {
    return (tid & 1) == 0 ? this.freed0 : this.freed1;
  }
  /** Blocks that have one owner with the transaction of that tid. */
  unsharedMap(tid: u32): usize {
    return (tid & 1) == 0 ? this.unshared0 : this.unshared1;
  }
}

/** The filesystem's part of an inode: Inode.fsPrivate. */
@unmanaged
export class BlockInode {
  /** i_data_sem: the extent tree, read by lookups, written by changes. RwSemaphore, 48 bytes. */
  sem0: u64; sem1: u64; sem2: u64; sem3: u64; sem4: u64; sem5: u64;
  /** i_disksize: what the disk says. */
  diskSize: u64;
  fs: BlockFs;
  inode: Inode;
  diskNlink: u32;
  generation: u32;
  flags: u32;
  /** Extents, data blocks mapped, nodes of the tree below the root. */
  extents: u32;
  dataBlocks: u32;
  treeBlocks: u32;
  level: u32;
  count: u32;
  /** Blocks of dirty pages that will get a new block at writeback: each is a block reserved. */
  delalloc: u32;
  /** Blocks of dirty pages and of IO under way that lie in unwritten extents or wait to replace shared ones, and claims (extents.ts). */
  converting: u32;
  /** Blocks reserved for the nodes that all this may add to the tree. */
  metaReserved: u32;
  /** IoUnits whose completion still changes the tree. */
  pendingUnits: u32;
  ioWait0: u64;
  ioWait1: u64;
  /** Last transactions that changed the inode, and that fdatasync must wait for. */
  metaTid: u32;
  dataTid: u32;
  /** Slot + 1 in the orphan blocks. */
  orphanSlot: u32;
  /** 1: the disk may hold something behind the end of the file, in its last block. */
  tailUnsafe: u32;
  /** A writer's place in the tree: Buffers and slots by level. */
  path0: u32; path1: u32; path2: u32; path3: u32; path4: u32;
  slot0: i32; slot1: i32; slot2: i32; slot3: i32; slot4: i32;
  /** The root: ROOT_BYTES follow. */
  pad: u64;

  get sem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this));
  }
  get ioWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<BlockInode>("ioWait0"));
  }
  get root(): usize {
    return changetype<usize>(this) + offsetof<BlockInode>();
  }
}

export function blockInodeOf(inode: Inode): BlockInode {
  assert(inode.fsPrivate != 0, "an inode of this filesystem has its part");
  return changetype<BlockInode>(inode.fsPrivate);
}

/** IoRange.kind: what the completion of a write does. */
export const RANGE_PLAIN: u32 = 0;
export const RANGE_CONVERT: u32 = 1;
export const RANGE_COW: u32 = 2;

@unmanaged
export class IoRange {
  fileBlock: u32;
  disk: u32;
  blocks: u32;
  kind: u32;
}

export const UNIT_PAGES: u32 = 32;
export const UNIT_RANGES: u32 = 8;

/** Pages of one file under one read or one writeback: several bios, one completion. */
@unmanaged
export class IoUnit {
  fs: BlockFs;
  inode: Inode;
  write: u32;
  nrPages: u32;
  nrRanges: u32;
  /** Bios under way, and one while the unit is being built. */
  pending: u32;
  error: i32;
  /** The transaction that must not commit before the data is written, or null. */
  txn: Transaction;
  /** i_disksize grows to this at completion; 0: it does not. */
  endSize: u64;
  /** Link in BlockFsState.doneUnits. */
  linkNext: u32;
  linkPrev: u32;
  /** The bio being built. */
  bio: usize;
  /** Writing: the next bio, had before a block is mapped that must then be written ([iu-3]). Null: taken. */
  spare: usize;
  /** u32[UNIT_PAGES], IoRange[UNIT_RANGES] follow. */

  get link(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<IoUnit>("linkNext"));
  }
  page(index: u32): usize {
    return load<u32>(changetype<usize>(this) + offsetof<IoUnit>() + (index << 2));
  }
  setPage(index: u32, page: usize): void {
    assert(index < UNIT_PAGES, "a unit has room for its pages");
    store<u32>(changetype<usize>(this) + offsetof<IoUnit>() + (index << 2), <u32>page);
  }
  range(index: u32): IoRange {
    assert(index < UNIT_RANGES, "a unit has room for its ranges");
    return changetype<IoRange>(changetype<usize>(this) + offsetof<IoUnit>() + UNIT_PAGES * 4 + index * offsetof<IoRange>());
  }
}

const UNIT_BYTES: u32 = <u32>offsetof<IoUnit>() + UNIT_PAGES * 4 + UNIT_RANGES * <u32>offsetof<IoRange>();

/** Object caches. Meta pages have one for each number of blocks in a page: 1, 2, 4, 8. */
export const CACHE_BLOCKFS: u32 = 0;
export const CACHE_JOURNAL: u32 = 1;
export const CACHE_TRANSACTION: u32 = 2;
export const CACHE_HANDLE: u32 = 3;
export const CACHE_BLOCK_INODE: u32 = 4;
export const CACHE_IO_UNIT: u32 = 5;
export const CACHE_META_PAGE: u32 = 6;
export const BLOCK_CACHES: u32 = 10;

/** What all mounts share. */
@unmanaged
export class BlockFsState {
  crcTable: usize;
  /** Six maps of a bit for each 512 bytes of the disk, one behind the other. */
  bits: usize;
  bitsBytes: u32;
  /** Threads of all mounts, made by the first: commits and checkpoints; completions of writes. */
  journalThread: Task;
  worker: Task;
  mountsNext: u32;
  mountsPrev: u32;
  doneNext: u32;
  donePrev: u32;
  /** Tables of operations of each filesystem (tables.ts). */
  iomapfsTables: usize;
  daxTables: usize;
  jbdfsTables: usize;
  journalWait0: u64;
  journalWait1: u64;
  workWait0: u64;
  workWait1: u64;

  get mounts(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockFsState>("mountsNext"));
  }
  get doneUnits(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockFsState>("doneNext"));
  }
  get journalWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<BlockFsState>("journalWait0"));
  }
  get workWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<BlockFsState>("workWait0"));
  }
}

/** Names of the caches in reports; what waits show. */
const NAME_BASE: u32 = 64;
export const WAIT_JOURNAL: u32 = 32;
export const WAIT_BLOCK_IO: u32 = 33;
export const WAIT_BLOCK_WORK: u32 = 34;

export function blockFsState(): BlockFsState {
  return changetype<BlockFsState>(fsState().blockfs);
}

export function blockCache(index: u32): KmemCache {
  assert(index < BLOCK_CACHES, "a cache of this folder's");
  return changetype<KmemCache>(fsState().blockfs + offsetof<BlockFsState>() + index * offsetof<KmemCache>());
}

export function blockCacheInit(index: u32, objBytes: u32): void {
  kmemCacheInit(blockCache(index), objBytes, NAME_BASE + index);
}

/** Carves what every mount shares. False when memory is too small. */
export function blockFsStateInit(): bool {
  const at = bootAlloc(offsetof<BlockFsState>() + BLOCK_CACHES * offsetof<KmemCache>(), 16);
  if (at == 0) return false;
  fsState().blockfs = at;
  const s = blockFsState();
  s.crcTable = bootAlloc(CRC32C_TABLE_BYTES, 16);
  s.bitsBytes = (bootConfig().diskBlocks + 7) & ~7;
  s.bits = bootAlloc(s.bitsBytes * 6 + 8, 8);
  if (s.crcTable == 0 || s.bits == 0) return false;
  crc32cInit(s.crcTable);
  listInit(s.mounts);
  listInit(s.doneUnits);
  waitQueueInit(s.journalWait, WAIT_JOURNAL);
  waitQueueInit(s.workWait, WAIT_BLOCK_WORK);
  blockCacheInit(CACHE_BLOCKFS, <u32>offsetof<BlockFs>());
  blockCacheInit(CACHE_JOURNAL, <u32>offsetof<Journal>() + STAGING_FRAMES * 4);
  blockCacheInit(CACHE_TRANSACTION, <u32>offsetof<Transaction>());
  blockCacheInit(CACHE_HANDLE, <u32>offsetof<Handle>());
  blockCacheInit(CACHE_BLOCK_INODE, <u32>offsetof<BlockInode>() + ROOT_BYTES);
  blockCacheInit(CACHE_IO_UNIT, UNIT_BYTES);
  return true;
}
