/*
 * Snapshots: read-only trees that share every block with the fs tree as one commit left it.
 *
 *     ioctl SNAP_CREATE (directory, name): delalloc written -> the next commit: name in the directory, ROOT_ITEM with the fs tree's
 *     root, one more pointer to that block. From then on the fs tree's blocks are shared; each is copied when it changes, and its
 *     children get one more pointer each (btree.ts).
 *
 *     A snapshot appears as a directory under its name, and can be walked, read and cloned from. Names of snapshots inside a snapshot
 *     are not shown: a directory has one place.
 *
 * Interface: SNAP_CREATE, isSnapshotCommand, createSnapshot, makePendingSnapshot, snapshotRoot.
 * Invariants:
 *   [mk-9] what a snapshot shows does not change: its blocks and extents have references of their own.
 *   [cow-5] a snapshot is made only when every block of the fs tree can be copied once more: ENOSPC otherwise.
 * Locks: i_rwsem of the directory -> a commit, which settles it; fs tree -> root tree.
 * Why not writable snapshots: a second tree that changes would be a second C and L in reserve.ts, and no race needs it.
 */
import { EEXIST, EFAULT, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EROFS, errPtr } from "../../lib/errno";
import { M_SNAPSHOT_UNFLUSHED, mutant } from "../../lib/mutant";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { copyFromUser } from "../../mm/uaccess";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { TASK_UNINTERRUPTIBLE } from "../../sched/state";
import { sleepOn, wakeAll } from "../../sched/wait-queue";
import { VfsFile } from "../file";
import { Inode, isDirectory, touchTimes } from "../inode";
import { scratchAlloc, scratchFree } from "../scratch";
import { sbEndWrite, sbStartWrite } from "../super";
import { atItem, isNullPath, pathAlloc, pathFree, pathItem, pathItemSize, pathKey, pathRelease, prevItem, searchSlot } from "./btree";
import { insertItem } from "./btree-edit";
import { commitTransaction, rootItemFill } from "./commit";
import { dirLookup, nameFits, nameInsert, nameItemBytes } from "./dir";
import { flushDelalloc } from "./flush";
import { cowInode, infoOf, readOnlyInode, updateInodeItem } from "./inode-item";
import {
  FIRST_FREE_OBJECTID, ITEM_BYTES, KEY_OFFSET, LAST_FREE_OBJECTID, ROOT_DIRID, ROOT_FLAGS, ROOT_ITEM_BYTES, ROOT_ITEM_KEY, ROOT_REFS,
  ROOT_SUBVOL_RDONLY,
} from "./layout";
import { rootAlloc, rootFromItem } from "./load";
import { promisesHold, releaseSpace, reserveCount, reserveSpace } from "./reserve";
import {
  CACHE_ROOT, CACHE_SNAPSHOT, TREES, TREE_FS, TREE_ROOT, CowHandle, CowPath, CowRoot, CowfsInfo, TreeReserve, cowCache, cowCacheInit,
} from "./state";
import { transactionAbort } from "./transaction";
import { treeBlockRefAdd } from "./tree-block";

/** BTRFS_IOC_SNAP_CREATE: struct { s64 fd; char name[4088] }. The fd is not looked at: there is one tree to take. */
export const SNAP_CREATE: u32 = 0x5000_9401;
const ARGS_NAME: u32 = 8;
const NAME_BYTES: u32 = 256;
/** Blocks that the name itself may add to the fs tree. */
const NAME_SLACK: u32 = 8;

/** PendingSnapshot.done: a commit has it in hand and may sleep with it; it is the caller's again. */
const SNAP_TAKEN: u32 = 1;
const SNAP_DONE: u32 = 2;

/** A snapshot that the next commit makes. */
@unmanaged
class PendingSnapshot {
  reserve0: u64; reserve1: u64; reserve2: u64; reserve3: u64;
  dir: Inode;
  name: usize;
  nameBytes: u32;
  dataBlocks: u32;
  /** SNAP_*. */
  done: u32;
  result: i32;

  get reserve(): TreeReserve {
    return changetype<TreeReserve>(changetype<usize>(this));
  }
}

export function snapshotInit(): void {
  cowCacheInit(CACHE_SNAPSHOT, <u32>offsetof<PendingSnapshot>());
}

export function isSnapshotCommand(cmd: u32): bool {
  return cmd == SNAP_CREATE;
}

/** Length of the NUL-terminated name at `at`, or -errno when it cannot be one. */
function nameLength(at: usize): i32 {
  let n: u32 = 0;
  while (n < NAME_BYTES && load<u8>(at + n) != 0) {
    if (load<u8>(at + n) == 0x2f) return -EINVAL;
    n++;
  }
  if (n == NAME_BYTES) return -ENAMETOOLONG;
  const isDots = n <= 2 && (n == 0 || load<u8>(at) == 0x2e) && (n < 2 || load<u8>(at + 1) == 0x2e);
  return isDots ? -EINVAL : n;
}

