/*
 * fsck's walk over the inodes of one tree: every item belongs to an inode, and what an inode's items say agrees.
 *
 * Interface: checkInodes(f, root).
 * Invariants: as fsck.ts, laws 7 and 9 to 13.
 * Locks: the tree's rwsem for reading.
 * Why not build a picture in memory and compare: looking each thing up where it should be needs two paths and no memory.
 */
import { downRead, upRead } from "../../sched/rwsem";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../inode";
import { atItem, nextItem, pathItem, pathItemSize, pathKey, pathRelease, searchSlot } from "./btree";
import { nameHash } from "./dir";
import { FSCK_DIR_SIZE, FSCK_INODE, FSCK_LINKS, FSCK_NAMES, FSCK_REACH, FSCK_REFERENCES, Fsck } from "./fsck";
import {
  DIR_INDEX_KEY, DIR_ITEM_KEY, DI_NAME, DI_NAME_LEN, DI_TYPE, ED_BYTES, ED_DISK_BYTENR, ED_DISK_BYTES, ED_OFFSET, ED_RAM_BYTES, ED_TYPE,
  EXTENT_DATA_BYTES, EXTENT_DATA_KEY, EXTENT_INLINE, EXTENT_ITEM_KEY, EXTENT_REG, FIRST_FREE_OBJECTID, FT_DIR, FT_REG_FILE, FT_SYMLINK,
  II_MODE, II_NBYTES, II_NLINK, II_SIZE, INODE_ITEM_BYTES, INODE_ITEM_KEY, INODE_REF_KEY, IR_INDEX, IR_NAME, IR_NAME_LEN, KEY_OFFSET,
  KEY_TYPE, MAX_SYMLINK, ORPHAN_ITEM_KEY, ORPHAN_OBJECTID, ROOT_ITEM_KEY,
} from "./layout";
import { TREE_EXTENT, CowHandle, CowPath, CowRoot } from "./state";

/** Directories between one and the root; more is a loop. */
const MAX_DEPTH: u32 = 4096;

/** What an inode's items add up to, against its INODE_ITEM. Kept in the check's walk path, which is free here. */
@unmanaged
class Tally {
  ino: u64;
  size: u64;
  nbytes: u64;
  fileEnd: u64;
  names: u32;
  subdirs: u32;
  indexes: u32;
  entries: u32;
  nameBytes: u32;
  mode: u32;
  nlink: u32;
  refs: u32;
}

if (offsetof<Tally>() > 64) ERROR("a Tally fits the blocks and slots of a CowPath");

function tallyOf(f: Fsck): Tally {
  return changetype<Tally>(changetype<usize>(f.walk));
}

function find(root: CowRoot, objectid: u64, type: u8, offset: u64, path: CowPath): i32 {
  return searchSlot(changetype<CowHandle>(0), root, objectid, type, offset, path, 0);
}

/** All inodes of a tree. Returns 0, a law, or -errno. */
export function checkInodes(f: Fsck, root: CowRoot): i32 {
  f.tree = root;
  downRead(root.rwsem);
  let result = find(root, 0, 0, 0, f.path);
  if (result >= 0) result = atItem(root, f.path);
  let law: i32 = 0;
  memory.fill(changetype<usize>(f.walk), 0, 64);
  while (result == 0 && law == 0) {
    law = checkItem(f, root);
    if (law == 0) result = nextItem(root, f.path);
  }
  // Behind orphan items no inode is open.
  if (law == 0 && result == 1 && tallyOf(f).ino != 0) law = endInode(f, root);
  pathRelease(f.path);
  pathRelease(f.look);
  memory.fill(changetype<usize>(f.walk), 0, 64);
  upRead(root.rwsem);
  return law != 0 ? law : result < 0 ? result : 0;
}

/** The item at f.path. */
function checkItem(f: Fsck, root: CowRoot): i32 {
  const t = tallyOf(f);
  const key = pathKey(f.path);
  const objectid = load<u64>(key);
  const type = load<u8>(key, KEY_TYPE);
  if (objectid == ORPHAN_OBJECTID) {
    const law = t.ino != 0 ? endInode(f, root) : 0;
    t.ino = 0;
    if (law != 0) return law;
    return type == ORPHAN_ITEM_KEY ? hasItem(f, root, load<u64>(key, KEY_OFFSET), INODE_ITEM_KEY, 0, FSCK_REACH) : FSCK_INODE;
  }
  if (type == INODE_ITEM_KEY) {
    const law = t.ino != 0 ? endInode(f, root) : 0;
    return law != 0 ? law : beginInode(f, objectid);
  }
  if (objectid != t.ino) return FSCK_INODE;
  switch (type) {
    case INODE_REF_KEY: return checkRefs(f, root, load<u64>(key, KEY_OFFSET));
    case DIR_ITEM_KEY: return checkDirItem(f, root, load<u64>(key, KEY_OFFSET));
    case DIR_INDEX_KEY: return checkDirIndex(f);
    case EXTENT_DATA_KEY: return checkExtentData(f, load<u64>(key, KEY_OFFSET));
    default: return FSCK_INODE;
  }
}

