/*
 * Extent maps: what the fs tree says of a range of a file, kept in memory.
 *
 *     [fileStart, fileEnd)  ->  disk bytes from diskStart on, or a hole
 *
 * Interface: ExtentMap, extentMapInit, findExtentMap, addExtentMap, dropExtentMaps.
 * Invariants:
 *   [em-1] a map says what the file's items say: a change of the items drops the maps of the range under the tree's lock, and a map
 *          is added under the lock it was read under.
 *   [em-2] maps of a file do not overlap.
 * Locks: fs tree, for reading to add, for writing to drop; lookups take none.
 * Why not new mappings at once when writeback begins, as btrfs: readers wait for ordered extents instead (ordered.ts).
 */
import { IntervalNode, itFirst, itFirstOverlap, itInsert, itRemove } from "../../lib/interval-tree";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { CACHE_EXTENT_MAP, CowInode, cowCache, cowCacheInit } from "./state";

/** Maps a file keeps; the first is dropped for one more. */
const MAX_MAPS: u32 = 64;

/** A range of a file. The IntervalNode's start and last are bytes of the file. */
@unmanaged
export class ExtentMap {
  node0: u64; node1: u64; node2: u64; node3: u64; node4: u64;
  /** Where the first byte is on the disk; 0: a hole. */
  diskStart: u64;

  get node(): IntervalNode {
    return changetype<IntervalNode>(changetype<usize>(this));
  }
}

if (offsetof<IntervalNode>() > 40) ERROR("an IntervalNode fits the space that ExtentMap keeps for it");

export function extentMapInit(): void {
  cowCacheInit(CACHE_EXTENT_MAP, <u32>offsetof<ExtentMap>());
}

export function isNullMap(map: ExtentMap): bool {
  return changetype<usize>(map) == 0;
}

/** The map that covers a byte of the file, or null. */
export function findExtentMap(ci: CowInode, fileByte: u64): ExtentMap {
  return changetype<ExtentMap>(changetype<usize>(itFirstOverlap(ci.maps, fileByte, fileByte)));
}

/** Notes a range. Without memory for it the next lookup reads the tree again. */
export function addExtentMap(ci: CowInode, fileStart: u64, lenBytes: u64, diskStart: u64): void {
  assert(lenBytes != 0, "a map covers something");
  if (!isNullMap(changetype<ExtentMap>(changetype<usize>(itFirstOverlap(ci.maps, fileStart, fileStart + lenBytes - 1))))) return;
  if (ci.maps.count >= MAX_MAPS) drop(ci, changetype<ExtentMap>(changetype<usize>(itFirst(ci.maps))));
  const map = changetype<ExtentMap>(kmemCacheAlloc(cowCache(CACHE_EXTENT_MAP)));
  if (isNullMap(map)) return;
  map.node.start = fileStart;
  map.node.last = fileStart + lenBytes - 1;
  map.diskStart = diskStart;
  itInsert(ci.maps, map.node);
}

function drop(ci: CowInode, map: ExtentMap): void {
  itRemove(ci.maps, map.node);
  kmemCacheFree(cowCache(CACHE_EXTENT_MAP), changetype<usize>(map));
}

/** The file's items of [fileStart, fileEnd) change: what is known of them is forgotten. */
export function dropExtentMaps(ci: CowInode, fileStart: u64, fileEnd: u64): void {
  while (true) {
    const map = changetype<ExtentMap>(changetype<usize>(itFirstOverlap(ci.maps, fileStart, fileEnd - 1)));
    if (isNullMap(map)) return;
    drop(ci, map);
  }
}
