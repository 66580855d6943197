/*
 * Inodes that leave memory, and those that leave the disk: eviction, orphans of a crash, the next free number.
 *
 *     last name goes --> ORPHAN_ITEM --last reference goes--> evict: items from the last to the INODE_ITEM, then the ORPHAN_ITEM
 *                             \--crash--> mount: iget, iput --------^
 *
 * Interface: cowfsEvict, cleanOrphans, findNextIno.
 * Invariants:
 *   [cn-1] an inode without a name has an ORPHAN_ITEM until its INODE_ITEM is gone; both go in one transaction.
 *   [ce-1] a transaction of an eviction is short: a large file goes in many, and a crash in between leaves an orphan.
 * Locks: sb_internal (freeze) -> a handle -> fs tree -> extent tree. No page, no VFS lock but perhaps the namespace mutex.
 * Why not one transaction a file: its dirty tree blocks stay in memory until it commits.
 */
import { EIO, ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { Inode, iput } from "../inode";
import { sbEndIntwrite, sbStartIntwrite } from "../super";
import { atItem, pathItem, pathKey, pathKeyIs, pathRelease, prevItem, searchSlot } from "./btree";
import { deleteItems, deleteKey } from "./btree-edit";
import { commitTransaction } from "./commit";
import { dropExtentMaps } from "./extent-map";
import { dataExtentRef } from "./extent-tree";
import { cowIget, cowInode, cowInodeFree, forgetDelayed, infoOf, updateInodeItem } from "./inode-item";
import {
  ED_DISK_BYTENR, ED_DISK_BYTES, ED_TYPE, EXTENT_DATA_KEY, EXTENT_INLINE, FIRST_FREE_OBJECTID, KEY_OFFSET, LAST_FREE_OBJECTID,
  ORPHAN_ITEM_KEY, ORPHAN_OBJECTID,
} from "./layout";
import { waitOrderedRange } from "./ordered";
import { TREE_FS, CowHandle, CowPath, CowfsInfo } from "./state";
import { handleAlloc, handleFree, isNullHandle, transactionAbort, transactionEnd, transactionJoin, transactionStart } from "./transaction";
import { endTruncate } from "./truncate";

/** Items that go in one transaction. */
const ITEMS_PER_TRANSACTION: u32 = 64;

export function cowfsEvict(inode: Inode): void {
  const info = infoOf(inode);
  const ci = cowInode(inode);
  waitOrderedRange(inode, 0, u64.MAX_VALUE);
  // A new inode whose name was refused has nothing on the disk (inode-item.ts).
  const isNew = ci.nlink == u32.MAX_VALUE;
  if (!isNew && info.aborted == 0 && info.readOnly == 0) {
    if (inode.nlink == 0) {
      sbStartIntwrite(inode.sb);
      deleteInode(info, inode);
      sbEndIntwrite(inode.sb);
    } else if (ci.delayed != 0) writeItemNow(info, inode);
  }
  forgetDelayed(inode);
  dropExtentMaps(ci, 0, u64.MAX_VALUE);
  cowInodeFree(inode);
}

/** An inode with names leaves memory ahead of the commit that would have written its item. */
function writeItemNow(info: CowfsInfo, inode: Inode): void {
  const joined = transactionJoin(info);
  if (isErr(joined)) return;
  const handle = changetype<CowHandle>(joined);
  const root = cowInode(inode).root;
  downWrite(root.rwsem);
  const error = updateInodeItem(handle, inode, handle.path);
  if (error != 0) transactionAbort(info, error);
  upWrite(root.rwsem);
  transactionEnd(handle);
}

/** Everything that the disk has of the inode goes. An error aborts, or leaves the orphan to the next mount. */
function deleteInode(info: CowfsInfo, inode: Inode): void {
  forgetDelayed(inode);
  while (true) {
    const handle = handleAlloc(info);
    if (isNullHandle(handle) || transactionStart(handle, true) != 0) return;
    const root = cowInode(inode).root;
    downWrite(root.rwsem);
    let left = ITEMS_PER_TRANSACTION;
    let result: i32 = 0;
    while (left != 0 && result == 0) {
      result = deleteLastItem(handle, inode.ino, handle.path);
      left--;
    }
    if (result == 1) result = deleteOrphan(handle, inode.ino, handle.path);
    else if (result == 0) result = 2;
    if (result < 0) transactionAbort(info, result);
    upWrite(root.rwsem);
    transactionEnd(handle);
    if (result != 2) return;
    if (tooManyDirtyBlocks(info) && commitTransaction(info) != 0) return;
  }
}

/** True when the running transaction keeps so much of memory that it should commit. */
export function tooManyDirtyBlocks(info: CowfsInfo): bool {
  return info.dirtyCount > info.dirtyLimit;
}

/** Deletes the inode's item with the highest key, and its references to data. Returns 0, 1 when there was none, or -errno. */
function deleteLastItem(handle: CowHandle, ino: u32, path: CowPath): i32 {
  const root = handle.info.root(TREE_FS);
  let result = searchSlot(changetype<CowHandle>(0), root, ino, u8.MAX_VALUE, u64.MAX_VALUE, path, 0);
  if (result >= 0) result = prevItem(root, path);
  if (result != 0) return result;
  const key = pathKey(path);
  if (load<u64>(key) != ino) {
    pathRelease(path);
    return 1;
  }
  const type = load<u8>(key, 8);
  const offset = load<u64>(key, KEY_OFFSET);
  pathRelease(path);
  result = searchSlot(handle, root, ino, type, offset, path, 0);
  if (result != 0) return result < 0 ? result : -EIO;
  let bytenr: u64 = 0;
  let lenBytes: u64 = 0;
  if (type == EXTENT_DATA_KEY && load<u8>(pathItem(path), ED_TYPE) != EXTENT_INLINE) {
    bytenr = load<u64>(pathItem(path), ED_DISK_BYTENR);
    lenBytes = load<u64>(pathItem(path), ED_DISK_BYTES);
  }
  result = deleteItems(handle, root, path, 1);
  if (result == 0 && lenBytes != 0) result = dataExtentRef(handle, bytenr, lenBytes, -1);
  return result;
}

function deleteOrphan(handle: CowHandle, ino: u32, path: CowPath): i32 {
  const result = deleteKey(handle, handle.info.root(TREE_FS), ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, ino, path);
  return result < 0 ? result : 0;
}

/** What a crash left with an orphan item: inodes without a name go, truncates are ended. Returns 0 or -errno. */
export function cleanOrphans(info: CowfsInfo): i32 {
  const root = info.root(TREE_FS);
  let from: u64 = 0;
  while (true) {
    const handle = handleAlloc(info);
    if (isNullHandle(handle)) return -ENOMEM;
    const path = handle.path;
    downRead(root.rwsem);
    let result = searchSlot(changetype<CowHandle>(0), root, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, from, path, 0);
    if (result == 1) result = atItem(root, path);
    let ino: u64 = 0;
    if (result == 0 && pathKeyIs(path, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY)) ino = load<u64>(pathKey(path), KEY_OFFSET);
    upRead(root.rwsem);
    handleFree(handle);
    if (result < 0) return result;
    if (ino == 0) return 0;
    const found = cowIget(info, root, <u32>ino);
    if (isErr(found)) return ptrErr(found);
    const inode = changetype<Inode>(found);
    let error: i32 = 0;
    if (inode.nlink != 0) {
      cowInode(inode).orphan = 1;
      error = endTruncate(inode);
    }
    iput(inode);
    if (error != 0) return error;
    from = ino + 1;
  }
}

/** The number after the highest inode of the fs tree becomes the next one. Returns 0 or -errno. */
export function findNextIno(info: CowfsInfo, path: CowPath): i32 {
  const root = info.root(TREE_FS);
  downRead(root.rwsem);
  let result = searchSlot(changetype<CowHandle>(0), root, LAST_FREE_OBJECTID, u8.MAX_VALUE, u64.MAX_VALUE, path, 0);
  if (result == 1) result = prevItem(root, path);
  let highest = FIRST_FREE_OBJECTID;
  if (result == 0) {
    const found = load<u64>(pathKey(path));
    if (found > highest) highest = found;
    pathRelease(path);
  }
  upRead(root.rwsem);
  info.nextIno = <u32>highest + 1;
  return result < 0 ? result : 0;
}
