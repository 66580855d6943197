/*
 * Boot of the fs room: caches, the root filesystem, /tmp.
 *
 * Interface: fsInit().
 * Invariants: none beyond those of the parts.
 * Locks: none (boot).
 * Why not mount from the host: an empty ramfs at / is what every machine starts from; others mount on directories.
 */
import { ENOMEM, isErr, ptrErr } from "../lib/errno";
import { listInit } from "../lib/list";
import { bootConfig } from "../config";
import { kmemCacheInit } from "../lib/slab";
import { bootAlloc } from "../memlayout";
import { LC_S_VFS_RENAME } from "../sched/lock-class";
import { mutexInit } from "../sched/mutex";
import { mmState } from "../mm/state";
import { cowfsInit } from "./cowfs/mount";
import { DENTRY_BYTES, DENTRY_LONG_BYTES, Dentry, dentryAlloc, dentryInit, dentryLink, dentryLookup, isNullDentry } from "./dentry";
import { devicesInit } from "./devices";
import { FILES_BYTES } from "./fdtable";
import { VfsFile, filePutFinal } from "./file";
import { INODE_BYTES, Inode, S_IFDIR, ihold, inodeAlloc, inodeHashInit, iput, isNullInode } from "./inode";
import { MountParams, filesystemsInit, isNullType, rootDentryOf } from "./mount";
import { NAMEI_BYTES } from "./namei";
import { blockBoot } from "./block/tables";
import { iomapfsInit } from "./iomapfs/iomapfs";
import { jbdfsInit } from "./jbdfs/jbdfs";
import { ramfsInit, ramfsMount, ramfsShmemFile } from "./ramfs/ramfs";
import { scriptedInit } from "./scripted/scripted";
import { SCRATCH_OBJECT_BYTES } from "./scratch";
import { SuperBlock, sbPin, sbUnpin } from "./super";
import { fsyncRange } from "./sync";
import { CACHE_DENTRY, CACHE_DENTRY_LONG, CACHE_FILE, CACHE_FILES, CACHE_INODE, CACHE_SCRATCH, CACHE_SUPER, fsState } from "./state";

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
  kmemCacheInit(fs.cache(CACHE_SCRATCH), SCRATCH_OBJECT_BYTES, NAME_BASE + 6);
  fs.path = bootAlloc(NAMEI_BYTES, 16);
  mutexInit(fs.namespaceMutex, LC_S_VFS_RENAME);
  listInit(fs.superList);
  if (fs.path == 0 || !dentryInit() || !inodeHashInit() || !filesystemsInit()) return -ENOMEM;
  if (!scriptedInit(bootConfig().scriptedFs)) return -ENOMEM;
  const type = ramfsInit();
  if (isNullType(type)) return -ENOMEM;
  const params = changetype<MountParams>(fs.mountParams);
  params.type = type;
  const mounted = ramfsMount(params);
  if (isErr(mounted)) return ptrErr(mounted);
  fs.shmemSuper = mounted;
  mmState().fputFn = filePutFinal;
  mmState().igrabFn = igrabHost;
  mmState().iputFn = iputHost;
  mmState().fsyncFn = fsyncRange;
  mmState().shmemFileFn = ramfsShmemFile;
  const error = cowfsInit();
  if (!blockBoot() || !iomapfsInit() || !jbdfsInit()) return -ENOMEM;
  return error != 0 ? error : makeRoot(changetype<SuperBlock>(mounted));
}

/** The flusher takes an inode to write it: unmount waits for it. */
function igrabHost(host: usize): bool {
  const inode = changetype<Inode>(host);
  // Its last reference is gone, and iput sleeps in the truncation of its pages.
  if (inode.refcount == 0) return false;
  ihold(inode);
  sbPin(inode.sb);
  return true;
}

function iputHost(host: usize): void {
  const inode = changetype<Inode>(host);
  const sb = inode.sb;
  iput(inode);
  sbUnpin(sb);
}

/** "/" and "/tmp"; on a machine that runs programs "/dev" as well. */
function makeRoot(sb: SuperBlock): i32 {
  const root = rootDentryOf(sb);
  if (isNullDentry(root)) return -ENOMEM;
  fsState().root = changetype<usize>(root);
  // "tmp", little-endian, in the scratch of the walks.
  store<u32>(fsState().path, 0x00706d74);
  const error = makeDirectory(root, fsState().path, 3);
  if (error != 0 || bootConfig().codePages == 0) return error;
  // "dev"
  store<u32>(fsState().path, 0x00766564);
  if (makeDirectory(root, fsState().path, 3) != 0) return -ENOMEM;
  return devicesInit(dentryLookup(root, fsState().path, 3)) ? 0 : -ENOMEM;
}

/** A directory made at boot. */
function makeDirectory(parent: Dentry, name: usize, lenBytes: u32): i32 {
  const inode = inodeAlloc(parent.inode.sb, S_IFDIR | 0x3ff);
  const dentry = dentryAlloc(name, lenBytes);
  if (isNullInode(inode) || isNullDentry(dentry)) return -ENOMEM;
  dentryLink(parent, dentry, inode);
  iput(inode);
  return 0;
}
