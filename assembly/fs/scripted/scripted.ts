/*
 * Filesystems that the host runs: the tables of operations whose work is done by generators in TypeScript (src/fs).
 *
 *     VFS, page cache, fault path  ->  these tables  ->  hostCall  ->  generator  ->  steps  ->  kernel
 *
 * Names live in the dentry tree, as ramfs's; blocks, reservations and the map of each file are kept here (space.ts). Block size
 * is the page size.
 *
 * Interface: scriptedInit(count), scriptedCheck(sb), OP_* (also src/host/scripted-fs.ts), SCRIPTED_* layout of the name table.
 * Invariants:
 *   [sf-1] whether page_mkwrite may run without the fault lock is one word of the definition: VmOperations.mkwriteHelper.
 *   [sf-2] every page that may be stored to has a block or a reservation ([mk-1]).
 *   [sf-3] what the generator returns is what Linux's operation of that name returns.
 * Locks: those of the operation, before the host is asked; the host asks for more by its steps.
 * Why not one filesystem with hooks: the definition is what a user tests; the kernel must not know it.
 */
import { EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, EFBIG, errPtr } from "../../lib/errno";
import { KmemCache, kmemCacheAlloc, kmemCacheFree, kmemCacheInit } from "../../lib/slab";
import { PAGE_SHIFT, PAGE_SIZE, SCRIPTED_FS, bootAlloc } from "../../memlayout";
import { blkdevIssueFlush } from "../../block/request-queue";
import { AS_STABLE_WRITES, AddressSpace, File } from "../../mm/address-space";
import { VM_FAULT_LOCKED, VM_FAULT_SIGBUS, VmFault } from "../../mm/fault";
import { filemapMapPages } from "../../mm/fault-around";
import { filePages, filemapFault, grabCachePage } from "../../mm/filemap";
import { putPage } from "../../mm/page-alloc";
import {
  PG_ERROR, PG_PRIVATE, PG_UPTODATE, PG_WRITEBACK, Page, isNullPage, lockPage, pageAddress, pageLocked, unlockPage, waitOnPageWriteback,
} from "../../mm/page";
import { clearPageDirtyForIo, endPageWriteback, setPageDirty, setPageWriteback } from "../../mm/page-writeback";
import { punchPageCache, truncatePageCache } from "../../mm/truncate";
import { mappingSetError, nextDirtyPage, pagePrepare } from "../../mm/writeback";
import { downWrite, upWrite } from "../../sched/rwsem";
import { Inode, S_IFDIR, iSizeWrite, inodeAlloc, inodeOfMapping, isNullInode, isRegular, touchTimes } from "../inode";
import { FS_REQUIRES_DEV, FileSystemType, MountParams, isNullType, optionsKnown, registerFilesystem, superForType } from "../mount";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, Kstatfs } from "../operations";
import { genericFileRead, genericFileWrite, simpleWriteEnd } from "../read-write";
import { SuperBlock, isNullSuper, superFree } from "../super";
import { hostCall } from "./call";
import {
  SCRIPTED_MAX_BLOCKS, ScriptedInode, ScriptedSuper, checkScripted, mapGet, mapInit, mapNext, pageReleaseReserved, pageReserve,
  releaseBlocks, scriptedInode, scriptedSuper, spaceDrop, spaceInit,
} from "./space";

/** Operations of a definition. */
export const OP_READ_PAGE: u32 = 1;
export const OP_WRITE_PAGE: u32 = 2;
export const OP_PAGE_MKWRITE: u32 = 3;
export const OP_RESERVE_WRITE: u32 = 4;
export const OP_FREE_RANGE: u32 = 5;

/** SCRIPTED_FS: at most 4 entries of 96 bytes: 0 unused | 4 bytes of the name | 8 name (UTF-16, 32 units) | 72 mkwriteHelper. */
export const SCRIPTED_MAX: u32 = 4;
export const SCRIPTED_STRIDE: u32 = 96;
const NAME_OFFSET: u32 = 8;
const HELPER_OFFSET: u32 = 72;

