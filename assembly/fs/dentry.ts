/*
 * Dentries: names in directories. For an in-memory filesystem they are the directory; for one on a disk they are its cache.
 *
 *     dentry:  parent | inode | sibling links | hash chain | cookie | name length | name bytes (31, or 255 in the long cache)
 *
 *     dentryAlloc --dentryLink (a new name: nlink + 1), dentryAttach (a name found on the disk)--> linked
 *     linked --dentryUnlink (the name goes: nlink - 1), dentryDrop (only out of the cache)--> dentryFree
 *
 * Interface: Dentry, dentryInit, dentryAlloc, dentryFree, dentryLink, dentryAttach, dentryUnlink, dentryDrop, dentryMove,
 *            dentryExchange, dentryLookup, dentryFrom, dentryNext, rootDentry.
 * Invariants:
 *   [dent-1] a linked dentry is in its parent's children, in the hash, and holds one reference of its inode.
 *   [dent-2] two linked dentries of one directory have different names and different cookies; cookies only grow.
 *   [dent-3] in memory, a file's nlink is the number of its dentries, a directory's is 2 and 1 more for each directory in it.
 *   [dent-4] a directory has at most one dentry; Inode.dentry is it, or 0.
 * Locks: the namespace mutex; and the parent directory's i_rwsem for writing, where the directory itself changes.
 * Why not scan the children: a directory of ten thousand names is an ordinary thing.
 */
import { ListHead, listAddTail, listDelInit, listInit } from "../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { bootAlloc } from "../memlayout";
import { Inode, ihold, iput, isDirectory } from "./inode";
import { CACHE_DENTRY, CACHE_DENTRY_LONG, fsState } from "./state";

export const HASH_BUCKETS: u32 = 256;
/** Longest name of the small cache. */
export const SHORT_NAME: u32 = 31;

@unmanaged
export class Dentry {
  parent: Dentry;
  inode: Inode;
  siblingNext: u32;
  siblingPrev: u32;
  hashNext: u32;
  /** Place in its directory, for getdents. */
  cookie: u32;
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

/** True when the name is on a disk as well. */
function isCached(dentry: Dentry): bool {
  return changetype<usize>(dentry.parent.inode.sb.inodeOps.lookup) != 0;
}

function attach(parent: Dentry, dentry: Dentry, inode: Inode): void {
  assert(isDirectory(parent.inode), "a parent is a directory");
  dentry.inode = inode;
  dentry.parent = parent;
  dentry.cookie = parent.inode.nextCookie++;
  listAddTail(dentry.sibling, parent.inode.children);
  parent.inode.entries++;
  dentry.linked = 1;
  if (isCached(dentry)) fsState().nrCached++;
  hashIn(dentry);
  if (isDirectory(inode)) inode.dentry = changetype<usize>(dentry);
}

function detach(dentry: Dentry): void {
  assert(dentry.linked == 1, "[dent-1] a dentry is unlinked once");
  hashOut(dentry);
  listDelInit(dentry.sibling);
  dentry.parent.inode.entries--;
  dentry.linked = 0;
  if (isCached(dentry)) fsState().nrCached--;
  if (isDirectory(dentry.inode)) dentry.inode.dentry = 0;
}

/** The name comes to be: parent/name is this inode. Takes a link and a reference of the inode. */
export function dentryLink(parent: Dentry, dentry: Dentry, inode: Inode): void {
  ihold(inode);
  inode.nlink++;
  if (isDirectory(inode)) {
    inode.nlink++;
    parent.inode.nlink++;
  }
  attach(parent, dentry, inode);
}

/** The name was found on the disk: the dentry takes over the caller's reference; links are counted already. */
export function dentryAttach(parent: Dentry, dentry: Dentry, inode: Inode): void {
  assert(inode.nlink != 0, "a name that is found is a link");
  assert(!isDirectory(inode) || inode.dentry == 0, "[dent-4] a directory has one dentry");
  attach(parent, dentry, inode);
}

/** The name goes. The inode's link goes with it; the dentry's reference is the caller's to iput. */
export function dentryUnlink(dentry: Dentry): Inode {
  const inode = dentry.inode;
  const parent = dentry.parent;
  detach(dentry);
  assert(inode.nlink != 0, "[dent-3] a name that goes was a link");
  inode.nlink--;
  if (isDirectory(inode)) {
    inode.nlink--;
    parent.inode.nlink--;
  }
  return inode;
}

/** The dentry leaves the cache, the name stays on the disk. May sleep: the inode may be evicted. */
export function dentryDrop(dentry: Dentry): void {
  const inode = dentry.inode;
  assert(inode.entries == 0, "a directory with cached names stays cached");
  detach(dentry);
  dentryFree(dentry);
  iput(inode);
}

/** rename: the dentry takes the name and place of `target`, a fresh dentry that is not linked. */
export function dentryMove(dentry: Dentry, parent: Dentry, target: Dentry): void {
  const inode = dentry.inode;
  const from = dentry.parent;
  detach(dentry);
  attach(parent, target, inode);
  if (isDirectory(inode)) {
    from.inode.nlink--;
    parent.inode.nlink++;
    reparent(inode, target);
  }
  dentryFree(dentry);
}

/** rename with RENAME_EXCHANGE: each name shows the other's inode. */
export function dentryExchange(a: Dentry, b: Dentry): void {
  const first = a.inode;
  const second = b.inode;
  a.inode = second;
  b.inode = first;
  movedTo(a, second, b.parent.inode);
  movedTo(b, first, a.parent.inode);
}

/** The inode is at `dentry` now, and was in the directory `from`. */
function movedTo(dentry: Dentry, inode: Inode, from: Inode): void {
  if (!isDirectory(inode)) return;
  from.nlink--;
  dentry.parent.inode.nlink++;
  inode.dentry = changetype<usize>(dentry);
  reparent(inode, dentry);
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

/** The first entry of a directory at or behind a cookie, or null. Entries are in the order of their cookies. */
export function dentryFrom(directory: Inode, cookie: u64): Dentry {
  const head = changetype<usize>(directory.children);
  let link: usize = directory.children.next;
  while (link != head && <u64>dentryOfSibling(link).cookie < cookie) link = changetype<ListHead>(link).next;
  return link == head ? changetype<Dentry>(0) : dentryOfSibling(link);
}

/** The entry behind this one, or null. */
export function dentryNext(dentry: Dentry): Dentry {
  const link: usize = dentry.sibling.next;
  const head = changetype<usize>(dentry.parent.inode.children);
  return link == head ? changetype<Dentry>(0) : dentryOfSibling(link);
}
