/*
 * address_space and the tables of operations through which mm calls a filesystem (fs stands above mm, so it fills them).
 *
 * Interface: AddressSpace, AddressSpaceOperations, VmOperations, File, addressSpaceInit, getFile, putFile, NOT_PRESENT helpers.
 * Invariants:
 *   [as-1] nrPages is the number of entries in the xarray.
 *   [as-2] a page in the xarray holds one reference for the page cache.
 *   [as-3] i_mmap holds exactly the VMAs that map the file.
 * Locks: xarray under i_pages (spinlock); i_mmap under i_mmap_rwsem; invalidate_lock against truncate and hole punch.
 * Why not call fs directly: rooms import one way; a filesystem in TypeScript fills the same tables.
 */
import { RwSemaphore, rwsemInit } from "../sched/rwsem";
import { SpinLock, spinInit } from "../sched/spinlock";
import { LC_INVALIDATE_LOCK, LC_I_MMAP_RWSEM } from "../sched/lock-class";
import { IntervalRoot, itInit } from "../lib/interval-tree";
import { ListHead, listInit } from "../lib/list";
import { XArray, xaInit } from "../lib/xarray";
import { mmState } from "./state";
import { VmFault } from "./fault";
import { Page } from "./page";

/**
 * `struct address_space_operations`. All may block unless said otherwise; all return 0 or -errno.
 * Every field may be null; the page cache then does the generic thing.
 */
@unmanaged
export class AddressSpaceOperations {
  /** Reads one locked page; unlocks it when done, sets PG_UPTODATE or PG_ERROR. */
  readPage: (file: File, page: Page) => i32;
  /** Reads `count` locked, new pages from pgoff on; each is unlocked by its completion. */
  readahead: (mapping: AddressSpace, pgoff: u32, count: u32) => void;
  /** Writes dirty pages of [startPgoff, endPgoff]; `sync` waits for all of them. */
  writepages: (mapping: AddressSpace, startPgoff: u32, endPgoff: u32, sync: u32) => i32;
  /** Notes that a page became dirty; returns 1 when it was clean. */
  dirtyPage: (mapping: AddressSpace, page: Page) => i32;
  /** write(2): prepares [offset, offset+len) of one page; returns 0 with the page locked in *pagePtr. */
  writeBegin: (file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, pagePtr: usize) => i32;
  /** write(2): the bytes are in; dirties, unlocks, puts the page. Returns bytes accepted. */
  writeEnd: (file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, copied: u32, page: Page) => i32;
  /** The page leaves the cache (truncate, reclaim); give back reservations. May not block. */
  invalidatePage: (page: Page, offset: u32, lenBytes: u32) => void;
  /** Reclaim asks whether the page may go; 1 yes. May not block. */
  releasePage: (page: Page) => i32;
}

/** `struct vm_operations_struct`: results are VM_FAULT_* (mm/fault.ts). */
@unmanaged
export class VmOperations {
  /** Finds or reads the page at vmf.pgoff: vmf.page, locked (VM_FAULT_LOCKED). */
  fault: (vmf: VmFault) => u32;
  /** Maps pages around vmf.pgoff that are in the cache, without blocking. */
  mapPages: (vmf: VmFault, startPgoff: u32, endPgoff: u32) => u32;
  /** A clean page is about to become writable in a shared mapping. Null: no notification wanted. */
  pageMkwrite: (vmf: VmFault) => u32;
  /** The same for a PTE whose frame is no page (PTE_SPECIAL): makes it writable itself and returns NOPAGE, under the fault lock. */
  pfnMkwrite: (vmf: VmFault) => u32;
  open: (vma: usize) => void;
  close: (vma: usize) => void;
  /** Name of the helper regime this filesystem opts into: 0 none, else see mm/nommapsem.ts. */
  mkwriteHelper: u32;
}