/** Behind the name table, in the same half kilobyte: the object caches. */
const STATE: usize = SCRIPTED_FS + 0x190;

const SCRIPTED_MAGIC: u32 = 0x5c21_7001;

@unmanaged
class ScriptedState {
  inodeCache: usize;
  superCache: usize;
}

function state(): ScriptedState {
  return changetype<ScriptedState>(STATE);
}

function fsOf(inode: Inode): u32 {
  return scriptedSuper(inode.sb).fs;
}

function call(op: u32, inode: Inode, page: Page, pgoff: u32): i64 {
  return hostCall(fsOf(inode), op, changetype<usize>(inode), changetype<usize>(page), pgoff, 0);
}

/** Fills a locked page that is not uptodate. Returns 0 or -errno; the page stays locked. */
function fillPage(inode: Inode, page: Page): i32 {
  const result = <i32>call(OP_READ_PAGE, inode, page, page.index);
  if (result != 0) page.set(PG_ERROR);
  else page.set(PG_UPTODATE);
  return result;
}

function readPage(file: File, page: Page): i32 {
  const result = fillPage(inodeOfMapping(file.mapping), page);
  unlockPage(page);
  return result;
}

/** One dirty page, locked, of the mapping: cleaned and given to the host. Returns 0 or -errno, unlocked. */
function writeOnePage(inode: Inode, page: Page): i32 {
  if (!clearPageDirtyForIo(page)) {
    unlockPage(page);
    return 0;
  }
  // From now on, for the host may sleep: who syncs waits for this page, which is not dirty any more.
  setPageWriteback(page);
  // Beyond the end of the file the disk holds zeros.
  const tail = inode.mapping.sizeBytes - ((<u64>page.index) << PAGE_SHIFT);
  if (tail < PAGE_SIZE) memory.fill(pageAddress(page) + <usize>tail, 0, PAGE_SIZE - <u32>tail);
  const result = <i32>call(OP_WRITE_PAGE, inode, page, page.index);
  if (result == 0) return 0;
  assert(pageLocked(page), "[st-1] a write that failed leaves the page locked");
  pageReleaseReserved(scriptedSuper(inode.sb), page, true);
  mappingSetError(inode.mapping, result);
  endPageWriteback(page);
  unlockPage(page);
  return result;
}

function writepages(mapping: AddressSpace, startPgoff: u32, endPgoff: u32, sync: u32): i32 {
  const inode = inodeOfMapping(mapping);
  let at = startPgoff;
  let result: i32 = 0;
  while (true) {
    const page = nextDirtyPage(mapping, at, endPgoff);
    if (isNullPage(page)) return result;
    const index = page.index;
    lockPage(page);
    if (page.test(PG_WRITEBACK) && sync != 0) waitOnPageWriteback(page);
    if (page.mapping != changetype<usize>(mapping) || page.test(PG_WRITEBACK) || index >= filePages(mapping.sizeBytes)) unlockPage(page);
    else {
      const error = writeOnePage(inode, page);
      if (error != 0) result = error;
    }
    putPage(page);
    if (index >= endPgoff) return result;
    at = index + 1;
  }
}

