/*
 * The dentry cache of filesystems on disks: what goes when memory is short, and what goes at unmount.
 *
 * Interface: dcacheMakeRoom, dcachePrune, dcacheShrink.
 * Invariants:
 *   [dca-1] only a name that nobody uses is dropped: its inode has the dentry's reference alone and no page to write. What else
 *           is to be written of it the filesystem writes in ->evict, or holds a reference.
 *   [dca-2] there are about as many cached names as page frames at most, unless they are in use: an eighth of memory.
 * Locks: the namespace mutex.
 * Why not a shrinker called by the page allocator: inodes and dentries come from the object arena, not from page frames.
 */
import { mmState } from "../mm/state";
import { Dentry, HASH_BUCKETS, dentryDrop, dentryOfSibling } from "./dentry";
import { isWalked } from "./namei";
import { fsState } from "./state";

/** Names dropped at a time when memory is short. */
const PRUNE_BATCH: u32 = 32;

function isUnused(dentry: Dentry): bool {
  const inode = dentry.inode;
  if (changetype<usize>(inode.sb.inodeOps.lookup) == 0 || dentry.mounted != 0 || inode.entries != 0) return false;
  if (inode.refcount != 1 || inode.mapping.nrDirty != 0 || inode.mapping.nrWriteback != 0) return false;
  return !isWalked(dentry);
}

/** A name more is about to be cached: above the limit some have to go first. May sleep. As dcachePrune. */
export function dcacheMakeRoom(): void {
  if (fsState().nrCached >= mmState().nFrames) dcachePrune();
}

/**
 * Drops unused names, one bucket after the other, until some have gone. Returns whether any has. May sleep.
 * Preconditions: the namespace mutex is held.
 */
export function dcachePrune(): bool {
  let dropped: u32 = 0;
  for (let i: u32 = 0; i < HASH_BUCKETS && dropped < PRUNE_BATCH; i++) {
    const bucket = fsState().hash + ((fsState().pruneNext++ & (HASH_BUCKETS - 1)) << 2);
    let link = load<u32>(bucket);
    while (link != 0) {
      const dentry = changetype<Dentry>(<usize>link);
      link = dentry.hashNext;
      if (!isUnused(dentry)) continue;
      dentryDrop(dentry);
      dropped++;
      // The chain may have changed while an eviction slept.
      link = load<u32>(bucket);
    }
  }
  return dropped != 0;
}

/** Drops every name below the root of a filesystem that is being unmounted, leaves first. May sleep. */
export function dcacheShrink(root: Dentry): void {
  while (root.inode.entries != 0) {
    let at = root;
    while (at.inode.entries != 0) at = dentryOfSibling(at.inode.children.next);
    dentryDrop(at);
  }
}
