/*
 * Dentries: names in directories. For an in-memory filesystem they are the directory; for others they will be its cache.
 *
 *     dentry:  parent | inode | sibling links | hash chain | refcount | name length | name bytes (31, or 255 in the long cache)
 *
 * Interface: Dentry, dentryAlloc, dentryFree, dentryLink, dentryUnlink, dentryLookup, dentryMove, dentryInit, rootDentry.
 * Invariants:
 *   [dent-1] a linked dentry is in its parent's children, in the hash, and holds one link (nlink) and one reference of its inode.
 *   [dent-2] two linked dentries of one directory have different names.
 * Locks: the parent directory's i_rwsem for writing to change, for reading to look (one lookup is one emulated step).
 * Why not scan the children: a directory of ten thousand names is an ordinary thing.
 */
import { ListHead, listAddTail, listDelInit, listInit } from "../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { bootAlloc } from "../memlayout";
import { Inode, ihold, isDirectory } from "./inode";
import { CACHE_DENTRY, CACHE_DENTRY_LONG, fsState } from "./state";

const HASH_BUCKETS: u32 = 256;
/** Longest name of the small cache. */
export const SHORT_NAME: u32 = 31;

@unmanaged
export class Dentry {
  parent: Dentry;
  inode: Inode;
  siblingNext: u32;
  siblingPrev: u32;
  hashNext: u32;
  nameLength: u32;
  linked: u32;
  /** Root dentry of a filesystem mounted here, or 0. */
  mounted: usize;

  get sibling(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Dentry>("siblingNext"));
  }
  get name(): usize {
    return changetype<usize>(this) + offsetof<Dentry>();
  }
}

export const DENTRY_BYTES: u32 = offsetof<Dentry>() + SHORT_NAME + 1;
export const DENTRY_LONG_BYTES: u32 = offsetof<Dentry>() + 256;

export function isNullDentry(dentry: Dentry): bool {
  return changetype<usize>(dentry) == 0;
}

export function dentryInit(): bool {
  fsState().hash = bootAlloc(HASH_BUCKETS * 4, 8);
  return fsState().hash != 0;
}

export function rootDentry(): Dentry {
  return changetype<Dentry>(fsState().root);
}

export function dentryOfSibling(link: usize): Dentry {
  return changetype<Dentry>(link - offsetof<Dentry>("siblingNext"));
}

function bucketOf(parent: Dentry, name: usize, lenBytes: u32): usize {
  let hash = <u32>changetype<usize>(parent) * 0x9e37_79b1;
  for (let i: u32 = 0; i < lenBytes; i++) hash = (hash ^ load<u8>(name + i)) * 0x0100_0193;
  return fsState().hash + (((hash >> 8) & (HASH_BUCKETS - 1)) << 2);
}

/** A dentry with this name, linked nowhere. Null on ENOMEM. */
export function dentryAlloc(name: usize, lenBytes: u32): Dentry {
  const index = lenBytes > SHORT_NAME ? CACHE_DENTRY_LONG : CACHE_DENTRY;
  const dentry = changetype<Dentry>(kmemCacheAlloc(fsState().cache(index)));
  if (isNullDentry(dentry)) return dentry;
  dentry.nameLength = lenBytes;
  memory.copy(dentry.name, name, lenBytes);
  listInit(dentry.sibling);
  fsState().nrDentries++;
  return dentry;
}

export function dentryFree(dentry: Dentry): void {
  assert(dentry.linked == 0, "[dent-1] a dentry that is freed is linked nowhere");
  fsState().nrDentries--;
  const index = dentry.nameLength > SHORT_NAME ? CACHE_DENTRY_LONG : CACHE_DENTRY;
  kmemCacheFree(fsState().cache(index), changetype<usize>(dentry));
}

function hashIn(dentry: Dentry): void {
  const bucket = bucketOf(dentry.parent, dentry.name, dentry.nameLength);
  dentry.hashNext = load<u32>(bucket);
  store<u32>(bucket, <u32>changetype<usize>(dentry));
}

function hashOut(dentry: Dentry): void {
  let slot = bucketOf(dentry.parent, dentry.name, dentry.nameLength);
  while (load<u32>(slot) != <u32>changetype<usize>(dentry)) {
    assert(load<u32>(slot) != 0, "[dent-1] a linked dentry is in the hash");
    slot = <usize>load<u32>(slot) + offsetof<Dentry>("hashNext");
  }
  store<u32>(slot, dentry.hashNext);
}

/** The name comes to be: parent/name is this inode. Takes a link and a reference of the inode. */
export function dentryLink(parent: Dentry, dentry: Dentry, inode: Inode): void {
  assert(isDirectory(parent.inode), "a parent is a directory");
  ihold(inode);
  inode.nlink++;
  if (isDirectory(inode)) {
    inode.nlink++;
    parent.inode.nlink++;
    inode.dentry = changetype<usize>(dentry);
  }
  dentry.inode = inode;
  attach(parent, dentry);
}

function attach(parent: Dentry, dentry: Dentry): void {
  dentry.parent = parent;
  listAddTail(dentry.sibling, parent.inode.children);
  parent.inode.entries++;
  dentry.linked = 1;
  hashIn(dentry);
}

function detach(dentry: Dentry): void {
  assert(dentry.linked == 1, "[dent-1] a dentry is unlinked once");
  hashOut(dentry);
  listDelInit(dentry.sibling);
  dentry.parent.inode.entries--;
  dentry.linked = 0;
}

/** The name goes. The inode's link goes with it; the dentry's reference is the caller's to iput. */
export function dentryUnlink(dentry: Dentry): Inode {
  const inode = dentry.inode;
  const parent = dentry.parent;
  detach(dentry);
  inode.nlink--;
  if (isDirectory(inode)) {
    inode.nlink--;
    parent.inode.nlink--;
  }
  return inode;
}

/** rename: the dentry takes the name and place of `target`, a fresh dentry that is not linked. */
export function dentryMove(dentry: Dentry, parent: Dentry, target: Dentry): void {
  const inode = dentry.inode;
  const from = dentry.parent;
  detach(dentry);
  target.inode = inode;
  attach(parent, target);
  if (isDirectory(inode)) {
    from.inode.nlink--;
    parent.inode.nlink++;
    inode.dentry = changetype<usize>(target);
    reparent(inode, target);
  }
  dentryFree(dentry);
}

/** A directory's entries know their parent dentry, and are hashed by it. */
function reparent(directory: Inode, parent: Dentry): void {
  const head = changetype<usize>(directory.children);
  for (let link: usize = directory.children.next; link != head; link = changetype<ListHead>(link).next) {
    const child = dentryOfSibling(link);
    hashOut(child);
    child.parent = parent;
    hashIn(child);
  }
}

/** parent/name, or null. */
export function dentryLookup(parent: Dentry, name: usize, lenBytes: u32): Dentry {
  let link = load<u32>(bucketOf(parent, name, lenBytes));
  while (link != 0) {
    const dentry = changetype<Dentry>(<usize>link);
    if (changetype<usize>(dentry.parent) == changetype<usize>(parent) && dentry.nameLength == lenBytes) {
      if (memory.compare(dentry.name, name, lenBytes) == 0) return dentry;
    }
    link = dentry.hashNext;
  }
  return changetype<Dentry>(0);
}