/** The reservation comes before the page lock: to make space, writeback may want this very page (SCENARIOS 2.1). */
function writeBegin(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, pagePtr: usize): i32 {
  const inode = inodeOfMapping(mapping);
  const s = scriptedSuper(inode.sb);
  const pgoff = <u32>(pos >> PAGE_SHIFT);
  const reserved = <i32>call(OP_RESERVE_WRITE, inode, changetype<Page>(0), pgoff);
  if (reserved != 0) return reserved;
  const page = grabCachePage(mapping, pgoff);
  if (isNullPage(page)) {
    releaseBlocks(s, 1);
    return -ENOMEM;
  }
  let result: i32 = 0;
  if (!page.test(PG_UPTODATE) && lenBytes != PAGE_SIZE) result = fillPage(inode, page);
  if (result != 0) {
    releaseBlocks(s, 1);
    unlockPage(page);
    putPage(page);
    return result;
  }
  if (mapGet(scriptedInode(inode), pgoff) >= 0) releaseBlocks(s, 1);
  else pageReserve(s, page);
  if ((mapping.flags & AS_STABLE_WRITES) != 0) waitOnPageWriteback(page);
  assert(file.refcount != 0, "the file stays open while it is written");
  store<u32>(pagePtr, <u32>changetype<usize>(page));
  return 0;
}

function writeEnd(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, copied: u32, page: Page): i32 {
  const full = page.test(PG_UPTODATE) || copied == lenBytes;
  if (full && copied != 0) pagePrepare(page, PAGE_SIZE);
  else if (!page.test(PG_UPTODATE)) pageReleaseReserved(scriptedSuper(inodeOfMapping(mapping).sb), page, true);
  return simpleWriteEnd(file, mapping, pos, lenBytes, full ? copied : 0, page);
}

/** The page leaves the cache, or part of it becomes a hole (which keeps its block). */
function invalidatePage(page: Page, offset: u32, lenBytes: u32): void {
  if (offset != 0 || lenBytes != PAGE_SIZE) return;
  const inode = inodeOfMapping(changetype<AddressSpace>(page.mapping));
  pageReleaseReserved(scriptedSuper(inode.sb), page, true);
}

function releasePage(page: Page): i32 {
  return page.test(PG_PRIVATE) ? 0 : 1;
}

function pageMkwrite(vmf: VmFault): u32 {
  const inode = inodeOfMapping(vmf.file.mapping);
  const page = vmf.page;
  const result = <u32>call(OP_PAGE_MKWRITE, inode, page, vmf.pgoff);
  if ((result & VM_FAULT_LOCKED) != 0) assert(pageLocked(page), "[sf-3] page_mkwrite returned LOCKED with the page unlocked");
  return result == 0 ? VM_FAULT_SIGBUS : result;
}

function create(dir: Inode, name: usize, lenBytes: u32, mode: u32): usize {
  assert(name != 0 && lenBytes != 0, "an entry has a name");
  const map = kmemCacheAlloc(changetype<KmemCache>(state().inodeCache));
  if (map == 0) return errPtr(-ENOMEM);
  const inode = inodeAlloc(dir.sb, mode);
  if (isNullInode(inode)) {
    kmemCacheFree(changetype<KmemCache>(state().inodeCache), map);
    return errPtr(-ENOMEM);
  }
  mapInit(changetype<ScriptedInode>(map));
  inode.fsPrivate = map;
  touchTimes(dir);
  return changetype<usize>(inode);
}

/** The file goes: its blocks are the host's to free, the map must be empty afterwards. */
function evict(inode: Inode): void {
  if (isRegular(inode)) {
    hostCall(fsOf(inode), OP_FREE_RANGE, changetype<usize>(inode), 0, 0, u32.MAX_VALUE);
    assert(mapNext(scriptedInode(inode), 0) < 0, "[mk-6] an evicted file has no block");
  }
  kmemCacheFree(changetype<KmemCache>(state().inodeCache), inode.fsPrivate);
  inode.fsPrivate = 0;
}

/** The page at pgoff is in the cache, filled, when it has a block: what is zeroed in it will reach the disk. Returns 0 or -errno. */
function bringIn(inode: Inode, pgoff: u32): i32 {
  if (mapGet(scriptedInode(inode), pgoff) < 0) return 0;
  const page = grabCachePage(inode.mapping, pgoff);
  if (isNullPage(page)) return -ENOMEM;
  let result: i32 = 0;
  if (!page.test(PG_UPTODATE)) result = fillPage(inode, page);
  if (result == 0) setPageDirty(page);
  unlockPage(page);
  putPage(page);
  return result;
}

