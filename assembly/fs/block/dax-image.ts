/*
 * DAX: the blocks of a file as they lie in the disk's image, which is the device's memory.
 *
 *     image (page-aligned) + start of the filesystem + block * 4096 = the frame that a PTE maps, that read and write copy from and to
 *
 * Interface: isDax, daxAddress, daxBeforeStore, daxZeroBlock, daxZeroBytes, daxSizeExtend.
 * Invariants:
 *   [dax-1] before a block is stored to, what it held goes to the disk's log: until a flush a power failure may bring it back, sector
 *           by sector. After the flush of msync, fsync or sync it is durable; so is, at once, a store to a PTE that a flush found
 *           writable: fewer crash states, never an impossible one ([log-3]).
 *   [wr-1] what lies between the old end of a file and what extends it reads as zero.
 * Locks: i_data_sem; who stores holds what keeps the block the file's: i_rwsem, MMAPLOCK, or a PTE.
 * Why not a log entry for each store: the MMU does not tell of them; the first one after a write-protect faults.
 */
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { SECTORS_PER_BLOCK, SECTOR_SHIFT, blockState } from "../../block/state";
import { writeLogApply } from "../../block/write-log";
import { EIO } from "../../lib/errno";
import { C_PAGE_ZERO, chargeCost } from "../../sched/cost";
import { downRead, upRead } from "../../sched/rwsem";
import { iSizeWrite } from "../inode";
import { MAP_ERROR, MAP_WRITTEN, extentLookup, mapDisk, mapState } from "./extents";
import { failChange } from "./inode-table";
import { BlockFs, BlockInode, OPT_DAX } from "./state";

/** True for a file whose pages are the disk's own. */
export function isDax(bi: BlockInode): bool {
  return (bi.fs.options & OPT_DAX) != 0;
}

/** Where a block lies in memory: page-aligned, because a block is a page and filesystems begin at one. */
export function daxAddress(fs: BlockFs, disk: u32): usize {
  return blockState().image + <usize>(fs.startSector << SECTOR_SHIFT) + (<usize>disk << PAGE_SHIFT);
}

/** The block is about to be stored to ([dax-1]). */
export function daxBeforeStore(fs: BlockFs, disk: u32): void {
  const s = blockState();
  const sector = fs.startSector + <u64>disk * SECTORS_PER_BLOCK;
  writeLogApply(s.nextBioId++, sector, daxAddress(fs, disk), PAGE_SIZE, 0, SECTORS_PER_BLOCK);
}

export function daxZeroBlock(fs: BlockFs, disk: u32): void {
  chargeCost(C_PAGE_ZERO);
  daxBeforeStore(fs, disk);
  memory.fill(daxAddress(fs, disk), 0, PAGE_SIZE);
}

/** Zeroes bytes [from, to) of one block of the file, if it has one that is written. i_data_sem is held. False: EIO. */
function zeroMapped(bi: BlockInode, from: u64, to: u64): bool {
  const map = extentLookup(bi, <u32>(from >> PAGE_SHIFT));
  if (mapState(map) != MAP_WRITTEN) return mapState(map) != MAP_ERROR;
  daxBeforeStore(bi.fs, mapDisk(map));
  memory.fill(daxAddress(bi.fs, mapDisk(map)) + (<u32>from & (PAGE_SIZE - 1)), 0, <u32>(to - from));
  return true;
}

/** Zeroes bytes [from, to) of one block of the file; a hole is left alone. Returns 0 or -EIO. */
export function daxZeroBytes(bi: BlockInode, from: u64, to: u64): i32 {
  if (from >= to) return 0;
  downRead(bi.sem);
  const ok = zeroMapped(bi, from, to);
  upRead(bi.sem);
  return ok ? 0 : -EIO;
}

/** i_size grows, and in the same step the old end's block is zero from there up to zeroEnd ([wr-1]), whatever was stored behind it. */
export function daxSizeExtend(bi: BlockInode, sizeBytes: u64, zeroEnd: u64): void {
  const before = bi.inode.mapping.sizeBytes;
  const blockEnd = (before + PAGE_SIZE - 1) & ~(<u64>PAGE_SIZE - 1);
  const to = zeroEnd < blockEnd ? zeroEnd : blockEnd;
  downRead(bi.sem);
  if (before < to && !zeroMapped(bi, before, to)) failChange(bi.fs, -EIO);
  iSizeWrite(bi.inode, sizeBytes);
  upRead(bi.sem);
}
