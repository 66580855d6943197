/*
 * Scratch memory of a call, kept while the call sleeps: path names from user memory, records of getdents, answers of statfs.
 *
 * Interface: scratchAlloc(long), scratchFree, SCRATCH_SHORT_BYTES, SCRATCH_LONG_BYTES; PathName, getname, putname.
 * Invariants: [scr-1] a call gives back what it took; none is left when no system call is under way.
 * Locks: none. A path is copied before the namespace mutex is taken: the copy may fault.
 * Why not one buffer under the mutex: a fault on user memory under it would make every path of the machine wait for one page.
 */
import { ENAMETOOLONG, ENOENT, ENOMEM, errPtr } from "../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { PATH_MAX } from "../config";
import { strncpyFromUser } from "../mm/uaccess";
import { CACHE_SCRATCH, CACHE_SCRATCH_LONG, fsState } from "./state";

/** Which cache it came from, in front of the memory handed out. */
const HEAD: u32 = 8;
/** Room for a DirEntry, or for nearly every path. */
export const SCRATCH_SHORT_BYTES: u32 = 296;
/** Room for a DirEntry and PATH_MAX bytes. */
export const SCRATCH_LONG_BYTES: u32 = PATH_MAX + 312;

export const SCRATCH_OBJECT_BYTES: u32 = HEAD + SCRATCH_SHORT_BYTES;
export const SCRATCH_LONG_OBJECT_BYTES: u32 = HEAD + SCRATCH_LONG_BYTES;

/** Zeroed memory of SCRATCH_SHORT_BYTES or SCRATCH_LONG_BYTES, 0 on ENOMEM. */
export function scratchAlloc(long: bool): usize {
  const at = kmemCacheAlloc(fsState().cache(long ? CACHE_SCRATCH_LONG : CACHE_SCRATCH));
  if (at == 0) return 0;
  store<u32>(at, long ? 1 : 0);
  return at + HEAD;
}

export function scratchFree(scratch: usize): void {
  const long = load<u32>(scratch - HEAD) != 0;
  kmemCacheFree(fsState().cache(long ? CACHE_SCRATCH_LONG : CACHE_SCRATCH), scratch - HEAD);
}

/** A path in kernel memory; not NUL-terminated for its readers. */
@unmanaged
export class PathName {
  lenBytes: u32;
  pad: u32;

  get bytes(): usize {
    return changetype<usize>(this) + offsetof<PathName>();
  }
}

/** Copies a path from user memory. A PathName, or ERR_PTR: ENOENT for the empty one, ENAMETOOLONG, EFAULT, ENOMEM. */
export function getname(user: u64): usize {
  const name = copyName(user, false);
  return name == errPtr(-ENAMETOOLONG) ? copyName(user, true) : name;
}

function copyName(user: u64, long: bool): usize {
  const name = changetype<PathName>(scratchAlloc(long));
  if (changetype<usize>(name) == 0) return errPtr(-ENOMEM);
  const limit = long ? PATH_MAX : SCRATCH_SHORT_BYTES - <u32>offsetof<PathName>();
  const length = strncpyFromUser(name.bytes, user, limit);
  if (length <= 0) {
    putname(name);
    return errPtr(length == 0 ? -ENOENT : length);
  }
  name.lenBytes = length;
  return changetype<usize>(name);
}

export function putname(name: PathName): void {
  scratchFree(changetype<usize>(name));
}
