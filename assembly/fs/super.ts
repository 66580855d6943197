/*
 * Super blocks: one a mounted filesystem, with its tables, its inodes, and its freeze protection.
 *
 *     UNFROZEN --freezeSuper--> WRITE --> PAGEFAULT --> (sync) --> FS --> COMPLETE --thawSuper--> UNFROZEN
 *     new writers wait from WRITE on, new page_mkwrites from PAGEFAULT on, transactions from FS on; each stage waits for
 *     those that are under way
 *
 * Interface: SuperBlock, superAlloc, superFree, sbPin, sbUnpin, sbWaitUnpinned, sbStartWrite, sbTryStartWrite, sbEndWrite,
 *            sbStartPagefault, sbEndPagefault, sbStartIntwrite, sbEndIntwrite, freezeSuper, thawSuper, SB_* states.
 * Invariants:
 *   [sb-1] a super block is freed with no inode, no open file and no pin.
 *   [mk-8] a frozen filesystem has no dirty page, no writable shared PTE, and gets none until thawed.
 * Locks: sb_writers -> i_rwsem -> mmap_sem -> sb_pagefaults -> sb_internal.
 * Why not one semaphore: a page fault waits under mmap_sem; were it to wait with the writers, a writer that faults on its
 * buffer under freeze protection would wait for itself.
 */
import { EBUSY, EINVAL, ENOTTY, EOPNOTSUPP } from "../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { ListHead, listAddTail, listDelInit, listEmpty, listInit } from "../lib/list";
import { M_FREEZE_SKIPPED, M_FREEZE_SYNCS_FIRST, mutant } from "../lib/mutant";
import { LC_SB_INTERNAL, LC_SB_PAGEFAULTS, LC_SB_WRITERS } from "../sched/lock-class";
import {
  PercpuRwsem, percpuAdoptOwner, percpuDownRead, percpuDownWrite, percpuForgetOwner, percpuRwsemInit, percpuTryDownRead, percpuUpRead,
  percpuUpWrite,
} from "../sched/percpu-rwsem";
import { TASK_UNINTERRUPTIBLE } from "../sched/state";
import { WaitQueue, sleepOn, waitQueueInit, wakeAll } from "../sched/wait-queue";
import { AS_NO_MKWRITE, AddressSpaceOperations, VmOperations } from "../mm/address-space";
import { Inode, inodeOfSbLink } from "./inode";
import { FileOperations, InodeOperations, SuperOperations } from "./operations";
import { CACHE_SUPER, fsState } from "./state";
import { checkFrozen, syncFilesystem } from "./sync";

/** What waits show in reports. */
const WAIT_SUPER_PIN: u32 = 20;

export const SB_UNFROZEN: u32 = 0;
export const SB_FREEZE_WRITE: u32 = 1;
export const SB_FREEZE_PAGEFAULT: u32 = 2;
export const SB_FREEZE_FS: u32 = 3;
export const SB_FREEZE_COMPLETE: u32 = 4;

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
  /** The root directory, referenced. mount sets it. */
  rootInode: Inode;
  /** Filesystem's own. */
  fsPrivate: usize;
  /** Errors of writeback of any of its files (mm/errseq.ts): syncfs tells them. */
  wbErr: u32;
  /** Flags that every mapping of this filesystem starts with (AS_*). */
  mappingFlags: u32;
  /** Power of two, 512 to 4096. */
  blockSize: u32;
  magic: u32;
  /** Its part of the disk, in blocks of 4 KiB; none: in memory. */
  startBlock: u32;
  nrBlocks: u32;
  nrInodes: u32;
  /** Open files, mappings included: unmount waits for none. */
  nrFiles: u32;
  /** Calls and the flusher that use it without a file: unmount waits for them (sbPin). */
  pins: u32;
  /** Filesystems mounted on directories of this one. */
  nrMounts: u32;
  /** SB_* freeze state. */
  frozen: u32;
  /** st_dev, and the name of its type (a static string). */
  dev: u32;
  typeName: usize;
  /** Dentries of its root and of the directory it covers; 0 for what is not mounted. */
  root: usize;
  covers: usize;
  /** Every inode in memory (Inode.sbLink); all super blocks (FsState.superList). */
  inodesNext: u32;
  inodesPrev: u32;
  superNext: u32;
  superPrev: u32;
  /** Unmount sleeps here until the pins are gone. */
  pinQ0: u32;
  pinQ1: u32;
  pinQ2: u32;
  pinQ3: u32;

  get pinQueue(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<SuperBlock>("pinQ0"));
  }
  get writers(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("writers0"));
  }
  get pagefaults(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("faults0"));
  }
  get internal(): PercpuRwsem {
    return changetype<PercpuRwsem>(changetype<usize>(this) + offsetof<SuperBlock>("internal0"));
  }
  get inodes(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<SuperBlock>("inodesNext"));
  }
  get superLink(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<SuperBlock>("superNext"));
  }
}

