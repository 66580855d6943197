/*
 * What to do when space is short: give back what promises and pending frees hold.
 *
 *     dirty pages written (worst-case promises for extent nodes shrink) -> conversions done -> commit (freed data blocks) ->
 *     checkpoint (freed metadata blocks)
 *
 * Interface: spaceShrink, waitUnits, waitFsUnits.
 * Invariants: [jnl-4] it waits for commits and conversions: no page lock, no i_data_sem, no handle is held.
 * Locks: none here; callers may hold i_rwsem, invalidate_lock for reading, freeze protection, mmap_sem.
 * Why not a thread that does it ahead: whoever needs space waits for it either way, and counts.
 */
import { ListHead } from "../../lib/list";
import { writeMapping } from "../../mm/writeback";
import { TASK_UNINTERRUPTIBLE } from "../../sched/state";
import { sleepOn } from "../../sched/wait-queue";
import { Inode, ihold, inodeOfSbLink, iput, isRegular } from "../inode";
import { journalFlush } from "./journal";
import { BlockFs, BlockInode } from "./state";

/** Sleeps until no completion of the file's writes is under way. Preconditions: [jnl-4]. */
export function waitUnits(bi: BlockInode): void {
  while (bi.pendingUnits != 0) sleepOn(bi.ioWait, TASK_UNINTERRUPTIBLE);
}

/** Sleeps until the worker has nothing of this filesystem. */
export function waitFsUnits(fs: BlockFs): void {
  while (fs.pendingUnits != 0) sleepOn(fs.ioWait, TASK_UNINTERRUPTIBLE);
}

/** The next regular file behind a link of the super block's list, referenced; null at the end. */
function nextFile(fs: BlockFs, from: usize): Inode {
  const head = changetype<usize>(fs.sb.inodes);
  for (let link: usize = changetype<ListHead>(from).next; link != head; link = changetype<ListHead>(link).next) {
    const inode = inodeOfSbLink(link);
    if (inode.refcount == 0 || !isRegular(inode)) continue;
    ihold(inode);
    return inode;
  }
  return changetype<Inode>(0);
}

/** Writes every dirty page of the filesystem and waits for the completions that change trees. */
function writeAll(fs: BlockFs): void {
  let inode = nextFile(fs, changetype<usize>(fs.sb.inodes));
  while (changetype<usize>(inode) != 0) {
    if (inode.mapping.nrDirty != 0) writeMapping(inode.mapping, 0, u32.MAX_VALUE, true);
    const next = nextFile(fs, changetype<usize>(inode.sbLink));
    iput(inode);
    inode = next;
  }
  waitFsUnits(fs);
}

/** Gives back what can be. True when it is worth another try. */
export function spaceShrink(fs: BlockFs): bool {
  if (fs.aborted != 0) return false;
  const before = fs.freeBlocks - fs.reserved;
  const promised = fs.reserved;
  fs.shrinks++;
  if (fs.reserved != 0) writeAll(fs);
  if (fs.pendingFree != 0) journalFlush(fs, fs.holdTid != 0);
  // Fewer promises are worth a try by themselves: the worst that a tree may need grows with all that is dirty.
  return fs.freeBlocks - fs.reserved > before || fs.reserved < promised;
}
