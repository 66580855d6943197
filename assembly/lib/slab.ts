/*
 * Object caches over one kernel arena: VMAs, files, inodes, bios, xarray nodes ...
 *
 *     arena  | chunk 4 KiB | chunk | chunk | ... not yet used ... |        a chunk belongs to one cache for ever
 *     then   | page frame  | page frame | ...  as long as frameFn has one: objects of up to a frame; they never go back
 *     free object:  next (u32) | 0x6b 0x6b 0x6b ...
 *
 * Interface: slabInit(base, lenBytes), KmemCache (32 bytes), kmemCacheInit, kmemCacheAlloc, kmemCacheFree, slabObjects, slabState,
 *            SLAB_POISON.
 * Invariants:
 *   [slab-1] a free object is poison behind its first word; alloc gives zeroed memory.
 *   [slab-2] allocated + free == total of every cache.
 *   [slab-3] an exhausted arena is a null result (ENOMEM), never an assert.
 * Locks: none; an allocation is one emulated step.
 * Why not the page allocator: block and sched stand below mm and need objects as well.
 */
import { LIB_STATE } from "../memlayout";
import { SITE_SLAB, shouldFail } from "./fault-sites";

const POISON: u8 = 0x6b;
const CHUNK: u32 = 4096;

@unmanaged
export class KmemCache {
  objBytes: u32;
  free: u32;
  allocated: u32;
  total: u32;
  highWater: u32;
  nameId: u32;
  allocs: u32;
  /** The cache that was made before this one, or 0. */
  older: u32;
}

@unmanaged
export class SlabState {
  next: usize;
  limit: usize;
  base: usize;
  failures: u32;
  /** Frames taken beyond the arena. */
  frames: u32;
  /** A page frame for a cache that finds the arena used up, without sleeping; 0 when there is none. mm room. */
  frameFn: () => usize;
  /** The cache that was made last, or 0. */
  newest: u32;
}

export function slabState(): SlabState {
  return changetype<SlabState>(LIB_STATE);
}

export function slabInit(base: usize, lenBytes: u32): void {
  const s = slabState();
  s.base = base;
  s.next = base;
  s.limit = base + lenBytes;
  s.failures = 0;
  s.newest = 0;
}

/** objBytes is rounded up to 16; nameId is for reports. */
export function kmemCacheInit(cache: KmemCache, objBytes: u32, nameId: u32): void {
  memory.fill(changetype<usize>(cache), 0, offsetof<KmemCache>());
  cache.objBytes = (objBytes + 15) & ~15;
  cache.nameId = nameId;
  cache.older = slabState().newest;
  slabState().newest = <u32>changetype<usize>(cache);
  assert(cache.objBytes >= 16, "an object holds at least its free link");
}

/** Cuts a chunk of the arena, or a frame, into free objects. False when there is neither. */
function grow(cache: KmemCache): bool {
  const s = slabState();
  const size = cache.objBytes;
  let bytes: u32 = CHUNK;
  if (size * 4 > CHUNK) bytes = size * 4;
  if (s.next + bytes > s.limit) {
    bytes = size;
    if (s.next + bytes > s.limit) return growFromFrame(cache);
  }
  const base = s.next;
  s.next += (bytes + 15) & ~15;
  cut(cache, base, bytes / size);
  return true;
}

function growFromFrame(cache: KmemCache): bool {
  const s = slabState();
  if (changetype<usize>(s.frameFn) == 0 || cache.objBytes > CHUNK) return false;
  const f = s.frameFn;
  const base = f();
  if (base == 0) return false;
  s.frames++;
  cut(cache, base, CHUNK / cache.objBytes);
  return true;
}

function cut(cache: KmemCache, base: usize, count: u32): void {
  const size = cache.objBytes;
  for (let i = count; i != 0; i--) {
    const obj = base + (i - 1) * size;
    memory.fill(obj, POISON, size);
    store<u32>(obj, cache.free);
    cache.free = <u32>obj;
  }
  cache.total += count;
}

/** A zeroed object, or 0 when memory is used up. Does not sleep. */
export function kmemCacheAlloc(cache: KmemCache): usize {
  const s = slabState();
  if (shouldFail(SITE_SLAB)) {
    s.failures++;
    return 0;
  }
  if (cache.free == 0 && !grow(cache)) {
    s.failures++;
    return 0;
  }
  const obj = <usize>cache.free;
  cache.free = load<u32>(obj);
  checkPoison(obj, cache.objBytes);
  memory.fill(obj, 0, cache.objBytes);
  cache.allocs++;
  if (++cache.allocated > cache.highWater) cache.highWater = cache.allocated;
  return obj;
}

/** The whole object in the checked build, its last word otherwise: enough to catch most writes after free. */
function checkPoison(obj: usize, objBytes: u32): void {
  const last = obj + objBytes - 8;
  if (CHECKED) {
    for (let at = obj + 4; at < last; at += 4) assert(load<u32>(at) == 0x6b6b6b6b, "[slab-1] a freed object was written to");
  }
  assert(load<u64>(last) == 0x6b6b_6b6b_6b6b_6b6b, "[slab-1] a freed object was written to");
}

/** Gives an object back and poisons it. */
export function kmemCacheFree(cache: KmemCache, obj: usize): void {
  const s = slabState();
  assert(obj >= s.base && (obj < s.next || s.frames != 0), "an object comes from the arena");
  assert(load<u64>(obj + cache.objBytes - 8) != 0x6b6b_6b6b_6b6b_6b6b, "[slab-1] an object is freed twice");
  assert(cache.allocated != 0, "[slab-2] a cache frees what it gave");
  memory.fill(obj, POISON, cache.objBytes);
  store<u32>(obj, cache.free);
  cache.free = <u32>obj;
  cache.allocated--;
}

/** Objects that are allocated now, of the caches of that name. */
export function slabObjects(nameId: u32): u32 {
  let objects: u32 = 0;
  for (let at = slabState().newest; at != 0; at = changetype<KmemCache>(at).older) {
    const cache = changetype<KmemCache>(at);
    if (cache.nameId == nameId) objects += cache.allocated;
  }
  return objects;
}

/** [slab-2] Walks the free list. */
export function checkKmemCache(cache: KmemCache): void {
  let free: u32 = 0;
  for (let obj = cache.free; obj != 0; obj = load<u32>(obj)) free++;
  assert(free + cache.allocated == cache.total, "[slab-2] allocated and free objects add up");
}
