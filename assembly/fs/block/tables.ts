/*
 * The tables of operations that the filesystems on this folder share, made at boot; each fills in what is its own.
 *
 * Interface: blockBoot, BlockTables, tablesAlloc, tablesInstall.
 * Invariants: none.
 * Locks: immutable after boot.
 * Why not a table per mount: a type of filesystem does each thing in one way.
 */
import { bootAlloc } from "../../memlayout";
import { AddressSpaceOperations, VmOperations } from "../../mm/address-space";
import { filemapMapPages } from "../../mm/fault-around";
import { filemapFault } from "../../mm/filemap";
import { FileOperations, InodeOperations, SuperOperations } from "../operations";
import { genericFileRead, genericFileWrite } from "../read-write";
import { SuperBlock } from "../super";
import { bufferCachesInit } from "./buffer";
import { blockFsCheck } from "./check";
import { blockDirtyInode } from "./inode-table";
import {
  blockCreate, blockIsEmpty, blockIterate, blockLink, blockLookup, blockReadlink, blockRename, blockSymlink, blockUnlink,
} from "./names";
import { pageInvalidate, pageReleasable } from "./page-state";
import { blockReadPage, blockReadahead } from "./read";
import { blockFsStateInit } from "./state";
import { blockFreezeFs, blockFsync, blockPutSuper, blockShutdown, blockStatfs, blockSyncFs } from "./super";
import { blockEvict, blockFallocate, blockSetSize } from "./truncate";
import { blockWriteBegin, blockWriteEnd } from "./write";
import { blockWritepages } from "./writeback";

/** Boot: what all filesystems on this folder share. False when memory is too small. */
export function blockBoot(): bool {
  if (!blockFsStateInit()) return false;
  bufferCachesInit();
  return true;
}

@unmanaged
export class BlockTables {
  aops: AddressSpaceOperations;
  vmOps: VmOperations;
  inodeOps: InodeOperations;
  fileOps: FileOperations;
  superOps: SuperOperations;
}

/** Tables with everything but page_mkwrite. Null when memory is too small. */
export function tablesAlloc(): BlockTables {
  const tables = changetype<BlockTables>(bootAlloc(offsetof<BlockTables>(), 16));
  const space = bootAlloc(
    offsetof<AddressSpaceOperations>() + offsetof<VmOperations>() + offsetof<InodeOperations>() + offsetof<FileOperations>() +
      offsetof<SuperOperations>(),
    16,
  );
  if (changetype<usize>(tables) == 0 || space == 0) return changetype<BlockTables>(0);
  tables.aops = changetype<AddressSpaceOperations>(space);
  tables.vmOps = changetype<VmOperations>(space + offsetof<AddressSpaceOperations>());
  tables.inodeOps = changetype<InodeOperations>(changetype<usize>(tables.vmOps) + offsetof<VmOperations>());
  tables.fileOps = changetype<FileOperations>(changetype<usize>(tables.inodeOps) + offsetof<InodeOperations>());
  tables.superOps = changetype<SuperOperations>(changetype<usize>(tables.fileOps) + offsetof<FileOperations>());
  fillData(tables);
  fillNames(tables.inodeOps);
  return tables;
}

function fillData(tables: BlockTables): void {
  const aops = tables.aops;
  aops.readPage = blockReadPage;
  aops.readahead = blockReadahead;
  aops.writepages = blockWritepages;
  aops.writeBegin = blockWriteBegin;
  aops.writeEnd = blockWriteEnd;
  aops.invalidatePage = pageInvalidate;
  aops.releasePage = pageReleasable;
  tables.vmOps.fault = filemapFault;
  tables.vmOps.mapPages = filemapMapPages;
  const fileOps = tables.fileOps;
  fileOps.read = genericFileRead;
  fileOps.write = genericFileWrite;
  fileOps.fsync = blockFsync;
  fileOps.iterate = blockIterate;
  const superOps = tables.superOps;
  superOps.syncFs = blockSyncFs;
  superOps.freezeFs = blockFreezeFs;
  superOps.shutdown = blockShutdown;
  superOps.statfs = blockStatfs;
  superOps.putSuper = blockPutSuper;
  superOps.check = blockFsCheck;
}

function fillNames(ops: InodeOperations): void {
  ops.lookup = blockLookup;
  ops.create = blockCreate;
  ops.symlink = blockSymlink;
  ops.readlink = blockReadlink;
  ops.link = blockLink;
  ops.unlink = blockUnlink;
  ops.isEmpty = blockIsEmpty;
  ops.rename = blockRename;
  ops.evict = blockEvict;
  ops.setSize = blockSetSize;
  ops.fallocate = blockFallocate;
  ops.dirtyInode = blockDirtyInode;
}

export function tablesInstall(sb: SuperBlock, tables: BlockTables): void {
  sb.aops = tables.aops;
  sb.vmOps = tables.vmOps;
  sb.inodeOps = tables.inodeOps;
  sb.fileOps = tables.fileOps;
  sb.superOps = tables.superOps;
}
