/*
 * mkfs, mount and unmount of cowfs, and its tables of operations.
 *
 *     mkfs options   blocksize=512|1024|2048|4096 (4096)
 *     mount options  ro (nothing is written, orphans stay), commit=<seconds> (30; 0: only when asked)
 *
 * Interface: cowfsInit (boot: registers the type).
 * Invariants:
 *   [cm-3] mkfs writes trees before superblocks; a filesystem that was not made to the end does not mount.
 *   [mk-6] at unmount every reservation, ordered extent and delayed inode is gone.
 * Locks: the namespace mutex (the VFS's).
 * Why not a device cache: each mount has its own page cache of tree blocks, gone with it.
 */
import { crc32c } from "../../lib/crc32c";
import { EINVAL, EIO, ENOMEM, EROFS, errPtr, isErr, ptrErr } from "../../lib/errno";
import { listAddTail, listDelInit, listEmpty, listInit } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { bootConfig } from "../../config";
import { bootAlloc } from "../../memlayout";
import { BIO_WRITE, REQ_META, REQ_SYNC, bioAddPage, bioAlloc, bioFree, isNullBio } from "../../block/bio";
import { blkdevIssueFlush, submitBioWait } from "../../block/request-queue";
import { AS_STABLE_WRITES, AddressSpaceOperations } from "../../mm/address-space";
import { filemapMapPages } from "../../mm/fault-around";
import { filemapFault } from "../../mm/filemap";
import { addressToPage, isNullPage, pageAddress } from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { mmState } from "../../mm/state";
import { truncateAllPages } from "../../mm/truncate";
import { TASK_UNINTERRUPTIBLE, nowNs } from "../../sched/state";
import { sleepOn, waitQueueInit } from "../../sched/wait-queue";
import { S_IFDIR, Inode } from "../inode";
import {
  FS_REQUIRES_DEV, FileSystemType, MountParams, isNullType, optionFlag, optionNumber, optionsKnown, registerFilesystem, superForType,
} from "../mount";
import { Kstatfs } from "../operations";
import { genericFileRead, genericFileWrite } from "../read-write";
import { SuperBlock, isNullSuper, superFree } from "../super";
import { isNullPath, pathAlloc, pathFree } from "./btree";
import { cowfsCheck } from "./check";
import { commitTransaction, dropDirtyBlocks, rootItemFill, writeSuper } from "./commit";
import { cowfsInvalidatePage, cowfsReleasePage } from "./delalloc";
import { cleanOrphans, cowfsEvict, findNextIno } from "./evict";
import { extentMapInit } from "./extent-map";
import { cowfsDirtyInode, cowfsFsync, cowfsIoctl, cowfsPageMkwrite, cowfsWriteBegin, cowfsWriteEnd } from "./file";
import { startThreads, threadsInit } from "./flush";
import { cowfsFsck } from "./fsck";
import { cowIget } from "./inode-item";
import {
  BH_BYTENR, BH_CSUM, BH_FSID, BH_GENERATION, BH_NRITEMS, BH_OWNER, CLUSTER_SECTORS, CLUSTER_SHIFT, CSUM_BYTES, CSUM_TREE_OBJECTID,
  EXTENT_TREE_OBJECTID, FIRST_FREE_OBJECTID, FS_TREE_OBJECTID, II_GENERATION, II_MODE, II_NLINK, II_TRANSID, INODE_ITEM_BYTES,
  INODE_ITEM_KEY, ITEM_BYTES, ITEM_OFFSET, ITEM_SIZE, LEAF_BYTES, NODE_SIZE, ROOT_DIRID, ROOT_ITEM_BYTES, ROOT_ITEM_KEY, ROOT_REFS,
  ROOT_TREE_OBJECTID, SUPER_CLUSTER, SUPER_MIRROR_CLUSTER, dataStart, itemAt, keyStore, nrItems,
} from "./layout";
import { checkGeometry, loadTrees, readNewestSuper, rootAlloc, takeSuper } from "./load";
import {
  cowfsCreate, cowfsIsEmpty, cowfsIterate, cowfsLink, cowfsLookup, cowfsReadlink, cowfsRename, cowfsSymlink, cowfsUnlink,
} from "./names";
import { orderedInit } from "./ordered";
import { cowfsReadPage, cowfsReadahead, readInit } from "./read";
import { cowfsRemapFileRange } from "./reflink";
import { checkReserve, liveBlocks, reserveInit } from "./reserve";
import { snapshotInit } from "./snapshot";
import { checkSpace, freeBlocksNow } from "./space";
import { CACHE_INFO, CACHE_ROOT, TREES, TREE_FS, TREE_ROOT, CowRoot, CowfsInfo, cowCache, cowfsState, cowfsStateInit } from "./state";
import { transactionAbort } from "./transaction";
import { allocMetaPage, treeMappingInit } from "./tree-block";
import { cowfsFallocate, cowfsSetSize } from "./truncate";
import { cowfsWritepages } from "./writeback";

