/*
 * iomapfs: files as extents, overwritten in place, after xfs: delalloc, unwritten extents, MMAPLOCK, reflinks.
 *
 *     a store to a page        promises for its blocks (delalloc); nothing on the disk changes
 *     writeback                unwritten extents under a handle, or new blocks aside for shared ones; then the data
 *     completion (worker)      unwritten becomes written, the new replaces the shared, i_disksize follows: so no crash shows a block
 *                              before its data
 *     with -o dax (block/dax.ts) there is no page cache: PTEs map the disk's own memory, and faults keep their lock
 *     metadata                 a log of whole blocks (block/journal.ts): atomic, and cheap to explain
 *
 * Interface: iomapfsInit.
 * Invariants: those of block/; MMAPLOCK is mapping.invalidateLock.
 * Locks: as block/.
 * Why not dax with blocks below the page size, or with shared blocks: a frame is a block, and a store through it cannot copy.
 * Why not ordered writes instead of a log: a rename touches six blocks, and each order of them has a crash state of its own.
 */
import { EINVAL, errPtr, isErr } from "../../lib/errno";
import { PAGE_SIZE } from "../../memlayout";
import { AddressSpace, File } from "../../mm/address-space";
import { VmFault } from "../../mm/fault";
import { Page } from "../../mm/page";
import { FS_REQUIRES_DEV, MountParams, optionFlag, optionsKnown, registerFilesystem } from "../mount";
import { SuperBlock, superFree } from "../super";
import { daxFault, daxFsync, daxPfnMkwrite, daxRead, daxReadKernel, daxSyncFs, daxWrite, daxWriteKernel } from "../block/dax";
import { blockFsck } from "../block/fsck";
import { IOMAPFS_MAGIC } from "../block/layout";
import { blockMkfs } from "../block/mkfs";
import { blockPageMkwrite } from "../block/mkwrite";
import { blockRemapFileRange } from "../block/reflink";
import { KIND_IOMAPFS, OPT_DAX, blockFsState } from "../block/state";
import { blockFsOfSuper, blockMount, blockMountRoot, blockPutSuper } from "../block/super";
import { BlockTables, tablesAlloc, tablesInstall } from "../block/tables";

function mount(params: MountParams): usize {
  if (optionsKnown(params, "commit,dax") != 0) return errPtr(-EINVAL);
  const dax = optionFlag(params, "dax");
  const got = blockMount(params, KIND_IOMAPFS, IOMAPFS_MAGIC, dax ? OPT_DAX : 0);
  if (isErr(got)) return got;
  const sb = changetype<SuperBlock>(got);
  const fs = blockFsOfSuper(sb);
  if (dax && (fs.blockSize != PAGE_SIZE || fs.hasShared != 0)) {
    blockPutSuper(sb);
    superFree(sb);
    return errPtr(-EINVAL);
  }
  const s = blockFsState();
  tablesInstall(sb, changetype<BlockTables>(dax ? s.daxTables : s.iomapfsTables));
  return blockMountRoot(sb);
}

function mkfs(params: MountParams): i32 {
  return blockMkfs(params, IOMAPFS_MAGIC, true);
}

function fsck(params: MountParams): i32 {
  return blockFsck(params, IOMAPFS_MAGIC);
}

/** Tables of `-o dax`. It has no line that opts in to the helper: its callbacks need the VMA. */
function daxTablesFill(tables: BlockTables): void {
  // Nothing may bring pages into the cache: not a fault, not read and write, not madvise.
  tables.aops.readPage = changetype<(file: File, page: Page) => i32>(0);
  tables.aops.readahead = changetype<(mapping: AddressSpace, pgoff: u32, count: u32) => void>(0);
  tables.vmOps.mapPages = changetype<(vmf: VmFault, startPgoff: u32, endPgoff: u32) => u32>(0);
  tables.vmOps.fault = daxFault;
  tables.vmOps.pfnMkwrite = daxPfnMkwrite;
  tables.fileOps.read = daxRead;
  tables.fileOps.write = daxWrite;
  tables.fileOps.readKernel = daxReadKernel;
  tables.fileOps.writeKernel = daxWriteKernel;
  tables.fileOps.fsync = daxFsync;
  tables.superOps.syncFs = daxSyncFs;
}

/** Boot: the tables and the type. False when memory is too small. */
export function iomapfsInit(): bool {
  const tables = tablesAlloc();
  const dax = tablesAlloc();
  if (changetype<usize>(tables) == 0 || changetype<usize>(dax) == 0) return false;
  daxTablesFill(dax);
  blockFsState().daxTables = changetype<usize>(dax);
  blockFsState().iomapfsTables = changetype<usize>(tables);
  tables.vmOps.pageMkwrite = blockPageMkwrite;
  tables.vmOps.mkwriteHelper = 1;
  tables.fileOps.remapFileRange = blockRemapFileRange;
  const type = registerFilesystem("iomapfs");
  type.flags = FS_REQUIRES_DEV;
  type.mount = mount;
  type.mkfs = mkfs;
  type.fsck = fsck;
  return true;
}