/** 0 when an item is there, else `law`. */
function hasItem(f: Fsck, root: CowRoot, objectid: u64, type: u8, offset: u64, law: i32): i32 {
  const result = find(root, objectid, type, offset, f.look);
  pathRelease(f.look);
  return result < 0 ? result : result == 0 ? 0 : law;
}

function beginInode(f: Fsck, ino: u64): i32 {
  const t = tallyOf(f);
  const item = pathItem(f.path);
  if (pathItemSize(f.path) != INODE_ITEM_BYTES || load<u64>(pathKey(f.path), KEY_OFFSET) != 0) return FSCK_INODE;
  memory.fill(changetype<usize>(t), 0, offsetof<Tally>());
  t.ino = ino;
  f.place = ino;
  f.inodes++;
  t.size = load<u64>(item, II_SIZE);
  t.nbytes = load<u64>(item, II_NBYTES);
  t.mode = load<u32>(item, II_MODE);
  t.nlink = load<u32>(item, II_NLINK);
  const type = t.mode & S_IFMT;
  return ino >= FIRST_FREE_OBJECTID && (type == S_IFREG || type == S_IFDIR || type == S_IFLNK) ? 0 : FSCK_INODE;
}

/** All items of an inode were seen. */
function endInode(f: Fsck, root: CowRoot): i32 {
  const t = tallyOf(f);
  if (t.nbytes != 0) return FSCK_INODE;
  const isDir = (t.mode & S_IFMT) == S_IFDIR;
  if (!isDir && (t.entries != 0 || t.indexes != 0)) return FSCK_INODE;
  if (t.entries != t.indexes) return FSCK_NAMES;
  if (isDir && t.size != <u64>t.nameBytes) return FSCK_DIR_SIZE;
  const isRoot = t.ino == FIRST_FREE_OBJECTID;
  if (isRoot ? t.refs != 0 : isDir && t.refs > 1) return FSCK_LINKS;
  const links = isDir ? (isRoot || t.refs != 0 ? 2 + t.subdirs : 0) : t.refs;
  if (t.nlink != links) return FSCK_LINKS;
  if (links == 0) return hasItem(f, root, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, t.ino, FSCK_LINKS);
  return isDir && !isRoot ? checkReach(f, root, t.ino) : 0;
}

/** The root is above the directory. */
function checkReach(f: Fsck, root: CowRoot, ino: u64): i32 {
  let at = ino;
  for (let depth: u32 = 0; depth < MAX_DEPTH; depth++) {
    let result = find(root, at, INODE_REF_KEY, 0, f.look);
    if (result == 1) result = atItem(root, f.look);
    if (result < 0) return result;
    const isRef = result == 0 && load<u64>(pathKey(f.look)) == at && load<u8>(pathKey(f.look), KEY_TYPE) == INODE_REF_KEY;
    if (isRef) at = load<u64>(pathKey(f.look), KEY_OFFSET);
    pathRelease(f.look);
    if (!isRef) return FSCK_REACH;
    if (at == FIRST_FREE_OBJECTID) return 0;
  }
  return FSCK_REACH;
}

/** Offset of an entry with this name and location in a directory item, or -1. */
function findEntry(item: usize, size: u32, name: usize, lenBytes: u32, location: u64): i32 {
  let at: u32 = 0;
  while (at + DI_NAME <= size) {
    const length = load<u16>(item + at, DI_NAME_LEN);
    const same = length == <u16>lenBytes && memory.compare(item + at + DI_NAME, name, lenBytes) == 0;
    if (same && load<u64>(item + at) == location) return at;
    at += DI_NAME + length;
  }
  return -1;
}

/** The names of the inode in one directory: each is in DIR_INDEX and DIR_ITEM there. */
function checkRefs(f: Fsck, root: CowRoot, dir: u64): i32 {
  const t = tallyOf(f);
  const item = pathItem(f.path);
  const size = pathItemSize(f.path);
  let at: u32 = 0;
  while (at < size) {
    if (at + IR_NAME > size) return FSCK_NAMES;
    const length: u32 = load<u16>(item + at, IR_NAME_LEN);
    const name = item + at + IR_NAME;
    if (length == 0 || at + IR_NAME + length > size) return FSCK_NAMES;
    let law = entryIsThere(f, root, dir, DIR_INDEX_KEY, load<u64>(item + at, IR_INDEX), name, length, t.ino);
    if (law == 0) law = entryIsThere(f, root, dir, DIR_ITEM_KEY, nameHash(name, length), name, length, t.ino);
    if (law != 0) return law;
    t.refs++;
    at += IR_NAME + length;
  }
  return 0;
}

function entryIsThere(f: Fsck, root: CowRoot, dir: u64, type: u8, offset: u64, name: usize, lenBytes: u32, location: u64): i32 {
  const result = find(root, dir, type, offset, f.look);
  const found = result == 0 && findEntry(pathItem(f.look), pathItemSize(f.look), name, lenBytes, location) >= 0;
  pathRelease(f.look);
  return result < 0 ? result : found ? 0 : FSCK_NAMES;
}

