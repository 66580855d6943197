/*
 * The operations on names: lookup, create, symlink, link, unlink, rename; each is one transaction.
 *
 * Interface: cowfsLookup ... cowfsRename, as InodeOperations asks (fs/operations.ts).
 * Invariants:
 *   [cd-1] what an operation changes is in one transaction: after a crash it has happened or not.
 *   [cn-1] an inode without a name has an ORPHAN_ITEM until its items are gone.
 * Locks: a handle, the fs tree's rwsem for writing across all items of the operation.
 * Why not undo half an operation: what can be refused is refused by the first item; after that an error aborts ([tx-4]).
 */
import { EBUSY, EINVAL, EIO, ENAMETOOLONG, ENOMEM, EROFS, errPtr, isErr } from "../../lib/errno";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { S_IFDIR, S_IFLNK, S_IFMT, Inode, currentTimeNs, insertInodeHash, isDirectory, isNullInode, touchTimes } from "../inode";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, DirEntry } from "../operations";
import { isNullPath, lookupItem, pathAlloc, pathFree, pathItem, pathItemSize, pathRelease } from "./btree";
import { insertItem } from "./btree-edit";
import { dirIsEmpty, dirIterate, dirLookup, nameFits, nameInsert, nameRemove, reserveName } from "./dir";
import { cowIget, cowInode, cowInodeAlloc, discardNewInode, infoOf, inodeItemFill, readOnlyInode, updateInodeItem } from "./inode-item";
import {
  ED_GENERATION, ED_INLINE_DATA, ED_RAM_BYTES, ED_TYPE, EXTENT_DATA_KEY, EXTENT_INLINE, FIRST_FREE_OBJECTID, INODE_ITEM_BYTES,
  INODE_ITEM_KEY, ITEM_BYTES, MAX_SYMLINK, ORPHAN_ITEM_KEY, ORPHAN_OBJECTID, ROOT_ITEM_KEY,
} from "./layout";
import { snapshotRoot } from "./snapshot";
import { TREES, TREE_FS, CowHandle, CowPath, CowRoot } from "./state";
import { handleAlloc, handleReserve, isNullHandle, transactionAbort, transactionEnd, transactionStart } from "./transaction";

/** Room of an inode's item in a reservation. */
const INODE_BYTES: u32 = ITEM_BYTES + INODE_ITEM_BYTES;

export function cowfsLookup(dir: Inode, name: usize, lenBytes: u32): usize {
  const info = infoOf(dir);
  const root = cowInode(dir).root;
  const path = pathAlloc();
  if (isNullPath(path)) return errPtr(-ENOMEM);
  downRead(root.rwsem);
  const found = dirLookup(root, dir.ino, name, lenBytes, path);
  const locationType = path.type;
  pathFree(path);
  upRead(root.rwsem);
  if (found == 0) return 0;
  if (found < 0) return errPtr(<i32>found);
  if (locationType != ROOT_ITEM_KEY) return cowIget(info, root, <u32>found);
  if (root.index == TREES) return 0;
  const snapshot = snapshotRoot(info, found);
  return isErr(snapshot) ? snapshot : cowIget(info, changetype<CowRoot>(snapshot), <u32>FIRST_FREE_OBJECTID);
}

export function cowfsCreate(dir: Inode, name: usize, lenBytes: u32, mode: u32): usize {
  return makeInode(dir, name, lenBytes, mode, 0, 0);
}

export function cowfsSymlink(dir: Inode, name: usize, lenBytes: u32, target: usize, targetBytes: u32): usize {
  if (targetBytes > MAX_SYMLINK) return errPtr(-ENAMETOOLONG);
  return makeInode(dir, name, lenBytes, S_IFLNK | 0x1ff, target, targetBytes);
}

/** A new inode under a name, in one transaction. The inode or ERR_PTR. */
function makeInode(dir: Inode, name: usize, lenBytes: u32, mode: u32, target: usize, targetBytes: u32): usize {
  if (readOnlyInode(dir)) return errPtr(-EROFS);
  const info = infoOf(dir);
  const handle = handleAlloc(info);
  if (isNullHandle(handle)) return errPtr(-ENOMEM);
  reserveName(handle, lenBytes);
  handleReserve(handle, TREE_FS, 1, INODE_BYTES);
  if (target != 0) handleReserve(handle, TREE_FS, 1, ITEM_BYTES + ED_INLINE_DATA + targetBytes);
  let error = transactionStart(handle, false);
  if (error != 0) return errPtr(error);
  const inode = cowInodeAlloc(info, info.root(TREE_FS), info.nextIno, mode);
  error = isNullInode(inode) ? -ENOMEM : 0;
  if (error == 0) {
    info.nextIno++;
    const ci = cowInode(inode);
    ci.generation = handle.transid;
    // An fsync of a file that was only made commits its name.
    ci.lastTrans = handle.transid;
    ci.nlink = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
    assert(handle.transid > info.committed, "[tx-1] an inode is made in a transaction that is not on the disk yet");
    if (target != 0) inode.mapping.sizeBytes = targetBytes;
    error = enterInode(handle, dir, name, lenBytes, inode, target);
    if (error != 0) discardNewInode(inode);
    else insertInodeHash(inode);
  }
  transactionEnd(handle);
  return error != 0 ? errPtr(error) : changetype<usize>(inode);
}

