/*
 * Inodes and super blocks, and the tables of operations a filesystem fills.
 *
 * Interface: Inode, InodeOperations, FileOperations, SuperBlock, SuperOperations, inodeAlloc, iget, iput, iSizeWrite, superAlloc.
 * Invariants:
 *   [ino-1] refcount counts dentries, open files and callers; at zero with nlink zero the inode is evicted.
 *   [ino-2] i_size is mapping.sizeBytes, written by iSizeWrite under i_rwsem for writing.
 * Locks: i_rwsem (directories: class i_rwsem/dir): write for changes of content or entries.
 * Why not call a filesystem by name: one operations table a type; opting into anything is one line in it.
 */
import { KmemCache, kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { ListHead, listInit } from "../lib/list";
import { LC_DIR_I_RWSEM, LC_I_RWSEM, LC_SB_INTERNAL, LC_SB_PAGEFAULTS, LC_SB_WRITERS } from "../sched/lock-class";
import { PercpuRwsem, percpuRwsemInit } from "../sched/percpu-rwsem";
import { RwSemaphore, rwsemInit } from "../sched/rwsem";
import { nowNs } from "../sched/state";
import { AddressSpace, AddressSpaceOperations, VmOperations, addressSpaceInit } from "../mm/address-space";
import { truncateAllPages } from "../mm/truncate";
import { VfsFile } from "./file";
import { CACHE_INODE, CACHE_SUPER, fsState } from "./state";

export const S_IFMT: u32 = 0xf000;
export const S_IFDIR: u32 = 0x4000;
export const S_IFREG: u32 = 0x8000;
export const S_IFBLK: u32 = 0x6000;
/** Inode.flags: the file may not be written or mapped for writing. */
export const S_SWAPFILE: u32 = 1;

@unmanaged
export class InodeOperations {
  /** New inode for a directory entry: (dir, mode) => inode or null with -errno in SuperBlock.error. */
  create: (dir: Inode, mode: u32) => Inode;
  /** The last link and the last user are gone: free what the file has. Pages are gone already. */
  evict: (inode: Inode) => void;
  /** i_size is to become sizeBytes; the caller holds i_rwsem. Returns 0 or -errno. */
  setSize: (inode: Inode, sizeBytes: u64) => i32;
  /** fallocate(2): mode, offset, length; the caller holds i_rwsem. */
  fallocate: (inode: Inode, mode: u32, offset: u64, lenBytes: u64) => i32;
}

@unmanaged
export class FileOperations {
  read: (file: VfsFile, user: u64, count: u32, pos: u64) => i64;
  write: (file: VfsFile, user: u64, count: u32, pos: u64) => i64;
  fsync: (file: VfsFile, dataOnly: u32) => i32;
  /** The last reference to the open file goes. */
  release: (file: VfsFile) => void;
}

@unmanaged
export class SuperOperations {
  syncFs: (sb: SuperBlock) => i32;
}

@unmanaged
export class SuperBlock {
  /** Freeze protection: writers, page faults, internal; 48 bytes each. */
  writers0: u64; writers1: u64; writers2: u64; writers3: u64; writers4: u64; writers5: u64;
  faults0: u64; faults1: u64; faults2: u64; faults3: u64; faults4: u64; faults5: u64;
  internal0: u64; internal1: u64; internal2: u64; internal3: u64; internal4: u64; internal5: u64;
  maxBytes: u64;
  inodeOps: InodeOperations;
  fileOps: FileOperations;
  aops: AddressSpaceOperations;
  vmOps: VmOperations;
  superOps: SuperOperations;
  /** Flags that every mapping of this filesystem starts with (AS_*). */
  mappingFlags: u32;
  blockSize: u32;
  nrInodes: u32;
  magic: u32;
  /** Pages the filesystem may hold (0: as many as there are). */
  maxPages: u32;
  error: i32;

  get writers(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("writers0"));
  }
  get pagefaults(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("faults0"));
  }
  get internal(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("internal0"));
  }
}

