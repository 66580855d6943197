/*
 * ramfs: files whose only home is the page cache; no page_mkwrite (what the figures call tmpfs).
 *
 * Interface: ramfsMount() -> SuperBlock, ramfsShmemFile(lenBytes).
 * Invariants:
 *   [ramfs-1] a page once written stays in the cache until truncate, hole punch or eviction (AS_UNEVICTABLE).
 *   [ramfs-2] a hole reads as zeros.
 * Locks: i_rwsem for size changes; invalidate_lock inside for truncate and punch.
 * Why not tmpfs's swap and huge pages: there is no swap, and one page size.
 */
import { EFBIG, ENOSPC, EOPNOTSUPP, errPtr } from "../../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE, bootAlloc } from "../../memlayout";
import { downWrite, upWrite } from "../../sched/rwsem";
import { syncPoint } from "../../sched/core";
import { AS_UNEVICTABLE, AddressSpaceOperations, File, VmOperations } from "../../mm/address-space";
import { filemapMapPages } from "../../mm/fault-around";
import { filemapFault, filePages, grabCachePage } from "../../mm/filemap";
import { putPage } from "../../mm/page-alloc";
import { PG_UPTODATE, Page, pageAddress, unlockPage } from "../../mm/page";
import { punchPageCache, truncatePageCache } from "../../mm/truncate";
import { O_RDWR, VfsFile, fileOpen } from "../file";
import { Inode, S_IFREG, iSizeWrite, inodeAlloc, iput, isNullInode } from "../inode";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FileOperations, InodeOperations, SuperOperations } from "../operations";
import { SuperBlock, superAlloc } from "../super";
import { genericFileRead, genericFileWrite, simpleWriteBegin, simpleWriteEnd } from "../read-write";
import { fsState } from "../state";

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
  return isNullInode(inode) ? errPtr(-ENOSPC) : changetype<usize>(inode);
}

function setSize(inode: Inode, sizeBytes: u64): i32 {
  if (sizeBytes > inode.sb.maxBytes) return -EFBIG;
  const mapping = inode.mapping;
  const shrink = sizeBytes < mapping.sizeBytes;
  downWrite(mapping.invalidateLock);
  iSizeWrite(inode, sizeBytes);
  if (shrink) truncatePageCache(mapping, sizeBytes);
  upWrite(mapping.invalidateLock);
  return 0;
}

/** Allocates the pages of [offset, offset + len). On ENOSPC those made by this call stay, as tmpfs gives no promise either. */
function allocateRange(inode: Inode, offset: u64, lenBytes: u64): i32 {
  const first = <u32>(offset >> PAGE_SHIFT);
  const end = <u32>filePages(offset + lenBytes);
  for (let pgoff = first; pgoff < end; pgoff++) {
    syncPoint();
    const page = grabCachePage(inode.mapping, pgoff);
    if (changetype<usize>(page) == 0) return -ENOSPC;
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
    return 0;
  }
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return -EOPNOTSUPP;
  if (end > inode.sb.maxBytes) return -EFBIG;
  const error = allocateRange(inode, offset, lenBytes);
  if (error != 0) return error;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > inode.mapping.sizeBytes) iSizeWrite(inode, end);
  return 0;
}

/** A mounted ramfs, without a root directory yet. Null when memory is too small. */
export function ramfsMount(): SuperBlock {
  const sb = superAlloc();
  const tables = bootAlloc(
    offsetof<AddressSpaceOperations>() + offsetof<VmOperations>() + offsetof<InodeOperations>() + offsetof<FileOperations>() +
      offsetof<SuperOperations>(),
    16,
  );
  if (changetype<usize>(sb) == 0 || tables == 0) return changetype<SuperBlock>(0);
  const aops = changetype<AddressSpaceOperations>(tables);
  aops.readPage = readPage;
  aops.writeBegin = simpleWriteBegin;
  aops.writeEnd = simpleWriteEnd;
  const vmOps = changetype<VmOperations>(tables + offsetof<AddressSpaceOperations>());
  vmOps.fault = filemapFault;
  vmOps.mapPages = filemapMapPages;
  const inodeOps = changetype<InodeOperations>(changetype<usize>(vmOps) + offsetof<VmOperations>());
  inodeOps.create = create;
  inodeOps.setSize = setSize;
  inodeOps.fallocate = fallocate;
  const fileOps = changetype<FileOperations>(changetype<usize>(inodeOps) + offsetof<InodeOperations>());
  fileOps.read = genericFileRead;
  fileOps.write = genericFileWrite;
  sb.aops = aops;
  sb.vmOps = vmOps;
  sb.inodeOps = inodeOps;
  sb.fileOps = fileOps;
  sb.superOps = changetype<SuperOperations>(changetype<usize>(fileOps) + offsetof<FileOperations>());
  sb.mappingFlags = AS_UNEVICTABLE;
  sb.magic = 0x858458f6;
  return sb;
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