/** The items of a new inode: its name first, which may be refused. */
function enterInode(handle: CowHandle, dir: Inode, name: usize, lenBytes: u32, inode: Inode, target: usize): i32 {
  const root = cowInode(dir).root;
  const path = handle.path;
  downWrite(root.rwsem);
  let error = nameInsert(handle, dir, name, lenBytes, inode.ino, INODE_ITEM_KEY, inode, path);
  if (error == 0) {
    error = insertItem(handle, root, inode.ino, INODE_ITEM_KEY, 0, INODE_ITEM_BYTES, path);
    if (error == 0) {
      inodeItemFill(pathItem(path), inode, handle.transid);
      pathRelease(path);
    }
    if (error == 0 && target != 0) error = insertTarget(handle, root, inode, target, path);
    if (error == 0) {
      touchTimes(dir);
      if (isDirectory(inode)) cowInode(dir).nlink++;
      error = updateInodeItem(handle, dir, path);
    }
    if (error != 0) transactionAbort(handle.info, error);
  }
  upWrite(root.rwsem);
  return error;
}

function insertTarget(handle: CowHandle, root: CowRoot, inode: Inode, target: usize, path: CowPath): i32 {
  const bytes = <u32>inode.mapping.sizeBytes;
  const error = insertItem(handle, root, inode.ino, EXTENT_DATA_KEY, 0, ED_INLINE_DATA + bytes, path);
  if (error != 0) return error;
  const item = pathItem(path);
  store<u64>(item, handle.transid, ED_GENERATION);
  store<u64>(item, bytes, ED_RAM_BYTES);
  store<u8>(item, EXTENT_INLINE, ED_TYPE);
  memory.copy(item + ED_INLINE_DATA, target, bytes);
  pathRelease(path);
  return 0;
}

export function cowfsReadlink(inode: Inode, buffer: usize, lenBytes: u32): i32 {
  const root = cowInode(inode).root;
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  downRead(root.rwsem);
  let result = lookupItem(root, inode.ino, EXTENT_DATA_KEY, 0, path);
  if (result == 1) result = -EIO;
  if (result == 0) {
    const size = pathItemSize(path);
    if (size <= ED_INLINE_DATA || load<u8>(pathItem(path), ED_TYPE) != EXTENT_INLINE) result = -EIO;
    else {
      const n = min(lenBytes, size - ED_INLINE_DATA);
      memory.copy(buffer, pathItem(path) + ED_INLINE_DATA, n);
      result = n;
    }
  }
  pathFree(path);
  upRead(root.rwsem);
  return result;
}

export function cowfsLink(inode: Inode, dir: Inode, name: usize, lenBytes: u32): i32 {
  if (readOnlyInode(dir) || readOnlyInode(inode)) return -EROFS;
  const handle = handleAlloc(infoOf(dir));
  if (isNullHandle(handle)) return -ENOMEM;
  reserveName(handle, lenBytes);
  let error = transactionStart(handle, false);
  if (error != 0) return error;
  const root = cowInode(dir).root;
  downWrite(root.rwsem);
  error = nameInsert(handle, dir, name, lenBytes, inode.ino, INODE_ITEM_KEY, inode, handle.path);
  if (error == 0) {
    cowInode(inode).nlink++;
    inode.ctimeNs = currentTimeNs();
    touchTimes(dir);
    error = updateBoth(handle, inode, dir);
  }
  upWrite(root.rwsem);
  transactionEnd(handle);
  return error;
}

/** The items of two inodes, or one twice; an error aborts. */
function updateBoth(handle: CowHandle, a: Inode, b: Inode): i32 {
  let error = updateInodeItem(handle, a, handle.path);
  if (error == 0 && changetype<usize>(a) != changetype<usize>(b)) error = updateInodeItem(handle, b, handle.path);
  return error == 0 ? 0 : transactionAbort(handle.info, error);
}

/** The inode has lost a name: its count, and an orphan item when that was the last ([cn-1]). */
function dropLink(handle: CowHandle, inode: Inode): i32 {
  const ci = cowInode(inode);
  assert(ci.nlink != 0, "[cd-1] an inode with a name has a link");
  ci.nlink = isDirectory(inode) ? 0 : ci.nlink - 1;
  inode.ctimeNs = currentTimeNs();
  if (ci.nlink != 0) return 0;
  const error = insertItem(handle, ci.root, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, inode.ino, 0, handle.path);
  if (error == 0) pathRelease(handle.path);
  return error;
}