/** The part of `struct address_space` that mm owns; fs embeds it in its inode. */
@unmanaged
export class AddressSpace {
  /** XArray: 16 bytes. */
  pages0: u64;
  pages1: u64;
  pagesLock0: u64;
  pagesLock1: u64;
  /** i_mmap_rwsem, invalidate_lock: RwSemaphore, 48 bytes each. */
  mmapSem0: u64;
  mmapSem1: u64;
  mmapSem2: u64;
  mmapSem3: u64;
  mmapSem4: u64;
  mmapSem5: u64;
  mmapSem6: u64;
  invalidate0: u64;
  invalidate1: u64;
  invalidate2: u64;
  invalidate3: u64;
  invalidate4: u64;
  invalidate5: u64;
  invalidate6: u64;
  /** i_size in bytes: the host inode's; faults check against it under the page lock. */
  sizeBytes: u64;
  /** Interval tree of VMAs by pgoff (lib/interval-tree root, 16 bytes). */
  iMmap0: u64;
  iMmap1: u64;
  ops: AddressSpaceOperations;
  /** The inode this mapping belongs to (fs room). */
  host: usize;
  nrPages: u32;
  nrDirty: u32;
  nrWriteback: u32;
  /** Number of shared writable mappings. */
  mmapWritable: u32;
  flags: u32;
  /** Error of writeback, reported once to each fsync caller (errseq). */
  wbErr: u32;
  generation: u32;
  /** Link in the machine's list of dirty mappings (mm/writeback.ts). */
  dirtyNext: u32;
  dirtyPrev: u32;
  /** Where the filesystem keeps an errseq of all its files' errors; 0: nowhere. */
  sbErr: usize;
  /** When its first dirty page became dirty, or its last writeback began. */
  dirtiedNs: u64;

  get dirtyLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<AddressSpace>("dirtyNext"));
  }

  get pages(): XArray {
    return changetype<XArray>(changetype<usize>(this) + offsetof<AddressSpace>("pages0"));
  }
  get pagesLock(): SpinLock {
    return changetype<SpinLock>(changetype<usize>(this) + offsetof<AddressSpace>("pagesLock0"));
  }
  get iMmapRwsem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this) + offsetof<AddressSpace>("mmapSem0"));
  }
  get invalidateLock(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this) + offsetof<AddressSpace>("invalidate0"));
  }
  get iMmap(): IntervalRoot {
    return changetype<IntervalRoot>(changetype<usize>(this) + offsetof<AddressSpace>("iMmap0"));
  }
}

/** AddressSpace.flags: pages are never written back nor reclaimed (ramfs). */
export const AS_UNEVICTABLE: u32 = 1;
/** Pages must not change under writeback: checksums are taken (SCENARIOS S12). */
export const AS_STABLE_WRITES: u32 = 2;
/** The file is a swap file: stores through mappings end in SIGBUS (SCENARIOS 2.5). */
export const AS_SWAPFILE: u32 = 4;
/** The filesystem was shut down or the file made immutable: nothing may become writable (SCENARIOS S31). */
export const AS_NO_MKWRITE: u32 = 8;

/** Writeback of some page failed since filemapCheckErrors was last asked: for want of space, or otherwise. */
export const AS_ENOSPC: u32 = 16;
export const AS_EIO: u32 = 32;

/**
 * The part of `struct file` that mm needs; fs/file.ts extends it. mm pins files (vmf.file) and never closes one itself:
 * the last reference goes through MmState.fputFn.
 */
@unmanaged
export class File {
  refcount: u32;
  mapping: AddressSpace;
  vmOps: VmOperations;
  /** O_* of open(2). */
  flags: u32;
  /** Readahead state: next expected pgoff, window start, window size in pages. */
  raStart: u32;
  raSize: u32;
  raPrev: u32;
  inode: usize;
  /** The mapping's writeback errors up to here were reported to this file (mm/errseq.ts). */
  wbErr: u32;
}

export function isNullFile(file: File): bool {
  return changetype<usize>(file) == 0;
}

export function getFile(file: File): void {
  assert(file.refcount > 0, "a file in use is pinned");
  file.refcount++;
}

/** Drops a reference; the last one closes the file, which may sleep. */
export function putFile(file: File): void {
  assert(file.refcount > 0, "[mk-6] a file is unpinned as often as pinned");
  if (file.refcount > 1) {
    file.refcount--;
    return;
  }
  const f = mmState().fputFn;
  f(changetype<usize>(file));
}

export function addressSpaceInit(mapping: AddressSpace, host: usize, ops: AddressSpaceOperations): void {
  memory.fill(changetype<usize>(mapping), 0, offsetof<AddressSpace>());
  assert(offsetof<RwSemaphore>() <= 56, "a RwSemaphore fits its space");
  xaInit(mapping.pages);
  itInit(mapping.iMmap);
  spinInit(mapping.pagesLock);
  rwsemInit(mapping.iMmapRwsem, LC_I_MMAP_RWSEM);
  rwsemInit(mapping.invalidateLock, LC_INVALIDATE_LOCK);
  listInit(mapping.dirtyLink);
  mapping.host = host;
  mapping.ops = ops;
}
