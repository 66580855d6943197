/*
 * Boot of the fs room: caches, the root filesystem, /tmp.
 *
 * Interface: fsInit().
 * Invariants: none beyond those of the parts.
 * Locks: none (boot).
 * Why not mount from the host: an empty ramfs at / is what every machine starts from; others mount on directories.
 */
import { EINVAL, ENOMEM } from "../lib/errno";
import { listInit } from "../lib/list";
import { kmemCacheInit } from "../lib/slab";
import { bootAlloc } from "../memlayout";
import { LC_S_VFS_RENAME } from "../sched/lock-class";
import { mutexInit } from "../sched/mutex";
import { mmState } from "../mm/state";
import { DENTRY_BYTES, DENTRY_LONG_BYTES, Dentry, dentryAlloc, dentryInit, dentryLink, isNullDentry } from "./dentry";
import { FILES_BYTES } from "./fdtable";
import { VfsFile, filePutFinal } from "./file";
import { INODE_BYTES, Inode, S_IFDIR, ihold, inodeAlloc, inodeHashInit, iput, isNullInode } from "./inode";
import { filesystemsInit } from "./mount";
import { LOOKUP_BYTES } from "./namei";
import { ramfsMount, ramfsShmemFile } from "./ramfs/ramfs";
import { SuperBlock } from "./super";
import { CACHE_DENTRY, CACHE_DENTRY_LONG, CACHE_FILE, CACHE_FILES, CACHE_INODE, CACHE_SUPER, fsState } from "./state";

/** Cache names for reports: 16 and up are the fs room's. */
const NAME_BASE: u32 = 16;

/** Returns 0 or -ENOMEM. */
export function fsInit(): i32 {
  const fs = fsState();
  kmemCacheInit(fs.cache(CACHE_INODE), INODE_BYTES, NAME_BASE);
  kmemCacheInit(fs.cache(CACHE_DENTRY), DENTRY_BYTES, NAME_BASE + 1);
  kmemCacheInit(fs.cache(CACHE_DENTRY_LONG), DENTRY_LONG_BYTES, NAME_BASE + 2);
  kmemCacheInit(fs.cache(CACHE_FILE), offsetof<VfsFile>(), NAME_BASE + 3);
  kmemCacheInit(fs.cache(CACHE_FILES), FILES_BYTES, NAME_BASE + 4);
  kmemCacheInit(fs.cache(CACHE_SUPER), offsetof<SuperBlock>(), NAME_BASE + 5);
  fs.path = bootAlloc(LOOKUP_BYTES * 2, 16);
  mutexInit(fs.namespaceMutex, LC_S_VFS_RENAME);
  listInit(fs.superList);
  if (fs.path == 0 || !dentryInit() || !inodeHashInit() || !filesystemsInit()) return -ENOMEM;
  const sb = ramfsMount();
  if (changetype<usize>(sb) == 0) return -ENOMEM;
  fs.shmemSuper = changetype<usize>(sb);
  mmState().fputFn = filePutFinal;
  mmState().igrabFn = igrabHost;
  mmState().iputFn = iputHost;
  mmState().shmemFileFn = ramfsShmemFile;
  return makeRoot(sb);
}

function igrabHost(host: usize): void {
  ihold(changetype<Inode>(host));
}

function iputHost(host: usize): void {
  iput(changetype<Inode>(host));
}

/** "/" and "/tmp". */
function makeRoot(sb: SuperBlock): i32 {
  const inode = inodeAlloc(sb, S_IFDIR | 0x1ed);
  const root = dentryAlloc(0, 0);
  if (isNullInode(inode) || isNullDentry(root)) return -ENOMEM;
  inode.nlink = 2;
  inode.dentry = changetype<usize>(root);
  root.inode = inode;
  fsState().root = changetype<usize>(root);
  // "tmp", little-endian, in the path scratch.
  store<u32>(fsState().path, 0x00706d74);
  return makeDirectory(root, fsState().path, 3);
}

/** A directory made at boot. */
export function makeDirectory(parent: Dentry, name: usize, lenBytes: u32): i32 {
  if (lenBytes == 0) return -EINVAL;
  const inode = inodeAlloc(parent.inode.sb, S_IFDIR | 0x3ff);
  const dentry = dentryAlloc(name, lenBytes);
  if (isNullInode(inode) || isNullDentry(dentry)) return -ENOMEM;
  dentryLink(parent, dentry, inode);
  iput(inode);
  return 0;
}
