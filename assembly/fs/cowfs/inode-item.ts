/*
 * Inodes: from their INODE_ITEM into memory and back.
 *
 *     iget: inode hash --miss--> INODE_ITEM read --> Inode + CowInode --> hash
 *     changed in memory --inodeChanged (in a transaction)--> delayed list --commit settles--> INODE_ITEM
 *
 * Interface: cowInode, infoOf, readOnlyInode, cowIget, cowInodeAlloc, cowInodeFree, discardNewInode, inodeChanged, forgetDelayed,
 *            updateInodeItem, writeDelayedInodes, inodeItemFill.
 * Invariants:
 *   [ci-1] what an INODE_ITEM says is what memory said at one moment inside the transaction; nlink is CowInode's, which changes
 *          with the names, in one transaction.
 *   [ci-2] an inode in the delayed list is in memory: evict takes it out.
 * Locks: fs tree. The delayed list: none, each change is one emulated step.
 * Why not write the item at each change: a store's mtime would then cost a search; btrfs delays them, too.
 */
import { EIO, ENOENT, ENOMEM, errPtr } from "../../lib/errno";
import { itInit } from "../../lib/interval-tree";
import { listAddTail, listDelInit, listEmpty, listFirst, listInit } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Inode, ilookup, inodeAlloc, insertInodeHash, iput, isNullInode } from "../inode";
import { isNullPath, lookupItem, pathAlloc, pathFree, pathItem, pathItemSize, pathRelease, searchSlot } from "./btree";
import {
  II_ATIME, II_CTIME, II_GENERATION, II_MODE, II_MTIME, II_NBYTES, II_NLINK, II_OTIME, II_SIZE, II_TRANSID, INODE_ITEM_BYTES,
  INODE_ITEM_KEY,
} from "./layout";
import { CACHE_COW_INODE, TREES, CowHandle, CowInode, CowPath, CowRoot, CowfsInfo, cowCache } from "./state";

export function cowInode(inode: Inode): CowInode {
  assert(inode.fsPrivate != 0, "[ci-2] an inode in use has its cowfs part");
  return changetype<CowInode>(inode.fsPrivate);
}

/** True for what belongs to a snapshot: it never changes. */
export function readOnlyInode(inode: Inode): bool {
  return cowInode(inode).root.index == TREES;
}

export function infoOf(inode: Inode): CowfsInfo {
  return changetype<CowfsInfo>(inode.sb.fsPrivate);
}

function storeTime(at: usize, ns: u64): void {
  store<u64>(at, ns / 1_000_000_000);
  store<u32>(at, <u32>(ns % 1_000_000_000), 8);
}

function loadTime(at: usize): u64 {
  return load<u64>(at) * 1_000_000_000 + load<u32>(at, 8);
}

/** An inode of this tree in memory, in no hash, with one reference. Null on ENOMEM. Does not block. */
export function cowInodeAlloc(info: CowfsInfo, root: CowRoot, ino: u32, mode: u32): Inode {
  const ci = changetype<CowInode>(kmemCacheAlloc(cowCache(CACHE_COW_INODE)));
  if (changetype<usize>(ci) == 0) return changetype<Inode>(0);
  const inode = inodeAlloc(info.sb, mode, ino);
  if (isNullInode(inode)) {
    kmemCacheFree(cowCache(CACHE_COW_INODE), changetype<usize>(ci));
    return inode;
  }
  inode.tree = <u32>root.objectid;
  inode.fsPrivate = changetype<usize>(ci);
  ci.inode = inode;
  ci.root = root;
  ci.otimeNs = inode.ctimeNs;
  listInit(ci.delayedLink);
  listInit(ci.delallocLink);
  listInit(ci.orderedList);
  itInit(ci.maps);
  return inode;
}

export function cowInodeFree(inode: Inode): void {
  const ci = cowInode(inode);
  assert(ci.delayed == 0 && ci.delallocBlocks == 0 && listEmpty(ci.orderedList), "[mk-6] an inode that goes owes nothing");
  inode.fsPrivate = 0;
  kmemCacheFree(cowCache(CACHE_COW_INODE), changetype<usize>(ci));
}

/** The one inode of a number, referenced, or ERR_PTR (-ENOENT: no such inode). */
export function cowIget(info: CowfsInfo, root: CowRoot, ino: u32): usize {
  const known = ilookup(info.sb, <u32>root.objectid, ino);
  if (!isNullInode(known)) return changetype<usize>(known);
  const path = pathAlloc();
  if (isNullPath(path)) return errPtr(-ENOMEM);
  downRead(root.rwsem);
  const result = lookupItem(root, ino, INODE_ITEM_KEY, 0, path);
  let found: usize = result == 0 ? 0 : errPtr(result == 1 ? -ENOENT : result);
  if (result == 0) found = instantiate(info, root, ino, pathItem(path), pathItemSize(path));
  pathFree(path);
  upRead(root.rwsem);
  return found;
}