export function isNullSuper(sb: SuperBlock): bool {
  return changetype<usize>(sb) == 0;
}

export function superOfLink(link: usize): SuperBlock {
  return changetype<SuperBlock>(link - offsetof<SuperBlock>("superNext"));
}

/** A super block with empty tables; the filesystem fills them. Null on ENOMEM. */
export function superAlloc(): SuperBlock {
  const fs = fsState();
  const sb = changetype<SuperBlock>(kmemCacheAlloc(fs.cache(CACHE_SUPER)));
  if (isNullSuper(sb)) return sb;
  assert(offsetof<PercpuRwsem>() <= 48, "a PercpuRwsem fits its space");
  percpuRwsemInit(sb.writers, LC_SB_WRITERS);
  percpuRwsemInit(sb.pagefaults, LC_SB_PAGEFAULTS);
  percpuRwsemInit(sb.internal, LC_SB_INTERNAL);
  waitQueueInit(sb.pinQueue, WAIT_SUPER_PIN);
  listInit(sb.inodes);
  sb.blockSize = 4096;
  // The last byte that a page offset of 32 bits reaches.
  sb.maxBytes = (<u64>u32.MAX_VALUE) << 12;
  sb.dev = ++fs.nextDev;
  listAddTail(sb.superLink, fs.superList);
  fs.supers++;
  return sb;
}

/** Gives a super block back: after putSuper, or when mount fails. */
export function superFree(sb: SuperBlock): void {
  assert(listEmpty(sb.inodes) && sb.nrInodes == 0, "[sb-1] a super block that goes has no inodes");
  assert(sb.nrFiles == 0 && sb.pins == 0 && sb.nrMounts == 0, "[sb-1] a super block that goes is not in use");
  listDelInit(sb.superLink);
  fsState().supers--;
  kmemCacheFree(fsState().cache(CACHE_SUPER), changetype<usize>(sb));
}

/** Keeps the super block while its user sleeps without a file or the namespace mutex. Short: unmount waits. */
export function sbPin(sb: SuperBlock): void {
  sb.pins++;
}

export function sbUnpin(sb: SuperBlock): void {
  assert(sb.pins != 0, "[sb-1] a super block is unpinned as often as pinned");
  if (--sb.pins == 0) wakeAll(sb.pinQueue);
}

/** Sleeps until nobody pins it. */
export function sbWaitUnpinned(sb: SuperBlock): void {
  while (sb.pins != 0) sleepOn(sb.pinQueue, TASK_UNINTERRUPTIBLE);
}

/** A change of the filesystem from a system call begins: sleeps while it is frozen. */
export function sbStartWrite(sb: SuperBlock): void {
  percpuDownRead(sb.writers);
}

/** As sbStartWrite; false at once when the filesystem is frozen. */
export function sbTryStartWrite(sb: SuperBlock): bool {
  return percpuTryDownRead(sb.writers);
}

export function sbEndWrite(sb: SuperBlock): void {
  percpuUpRead(sb.writers);
}

