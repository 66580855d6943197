/*
 * The fs room's state: object caches, the dentry hash, the root.
 *
 * Interface: FsState, fsState(), cache getters.
 * Invariants: [fst-1] set at boot; counters change with the objects they count.
 * Locks: none.
 * Why not per-filesystem caches of everything: inodes and dentries of all filesystems have one shape.
 */
import { FS_STATE } from "../memlayout";
import { ListHead } from "../lib/list";
import { KmemCache } from "../lib/slab";
import { Mutex } from "../sched/mutex";

@unmanaged
export class FsState {
  /** KmemCache, 32 bytes each: inode, dentry, dentry with a long name, file, files_struct, super, scratch. */
  caches: u64;
  skip0: u64; skip1: u64; skip2: u64;
  skip3: u64; skip4: u64; skip5: u64; skip6: u64;
  skip7: u64; skip8: u64; skip9: u64; skip10: u64;
  skip11: u64; skip12: u64; skip13: u64; skip14: u64;
  skip15: u64; skip16: u64; skip17: u64; skip18: u64;
  skip19: u64; skip20: u64; skip21: u64; skip22: u64;
  skip23: u64; skip24: u64; skip25: u64; skip26: u64;
  root: usize;
  hash: usize;
  /** Two lookups with their paths, and a link's target (namei.ts): they belong to the holder of the namespace mutex. */
  path: usize;
  nrInodes: u32;
  nrDentries: u32;
  /** Those of filesystems on disks: they can be dropped. */
  nrCached: u32;
  nrFiles: u32;
  nrFilesStructs: u32;
  nrLongScratch: u32;
  nextIno: u32;
  supers: u32;
  nextDev: u32;
  /** Buckets of the inode hash (inode.ts), types of filesystems (mount.ts). */
  inodeHash: usize;
  types: usize;
  nrTypes: u32;
  /** What mount and mkfs are given (MountParams): the namespace mutex's holder's. */
  mountParams: usize;
  superNext: u32;
  superPrev: u32;
  shmemSuper: usize;
  /** cowfs's caches and space map (cowfs/state.ts). */
  cowfs: usize;
  /** What mounts of iomapfs and jbdfs share (block/state.ts). */
  blockfs: usize;
  /** Rings and counters of the console (devices.ts); 0 on a machine without programs. */
  consoles: usize;
  /** Next bucket that dcachePrune looks at. */
  pruneNext: u32;
  /** The namespace mutex (fs/namei.ts). */
  ns0: u64; ns1: u64; ns2: u64; ns3: u64; ns4: u64;

  get namespaceMutex(): Mutex {
    return changetype<Mutex>(changetype<usize>(this) + offsetof<FsState>("ns0"));
  }

  /** Every super block (SuperBlock.superLink). */
  get superList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<FsState>("superNext"));
  }

  cache(index: u32): KmemCache {
    return changetype<KmemCache>(changetype<usize>(this) + (index << 5));
  }
}

export const CACHE_INODE: u32 = 0;
export const CACHE_DENTRY: u32 = 1;
export const CACHE_DENTRY_LONG: u32 = 2;
export const CACHE_FILE: u32 = 3;
export const CACHE_FILES: u32 = 4;
export const CACHE_SUPER: u32 = 5;
export const CACHE_SCRATCH: u32 = 6;
export const CACHE_COUNT: u32 = 7;

export function fsState(): FsState {
  return changetype<FsState>(FS_STATE);
}