function freeRange(inode: Inode, firstPgoff: u32, endPgoff: u32): i32 {
  return <i32>hostCall(fsOf(inode), OP_FREE_RANGE, changetype<usize>(inode), 0, firstPgoff, endPgoff);
}

function setSize(inode: Inode, sizeBytes: u64): i32 {
  if (sizeBytes > inode.sb.maxBytes) return -EFBIG;
  const mapping = inode.mapping;
  const shrink = sizeBytes < mapping.sizeBytes;
  downWrite(mapping.invalidateLock);
  let result: i32 = 0;
  if (shrink && (<u32>sizeBytes & (PAGE_SIZE - 1)) != 0) result = bringIn(inode, <u32>(sizeBytes >> PAGE_SHIFT));
  if (result == 0) {
    iSizeWrite(inode, sizeBytes);
    if (shrink) {
      truncatePageCache(mapping, sizeBytes);
      result = freeRange(inode, <u32>filePages(sizeBytes), u32.MAX_VALUE);
    }
  }
  upWrite(mapping.invalidateLock);
  if (result == 0) touchTimes(inode);
  return result;
}

function fallocate(inode: Inode, mode: u32, offset: u64, lenBytes: u64): i32 {
  if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return -EOPNOTSUPP;
  const mapping = inode.mapping;
  const end = offset + lenBytes;
  const first = <u32>filePages(offset);
  const last = <u32>(end >> PAGE_SHIFT);
  downWrite(mapping.invalidateLock);
  let result: i32 = 0;
  if ((<u32>offset & (PAGE_SIZE - 1)) != 0) result = bringIn(inode, <u32>(offset >> PAGE_SHIFT));
  if (result == 0 && (<u32>end & (PAGE_SIZE - 1)) != 0) result = bringIn(inode, last);
  if (result == 0) {
    punchPageCache(mapping, offset, end);
    if (first < last) result = freeRange(inode, first, last);
  }
  upWrite(mapping.invalidateLock);
  if (result == 0) touchTimes(inode);
  return result;
}

function syncFs(sb: SuperBlock, wait: u32): i32 {
  assert(scriptedSuper(sb).total != 0, "a mounted filesystem has blocks");
  return wait != 0 ? blkdevIssueFlush() : 0;
}

function freezeFs(sb: SuperBlock): i32 {
  return syncFs(sb, 1);
}

function unfreezeFs(sb: SuperBlock): i32 {
  return scriptedSuper(sb).total != 0 ? 0 : -EINVAL;
}

function statfs(sb: SuperBlock, buffer: Kstatfs): i32 {
  const s = scriptedSuper(sb);
  buffer.blockSize = PAGE_SIZE;
  buffer.blocks = s.total;
  buffer.blocksFree = s.total - s.used;
  buffer.blocksAvailable = s.total - s.used - s.reserved;
  buffer.files = sb.nrInodes;
  return 0;
}

function putSuper(sb: SuperBlock): void {
  spaceDrop(scriptedSuper(sb));
  kmemCacheFree(changetype<KmemCache>(state().superCache), sb.fsPrivate);
  sb.fsPrivate = 0;
}

/** The entry of the table that the type is for. */
function entryOf(type: FileSystemType): u32 {
  return <u32>(type.name - SCRIPTED_FS - NAME_OFFSET) / SCRIPTED_STRIDE;
}

/** The filesystem's own part of a super block: caches' object with its bitmap, or 0. */
function newScriptedSuper(params: MountParams): usize {
  const own = kmemCacheAlloc(changetype<KmemCache>(state().superCache));
  if (own == 0) return 0;
  const s = changetype<ScriptedSuper>(own);
  s.fs = entryOf(params.type);
  if (spaceInit(s, params.nrBlocks < SCRIPTED_MAX_BLOCKS ? params.nrBlocks : SCRIPTED_MAX_BLOCKS) == 0) return own;
  kmemCacheFree(changetype<KmemCache>(state().superCache), own);
  return 0;
}