/** The names of one hash. */
function checkDirItem(f: Fsck, root: CowRoot, hash: u64): i32 {
  const t = tallyOf(f);
  const item = pathItem(f.path);
  const size = pathItemSize(f.path);
  let at: u32 = 0;
  while (at < size) {
    if (at + DI_NAME > size) return FSCK_NAMES;
    const length: u32 = load<u16>(item + at, DI_NAME_LEN);
    const name = item + at + DI_NAME;
    if (length == 0 || length > 255 || at + DI_NAME + length > size || nameHash(name, length) != hash) return FSCK_NAMES;
    const law = checkEntry(f, root, item + at, name, length);
    if (law != 0) return law;
    t.entries++;
    f.names++;
    t.nameBytes += 2 * length;
    at += DI_NAME + length;
  }
  return 0;
}

/** What an entry leads to knows of it. */
function checkEntry(f: Fsck, root: CowRoot, entry: usize, name: usize, lenBytes: u32): i32 {
  const t = tallyOf(f);
  const location = load<u64>(entry);
  const type = load<u8>(entry, DI_TYPE);
  // A snapshot has no INODE_REF; inside another snapshot it may be gone.
  if (load<u8>(entry, KEY_TYPE) == ROOT_ITEM_KEY) return type == FT_DIR ? 0 : FSCK_NAMES;
  let result = find(root, location, INODE_ITEM_KEY, 0, f.look);
  let mode: u32 = 0;
  if (result == 0) mode = load<u32>(pathItem(f.look), II_MODE) & S_IFMT;
  pathRelease(f.look);
  if (result < 0) return result;
  const wanted = type == FT_DIR ? S_IFDIR : type == FT_SYMLINK ? S_IFLNK : type == FT_REG_FILE ? S_IFREG : 0;
  if (mode == 0 || mode != wanted) return FSCK_NAMES;
  if (type == FT_DIR) t.subdirs++;
  result = find(root, location, INODE_REF_KEY, t.ino, f.look);
  const found = result == 0 && refHasName(pathItem(f.look), pathItemSize(f.look), name, lenBytes);
  pathRelease(f.look);
  return result < 0 ? result : found ? 0 : FSCK_NAMES;
}

function refHasName(item: usize, size: u32, name: usize, lenBytes: u32): bool {
  let at: u32 = 0;
  while (at + IR_NAME <= size) {
    const length: u32 = load<u16>(item + at, IR_NAME_LEN);
    if (length == lenBytes && memory.compare(item + at + IR_NAME, name, lenBytes) == 0) return true;
    at += IR_NAME + length;
  }
  return false;
}

function checkDirIndex(f: Fsck): i32 {
  const t = tallyOf(f);
  const size = pathItemSize(f.path);
  if (size < DI_NAME || DI_NAME + <u32>load<u16>(pathItem(f.path), DI_NAME_LEN) != size) return FSCK_NAMES;
  t.indexes++;
  return 0;
}

/** A piece of the file: in order, in its extent, below the end. */
function checkExtentData(f: Fsck, start: u64): i32 {
  const t = tallyOf(f);
  const item = pathItem(f.path);
  const info = f.info;
  if (load<u8>(item, ED_TYPE) == EXTENT_INLINE) {
    const isLink = (t.mode & S_IFMT) == S_IFLNK && start == 0 && load<u64>(item, ED_RAM_BYTES) == t.size;
    return isLink && t.size != 0 && t.size <= MAX_SYMLINK ? 0 : FSCK_INODE;
  }
  if ((t.mode & S_IFMT) != S_IFREG || load<u8>(item, ED_TYPE) != EXTENT_REG || pathItemSize(f.path) != EXTENT_DATA_BYTES) return FSCK_INODE;
  const lenBytes = load<u64>(item, ED_BYTES);
  const offset = load<u64>(item, ED_OFFSET);
  const diskBytes = load<u64>(item, ED_DISK_BYTES);
  const mask = <u64>info.blockSize - 1;
  if (lenBytes == 0 || ((start | lenBytes | offset) & mask) != 0 || start < t.fileEnd || offset + lenBytes > diskBytes) return FSCK_INODE;
  if (lenBytes > t.nbytes) return FSCK_INODE;
  t.nbytes -= lenBytes;
  t.fileEnd = start + lenBytes;
  if (t.fileEnd > ((t.size + mask) & ~mask)) {
    // Only a truncate that is under way leaves something there.
    const law = hasItem(f, f.tree, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, t.ino, FSCK_INODE);
    if (law != 0) return law;
  }
  const extents = info.root(TREE_EXTENT);
  downRead(extents.rwsem);
  const law = hasItem(f, extents, load<u64>(item, ED_DISK_BYTENR), EXTENT_ITEM_KEY, diskBytes, FSCK_REFERENCES);
  upRead(extents.rwsem);
  return law;
}