export function cowfsUnlink(dir: Inode, name: usize, lenBytes: u32, inode: Inode): i32 {
  if (readOnlyInode(dir)) return -EROFS;
  // A snapshot's root is no directory of this tree, and stays.
  if (readOnlyInode(inode)) return -EBUSY;
  const handle = handleAlloc(infoOf(dir));
  if (isNullHandle(handle)) return -ENOMEM;
  handleReserve(handle, TREE_FS, 1, ITEM_BYTES);
  let error = transactionStart(handle, true);
  if (error != 0) return error;
  const root = cowInode(dir).root;
  downWrite(root.rwsem);
  error = nameRemove(handle, dir, name, lenBytes, inode, handle.path);
  if (error == 0) error = dropLink(handle, inode);
  if (error == 0) {
    if (isDirectory(inode)) cowInode(dir).nlink--;
    touchTimes(dir);
    error = updateBoth(handle, inode, dir);
  } else transactionAbort(handle.info, error);
  upWrite(root.rwsem);
  transactionEnd(handle);
  return error;
}

export function cowfsIsEmpty(dir: Inode): i32 {
  return dirIsEmpty(dir);
}

export function cowfsRename(
  oldDir: Inode, oldName: usize, oldLenBytes: u32, newDir: Inode, newName: usize, newLenBytes: u32, inode: Inode, replaced: Inode,
  flags: u32,
): i32 {
  if (readOnlyInode(oldDir) || readOnlyInode(newDir)) return -EROFS;
  if (readOnlyInode(inode) || (!isNullInode(replaced) && readOnlyInode(replaced))) return -EBUSY;
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return -EINVAL;
  const exchange = (flags & RENAME_EXCHANGE) != 0;
  const handle = handleAlloc(infoOf(oldDir));
  if (isNullHandle(handle)) return -ENOMEM;
  reserveName(handle, newLenBytes);
  if (exchange) reserveName(handle, oldLenBytes);
  handleReserve(handle, TREE_FS, 1, ITEM_BYTES);
  let error = transactionStart(handle, false);
  if (error != 0) return error;
  const root = cowInode(oldDir).root;
  const path = handle.path;
  downWrite(root.rwsem);
  // What cannot be undone begins once it is known that the name fits.
  error = nameFits(newDir, newName, newLenBytes, inode, isNullInode(replaced), path);
  if (error == 0 && exchange) error = nameFits(oldDir, oldName, oldLenBytes, replaced, false, path);
  if (error == 0) {
    error = nameRemove(handle, oldDir, oldName, oldLenBytes, inode, path);
    if (error == 0 && !isNullInode(replaced)) error = nameRemove(handle, newDir, newName, newLenBytes, replaced, path);
    if (error == 0 && !isNullInode(replaced) && !exchange) error = dropLink(handle, replaced);
    if (error == 0) error = nameInsert(handle, newDir, newName, newLenBytes, inode.ino, INODE_ITEM_KEY, inode, path);
    if (error == 0 && exchange) error = nameInsert(handle, oldDir, oldName, oldLenBytes, replaced.ino, INODE_ITEM_KEY, replaced, path);
    if (error == 0) error = renamedInodes(handle, oldDir, newDir, inode, replaced, exchange);
    if (error != 0) transactionAbort(handle.info, error);
  }
  upWrite(root.rwsem);
  transactionEnd(handle);
  return error;
}

/** Link counts and times after a rename, and the items of all four inodes. */
function renamedInodes(handle: CowHandle, oldDir: Inode, newDir: Inode, inode: Inode, replaced: Inode, exchange: bool): i32 {
  if (isDirectory(inode)) {
    cowInode(oldDir).nlink--;
    cowInode(newDir).nlink++;
  }
  if (!isNullInode(replaced) && isDirectory(replaced)) {
    cowInode(newDir).nlink--;
    if (exchange) cowInode(oldDir).nlink++;
  }
  touchTimes(oldDir);
  touchTimes(newDir);
  inode.ctimeNs = currentTimeNs();
  let error = updateBoth(handle, oldDir, newDir);
  if (error == 0) error = updateBoth(handle, inode, inode);
  if (error == 0 && !isNullInode(replaced)) {
    replaced.ctimeNs = currentTimeNs();
    error = updateBoth(handle, replaced, replaced);
  }
  return error;
}

export function cowfsIterate(dir: Inode, pos: u64, entry: DirEntry): i64 {
  const root = cowInode(dir).root;
  downRead(root.rwsem);
  const result = dirIterate(dir, pos, entry, root.index != TREES);
  upRead(root.rwsem);
  return result;
}
