/*
 * ramfs: files whose only home is the page cache; no page_mkwrite (what the figures call tmpfs).
 *
 * Interface: ramfsInit() -> FileSystemType, ramfsMount(params), ramfsShmemFile(lenBytes).
 * Invariants:
 *   [ramfs-1] a page once written stays in the cache until truncate, hole punch or eviction (AS_UNEVICTABLE).
 *   [ramfs-2] a hole reads as zeros.
 * Locks: i_rwsem for size changes; invalidate_lock inside for truncate and punch.
 * Why not tmpfs's swap and huge pages: there is no swap, and one page size.
 */
import { EFBIG, ENOMEM, ENOSPC, EOPNOTSUPP, errPtr, isErr } from "../../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { downWrite, upWrite } from "../../sched/rwsem";
import { syncPoint } from "../../sched/core";
import { AS_UNEVICTABLE, File } from "../../mm/address-space";
import { filemapMapPages } from "../../mm/fault-around";
import { filePages, filemapFault, findGetPage, grabCachePage } from "../../mm/filemap";
import { freePages, putPage } from "../../mm/page-alloc";
import { PG_UPTODATE, Page, pageAddress, unlockPage } from "../../mm/page";
import { punchPageCache, truncatePageCache } from "../../mm/truncate";
import { mmState } from "../../mm/state";
import { O_RDWR, VfsFile, fileOpen } from "../file";
import { Inode, S_IFDIR, S_IFLNK, S_IFREG, iSizeWrite, inodeAlloc, iput, isNullInode, touchTimes } from "../inode";
import { FileSystemType, MountParams, isNullType, optionsKnown, registerFilesystem, superForType } from "../mount";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, Kstatfs } from "../operations";
import { SuperBlock, isNullSuper, superFree } from "../super";
import { genericFileRead, genericFileWrite, simpleWriteBegin, simpleWriteEnd } from "../read-write";
import { fsState } from "../state";

/** Linux's RAMFS_MAGIC. */
const RAMFS_MAGIC: u32 = 0x8584_58f6;

function readPage(file: File, page: Page): i32 {
  assert(page.mapping == changetype<usize>(file.mapping), "the page is the file's");
  memory.fill(pageAddress(page), 0, PAGE_SIZE);
  page.set(PG_UPTODATE);
  unlockPage(page);
  return 0;
}

function create(dir: Inode, name: usize, lenBytes: u32, mode: u32): usize {
  assert(name != 0 && lenBytes != 0, "an entry has a name");
  const inode = inodeAlloc(dir.sb, mode);
  if (isNullInode(inode)) return errPtr(-ENOSPC);
  touchTimes(dir);
  return changetype<usize>(inode);
}

function setSize(inode: Inode, sizeBytes: u64): i32 {
  if (sizeBytes > inode.sb.maxBytes) return -EFBIG;
  const mapping = inode.mapping;
  const shrink = sizeBytes < mapping.sizeBytes;
  downWrite(mapping.invalidateLock);
  iSizeWrite(inode, sizeBytes);
  if (shrink) truncatePageCache(mapping, sizeBytes);
  upWrite(mapping.invalidateLock);
  touchTimes(inode);
  return 0;
}

/** Allocates the pages of [offset, offset + len). On ENOMEM those made by this call stay, as tmpfs gives no promise either. */
function allocateRange(inode: Inode, offset: u64, lenBytes: u64): i32 {
  const first = <u32>(offset >> PAGE_SHIFT);
  const end = <u32>filePages(offset + lenBytes);
  for (let pgoff = first; pgoff < end; pgoff++) {
    syncPoint();
    const page = grabCachePage(inode.mapping, pgoff);
    if (changetype<usize>(page) == 0) return -ENOMEM;
    page.set(PG_UPTODATE);
    unlockPage(page);
    putPage(page);
  }
  return 0;
}

