/*
 * The fs room's invariant walk: names, inodes and super blocks against each other.
 *
 * Interface: checkFilesystems(atRest).
 * Invariants: checks [dent-1] [dent-2] [dent-3] [dent-4] [ino-1] [ino-3] [sb-1] [mnt-1] [mk-8], and [scr-1] once no process is left;
 *             what a filesystem counts itself it walks itself (SuperOperations.check).
 * Locks: none; called between two steps of the machine, when nothing is half done.
 * Why not through the tree from "/": a name that fell out of the tree is what the walk is to find.
 */
import { ListHead } from "../lib/list";
import { checkKmemCache } from "../lib/slab";
import { Dentry, HASH_BUCKETS, dentryOfSibling, isNullDentry } from "./dentry";
import { Inode, ilookup, inodeOfSbLink, isDirectory } from "./inode";
import { CACHE_COUNT, CACHE_DENTRY, CACHE_DENTRY_LONG, CACHE_FILE, CACHE_INODE, CACHE_SCRATCH, fsState } from "./state";
import { SB_FREEZE_COMPLETE, SuperBlock, superOfLink } from "./super";
import { checkClean } from "./sync";

/** The entries of one directory: parents, cookies, counts. */
function checkChildren(directory: Inode): void {
  const head = changetype<usize>(directory.children);
  let count: u32 = 0;
  let subdirectories: u32 = 0;
  let cookie: i64 = -1;
  for (let link: usize = directory.children.next; link != head; link = changetype<ListHead>(link).next) {
    const dentry = dentryOfSibling(link);
    assert(dentry.linked == 1, "[dent-1] a child is linked");
    assert(changetype<usize>(dentry.parent.inode) == changetype<usize>(directory), "[dent-1] a child knows its parent");
    assert(<i64>dentry.cookie > cookie, "[dent-2] entries are in the order of their cookies");
    cookie = dentry.cookie;
    count++;
    if (!isDirectory(dentry.inode)) continue;
    subdirectories++;
    assert(dentry.inode.dentry == changetype<usize>(dentry), "[dent-4] a directory knows its dentry");
  }
  assert(count == directory.entries, "[dent-1] a directory counts its entries");
  if (changetype<usize>(directory.sb.inodeOps.lookup) != 0 || directory.nlink == 0) return;
  assert(directory.nlink == 2 + subdirectories, "[dent-3] a directory's links are its name, its dot and its directories");
}

/** Counts the dentries of each inode in Inode.pad, through the hash. Returns how many there are. */
function countNames(): u32 {
  let count: u32 = 0;
  let cached: u32 = 0;
  for (let i: u32 = 0; i < HASH_BUCKETS; i++) {
    let link = load<u32>(fsState().hash + (i << 2));
    while (link != 0) {
      const dentry = changetype<Dentry>(<usize>link);
      assert(dentry.linked == 1, "[dent-1] a hashed dentry is linked");
      dentry.inode.pad++;
      count++;
      if (changetype<usize>(dentry.inode.sb.inodeOps.lookup) != 0) cached++;
      link = dentry.hashNext;
    }
  }
  assert(cached == fsState().nrCached, "[dca-2] cached names are counted");
  return count;
}

function checkInode(inode: Inode): void {
  const names = inode.pad;
  inode.pad = 0;
  assert(inode.refcount >= names, "[ino-1] every dentry holds a reference");
  if (isDirectory(inode)) checkChildren(inode);
  else if (changetype<usize>(inode.sb.inodeOps.lookup) == 0) assert(inode.nlink == names, "[dent-3] a file's links are its names");
  else assert(inode.nlink >= names, "[dent-3] a cached name is a link");
  if (inode.hashed == 0) return;
  const found = ilookup(inode.sb, inode.tree, inode.ino);
  assert(changetype<usize>(found) == changetype<usize>(inode), "[ino-3] the hash finds the one inode of a number");
  found.refcount--;
}

/** One super block's inodes. Returns how many there are. */
function checkSuper(sb: SuperBlock, atRest: bool): u32 {
  const head = changetype<usize>(sb.inodes);
  let count: u32 = 0;
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    const inode = inodeOfSbLink(link);
    assert(changetype<usize>(inode.sb) == changetype<usize>(sb), "[sb-1] an inode is in its super block's list");
    checkInode(inode);
    count++;
  }
  assert(count == sb.nrInodes, "[sb-1] a super block counts its inodes");
  if (sb.frozen == SB_FREEZE_COMPLETE) checkClean(sb);
  const f = sb.superOps.check;
  if (changetype<usize>(f) != 0) f(sb, atRest);
  const root = changetype<Dentry>(sb.root);
  if (!isNullDentry(root)) assert(changetype<usize>(root.inode) == changetype<usize>(sb.rootInode), "[sb-1] a root dentry shows the root");
  return count;
}

/** [mnt-1] */
function checkRanges(sb: SuperBlock): void {
  const head = changetype<usize>(fsState().superList);
  for (let link: usize = sb.superLink.next; link != head; link = changetype<ListHead>(link).next) {
    const other = superOfLink(link);
    if (sb.nrBlocks == 0 || other.nrBlocks == 0) continue;
    const apart = sb.startBlock + sb.nrBlocks <= other.startBlock || other.startBlock + other.nrBlocks <= sb.startBlock;
    assert(apart, "[mnt-1] two filesystems share no block of the disk");
  }
}

function checkCaches(names: u32, inodes: u32, files: u32): void {
  const fs = fsState();
  for (let i: u32 = 0; i < CACHE_COUNT; i++) checkKmemCache(fs.cache(i));
  assert(inodes == fs.nrInodes && inodes <= fs.cache(CACHE_INODE).allocated, "[ino-1] inodes are counted");
  assert(files == fs.nrFiles && files == fs.cache(CACHE_FILE).allocated, "[file-1] open files are counted");
  assert(fs.nrDentries == fs.cache(CACHE_DENTRY).allocated + fs.cache(CACHE_DENTRY_LONG).allocated, "[dent-1] dentries are counted");
  assert(names <= fs.nrDentries, "[dent-1] dentries are counted");
  if (fs.nrFilesStructs != 0) return;
  assert(fs.cache(CACHE_SCRATCH).allocated + fs.nrLongScratch == 0, "[scr-1] a call gives its scratch memory back");
}

/** `atRest`: no process is left. */
export function checkFilesystems(atRest: bool): void {
  const names = countNames();
  let inodes: u32 = 0;
  let files: u32 = 0;
  const head = changetype<usize>(fsState().superList);
  for (let link: usize = fsState().superList.next; link != head; link = changetype<ListHead>(link).next) {
    const sb = superOfLink(link);
    inodes += checkSuper(sb, atRest);
    files += sb.nrFiles;
    checkRanges(sb);
  }
  checkCaches(names, inodes, files);
}
