/*
 * iomapfs: files as extents, overwritten in place, after xfs: delalloc, unwritten extents, MMAPLOCK, reflinks.
 *
 *     a store to a page        promises for its blocks (delalloc); nothing on the disk changes
 *     writeback                unwritten extents under a handle, or new blocks aside for shared ones; then the data
 *     completion (worker)      unwritten becomes written, the new replaces the shared, i_disksize follows: so no crash shows a block
 *                              before its data
 *     metadata                 a log of whole blocks (block/journal.ts): atomic, and cheap to explain
 *
 * Interface: iomapfsInit.
 * Invariants: those of block/; MMAPLOCK is mapping.invalidateLock.
 * Locks: as block/.
 * Why not ordered writes instead of a log: a rename touches six blocks, and each order of them has a crash state of its own.
 */
import { EINVAL, errPtr, isErr } from "../../lib/errno";
import { FS_REQUIRES_DEV, MountParams, optionsKnown, registerFilesystem } from "../mount";
import { SuperBlock } from "../super";
import { IOMAPFS_MAGIC } from "../block/layout";
import { blockMkfs } from "../block/mkfs";
import { blockPageMkwrite } from "../block/mkwrite";
import { KIND_IOMAPFS, blockFsState } from "../block/state";
import { blockMount, blockMountRoot } from "../block/super";
import { BlockTables, tablesAlloc, tablesInstall } from "../block/tables";

function mount(params: MountParams): usize {
  if (optionsKnown(params, "commit") != 0) return errPtr(-EINVAL);
  const got = blockMount(params, KIND_IOMAPFS, IOMAPFS_MAGIC, 0);
  if (isErr(got)) return got;
  const sb = changetype<SuperBlock>(got);
  tablesInstall(sb, changetype<BlockTables>(blockFsState().iomapfsTables));
  return blockMountRoot(sb);
}

function mkfs(params: MountParams): i32 {
  return blockMkfs(params, IOMAPFS_MAGIC, true);
}

/** Boot: the tables and the type. False when memory is too small. */
export function iomapfsInit(): bool {
  const tables = tablesAlloc();
  if (changetype<usize>(tables) == 0) return false;
  blockFsState().iomapfsTables = changetype<usize>(tables);
  tables.vmOps.pageMkwrite = blockPageMkwrite;
  tables.vmOps.mkwriteHelper = 1;
  const type = registerFilesystem("iomapfs");
  type.flags = FS_REQUIRES_DEV;
  type.mount = mount;
  type.mkfs = mkfs;
  return true;
}
