/*
 * The invariant walks: everything that can be recomputed is recomputed and compared.
 *
 * Interface: checkMachine().
 * Invariants: checks [pa-1] [page-1..3] [as-1] [fm-1] [vma-1] [vma-2] [mm-1] [mm-2] [lru-1] [proc-1] [fd-1] [rwsem-1] [tlb-1]
 *             [sd-2] [mk-8], and [mk-6]: stashes always, all else once no process is left.
 * Locks: none; called between two steps of the machine, when nothing is half done.
 * Why not counters alone: a counter and its bug move together; a walk sees what is there.
 */
import { checkCode } from "../cpu/rv64/code-page";
import { checkIntervalTree, itFirstOverlap, itNextOverlap } from "../lib/interval-tree";
import { ListHead } from "../lib/list";
import { checkKmemCache, KmemCache } from "../lib/slab";
import { bitmapTest } from "../lib/bitmap";
import { XaCursor, checkXarray, xaFind, xaLoad } from "../lib/xarray";
import { PTE_D, PTE_R, PTE_SPECIAL, PTE_U, PTE_V, PTE_W, PTE_X, ptePfn } from "../cpu/pte";
import { TLB_ENTRY_BYTES, TLB_FETCH, TLB_FRAME, TLB_READ, TLB_WRITE, contextTag, cpuRoom } from "../cpu/tlb";
import { checkFilesystems } from "../fs/check";
import { checkFiles } from "../fs/fdtable";
import { Inode } from "../fs/inode";
import { fsState } from "../fs/state";
import { SB_FREEZE_COMPLETE } from "../fs/super";
import { blockCheck } from "../block/init";
import { AS_UNEVICTABLE, AddressSpace } from "../mm/address-space";
import { currentFault } from "../mm/fault";
import { MmStruct, mmOfList } from "../mm/mm-struct";
import { checkPageAlloc } from "../mm/page-alloc";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { PG_DIRTY, PG_LRU, PG_RESERVED, PG_SLAB, PG_SWAPBACKED, PG_TABLE, Page, checkPage, isNullPage, pfnToPage } from "../mm/page";
import { pteLookup, pteRangeNext } from "../mm/pgtable";
import { mmState } from "../mm/state";
import { VM_LOCKED, VM_SHARED, VM_WRITE, VmArea, assertVma, isNullVma, linearPgoff, vmaPages } from "../mm/vma";
import { firstVma, vmaNext } from "../mm/vma-ops";
import { wantsWriteNotify } from "../mm/memory";
import { chainNext } from "../mm/mmap";
import { checkRwsem } from "../sched/rwsem";
import { Cpu, TASK_FREE, TASK_ZOMBIE, cpuAt, sched, taskAt } from "../sched/state";
import { checkProcesses } from "./process";
import { kernelState } from "./state";
import { TASK_SIZE } from "../config";

/** Every present PTE of a VMA: right page, right rights. Returns rss by kind in the low and high half. */
function checkVmaPtes(mm: MmStruct, vma: VmArea): u64 {
  let anon: u64 = 0;
  let file: u64 = 0;
  let at = pteRangeNext(mm, vma.start, vma.end);
  while (at < vma.end) {
    const pte = load<u64>(pteLookup(mm, at));
    if ((pte & PTE_W) != 0) assert((vma.flags & VM_WRITE) != 0, "[mp-1] a PTE grants more than its VMA");
    if ((pte & PTE_SPECIAL) == 0) {
      const page = pfnToPage(ptePfn(pte));
      checkPage(page);
      assert(page.mapcount > 0, "[page-3] a mapped page has a mapcount");
      // Counted here, compared in checkMapcounts.
      page.pad++;
      if (page.test(PG_SWAPBACKED)) anon++;
      else {
        file++;
        checkFilePte(vma, page, pte, at);
      }
    }
    at = pteRangeNext(mm, at + 4096, vma.end);
  }
  return anon | (file << 32);
}

function checkFilePte(vma: VmArea, page: Page, pte: u64, address: u64): void {
  assert(page.mapping == changetype<usize>(vma.file.mapping), "[page-2] a mapped file page is the file's");
  assert(page.index == linearPgoff(vma, address), "[page-2] a mapped file page is at its offset");
  if ((pte & PTE_W) != 0) assert((vma.flags & VM_SHARED) != 0, "[fk-1] a private file page is writable");
  if ((pte & PTE_W) == 0 || !wantsWriteNotify(vma)) return;
  assert(page.test(PG_DIRTY), "[mk-1] a writable PTE of a clean page");
  const inode = changetype<Inode>(vma.file.mapping.host);
  assert(inode.sb.frozen != SB_FREEZE_COMPLETE, "[mk-8] a frozen filesystem has a writable PTE");
  if (changetype<usize>(vma.file.vmOps.pageMkwrite) == 0) return;
  const start = (<u64>page.index) << PAGE_SHIFT;
  const size = vma.file.mapping.sizeBytes;
  const reach = size - start < PAGE_SIZE ? size - start : PAGE_SIZE;
  assert(size > start && page.preparedEnd >= reach, "[mk-1] a writable PTE reaches a block without space");
}