/** The ioctl, on a directory. Returns 0 or -errno. */
export function createSnapshot(file: VfsFile, cmd: u32, arg: u64): i64 {
  const dir = file.host;
  assert(cmd == SNAP_CREATE, "a command of this file");
  if (!isDirectory(dir)) return -ENOTDIR;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  let result: i64 = copyFromUser(scratch, arg, ARGS_NAME + NAME_BYTES) != 0 ? -EFAULT : 0;
  const length = result == 0 ? nameLength(scratch + ARGS_NAME) : 0;
  if (length < 0) result = length;
  if (result == 0) {
    sbStartWrite(dir.sb);
    // [mk-9] What could not be written would be missing from it for ever.
    if (!(MUTANTS && mutant(M_SNAPSHOT_UNFLUSHED))) result = flushDelalloc(infoOf(dir));
    if (result == 0) {
      downWrite(dir.rwsem);
      result = snapshotLocked(dir, scratch + ARGS_NAME, length);
      upWrite(dir.rwsem);
    }
    sbEndWrite(dir.sb);
  }
  scratchFree(scratch);
  return result;
}

/** 0 when the name is free in the directory, else -errno. */
function checkName(dir: Inode, name: usize, lenBytes: u32): i32 {
  const root = cowInode(dir).root;
  const path = pathAlloc();
  if (isNullPath(path)) return -ENOMEM;
  downRead(root.rwsem);
  const found = dirLookup(root, dir.ino, name, lenBytes, path);
  let error: i32 = found < 0 ? <i32>found : found > 0 ? -EEXIST : 0;
  if (error == 0) error = nameFits(dir, name, lenBytes, dir, true, path);
  pathFree(path);
  upRead(root.rwsem);
  return error;
}

function snapshotLocked(dir: Inode, name: usize, lenBytes: u32): i32 {
  const info = infoOf(dir);
  if (info.readOnly != 0 || info.aborted != 0 || readOnlyInode(dir)) return -EROFS;
  if (dir.nlink == 0) return -ENOENT;
  const error = checkName(dir, name, lenBytes);
  if (error != 0) return error;
  const pending = changetype<PendingSnapshot>(kmemCacheAlloc(cowCache(CACHE_SNAPSHOT)));
  if (changetype<usize>(pending) == 0) return -ENOMEM;
  pending.dir = dir;
  pending.name = name;
  pending.nameBytes = lenBytes;
  pending.reserve.add(TREE_FS, 2, nameItemBytes(lenBytes));
  pending.reserve.add(TREE_ROOT, 1, ITEM_BYTES + ROOT_ITEM_BYTES);
  // Stands for the copies to come, until the commit counts them as shared blocks.
  pending.dataBlocks = (info.root(TREE_FS).blocks + NAME_SLACK) * info.clusterBlocks;
  let result = reserveSpace(info, pending.dataBlocks, 0, changetype<usize>(pending), false);
  if (result == 0) result = waitForCommit(info, pending);
  kmemCacheFree(cowCache(CACHE_SNAPSHOT), changetype<usize>(pending));
  return result;
}

function waitForCommit(info: CowfsInfo, pending: PendingSnapshot): i32 {
  while (info.pendingSnapshot != 0 && info.aborted == 0) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
  let error: i32 = info.aborted != 0 ? -EROFS : 0;
  if (error == 0) info.pendingSnapshot = changetype<usize>(pending);
  // A commit that has settled already when it is asked does not see the snapshot: the next one does.
  while (error == 0 && pending.done == 0) {
    info.changed = 1;
    error = commitTransaction(info);
  }
  // The commit that makes it may be another task's, which reads `pending` until it is through.
  while (pending.done == SNAP_TAKEN) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
  if (pending.done == SNAP_DONE) return error != 0 ? error : pending.result;
  if (info.pendingSnapshot == changetype<usize>(pending)) info.pendingSnapshot = 0;
  releaseSpace(info, pending.dataBlocks, 0);
  reserveCount(info, changetype<usize>(pending), -1);
  return error;
}