/** Makes the inode of an INODE_ITEM, unless somebody else was first. Does not block. */
function instantiate(info: CowfsInfo, root: CowRoot, ino: u32, item: usize, size: u32): usize {
  const known = ilookup(info.sb, <u32>root.objectid, ino);
  if (!isNullInode(known)) return changetype<usize>(known);
  const mode = size == INODE_ITEM_BYTES ? load<u32>(item, II_MODE) : 0;
  const type = mode & S_IFMT;
  const sizeBytes = load<u64>(item, II_SIZE);
  if ((type != S_IFREG && type != S_IFDIR && type != S_IFLNK) || sizeBytes > info.sb.maxBytes) return errPtr(-EIO);
  const inode = cowInodeAlloc(info, root, ino, mode);
  if (isNullInode(inode)) return errPtr(-ENOMEM);
  const ci = cowInode(inode);
  inode.nlink = load<u32>(item, II_NLINK);
  inode.mapping.sizeBytes = sizeBytes;
  inode.atimeNs = loadTime(item + II_ATIME);
  inode.ctimeNs = loadTime(item + II_CTIME);
  inode.mtimeNs = loadTime(item + II_MTIME);
  ci.otimeNs = loadTime(item + II_OTIME);
  ci.nlink = inode.nlink;
  ci.generation = load<u64>(item, II_GENERATION);
  ci.lastTrans = load<u64>(item, II_TRANSID);
  ci.nbytes = load<u64>(item, II_NBYTES);
  insertInodeHash(inode);
  return changetype<usize>(inode);
}

/** Writes what memory says into the item. */
export function inodeItemFill(item: usize, inode: Inode, transid: u64): void {
  const ci = cowInode(inode);
  store<u64>(item, ci.generation, II_GENERATION);
  store<u64>(item, transid, II_TRANSID);
  const before = cowInode(inode).sizeBefore;
  store<u64>(item, before != 0 ? before : inode.mapping.sizeBytes, II_SIZE);
  store<u64>(item, ci.nbytes, II_NBYTES);
  store<u32>(item, ci.nlink, II_NLINK);
  store<u32>(item, inode.mode, II_MODE);
  storeTime(item + II_ATIME, inode.atimeNs);
  storeTime(item + II_CTIME, inode.ctimeNs);
  storeTime(item + II_MTIME, inode.mtimeNs);
  storeTime(item + II_OTIME, ci.otimeNs);
}

/** Notes, inside a transaction, that the inode's item is behind memory: the commit writes it. Does not block. */
export function inodeChanged(handle: CowHandle, inode: Inode): void {
  const ci = cowInode(inode);
  const info = handle.info;
  assert(handle.transid >= ci.lastTrans, "[tx-1] transactions change an inode in order");
  ci.lastTrans = handle.transid;
  if (ci.delayed != 0) return;
  ci.delayed = 1;
  listAddTail(ci.delayedLink, info.delayedList);
}

/** The inode's item is no longer wanted, or written. */
export function forgetDelayed(inode: Inode): void {
  const ci = cowInode(inode);
  if (ci.delayed == 0) return;
  ci.delayed = 0;
  listDelInit(ci.delayedLink);
}

/** Writes the inode's item. Preconditions: the fs tree is locked for writing. Returns 0 or -errno. */
export function updateInodeItem(handle: CowHandle, inode: Inode, path: CowPath): i32 {
  const root = cowInode(inode).root;
  const result = searchSlot(handle, root, inode.ino, INODE_ITEM_KEY, 0, path, 0);
  if (result == 0) {
    inodeItemFill(pathItem(path), inode, handle.transid);
    cowInode(inode).lastTrans = handle.transid;
    forgetDelayed(inode);
  }
  pathRelease(path);
  return result == 1 ? -EIO : result;
}

function firstDelayed(info: CowfsInfo): CowInode {
  return changetype<CowInode>(changetype<usize>(listFirst(info.delayedList)) - offsetof<CowInode>("delayedNext"));
}

/** Writes the items of all delayed inodes. An inode may be evicted while its leaf is read: it is looked for again then. */
export function writeDelayedInodes(handle: CowHandle, path: CowPath): i32 {
  const info = handle.info;
  let error: i32 = 0;
  while (error == 0 && !listEmpty(info.delayedList)) {
    const ci = firstDelayed(info);
    const ino = ci.inode.ino;
    const root = ci.root;
    downWrite(root.rwsem);
    const result = searchSlot(handle, root, ino, INODE_ITEM_KEY, 0, path, 0);
    if (result < 0) error = result;
    else if (!listEmpty(info.delayedList)) {
      const first = firstDelayed(info);
      if (first.inode.ino == ino && result == 0) {
        inodeItemFill(pathItem(path), first.inode, handle.transid);
        forgetDelayed(first.inode);
      } else if (first.inode.ino == ino) error = -EIO;
    }
    pathRelease(path);
    upWrite(root.rwsem);
  }
  return error;
}

/** An inode that was made and then could not be entered: it leaves memory as if it had never been. */
export function discardNewInode(inode: Inode): void {
  assert(inode.nlink == 0 && inode.hashed == 0, "a new inode is nobody's");
  forgetDelayed(inode);
  cowInode(inode).nlink = u32.MAX_VALUE;
  iput(inode);
}
