/*
 * A new address space: empty, or a copy of another (fork).
 *
 * Interface: mmCreate(), dupMm(old).
 * Invariants:
 *   [fk-1] after fork no private page is writable in parent or child until one of them has faulted.
 *   [fk-2] on ENOMEM the half-made child is taken down whole; the parent is as it was, but for lost write rights.
 * Locks: the parent's mmap_sem for writing, the child's inside it (class mmap_sem/1).
 * Why not share page tables: Linux does not either; a child's first faults are part of what fork costs.
 */
import { C_FORK_VMA, chargeCost } from "../sched/cost";
import { LC_MMAP_SEM, LC_MMAP_SEM_NESTED } from "../sched/lock-class";
import { downWrite, downWriteKillable } from "../sched/rwsem";
import { KmemCache, kmemCacheFree } from "../lib/slab";
import { listDel } from "../lib/list";
import { M_FORK_UNSHARES, mutant } from "../lib/mutant";
import { mmPut } from "./exit";
import { MMF_LOCK_FUTURE, MmStruct, isNullMm, mmAllocRaw } from "./mm-struct";
import { pgdAlloc } from "./pgtable";
import { mmState } from "./state";
import { VM_DONTCOPY, VM_LOCKED, VM_SHARED, VmArea, isNullVma } from "./vma";
import { firstVma, vmaCreate, vmaInsert, vmaNext } from "./vma-ops";
import { copyPageRange } from "./zap";
import { mmapWriteUnlock, vmaStartWrite } from "./vma-lock";

/** An empty address space with one user. Null on ENOMEM. */
export function mmCreate(): MmStruct {
  const mm = mmAllocRaw();
  if (isNullMm(mm)) return mm;
  if (pgdAlloc(mm)) return mm;
  listDel(mm.list);
  kmemCacheFree(changetype<KmemCache>(mmState().mmCache), changetype<usize>(mm));
  return changetype<MmStruct>(0);
}

/** fork's copy of an address space. Null on ENOMEM or when the caller is being killed. */
export function dupMm(old: MmStruct): MmStruct {
  if (downWriteKillable(old.mmapSem) != 0) return changetype<MmStruct>(0);
  const child = mmCreate();
  if (isNullMm(child)) {
    mmapWriteUnlock(old);
    return child;
  }
  child.mmapSem.classId = LC_MMAP_SEM_NESTED;
  downWrite(child.mmapSem);
  child.mmapBase = old.mmapBase;
  child.brkStart = old.brkStart;
  child.brk = old.brk;
  child.stackTop = old.stackTop;
  child.flags = old.flags & ~MMF_LOCK_FUTURE;
  const ok = copyVmas(child, old);
  mmapWriteUnlock(child);
  child.mmapSem.classId = LC_MMAP_SEM;
  mmapWriteUnlock(old);
  if (ok) return child;
  mmPut(child);
  return changetype<MmStruct>(0);
}

function copyVmas(child: MmStruct, old: MmStruct): bool {
  for (let vma = firstVma(old); !isNullVma(vma); vma = vmaNext(vma)) {
    vmaStartWrite(old, vma);
    if ((vma.flags & VM_DONTCOPY) != 0) continue;
    chargeCost(C_FORK_VMA);
    if (!copyVma(child, old, vma)) return false;
  }
  return true;
}

function copyVma(child: MmStruct, old: MmStruct, vma: VmArea): bool {
  const dropped = MUTANTS && mutant(M_FORK_UNSHARES) ? VM_LOCKED | VM_SHARED : VM_LOCKED;
  const copy = vmaCreate(child, vma.start, vma.end, vma.flags & ~dropped, vma.file, vma.pgoff);
  if (isNullVma(copy)) return false;
  vmaInsert(child, copy);
  return copyPageRange(child, old, vma) == 0;
}