@unmanaged
export class Inode {
  rwsem0: u64; rwsem1: u64; rwsem2: u64; rwsem3: u64; rwsem4: u64; rwsem5: u64;
  atimeNs: u64;
  mtimeNs: u64;
  ctimeNs: u64;
  sb: SuperBlock;
  ino: u32;
  mode: u32;
  nlink: u32;
  refcount: u32;
  flags: u32;
  /** Filesystem's own. */
  fsPrivate: usize;
  /** Directories: number of entries. */
  entries: u32;
  /** Entries of a directory (Dentry.sibling). */
  childNext: u32;
  childPrev: u32;
  /** The dentry of a directory, for "..". */
  dentry: usize;
  pad: u32;

  get rwsem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this));
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

/** A super block with empty tables; the filesystem fills them. Null on ENOMEM. */
export function superAlloc(): SuperBlock {
  const sb = changetype<SuperBlock>(kmemCacheAlloc(cacheOf(CACHE_SUPER)));
  if (changetype<usize>(sb) == 0) return sb;
  assert(offsetof<PercpuRwsem>() <= 48, "a PercpuRwsem fits its space");
  percpuRwsemInit(sb.writers, LC_SB_WRITERS);
  percpuRwsemInit(sb.pagefaults, LC_SB_PAGEFAULTS);
  percpuRwsemInit(sb.internal, LC_SB_INTERNAL);
  sb.blockSize = 4096;
  // The last byte that a page offset of 32 bits reaches.
  sb.maxBytes = (<u64>u32.MAX_VALUE) << 12;
  fsState().supers++;
  return sb;
}

/** A new inode with one reference and nlink 0. Null on ENOMEM. */
export function inodeAlloc(sb: SuperBlock, mode: u32): Inode {
  const inode = changetype<Inode>(kmemCacheAlloc(cacheOf(CACHE_INODE)));
  if (isNullInode(inode)) return inode;
  assert(offsetof<RwSemaphore>() <= 48, "a RwSemaphore fits its space");
  const directory = (mode & S_IFMT) == S_IFDIR;
  rwsemInit(inode.rwsem, directory ? LC_DIR_I_RWSEM : LC_I_RWSEM);
  listInit(inode.children);
  inode.sb = sb;
  inode.mode = mode;
  inode.ino = ++fsState().nextIno;
  inode.refcount = 1;
  inode.atimeNs = nowNs();
  inode.mtimeNs = nowNs();
  inode.ctimeNs = nowNs();
  addressSpaceInit(inode.mapping, changetype<usize>(inode), sb.aops);
  inode.mapping.flags = sb.mappingFlags;
  sb.nrInodes++;
  fsState().nrInodes++;
  return inode;
}

export function iget(inode: Inode): void {
  assert(inode.refcount != 0, "[ino-1] an inode in use is referenced");
  inode.refcount++;
}

/** Drops a reference; the last one of an unlinked inode evicts it, which may sleep. */
export function iput(inode: Inode): void {
  assert(inode.refcount != 0, "[ino-1] an inode is given up as often as taken");
  if (--inode.refcount != 0 || inode.nlink != 0) return;
  truncateAllPages(inode.mapping);
  const f = inode.sb.inodeOps.evict;
  if (changetype<usize>(f) != 0) f(inode);
  inode.sb.nrInodes--;
  fsState().nrInodes--;
  kmemCacheFree(cacheOf(CACHE_INODE), changetype<usize>(inode));
}

/** The only writer of i_size. Preconditions: i_rwsem held for writing. */
export function iSizeWrite(inode: Inode, sizeBytes: u64): void {
  assert(sizeBytes <= inode.sb.maxBytes, "[ino-2] i_size is within the filesystem's limit");
  inode.mapping.sizeBytes = sizeBytes;
}

export function inodeOfMapping(mapping: AddressSpace): Inode {
  return changetype<Inode>(mapping.host);
}
