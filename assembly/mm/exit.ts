/*
 * The end of an address space: exit_mmap.
 *
 * Interface: mmPut(mm).
 * Invariants: [mk-6] at the end every counter of the mm is zero: VMAs, pages, tables.
 * Locks: none needed, as nobody else has the mm; mmap_sem is taken for the laws' sake.
 * Why not leave it to a reaper: the last task of a process pays for the teardown, as in Linux.
 */
import { listDel } from "../lib/list";
import { KmemCache, kmemCacheFree } from "../lib/slab";
import { TASK_SIZE } from "../config";
import { downWrite } from "../sched/rwsem";
import { syncPoint } from "../sched/core";
import { MmStruct } from "./mm-struct";
import { destroyDetached, munmapLocked } from "./mmap";
import { pgdFree } from "./pgtable";
import { mmState } from "./state";
import { dropMm, flushTlbMm } from "./tlbflush";
import { mmapWriteUnlock } from "./vma-lock";

/** Drops a user; the last one tears the address space down. May sleep. */
export function mmPut(mm: MmStruct): void {
  syncPoint();
  assert(mm.users > 0, "[mm-3] an mm is given up as often as taken");
  if (--mm.users != 0) return;
  exitMmap(mm);
  listDel(mm.list);
  kmemCacheFree(changetype<KmemCache>(mmState().mmCache), changetype<usize>(mm));
}

function exitMmap(mm: MmStruct): void {
  downWrite(mm.mmapSem);
  const error = munmapLocked(mm, 0, TASK_SIZE, false);
  assert(error == 0, "unmapping everything splits nothing");
  mmapWriteUnlock(mm);
  destroyDetached();
  assert(mm.mapCount == 0 && mm.totalVm == 0 && mm.lockedVm == 0, "[mk-6] an mm leaves no VMA behind");
  assert(mm.rssAnon == 0 && mm.rssFile == 0, "[mk-6] an mm leaves no page behind");
  flushTlbMm(mm);
  dropMm(mm);
  pgdFree(mm);
}