function checkInFileTree(vma: VmArea): void {
  if (changetype<usize>(vma.file) == 0) return;
  const tree = vma.file.mapping.iMmap;
  const last = vma.pgoff + vmaPages(vma) - 1;
  let node = itFirstOverlap(tree, vma.pgoff, last);
  while (changetype<usize>(node) != 0) {
    if (changetype<usize>(node) == changetype<usize>(vma.share)) return;
    node = itNextOverlap(node, vma.pgoff, last);
  }
  assert(false, "[vma-2] a file's VMA is in its i_mmap");
}

/** rss of the VMAs that are on their way out; the PTEs of their pages go one by one. */
function checkDetached(mm: MmStruct): u64 {
  let rss: u64 = 0;
  for (let vma = detachedVma(mm); !isNullVma(vma); vma = chainNext(vma)) {
    assertVma(vma);
    checkInFileTree(vma);
    rss += checkVmaPtes(mm, vma);
  }
  return rss;
}

function detachedVma(mm: MmStruct): VmArea {
  return changetype<VmArea>(<usize>mm.detached);
}

/** A PTE outside every VMA would be a page that nobody unmaps; those of a VMA that is being unmapped are on their way. */
function checkHole(mm: MmStruct, start: u64, end: u64): void {
  let at = start;
  for (let vma = detachedVma(mm); !isNullVma(vma) && vma.start < end; vma = chainNext(vma)) {
    if (vma.start < at) continue;
    assert(pteRangeNext(mm, at, vma.start) == vma.start, "[mmap-1] a PTE without a VMA");
    at = vma.end;
  }
  assert(pteRangeNext(mm, at, end) == end, "[mmap-1] a PTE without a VMA");
}

export function checkMm(mm: MmStruct): void {
  checkIntervalTree(mm.vmas);
  checkRwsem(mm.mmapSem);
  let count: u32 = 0;
  let pages: u32 = 0;
  let locked: u32 = 0;
  let rss = checkDetached(mm);
  let end: u64 = 0;
  for (let vma = firstVma(mm); !isNullVma(vma); vma = vmaNext(vma)) {
    assertVma(vma);
    assert(vma.start >= end && vma.start < vma.end && ((vma.start | vma.end) & 0xfff) == 0, "[vma-1] VMAs are apart");
    assert(vma.mm == changetype<usize>(mm), "[vma-1] a VMA knows its mm");
    checkHole(mm, end, vma.start);
    end = vma.end;
    count++;
    pages += vmaPages(vma);
    if ((vma.flags & VM_LOCKED) != 0) locked += vmaPages(vma);
    checkInFileTree(vma);
    rss += checkVmaPtes(mm, vma);
  }
  checkHole(mm, end, TASK_SIZE);
  assert(count == mm.mapCount && pages == mm.totalVm && locked == mm.lockedVm, "[mm-2] an mm counts its VMAs");
  assert(<u32>rss == mm.rssAnon && <u32>(rss >> 32) == mm.rssFile, "[mm-1] rss counts present PTEs");
}

/** Every frame: mapcount against the PTEs found, the page cache's view, the LRU's. */
function checkFrames(): void {
  const m = mmState();
  let lru: u32 = 0;
  let anon: u32 = 0;
  let tables: u32 = 0;
  let cached: u32 = 0;
  // A mounted filesystem may keep frames of its own.
  const atRest = kernelState().nrProcesses == 0 && sched().liveTasks == 0 && fsState().supers == 1;
  for (let pfn = m.firstPfn; pfn < m.highPfn; pfn++) {
    const page = pfnToPage(pfn);
    const found = page.pad;
    page.pad = 0;
    if (page.refcount == 0) continue;
    checkPage(page);
    assert(<u32>page.mapcount == found, "[page-3] mapcount is the number of PTEs");
    if (page.mapping != 0) {
      cached++;
      const mapping = changetype<AddressSpace>(page.mapping);
      assert(xaLoad(mapping.pages, page.index) == changetype<usize>(page), "[fm-1] a page of a mapping is in its xarray");
    }
    if (atRest && !page.test(PG_RESERVED) && !page.test(PG_SLAB)) {
      assert(page.refcount == 1 && page.mapping != 0, "[mk-6] without processes only the page cache holds frames");
    }
    if (page.test(PG_LRU)) lru++;
    if (page.test(PG_SWAPBACKED)) anon++;
    if (page.test(PG_TABLE)) tables++;
  }
  assert(lru == m.nrActive + m.nrInactive, "[lru-1] the LRU counts its pages");
  assert(cached == m.nrFile, "[as-1] the page cache counts its pages");
  assert(tables == m.nrPageTables, "[pt-1] page tables are counted");
  assert(anon == m.nrAnon, "[mm-1] anonymous pages are counted");
}