const COWFS_SUPER_MAGIC: u32 = 0x434f_5746;
/** btrfs's commit interval. */
const DEFAULT_COMMIT_S: i64 = 30;
const WAIT_COWFS: u32 = 40;
/** Where mkfs puts the root tree. */
const NEW_ROOT_TREE: u32 = 4;

/** A CowfsInfo for a range of the disk, with a frame for superblocks; null on ENOMEM. */
export function infoAlloc(params: MountParams): CowfsInfo {
  const info = changetype<CowfsInfo>(kmemCacheAlloc(cowCache(CACHE_INFO)));
  if (changetype<usize>(info) == 0) return info;
  const page = allocMetaPage();
  if (isNullPage(page)) {
    kmemCacheFree(cowCache(CACHE_INFO), changetype<usize>(info));
    return changetype<CowfsInfo>(0);
  }
  info.superFrame = pageAddress(page);
  info.startSector = <u64>params.startBlock * CLUSTER_SECTORS;
  info.clusters = params.nrBlocks;
  info.mirrorCluster = params.nrBlocks > SUPER_MIRROR_CLUSTER ? SUPER_MIRROR_CLUSTER : params.nrBlocks - 1;
  info.clusterStates = cowfsState().clusterStates + <usize>params.startBlock * 8;
  listInit(info.ticketList);
  listInit(info.delayedList);
  listInit(info.delallocList);
  listInit(info.mountLink);
  waitQueueInit(info.transWait, WAIT_COWFS);
  waitQueueInit(info.ioWait, WAIT_COWFS + 1);
  waitQueueInit(info.orderedWait, WAIT_COWFS + 2);
  treeMappingInit(info, changetype<AddressSpaceOperations>(cowfsState().ops));
  return info;
}

export function infoFree(info: CowfsInfo): void {
  truncateAllPages(info.treeMapping);
  for (let tree: u32 = 0; tree < TREES; tree++) {
    const root = changetype<usize>(info.root(tree));
    if (root != 0) kmemCacheFree(cowCache(CACHE_ROOT), root);
  }
  while (info.snapshots != 0) {
    const root = changetype<CowRoot>(info.snapshots);
    info.snapshots = root.next;
    kmemCacheFree(cowCache(CACHE_ROOT), changetype<usize>(root));
  }
  putPage(addressToPage(info.superFrame));
  kmemCacheFree(cowCache(CACHE_INFO), changetype<usize>(info));
}

