/*
 * What must reach the disk: one file (fsync, msync), one filesystem (syncfs, freeze, unmount), all of them (sync).
 *
 *     filesystem:  start writeback of every inode -> write and wait for every inode -> ->syncFs(wait)
 *
 * Interface: fsyncFile, fsyncRange (MmState.fsyncFn), syncfsFile, syncFilesystem, syncAll, checkClean, checkFrozen, nextInode.
 * Invariants:
 *   [sy-1] a walk over a filesystem's inodes holds a reference of the inode it works on, so the walk can go on from there.
 *   [sy-2] an error of writeback is reported once to each open file: here, after ->fsync, whatever that says.
 * Locks: none is held on entry but freeze protection that the caller owns; the filesystem takes what it needs.
 * Why not through the machine's dirty list: the list is the flusher's; a filesystem's inodes hang on its super block.
 */
import { PAGE_SHIFT } from "../memlayout";
import { ListHead } from "../lib/list";
import { File } from "../mm/address-space";
import { mappedWritable } from "../mm/rmap";
import { errseqCheckAndAdvance } from "../mm/errseq";
import { fileCheckWbError, filemapWriteAndWait, writeMapping } from "../mm/writeback";
import { VfsFile } from "./file";
import { Inode, ihold, inodeOfSbLink, iput } from "./inode";
import { fsState } from "./state";
import { SuperBlock, sbPin, sbUnpin, superOfLink } from "./super";

function lastPgoff(endBytes: u64): u32 {
  const pgoff = endBytes >> PAGE_SHIFT;
  return pgoff > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>pgoff;
}

/** fsync(2) of bytes [startBytes, endBytes]. Returns 0 or -errno. */
export function fsyncFile(file: VfsFile, startBytes: u64, endBytes: u64, dataOnly: u32): i32 {
  const f = file.host.sb.fileOps.fsync;
  const error =
    changetype<usize>(f) != 0
      ? f(file, startBytes, endBytes, dataOnly)
      : filemapWriteAndWait(file.mapping, <u32>(startBytes >> PAGE_SHIFT), lastPgoff(endBytes));
  const late = fileCheckWbError(changetype<File>(changetype<usize>(file)));
  return error != 0 ? error : late;
}

/** syncfs(2) of the file's filesystem; tells an error of writeback of any file of it, once to each open file, as since Linux 5.8. */
export function syncfsFile(file: VfsFile): i32 {
  const sb = file.host.sb;
  const error = syncFilesystem(sb);
  const late = errseqCheckAndAdvance(
    changetype<usize>(sb) + offsetof<SuperBlock>("wbErr"),
    changetype<usize>(file) + offsetof<VfsFile>("sbErr"),
  );
  return error != 0 ? error : late;
}

/** msync's way in. */
export function fsyncRange(file: usize, startBytes: u64, endBytes: u64): i32 {
  return fsyncFile(changetype<VfsFile>(file), startBytes, endBytes, 0);
}

/** The next inode of the list behind `link` that is not on its way out, referenced; null at the end. */
export function nextInode(sb: SuperBlock, from: usize): Inode {
  const head = changetype<usize>(sb.inodes);
  let link: usize = changetype<ListHead>(from).next;
  while (link != head) {
    const inode = inodeOfSbLink(link);
    if (inode.refcount != 0) {
      ihold(inode);
      return inode;
    }
    link = changetype<ListHead>(link).next;
  }
  return changetype<Inode>(0);
}

/** Writes the dirty pages of every inode, `wait`: and waits. Returns the first -errno. */
function writeInodes(sb: SuperBlock, wait: bool): i32 {
  let result: i32 = 0;
  let inode = nextInode(sb, changetype<usize>(sb.inodes));
  while (changetype<usize>(inode) != 0) {
    let error: i32 = 0;
    if (!wait) error = writeMapping(inode.mapping, 0, u32.MAX_VALUE, false);
    else if (inode.mapping.nrDirty != 0 || inode.mapping.nrWriteback != 0) error = filemapWriteAndWait(inode.mapping, 0, u32.MAX_VALUE);
    if (result == 0) result = error;
    const next = nextInode(sb, changetype<usize>(inode.sbLink));
    iput(inode);
    inode = next;
  }
  return result;
}

/** Everything of the filesystem that is dirty now is on the disk on return. Returns 0 or the first -errno. */
export function syncFilesystem(sb: SuperBlock): i32 {
  const started = writeInodes(sb, false);
  const waited = writeInodes(sb, true);
  const f = sb.superOps.syncFs;
  const error = changetype<usize>(f) != 0 ? f(sb, 1) : 0;
  return started != 0 ? started : waited != 0 ? waited : error;
}

/** sync(2): every filesystem; errors are not reported, as in Linux. */
export function syncAll(): void {
  const head = changetype<usize>(fsState().superList);
  let link: usize = fsState().superList.next;
  while (link != head) {
    const sb = superOfLink(link);
    // One that is being mounted or unmounted has no root: whoever does that syncs it.
    const mounted = sb.root != 0;
    if (mounted) {
      sbPin(sb);
      syncFilesystem(sb);
    }
    link = changetype<ListHead>(link).next;
    if (mounted) sbUnpin(sb);
  }
}

/** [mk-8] At the end of a freeze, and before a thaw. */
export function checkFrozen(sb: SuperBlock): void {
  checkClean(sb);
  if (!CHECKED && !EXPLORE) return;
  const head = changetype<usize>(sb.inodes);
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    assert(!mappedWritable(inodeOfSbLink(link).mapping), "[mk-8] a frozen filesystem has a writable PTE");
  }
}

/** [mk-8] Nothing of the filesystem is dirty or on its way to the disk. */
export function checkClean(sb: SuperBlock): void {
  const head = changetype<usize>(sb.inodes);
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    const mapping = inodeOfSbLink(link).mapping;
    assert(mapping.nrDirty == 0, "[mk-8] a frozen filesystem has a dirty page");
    assert(mapping.nrWriteback == 0, "[mk-8] a frozen filesystem has a page under writeback");
  }
}