function mount(params: MountParams): usize {
  const error = optionsKnown(params, "start,blocks");
  if (error != 0) return errPtr(error);
  const sb = superForType(params.type);
  if (isNullSuper(sb)) return errPtr(-ENOMEM);
  sb.fsPrivate = newScriptedSuper(params);
  const map = kmemCacheAlloc(changetype<KmemCache>(state().inodeCache));
  const root = sb.fsPrivate == 0 || map == 0 ? changetype<Inode>(0) : inodeAlloc(sb, S_IFDIR | 0x1ed);
  if (isNullInode(root)) {
    if (map != 0) kmemCacheFree(changetype<KmemCache>(state().inodeCache), map);
    if (sb.fsPrivate != 0) putSuper(sb);
    superFree(sb);
    return errPtr(-ENOMEM);
  }
  sb.mappingFlags = AS_STABLE_WRITES;
  sb.magic = SCRIPTED_MAGIC;
  root.fsPrivate = map;
  root.nlink = 2;
  sb.rootInode = root;
  return changetype<usize>(sb);
}

/** Nothing on the disk needs to be made: a mount starts empty. */
function mkfs(params: MountParams): i32 {
  return params.nrBlocks != 0 ? 0 : -ENOSPC;
}

/** Registers the filesystems that the host has put into the table. False when memory is too small. */
export function scriptedInit(count: u32): bool {
  if (count == 0) return true;
  assert(count <= SCRIPTED_MAX, "the table has SCRIPTED_MAX entries");
  const caches = bootAlloc(offsetof<KmemCache>() * 2, 16);
  if (caches == 0) return false;
  const st = state();
  st.inodeCache = caches;
  st.superCache = caches + offsetof<KmemCache>();
  kmemCacheInit(changetype<KmemCache>(st.inodeCache), offsetof<ScriptedInode>(), 40);
  kmemCacheInit(changetype<KmemCache>(st.superCache), offsetof<ScriptedSuper>(), 41);
  for (let i: u32 = 0; i < count; i++) if (!register(SCRIPTED_FS + i * SCRIPTED_STRIDE)) return false;
  return true;
}

function register(entry: usize): bool {
  const type = registerFilesystem(changetype<string>(entry + NAME_OFFSET));
  if (isNullType(type)) return false;
  type.flags = FS_REQUIRES_DEV;
  type.mount = mount;
  type.mkfs = mkfs;
  type.aops.readPage = readPage;
  type.aops.writepages = writepages;
  type.aops.writeBegin = writeBegin;
  type.aops.writeEnd = writeEnd;
  type.aops.invalidatePage = invalidatePage;
  type.aops.releasePage = releasePage;
  type.vmOps.fault = filemapFault;
  type.vmOps.mapPages = filemapMapPages;
  type.vmOps.pageMkwrite = pageMkwrite;
  type.vmOps.mkwriteHelper = load<u32>(entry + HELPER_OFFSET);
  type.inodeOps.create = create;
  type.inodeOps.evict = evict;
  type.inodeOps.setSize = setSize;
  type.inodeOps.fallocate = fallocate;
  type.fileOps.read = genericFileRead;
  type.fileOps.write = genericFileWrite;
  type.superOps.syncFs = syncFs;
  type.superOps.freezeFs = freezeFs;
  type.superOps.unfreezeFs = unfreezeFs;
  type.superOps.statfs = statfs;
  type.superOps.putSuper = putSuper;
  return true;
}

/** The invariant walk of one mounted filesystem. */
export function scriptedCheck(sb: SuperBlock): void {
  if (sb.fsPrivate != 0 && sb.magic == SCRIPTED_MAGIC) checkScripted(scriptedSuper(sb));
}