/** The commit's part, when all else of the fs tree has settled. Returns 0, or -errno, which aborts the transaction. */
export function makePendingSnapshot(handle: CowHandle, path: CowPath): i32 {
  const info = handle.info;
  if (info.pendingSnapshot == 0) return 0;
  const pending = changetype<PendingSnapshot>(info.pendingSnapshot);
  const fs = info.root(TREE_FS);
  info.pendingSnapshot = 0;
  pending.done = SNAP_TAKEN;
  // The reservation is the handle's now; what it stood for becomes H.
  memory.copy(changetype<usize>(handle.reserve), changetype<usize>(pending), 32);
  info.dataReserved -= pending.dataBlocks;
  const sharedBefore = fs.shared;
  fs.shared = fs.blocks + NAME_SLACK;
  let error: i32 = 0;
  if (!promisesHold(info)) {
    fs.shared = sharedBefore;
    pending.result = -ENOSPC;
  } else {
    downWrite(fs.rwsem);
    fs.shared = sharedBefore;
    const id = nextTreeId(info, path);
    const none = changetype<Inode>(0);
    error = nameInsert(handle, pending.dir, pending.name, pending.nameBytes, id, ROOT_ITEM_KEY, none, path);
    if (error == 0) error = shareTree(handle, pending, path);
    upWrite(fs.rwsem);
  }
  reserveCount(info, changetype<usize>(handle), -1);
  memory.fill(changetype<usize>(handle.reserve), 0, 32);
  pending.done = SNAP_DONE;
  wakeAll(info.transWait);
  return error;
}

/** The directory's item, the ROOT_ITEM, and the pointer to the root block. */
function shareTree(handle: CowHandle, pending: PendingSnapshot, path: CowPath): i32 {
  const info = handle.info;
  const fs = info.root(TREE_FS);
  const top = info.root(TREE_ROOT);
  touchTimes(pending.dir);
  let error = updateInodeItem(handle, pending.dir, path);
  if (error != 0) return error;
  downWrite(top.rwsem);
  error = insertItem(handle, top, info.lastTreeId, ROOT_ITEM_KEY, handle.transid, ROOT_ITEM_BYTES, path);
  if (error == 0) {
    const item = pathItem(path);
    rootItemFill(item, fs);
    store<u64>(item, FIRST_FREE_OBJECTID, ROOT_DIRID);
    store<u64>(item, ROOT_SUBVOL_RDONLY, ROOT_FLAGS);
    store<u32>(item, 1, ROOT_REFS);
    treeBlockRefAdd(info, fs.cluster, 1);
    fs.shared = fs.blocks;
    pathRelease(path);
  }
  upWrite(top.rwsem);
  return error;
}

/** The number of the next snapshot's tree, which becomes info.lastTreeId. */
function nextTreeId(info: CowfsInfo, path: CowPath): u64 {
  const top = info.root(TREE_ROOT);
  downRead(top.rwsem);
  let highest = FIRST_FREE_OBJECTID - 1;
  let result = searchSlot(changetype<CowHandle>(0), top, LAST_FREE_OBJECTID, u8.MAX_VALUE, u64.MAX_VALUE, path, 0);
  if (result == 1) result = prevItem(top, path);
  if (result == 0) {
    const found = load<u64>(pathKey(path));
    if (found > highest) highest = found;
    pathRelease(path);
  } else transactionAbort(info, result < 0 ? result : -EIO);
  upRead(top.rwsem);
  info.lastTreeId = highest + 1;
  return info.lastTreeId;
}

function knownSnapshot(info: CowfsInfo, id: u64): usize {
  let at = info.snapshots;
  while (at != 0 && changetype<CowRoot>(at).objectid != id) at = changetype<CowRoot>(at).next;
  return at;
}

/** The tree of a snapshot, kept until unmount. A CowRoot or ERR_PTR. */
export function snapshotRoot(info: CowfsInfo, id: u64): usize {
  const known = knownSnapshot(info, id);
  if (known != 0) return known;
  const path = pathAlloc();
  const root = rootAlloc(info, TREES, id);
  let error: i32 = isNullPath(path) || changetype<usize>(root) == 0 ? -ENOMEM : 0;
  if (error == 0) error = readSnapshotItem(info, id, root, path);
  if (!isNullPath(path)) pathFree(path);
  // Somebody else may have read it in the meantime.
  const late = knownSnapshot(info, id);
  if (changetype<usize>(root) != 0 && (error != 0 || late != 0)) kmemCacheFree(cowCache(CACHE_ROOT), changetype<usize>(root));
  if (late != 0) return late;
  if (error != 0) return errPtr(error);
  root.next = info.snapshots;
  info.snapshots = changetype<usize>(root);
  return changetype<usize>(root);
}

function readSnapshotItem(info: CowfsInfo, id: u64, root: CowRoot, path: CowPath): i32 {
  const top = info.root(TREE_ROOT);
  downRead(top.rwsem);
  let result = searchSlot(changetype<CowHandle>(0), top, id, ROOT_ITEM_KEY, 0, path, 0);
  if (result == 1) result = atItem(top, path);
  if (result == 0) {
    const isIt = load<u64>(pathKey(path)) == id && rootFromItem(root, pathItem(path), pathItemSize(path));
    root.keyOffset = load<u64>(pathKey(path), KEY_OFFSET);
    if (!isIt) result = -EIO;
    pathRelease(path);
  } else if (result == 1) result = -EIO;
  upRead(top.rwsem);
  return result;
}
