/*
 * jbdfs: an overwriting filesystem with a journal, after ext4: handles on a running transaction, ordered data, delalloc.
 *
 *     a store to a page        promises (delalloc), or unwritten blocks under a handle (nodelalloc); times under a handle
 *     writeback                written extents and i_disksize under a handle, and the data; the commit waits for the data (ordered)
 *     metadata                 block/journal.ts: a handle may wait for a commit, a page fault with it
 *
 * Interface: jbdfsInit.
 * Invariants: those of block/; a committed extent that is not unwritten holds its data ([jnl-5]).
 * Locks: as block/.
 * Why not data=journal and data=writeback: the first writes data twice and has no delalloc, the second shows old blocks after a crash.
 *
 * mount options: nodelalloc, commit=ms
 */
import { EINVAL, errPtr, isErr } from "../../lib/errno";
import { blockFsck } from "../block/fsck";
import { JBDFS_MAGIC } from "../block/layout";
import { blockMkfs } from "../block/mkfs";
import { KIND_JBDFS, OPT_NODELALLOC, blockFsState } from "../block/state";
import { blockMount, blockMountRoot } from "../block/super";
import { BlockTables, tablesAlloc, tablesInstall } from "../block/tables";
import { FS_REQUIRES_DEV, MountParams, optionFlag, optionsKnown, registerFilesystem } from "../mount";
import { SuperBlock } from "../super";
import { jbdfsPageMkwrite } from "./mkwrite";

function mount(params: MountParams): usize {
  if (optionsKnown(params, "commit,nodelalloc") != 0) return errPtr(-EINVAL);
  const got = blockMount(params, KIND_JBDFS, JBDFS_MAGIC, optionFlag(params, "nodelalloc") ? OPT_NODELALLOC : 0);
  if (isErr(got)) return got;
  const sb = changetype<SuperBlock>(got);
  tablesInstall(sb, changetype<BlockTables>(blockFsState().jbdfsTables));
  return blockMountRoot(sb);
}

function mkfs(params: MountParams): i32 {
  return blockMkfs(params, JBDFS_MAGIC, false);
}

function fsck(params: MountParams): i32 {
  return blockFsck(params, JBDFS_MAGIC);
}

/** Boot: the tables and the type. False when memory is too small. */
export function jbdfsInit(): bool {
  const tables = tablesAlloc();
  if (changetype<usize>(tables) == 0) return false;
  blockFsState().jbdfsTables = changetype<usize>(tables);
  tables.vmOps.pageMkwrite = jbdfsPageMkwrite;
  tables.vmOps.mkwriteHelper = 1;
  const type = registerFilesystem("jbdfs");
  type.flags = FS_REQUIRES_DEV;
  type.mount = mount;
  type.mkfs = mkfs;
  type.fsck = fsck;
  return true;
}
