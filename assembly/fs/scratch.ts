/*
 * Scratch memory of a call, kept while the call sleeps: path names from user memory, records of getdents, answers of statfs.
 *
 * Interface: scratchAlloc, scratchAllocLong, scratchFree, SCRATCH_SHORT_BYTES, SCRATCH_LONG_BYTES; PathName, getname, putname.
 * Invariants: [scr-1] a call gives back what it took; none is left when no system call is under way.
 * Locks: none. A path is copied before the namespace mutex is taken: the copy may fault.
 * Why not one buffer under the mutex: a fault on user memory under it would make every path of the machine wait for one page.
 */
import { ENAMETOOLONG, ENOENT, ENOMEM, errPtr } from "../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { PATH_MAX } from "../config";
import { PAGE_MASK, PAGE_SIZE } from "../memlayout";
import { GFP_KERNEL, allocPage, putPage } from "../mm/page-alloc";
import { addressToPage, isNullPage, pageAddress } from "../mm/page";
import { strncpyFromUser } from "../mm/uaccess";
import { CACHE_SCRATCH, fsState } from "./state";

/** Objects of the short kind start here in their cache's object: no short scratch is page-aligned, every long one is. */
const HEAD: u32 = 8;
/** Room for a struct stat or statfs, or for nearly every path. */
export const SCRATCH_SHORT_BYTES: u32 = 296;
/** A page frame: room for a DirEntry and a call's records, or for any path. */
export const SCRATCH_LONG_BYTES: u32 = PAGE_SIZE;

export const SCRATCH_OBJECT_BYTES: u32 = HEAD + SCRATCH_SHORT_BYTES;

/** Zeroed memory of SCRATCH_SHORT_BYTES, 0 on ENOMEM. */
export function scratchAlloc(): usize {
  const at = kmemCacheAlloc(fsState().cache(CACHE_SCRATCH));
  return at == 0 ? 0 : at + HEAD;
}

/** A page frame, not zeroed, 0 on ENOMEM. May sleep. */
export function scratchAllocLong(): usize {
  const page = allocPage(GFP_KERNEL);
  if (isNullPage(page)) return 0;
  fsState().nrLongScratch++;
  return pageAddress(page);
}

export function scratchFree(scratch: usize): void {
  if ((scratch & PAGE_MASK) != 0) {
    kmemCacheFree(fsState().cache(CACHE_SCRATCH), scratch - HEAD);
    return;
  }
  fsState().nrLongScratch--;
  putPage(addressToPage(scratch));
}

/** A path in kernel memory; not NUL-terminated for its readers. */
@unmanaged
export class PathName {
  lenBytes: u32;
  /** Behind this head, or a long scratch. */
  bytes: usize;
}

/** Copies a path from user memory. A PathName, or ERR_PTR: ENOENT for the empty one, ENAMETOOLONG, EFAULT, ENOMEM. */
export function getname(user: u64): usize {
  const name = changetype<PathName>(scratchAlloc());
  if (changetype<usize>(name) == 0) return errPtr(-ENOMEM);
  const head = <u32>offsetof<PathName>();
  name.bytes = changetype<usize>(name) + head;
  let length = strncpyFromUser(name.bytes, user, SCRATCH_SHORT_BYTES - head);
  if (length == -ENAMETOOLONG) {
    name.bytes = scratchAllocLong();
    length = name.bytes == 0 ? -ENOMEM : strncpyFromUser(name.bytes, user, PATH_MAX);
  }
  if (length > 0) {
    name.lenBytes = length;
    return changetype<usize>(name);
  }
  putname(name);
  return errPtr(length == 0 ? -ENOENT : length);
}

export function putname(name: PathName): void {
  if (name.bytes != 0 && (name.bytes & PAGE_MASK) == 0) scratchFree(name.bytes);
  scratchFree(changetype<usize>(name));
}