/** Writes one tree block of a new filesystem from info.superFrame. */
function writeNewBlock(info: CowfsInfo, cluster: u32): i32 {
  const bio = bioAlloc(BIO_WRITE, REQ_META | REQ_SYNC, info.startSector + <u64>cluster * CLUSTER_SECTORS);
  if (isNullBio(bio)) return -ENOMEM;
  const block = info.superFrame;
  store<u32>(block, crc32c(cowfsState().crcTable, 0, block + CSUM_BYTES, NODE_SIZE - CSUM_BYTES), BH_CSUM);
  bioAddPage(bio, block, NODE_SIZE, 0);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

/** An empty leaf of a new filesystem in info.superFrame. */
function newLeaf(info: CowfsInfo, cluster: u32, owner: u64): usize {
  const block = info.superFrame;
  memory.fill(block, 0, NODE_SIZE);
  store<u64>(block, info.fsid0, BH_FSID);
  store<u64>(block, info.fsid1, BH_FSID + 8);
  store<u64>(block, (<u64>cluster) << CLUSTER_SHIFT, BH_BYTENR);
  store<u64>(block, 1, BH_GENERATION);
  store<u64>(block, owner, BH_OWNER);
  return block;
}

/** Appends an item of zeros to a new leaf; returns its data. */
function newItem(block: usize, objectid: u64, type: u8, size: u32): usize {
  const slot = nrItems(block);
  const start = dataStart(block) - size;
  keyStore(itemAt(block, slot), objectid, type, 0);
  store<u32>(itemAt(block, slot), start, ITEM_OFFSET);
  store<u32>(itemAt(block, slot), size, ITEM_SIZE);
  store<u32>(block, slot + 1, BH_NRITEMS);
  return block + NODE_SIZE - LEAF_BYTES + start;
}

/** Writes the four trees of an empty filesystem to clusters 1 to 4. */
function writeNewTrees(info: CowfsInfo, scratch: CowRoot): i32 {
  let block = newLeaf(info, 1, FS_TREE_OBJECTID);
  const inode = newItem(block, FIRST_FREE_OBJECTID, INODE_ITEM_KEY, INODE_ITEM_BYTES);
  store<u64>(inode, 1, II_GENERATION);
  store<u64>(inode, 1, II_TRANSID);
  store<u32>(inode, 2, II_NLINK);
  store<u32>(inode, S_IFDIR | 0x1ed, II_MODE);
  let error = writeNewBlock(info, 1);
  newLeaf(info, 2, EXTENT_TREE_OBJECTID);
  if (error == 0) error = writeNewBlock(info, 2);
  newLeaf(info, 3, CSUM_TREE_OBJECTID);
  if (error == 0) error = writeNewBlock(info, 3);
  block = newLeaf(info, NEW_ROOT_TREE, ROOT_TREE_OBJECTID);
  newRootItem(block, scratch, EXTENT_TREE_OBJECTID, 2, 0);
  newRootItem(block, scratch, FS_TREE_OBJECTID, 1, ITEM_BYTES + INODE_ITEM_BYTES);
  newRootItem(block, scratch, CSUM_TREE_OBJECTID, 3, 0);
  return error == 0 ? writeNewBlock(info, NEW_ROOT_TREE) : error;
}

function newRootItem(block: usize, scratch: CowRoot, objectid: u64, cluster: u32, itemBytes: u32): void {
  const item = newItem(block, objectid, ROOT_ITEM_KEY, ROOT_ITEM_BYTES);
  scratch.generation = 1;
  scratch.cluster = cluster;
  scratch.blocks = 1;
  scratch.itemBytes = itemBytes;
  rootItemFill(item, scratch);
  store<u64>(item, FIRST_FREE_OBJECTID, ROOT_DIRID);
  store<u32>(item, 1, ROOT_REFS);
}

function cowfsMkfs(params: MountParams): i32 {
  const blockSize = optionNumber(params, "blocksize", 4096);
  let error = optionsKnown(params, "blocksize");
  if (error == 0) error = checkGeometry(params.nrBlocks, blockSize);
  if (error != 0) return error;
  const info = infoAlloc(params);
  if (changetype<usize>(info) == 0) return -ENOMEM;
  const scratch = rootAlloc(info, TREE_ROOT, ROOT_TREE_OBJECTID);
  error = changetype<usize>(scratch) == 0 ? -ENOMEM : 0;
  if (error == 0) {
    info.setRoot(TREE_ROOT, scratch);
    info.fsid0 = bootConfig().seed ^ 0x6673_6d6b_7366_7763;
    info.fsid1 = nowNs();
    info.blockSize = <u32>blockSize;
    info.superRoot = NEW_ROOT_TREE;
    info.superGeneration = 1;
    info.superUsed = 7 << CLUSTER_SHIFT;
    // [cm-3] The old superblocks go first.
    error = wipeSupers(info);
    if (error == 0) error = writeNewTrees(info, scratch);
    if (error == 0) error = blkdevIssueFlush();
    if (error == 0) error = writeSuper(info, info.mirrorCluster, 0);
    if (error == 0) error = writeSuper(info, SUPER_CLUSTER, 0);
    if (error == 0) error = blkdevIssueFlush();
  }
  infoFree(info);
  return error;
}

function wipeSupers(info: CowfsInfo): i32 {
  memory.fill(info.superFrame, 0, NODE_SIZE);
  let error = writeNewBlock(info, SUPER_CLUSTER);
  if (error == 0) error = writeNewBlock(info, info.mirrorCluster);
  return error == 0 ? blkdevIssueFlush() : error;
}

function cowfsMount(params: MountParams): usize {
  const commitS = optionNumber(params, "commit", DEFAULT_COMMIT_S);
  let error = optionsKnown(params, "ro,commit");
  if (error == 0) error = checkGeometry(params.nrBlocks, 4096);
  if (error == 0 && (commitS < 0 || commitS > 3600)) error = -EINVAL;
  if (error != 0) return errPtr(error);
  const info = infoAlloc(params);
  if (changetype<usize>(info) == 0) return errPtr(-ENOMEM);
  info.commitIntervalNs = <u64>commitS * 1_000_000_000;
  info.readOnly = optionFlag(params, "ro") ? 1 : 0;
  info.dirtyLimit = max(<u32>16, mmState().nFrames / 8);
  info.orderedLimit = min(<u32>1024, max(<u32>32, mmState().nFrames / 16));
  error = load(info);
  const sb = superForType(params.type);
  if (error == 0 && isNullSuper(sb)) error = -ENOMEM;
  if (error == 0) error = fillSuper(info, sb);
  if (error == 0) return changetype<usize>(sb);
  if (!isNullSuper(sb)) superFree(sb);
  infoFree(info);
  return errPtr(error);
}

/** Reads the superblock and the trees. */
function load(info: CowfsInfo): i32 {
  let error = readNewestSuper(info);
  if (error != 0) return error;
  takeSuper(info);
  const path = pathAlloc();
  const walk = pathAlloc();
  const scratch = rootAlloc(info, TREES, 0);
  error = isNullPath(path) || isNullPath(walk) || changetype<usize>(scratch) == 0 ? -ENOMEM : 0;
  if (error == 0) error = loadTrees(info, path, walk, scratch);
  if (error == 0) {
    info.cleanBlocks = liveBlocks(info);
    error = findNextIno(info, path);
  }
  if (!isNullPath(path)) pathFree(path);
  if (!isNullPath(walk)) pathFree(walk);
  if (changetype<usize>(scratch) != 0) kmemCacheFree(cowCache(CACHE_ROOT), changetype<usize>(scratch));
  return error;
}

function fillSuper(info: CowfsInfo, sb: SuperBlock): i32 {
  sb.blockSize = info.blockSize;
  sb.fsPrivate = changetype<usize>(info);
  sb.mappingFlags = AS_STABLE_WRITES;
  sb.magic = COWFS_SUPER_MAGIC;
  info.sb = sb;
  if (!startThreads()) return -ENOMEM;
  listAddTail(info.mountLink, cowfsState().mounts);
  let error = info.readOnly == 0 ? cleanOrphans(info) : 0;
  if (error == 0) {
    const root = cowIget(info, info.root(TREE_FS), <u32>FIRST_FREE_OBJECTID);
    if (isErr(root)) error = ptrErr(root);
    else sb.rootInode = changetype<Inode>(root);
  }
  if (error != 0) detach(info);
  return error;
}

/** Takes the filesystem away from the threads. */
function detach(info: CowfsInfo): void {
  listDelInit(info.mountLink);
  while (info.threadBusy != 0) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
}

function cowfsPutSuper(sb: SuperBlock): void {
  const info = changetype<CowfsInfo>(sb.fsPrivate);
  if (info.readOnly == 0) commitTransaction(info);
  detach(info);
  assert(info.orderedCount == 0 && listEmpty(info.ticketList), "[mk-6] an unmounted filesystem has nothing under way");
  assert(listEmpty(info.delayedList), "[mk-6] an unmounted filesystem has no inode to write");
  assert(info.dataReserved == 0 && info.metaBlocks == 0, "[mk-6] an unmounted filesystem has no reservations");
  assert(info.handles.items(TREE_FS) == 0 && info.handles.bytes(TREE_FS) == 0, "[mk-6] an unmounted filesystem has no handles");
  checkSpace(info);
  if (info.aborted == 0) checkReserve(info);
  else dropDirtyBlocks(info);
  infoFree(info);
  sb.fsPrivate = 0;
}

function cowfsSyncFs(sb: SuperBlock, wait: u32): i32 {
  const info = changetype<CowfsInfo>(sb.fsPrivate);
  if (wait == 0 || info.readOnly != 0) return 0;
  while (info.orderedCount != 0) sleepOn(info.orderedWait, TASK_UNINTERRUPTIBLE);
  const error = commitTransaction(info);
  return error == -EROFS ? -EIO : error;
}

function cowfsFreeze(sb: SuperBlock): i32 {
  return cowfsSyncFs(sb, 1);
}

/** ->shutdown. */
function cowfsShutdown(sb: SuperBlock): void {
  transactionAbort(changetype<CowfsInfo>(sb.fsPrivate), -EIO);
}

function cowfsStatfs(sb: SuperBlock, buffer: Kstatfs): i32 {
  const info = changetype<CowfsInfo>(sb.fsPrivate);
  buffer.blockSize = info.blockSize;
  buffer.blocks = <u64>info.clusters * info.clusterBlocks;
  const free = freeBlocksNow(info);
  const promised = info.dataReserved + liveBlocks(info) * info.clusterBlocks;
  buffer.blocksFree = free;
  buffer.blocksAvailable = free > promised ? free - promised : 0;
  buffer.files = info.nextIno;
  buffer.filesFree = u32.MAX_VALUE - info.nextIno;
  return 0;
}

/** Registers the type and fills its tables; part of boot. Returns 0 or -ENOMEM. */
export function cowfsInit(): i32 {
  const type = registerFilesystem("cowfs");
  const treeOps = bootAlloc(offsetof<AddressSpaceOperations>(), 8);
  if (isNullType(type) || treeOps == 0 || !cowfsStateInit()) return -ENOMEM;
  cowfsState().ops = treeOps;
  threadsInit();
  reserveInit();
  extentMapInit();
  orderedInit();
  readInit();
  snapshotInit();
  type.flags = FS_REQUIRES_DEV;
  type.mount = cowfsMount;
  type.mkfs = cowfsMkfs;
  type.fsck = cowfsFsck;
  fillInodeOps(type);
  fillFileOps(type);
  type.superOps.syncFs = cowfsSyncFs;
  type.superOps.freezeFs = cowfsFreeze;
  type.superOps.shutdown = cowfsShutdown;
  type.superOps.statfs = cowfsStatfs;
  type.superOps.putSuper = cowfsPutSuper;
  type.superOps.check = cowfsCheck;
  return 0;
}

function fillInodeOps(type: FileSystemType): void {
  const ops = type.inodeOps;
  ops.lookup = cowfsLookup;
  ops.create = cowfsCreate;
  ops.symlink = cowfsSymlink;
  ops.readlink = cowfsReadlink;
  ops.link = cowfsLink;
  ops.unlink = cowfsUnlink;
  ops.isEmpty = cowfsIsEmpty;
  ops.rename = cowfsRename;
  ops.evict = cowfsEvict;
  ops.setSize = cowfsSetSize;
  ops.fallocate = cowfsFallocate;
  ops.dirtyInode = cowfsDirtyInode;
}

function fillFileOps(type: FileSystemType): void {
  const ops = type.fileOps;
  ops.read = genericFileRead;
  ops.write = genericFileWrite;
  ops.fsync = cowfsFsync;
  ops.iterate = cowfsIterate;
  ops.ioctl = cowfsIoctl;
  ops.remapFileRange = cowfsRemapFileRange;
  const aops = type.aops;
  aops.readPage = cowfsReadPage;
  aops.readahead = cowfsReadahead;
  aops.writepages = cowfsWritepages;
  aops.writeBegin = cowfsWriteBegin;
  aops.writeEnd = cowfsWriteEnd;
  aops.invalidatePage = cowfsInvalidatePage;
  aops.releasePage = cowfsReleasePage;
  const vmOps = type.vmOps;
  vmOps.fault = filemapFault;
  vmOps.mapPages = filemapMapPages;
  vmOps.pageMkwrite = cowfsPageMkwrite;
  // The one line by which a filesystem takes part in the helper regimes.
  vmOps.mkwriteHelper = 1;
}