function fallocate(inode: Inode, mode: u32, offset: u64, lenBytes: u64): i32 {
  const end = offset + lenBytes;
  if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    downWrite(inode.mapping.invalidateLock);
    punchPageCache(inode.mapping, offset, end);
    upWrite(inode.mapping.invalidateLock);
    touchTimes(inode);
    return 0;
  }
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return -EOPNOTSUPP;
  if (end > inode.sb.maxBytes) return -EFBIG;
  const error = allocateRange(inode, offset, lenBytes);
  if (error != 0) return error;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > inode.mapping.sizeBytes) iSizeWrite(inode, end);
  touchTimes(inode);
  return 0;
}

function symlink(dir: Inode, name: usize, lenBytes: u32, target: usize, targetBytes: u32): usize {
  const made = create(dir, name, lenBytes, S_IFLNK | 0x1ff);
  if (isErr(made)) return made;
  const inode = changetype<Inode>(made);
  const page = grabCachePage(inode.mapping, 0);
  if (changetype<usize>(page) == 0) {
    iput(inode);
    return errPtr(-ENOSPC);
  }
  assert(targetBytes < PAGE_SIZE, "a target fits a page");
  memory.copy(pageAddress(page), target, targetBytes);
  page.set(PG_UPTODATE);
  unlockPage(page);
  putPage(page);
  iSizeWrite(inode, targetBytes);
  return made;
}

function readlink(inode: Inode, buffer: usize, lenBytes: u32): i32 {
  const page = findGetPage(inode.mapping, 0);
  assert(changetype<usize>(page) != 0, "[ramfs-1] a link's page stays in the cache");
  const size = <u32>inode.mapping.sizeBytes;
  const n = lenBytes < size ? lenBytes : size;
  memory.copy(buffer, pageAddress(page), n);
  putPage(page);
  return n;
}

function statfs(sb: SuperBlock, buffer: Kstatfs): i32 {
  buffer.blocks = mmState().nFrames;
  buffer.blocksFree = freePages();
  buffer.blocksAvailable = freePages();
  buffer.files = sb.nrInodes;
  return 0;
}

/** A ramfs with its root directory. A SuperBlock or ERR_PTR. */
export function ramfsMount(params: MountParams): usize {
  const error = optionsKnown(params, "");
  if (error != 0) return errPtr(error);
  const sb = superForType(params.type);
  if (isNullSuper(sb)) return errPtr(-ENOMEM);
  sb.mappingFlags = AS_UNEVICTABLE;
  sb.magic = RAMFS_MAGIC;
  sb.rootInode = inodeAlloc(sb, S_IFDIR | 0x1ed);
  if (isNullInode(sb.rootInode)) {
    superFree(sb);
    return errPtr(-ENOMEM);
  }
  sb.rootInode.nlink = 2;
  return changetype<usize>(sb);
}

/** Registers the type and fills its tables. Null when memory is too small. */
export function ramfsInit(): FileSystemType {
  const type = registerFilesystem("ramfs");
  if (isNullType(type)) return type;
  type.mount = ramfsMount;
  type.aops.readPage = readPage;
  type.aops.writeBegin = simpleWriteBegin;
  type.aops.writeEnd = simpleWriteEnd;
  type.vmOps.fault = filemapFault;
  type.vmOps.mapPages = filemapMapPages;
  const inodeOps = type.inodeOps;
  inodeOps.create = create;
  inodeOps.symlink = symlink;
  inodeOps.readlink = readlink;
  inodeOps.setSize = setSize;
  inodeOps.fallocate = fallocate;
  type.fileOps.read = genericFileRead;
  type.fileOps.write = genericFileWrite;
  type.superOps.statfs = statfs;
  return type;
}

/** The unlinked file behind MAP_SHARED | MAP_ANONYMOUS, opened read-write. Null on ENOMEM. */
export function ramfsShmemFile(lenBytes: u64): usize {
  const sb = changetype<SuperBlock>(fsState().shmemSuper);
  const inode = inodeAlloc(sb, S_IFREG | 0x180);
  if (isNullInode(inode)) return 0;
  iSizeWrite(inode, lenBytes);
  const file: VfsFile = fileOpen(inode, O_RDWR);
  iput(inode);
  return changetype<usize>(file);
}
