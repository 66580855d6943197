/*
 * Inodes in memory, and the hash by which a filesystem on a disk finds the one inode of a number.
 *
 *     inodeAlloc --insertInodeHash (on a disk)--> in use --last iput--> pages dropped, unhashed --evict--> freed
 *
 * Interface: Inode, S_I*, inodeAlloc, ihold, iput, ilookup, insertInodeHash, iSizeWrite, currentTimeNs, touchTimes, inodeOfMapping.
 *            The tables of operations are in operations.ts, super blocks in super.ts.
 * Invariants:
 *   [ino-1] refcount counts dentries, open files and callers; at zero the inode is evicted. A dentry keeps a named inode.
 *   [ino-2] i_size is mapping.sizeBytes, written by iSizeWrite under i_rwsem for writing.
 *   [ino-3] the hash holds at most one inode of a (super, tree, ino); an inode without a name is not in it.
 * Locks: i_rwsem (directories: class i_rwsem/dir): write for changes of content or entries. The hash: none, each call is one
 * emulated step.
 * Why not a cache of unused inodes: dentries are the cache; what they hold is what is kept.
 */
import { KmemCache, kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { ListHead, listAddTail, listDelInit, listInit } from "../lib/list";
import { bootAlloc } from "../memlayout";
import { LC_DIR_I_RWSEM, LC_I_RWSEM } from "../sched/lock-class";
import { RwSemaphore, rwsemInit } from "../sched/rwsem";
import { nowNs } from "../sched/state";
import { AddressSpace, addressSpaceInit } from "../mm/address-space";
import { truncateAllPages } from "../mm/truncate";
import { filemapWriteAndWait } from "../mm/writeback";
import { SuperBlock } from "./super";
import { CACHE_INODE, fsState } from "./state";

export const S_IFMT: u32 = 0xf000;
export const S_IFDIR: u32 = 0x4000;
export const S_IFREG: u32 = 0x8000;
export const S_IFLNK: u32 = 0xa000;
/** Inode.flags: the file may not be written or mapped for writing. */
export const S_SWAPFILE: u32 = 1;

const INODE_BUCKETS_SHIFT: u32 = 8;
const INODE_BUCKETS: u32 = 1 << INODE_BUCKETS_SHIFT;
/** HZ=250, Debian's. */
const TICK_NS: u64 = 4_000_000;

@unmanaged
export class Inode {
  rwsem0: u64; rwsem1: u64; rwsem2: u64; rwsem3: u64; rwsem4: u64; rwsem5: u64;
  atimeNs: u64;
  mtimeNs: u64;
  ctimeNs: u64;
  sb: SuperBlock;
  /** With `ino` the inode's name in its super block; a filesystem with one tree of inodes leaves it 0. */
  tree: u32;
  ino: u32;
  mode: u32;
  nlink: u32;
  refcount: u32;
  flags: u32;
  /** Filesystem's own. */
  fsPrivate: usize;
  /** i_blocks: what the file takes on the disk, in 512 bytes. The filesystem's to keep. */
  blocks: u64;
  /** Directories: number of dentries (in memory: of entries), and the cookie of the next one. */
  entries: u32;
  nextCookie: u32;
  /** Entries of a directory (Dentry.sibling). */
  childNext: u32;
  childPrev: u32;
  /** The dentry of a directory, for "..". */
  dentry: usize;
  hashNext: u32;
  hashed: u32;
  /** Link in SuperBlock.inodes. */
  sbNext: u32;
  sbPrev: u32;
  pad: u32;

  get rwsem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this));
  }
  get sbLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Inode>("sbNext"));
  }
  get children(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Inode>("childNext"));
  }
  /** The page cache, behind the inode. */
  get mapping(): AddressSpace {
    return changetype<AddressSpace>(changetype<usize>(this) + INODE_HEAD_BYTES);
  }
}

/** Where the AddressSpace starts: the inode's head, rounded up to 16. */
const INODE_HEAD_BYTES: u32 = (offsetof<Inode>() + 15) & ~15;
export const INODE_BYTES: u32 = INODE_HEAD_BYTES + offsetof<AddressSpace>();

export function isNullInode(inode: Inode): bool {
  return changetype<usize>(inode) == 0;
}

export function isDirectory(inode: Inode): bool {
  return (inode.mode & S_IFMT) == S_IFDIR;
}

function cacheOf(index: u32): KmemCache {
  return fsState().cache(index);
}

export function isSymlink(inode: Inode): bool {
  return (inode.mode & S_IFMT) == S_IFLNK;
}

export function isRegular(inode: Inode): bool {
  return (inode.mode & S_IFMT) == S_IFREG;
}

export function inodeOfSbLink(link: usize): Inode {
  return changetype<Inode>(link - offsetof<Inode>("sbNext"));
}

export function inodeHashInit(): bool {
  fsState().inodeHash = bootAlloc(INODE_BUCKETS * 4, 8);
  return fsState().inodeHash != 0;
}

