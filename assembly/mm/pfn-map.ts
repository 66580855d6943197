/*
 * PTEs of frames that are no pages: a device's memory, mapped by a filesystem in its ->fault (DAX), and the zero page for its holes.
 *
 *     PTE_SPECIAL: no struct page, no reference, no rmap; what keeps the frame is the filesystem, which unmaps it before it frees it
 *
 * Interface: insertPfn, mappingWrprotect, deviceFrame.
 * Invariants:
 *   [pfn-1] a special PTE is writable only if it was made so by ->fault or ->pfn_mkwrite since mappingWrprotect last saw it.
 *   [pfn-2] who frees a block unmaps it first, under the lock that ->fault holds while it inserts.
 * Locks: the fault lock and the filesystem's (MMAPLOCK) for insertPfn; i_mmap_rwsem -> leaf table lock for mappingWrprotect.
 * Why not a struct page for each block of the device: nothing here needs one, and a reference to a block would have to hold up truncate.
 */
import { itFirstOverlap, itNextOverlap } from "../lib/interval-tree";
import { PTE_A, PTE_D, PTE_SPECIAL, PTE_W, pteMake, ptePfn, ptePresent, pteWritable } from "../cpu/pte";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { C_PAGE_MKCLEAN, C_PTE_SET, chargeCost } from "../sched/cost";
import { downRead, upRead } from "../sched/rwsem";
import { AddressSpace } from "./address-space";
import { VmFault } from "./fault";
import { readBits } from "./memory";
import { MmStruct } from "./mm-struct";
import { lockPte, pteLookup, pteRangeNext, unlockPte } from "./pgtable";
import { mmState } from "./state";
import { flushTlbPage } from "./tlbflush";
import { VM_SHARED, VM_WRITE, VmArea, assertVma, vmaAddress, vmaOfShare, vmaPages } from "./vma";

/** Maps a frame at the fault's address, `write`: for stores. A private copy that somebody was first with is left alone. */
export function insertPfn(vmf: VmFault, pfn: u32, write: bool): void {
  assertVma(vmf.vma);
  assert(!write || (vmf.vma.flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE), "[pfn-1] only a shared mapping stores to a device");
  const bits: u64 = write ? PTE_W | PTE_D : 0;
  lockPte(vmf.pte);
  const pte = load<u64>(vmf.pte);
  chargeCost(C_PTE_SET);
  if (!ptePresent(pte)) store<u64>(vmf.pte, pteMake(pfn, readBits(vmf.vma) | PTE_SPECIAL | bits));
  else if ((pte & PTE_SPECIAL) != 0 && ptePfn(pte) == pfn) store<u64>(vmf.pte, pte | PTE_A | bits);
  else assert((vmf.vma.flags & VM_SHARED) == 0, "[pfn-2] a shared mapping holds a frame that its file has lost");
  unlockPte(vmf.pte);
}

/** Write-protects the frames that shared mappings of the file have in [firstPgoff, lastPgoff]. Returns how many were writable. */
export function mappingWrprotect(mapping: AddressSpace, firstPgoff: u32, lastPgoff: u32): u32 {
  let found: u32 = 0;
  downRead(mapping.iMmapRwsem);
  let node = itFirstOverlap(mapping.iMmap, firstPgoff, lastPgoff);
  while (changetype<usize>(node) != 0) {
    const vma = vmaOfShare(changetype<usize>(node));
    const next = itNextOverlap(node, firstPgoff, lastPgoff);
    if ((vma.flags & VM_SHARED) != 0) found += wrprotectVma(vma, firstPgoff, lastPgoff);
    node = next;
  }
  upRead(mapping.iMmapRwsem);
  return found;
}

function wrprotectVma(vma: VmArea, firstPgoff: u32, lastPgoff: u32): u32 {
  const mm = changetype<MmStruct>(vma.mm);
  const vmaLast = vma.pgoff + vmaPages(vma) - 1;
  const end = vmaAddress(vma, lastPgoff < vmaLast ? lastPgoff : vmaLast) + PAGE_SIZE;
  let at = pteRangeNext(mm, vmaAddress(vma, firstPgoff > vma.pgoff ? firstPgoff : vma.pgoff), end);
  let found: u32 = 0;
  while (at < end) {
    const slot = pteLookup(mm, at);
    lockPte(slot);
    const pte = load<u64>(slot);
    if (ptePresent(pte) && (pte & PTE_SPECIAL) != 0 && pteWritable(pte)) {
      chargeCost(C_PAGE_MKCLEAN);
      store<u64>(slot, pte & ~(PTE_W | PTE_D));
      flushTlbPage(mm, at);
      found++;
    }
    unlockPte(slot);
    at = pteRangeNext(mm, at + PAGE_SIZE, end);
  }
  return found;
}

/** True for a PTE of a frame that has no struct page: all that are special but those of the zero page. */
export function deviceFrame(pte: u64): bool {
  return ptePresent(pte) && (pte & PTE_SPECIAL) != 0 && <usize>ptePfn(pte) << PAGE_SHIFT != mmState().zeroPage;
}