/** Each mapping that a frame belongs to, once: at its first page. */
function checkMappings(): void {
  const m = mmState();
  for (let pfn = m.firstPfn; pfn < m.highPfn; pfn++) {
    const page = pfnToPage(pfn);
    if (page.refcount == 0 || page.mapping == 0) continue;
    const mapping = changetype<AddressSpace>(page.mapping);
    if (firstPageOf(mapping) != changetype<usize>(page)) continue;
    const entries = checkXarray(mapping.pages);
    assert(entries == mapping.nrPages, "[as-1] a mapping counts its pages");
    checkIntervalTree(mapping.iMmap);
    if ((mapping.flags & AS_UNEVICTABLE) != 0) assert(mapping.nrDirty == 0, "[wb-1] an unevictable mapping is not accounted");
  }
}

function firstPageOf(mapping: AddressSpace): usize {
  const cursor = changetype<XaCursor>(mmState().cursor);
  return xaFind(mapping.pages, 0, u32.MAX_VALUE, cursor);
}

/**
 * [tlb-1] What a TLB grants in an mm's present context its PTE grants, unless the flush of a change is still to come;
 * [sd-2] a CPU outside the mask holds nothing of it.
 */
function checkTlbs(mm: MmStruct): void {
  const tag = contextTag(mm.context);
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    const cpu = cpuAt(id);
    for (let i: u32 = 0; i <= cpuRoom().tlbMask; i++) {
      const entry = cpu.tlb + i * TLB_ENTRY_BYTES;
      checkTlbTag(mm, cpu, tag, load<u64>(entry, TLB_READ), entry, PTE_V | PTE_U | PTE_R);
      checkTlbTag(mm, cpu, tag, load<u64>(entry, TLB_WRITE), entry, PTE_V | PTE_U | PTE_W | PTE_D);
      checkTlbTag(mm, cpu, tag, load<u64>(entry, TLB_FETCH), entry, PTE_V | PTE_U | PTE_X);
    }
  }
}

/** Bits of a tag that name the address space. */
const TAG_CONTEXT: u64 = 0xffff_0000_0000_0fff;

function checkTlbTag(mm: MmStruct, cpu: Cpu, context: u64, tag: u64, entry: usize, need: u64): void {
  if ((tag & TAG_CONTEXT) != context || tag == u64.MAX_VALUE) return;
  assert(bitmapTest(mm.cpuMask, cpu.id), "[sd-2] a CPU outside the mask holds a translation");
  if (mm.tlbFlushPending != 0) return;
  const slot = pteLookup(mm, tag & ~TAG_CONTEXT);
  const pte: u64 = slot == 0 ? 0 : load<u64>(slot);
  assert((pte & need) == need, "[tlb-1] a TLB grants what its PTE does not");
  assert(load<u32>(entry, TLB_FRAME) == ptePfn(pte) << PAGE_SHIFT, "[tlb-1] a TLB points to another frame than its PTE");
}

/** [mk-6] With the last process everything that processes hold is gone. [slab-2] */
function checkObjects(): void {
  const m = mmState();
  checkKmemCache(changetype<KmemCache>(m.mmCache));
  checkKmemCache(changetype<KmemCache>(m.vmaCache));
  checkKmemCache(changetype<KmemCache>(kernelState().processCache));
  if (kernelState().nrProcesses != 0 || sched().liveTasks != 0) return;
  assert(changetype<KmemCache>(m.mmCache).allocated == 0, "[mk-6] an address space outlives its processes");
  assert(changetype<KmemCache>(m.vmaCache).allocated == 0, "[mk-6] a VMA outlives its address space");
  assert(changetype<KmemCache>(kernelState().processCache).allocated == 0, "[mk-6] a process outlives itself");
  assert(fsState().nrFiles == 0 && fsState().nrFilesStructs == 0, "[mk-6] an open file outlives its processes");
}

/** Open files of every task; [mk-6] every stash is some fault's. */
function checkTasks(): void {
  const s = sched();
  let stashes: u32 = 0;
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.files != 0) checkFiles(task.files);
    if (isNullPage(currentFault(task).stash)) continue;
    assert(task.state != TASK_FREE && task.state != TASK_ZOMBIE, "[mk-6] a stash outlives its task");
    stashes++;
  }
  assert(stashes == mmState().stashes, "[mk-6] every stash is held by a fault");
}

/** Runs every walk; a broken law asserts with its number. */
export function checkMachine(): void {
  checkPageAlloc();
  blockCheck();
  const head = changetype<usize>(mmState().mmList);
  for (let link: usize = mmState().mmList.next; link != head; link = changetype<ListHead>(link).next) {
    checkMm(mmOfList(link));
    checkTlbs(mmOfList(link));
  }
  checkFrames();
  checkMappings();
  checkFilesystems(kernelState().nrProcesses == 0);
  checkProcesses();
  checkObjects();
  checkTasks();
  checkCode();
}