/** page_mkwrite begins: sleeps while the filesystem is frozen, under mmap_sem if the regime keeps it. */
export function sbStartPagefault(sb: SuperBlock): void {
  if (MUTANTS && mutant(M_FREEZE_SKIPPED)) return;
  percpuDownRead(sb.pagefaults);
}

export function sbEndPagefault(sb: SuperBlock): void {
  if (MUTANTS && mutant(M_FREEZE_SKIPPED)) return;
  percpuUpRead(sb.pagefaults);
}

/** A transaction that no system call protects (inode eviction, background work) begins. */
export function sbStartIntwrite(sb: SuperBlock): void {
  percpuDownRead(sb.internal);
}

export function sbEndIntwrite(sb: SuperBlock): void {
  percpuUpRead(sb.internal);
}

/**
 * Freezes: new changes wait, those under way are waited for, all that is dirty goes to the disk and is write-protected.
 * Returns 0, -EBUSY when it is frozen or being frozen, -EOPNOTSUPP, or the error of the sync (then it is not frozen).
 */
export function freezeSuper(sb: SuperBlock): i32 {
  const f = sb.superOps.freezeFs;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  if (sb.frozen != SB_UNFROZEN) return -EBUSY;
  sb.frozen = SB_FREEZE_WRITE;
  percpuDownWrite(sb.writers);
  sb.frozen = SB_FREEZE_PAGEFAULT;
  const early = MUTANTS && mutant(M_FREEZE_SYNCS_FIRST);
  let error = early ? syncFilesystem(sb) : 0;
  percpuDownWrite(sb.pagefaults);
  if (!early) error = syncFilesystem(sb);
  sb.frozen = SB_FREEZE_FS;
  percpuDownWrite(sb.internal);
  if (error == 0) error = f(sb);
  if (error != 0) {
    releaseFreeze(sb);
    return error;
  }
  checkFrozen(sb);
  sb.frozen = SB_FREEZE_COMPLETE;
  // The system call returns; whoever thaws takes the locks over.
  percpuForgetOwner(sb.internal);
  percpuForgetOwner(sb.pagefaults);
  percpuForgetOwner(sb.writers);
  return 0;
}

function releaseFreeze(sb: SuperBlock): void {
  sb.frozen = SB_UNFROZEN;
  percpuUpWrite(sb.internal);
  percpuUpWrite(sb.pagefaults);
  percpuUpWrite(sb.writers);
}

/** Thaws: everybody who waits goes on. Returns 0, -EINVAL when it is not frozen, or the filesystem's error (it stays frozen). */
export function thawSuper(sb: SuperBlock): i32 {
  if (sb.frozen != SB_FREEZE_COMPLETE) return -EINVAL;
  checkFrozen(sb);
  percpuAdoptOwner(sb.writers);
  percpuAdoptOwner(sb.pagefaults);
  percpuAdoptOwner(sb.internal);
  // Not complete any more: a second thaw is EINVAL.
  sb.frozen = SB_FREEZE_FS;
  const f = sb.superOps.unfreezeFs;
  const error = changetype<usize>(f) != 0 ? f(sb) : 0;
  if (error == 0) {
    releaseFreeze(sb);
    return 0;
  }
  percpuForgetOwner(sb.internal);
  percpuForgetOwner(sb.pagefaults);
  percpuForgetOwner(sb.writers);
  sb.frozen = SB_FREEZE_COMPLETE;
  return error;
}

/**
 * A forced shutdown: the filesystem writes nothing from now on, and nothing of it becomes writable (SCENARIOS S31). Returns 0, or
 * -ENOTTY when it knows no such thing.
 */
export function shutdownSuper(sb: SuperBlock): i32 {
  const f = sb.superOps.shutdown;
  if (changetype<usize>(f) == 0) return -ENOTTY;
  f(sb);
  const head = changetype<usize>(sb.inodes);
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    inodeOfSbLink(link).mapping.flags |= AS_NO_MKWRITE;
  }
  return 0;
}