/** A new inode with one reference, nlink 0, in no hash; ino 0 takes the next of the machine's. Null on ENOMEM. Does not block. */
export function inodeAlloc(sb: SuperBlock, mode: u32, ino: u32 = 0): Inode {
  const inode = changetype<Inode>(kmemCacheAlloc(cacheOf(CACHE_INODE)));
  if (isNullInode(inode)) return inode;
  assert(offsetof<RwSemaphore>() <= 48, "a RwSemaphore fits its space");
  const directory = (mode & S_IFMT) == S_IFDIR;
  rwsemInit(inode.rwsem, directory ? LC_DIR_I_RWSEM : LC_I_RWSEM);
  listInit(inode.children);
  inode.sb = sb;
  inode.mode = mode;
  inode.ino = ino != 0 ? ino : ++fsState().nextIno;
  inode.refcount = 1;
  const now = currentTimeNs();
  inode.atimeNs = now;
  inode.mtimeNs = now;
  inode.ctimeNs = now;
  addressSpaceInit(inode.mapping, changetype<usize>(inode), sb.aops);
  inode.mapping.flags = sb.mappingFlags;
  inode.mapping.sbErr = changetype<usize>(sb) + offsetof<SuperBlock>("wbErr");
  listAddTail(inode.sbLink, sb.inodes);
  sb.nrInodes++;
  fsState().nrInodes++;
  return inode;
}

/** One more reference. */
export function ihold(inode: Inode): void {
  assert(inode.refcount != 0, "[ino-1] an inode in use is referenced");
  inode.refcount++;
}

/** Drops a reference; the last one evicts the inode, which may sleep. */
export function iput(inode: Inode): void {
  assert(inode.refcount != 0, "[ino-1] an inode is given up as often as taken");
  // One of two names was dropped, and nobody has looked the other one up: what is dirty would be lost with the inode.
  if (inode.refcount == 1 && inode.nlink != 0 && inode.mapping.nrDirty != 0) filemapWriteAndWait(inode.mapping, 0, u32.MAX_VALUE);
  if (--inode.refcount != 0) return;
  unhash(inode);
  truncateAllPages(inode.mapping);
  const sb = inode.sb;
  const f = sb.inodeOps.evict;
  if (changetype<usize>(f) != 0) f(inode);
  listDelInit(inode.sbLink);
  sb.nrInodes--;
  fsState().nrInodes--;
  kmemCacheFree(cacheOf(CACHE_INODE), changetype<usize>(inode));
}

function bucketOf(sb: SuperBlock, tree: u32, ino: u32): usize {
  const hash = ((<u32>changetype<usize>(sb) >> 4) ^ ino ^ (tree << 7)) * 0x9e37_79b1;
  return fsState().inodeHash + ((hash >> (32 - INODE_BUCKETS_SHIFT)) << 2);
}

/** The inode of that number if it is in memory, with a new reference, or null. Does not block. */
export function ilookup(sb: SuperBlock, tree: u32, ino: u32): Inode {
  let link = load<u32>(bucketOf(sb, tree, ino));
  while (link != 0) {
    const inode = changetype<Inode>(<usize>link);
    if (inode.ino == ino && inode.tree == tree && changetype<usize>(inode.sb) == changetype<usize>(sb)) {
      ihold(inode);
      return inode;
    }
    link = inode.hashNext;
  }
  return changetype<Inode>(0);
}

/**
 * From now on ilookup finds the inode. Preconditions: ino, tree and all that a finder looks at are set; ilookup was null in the
 * same emulated step (nothing blocked since).
 */
export function insertInodeHash(inode: Inode): void {
  assert(inode.hashed == 0, "[ino-3] an inode is hashed once");
  const bucket = bucketOf(inode.sb, inode.tree, inode.ino);
  inode.hashNext = load<u32>(bucket);
  inode.hashed = 1;
  store<u32>(bucket, <u32>changetype<usize>(inode));
}

function unhash(inode: Inode): void {
  if (inode.hashed == 0) return;
  let slot = bucketOf(inode.sb, inode.tree, inode.ino);
  while (load<u32>(slot) != <u32>changetype<usize>(inode)) {
    assert(load<u32>(slot) != 0, "[ino-3] a hashed inode is in its bucket");
    slot = <usize>load<u32>(slot) + offsetof<Inode>("hashNext");
  }
  store<u32>(slot, inode.hashNext);
  inode.hashed = 0;
}

/** The only writer of i_size. Preconditions: i_rwsem held for writing. */
export function iSizeWrite(inode: Inode, sizeBytes: u64): void {
  assert(sizeBytes <= inode.sb.maxBytes, "[ino-2] i_size is within the filesystem's limit");
  inode.mapping.sizeBytes = sizeBytes;
}

/** What a file's times are set to: the clock at its last tick (Linux's current_time, HZ=250). */
export function currentTimeNs(): u64 {
  return nowNs() / TICK_NS * TICK_NS;
}

/** mtime and ctime are now. */
export function touchTimes(inode: Inode): void {
  const now = currentTimeNs();
  inode.mtimeNs = now;
  inode.ctimeNs = now;
}

export function inodeOfMapping(mapping: AddressSpace): Inode {
  return changetype<Inode>(mapping.host);
}
