/*
 * The slips that the explorer's build can be made to commit, one at a time: each shows that some law, walk or scenario bites.
 *
 *     where a slip would be:  if (page.index != pgoff && !(MUTANTS && mutant(M_STASH_INDEX))) return REJECT_INDEX;
 *
 * Interface: mutant(id), mutantSelect(id), mutantReached(), mutantName(id), M_*.
 * Invariants:
 *   [mut-1] with MUTANTS false no code and no text of this is in the kernel but the three exports, which say nothing.
 *   [mut-2] the number that is selected is set after boot and is a part of every snapshot: a machine keeps its slip for life.
 *   [mut-3] mutant() is asked only where its answer makes the difference: "reached" means that the slip was made.
 * Locks: none.
 * Why not a build for each: a kernel takes ten seconds to build, and a number takes none.
 * Why not a word outside linear memory: a snapshot must come back as the machine that it was.
 */
import { MUTANT_STATE } from "../memlayout";

@unmanaged
class MutantState {
  /** M_*, 0: healthy. */
  selected: u32;
  /** 1 once the selected slip was made. */
  reached: u32;
}

export const M_STASH_MAPPING: u32 = 1;
export const M_STASH_INDEX: u32 = 2;
export const M_STASH_FORBIDDEN: u32 = 3;
export const M_STASH_DIRTY: u32 = 4;
export const M_STASH_WRITEBACK: u32 = 5;
export const M_STASH_RANGE: u32 = 6;
export const M_STASH_UNCHECKED: u32 = 7;
export const M_STASH_DIRTY_ONLY: u32 = 8;
export const M_STASH_GENERATION: u32 = 9;
export const M_STASH_SAVED_MAPPING: u32 = 10;
export const M_STASH_LEAK_REJECT: u32 = 11;
export const M_STASH_LEAK_SIGNAL: u32 = 12;
export const M_STASH_LEAK_SEGV: u32 = 13;
export const M_STASH_LEAK_GUP: u32 = 14;
export const M_VMA_AFTER_DROP: u32 = 15;
export const M_ERROR_AFTER_DROP: u32 = 16;
export const M_NOPAGE_AFTER_DROP: u32 = 17;
export const M_RETRY_LOCKED: u32 = 18;
export const M_TRIED_IGNORED: u32 = 19;
export const M_VMA_PASS_UNTRIED: u32 = 20;
export const M_UNLOCKABLE_IGNORED: u32 = 21;
export const M_GUP_KEEPS_TRIED: u32 = 22;
export const M_COMPLETED_STAMP: u32 = 23;
export const M_COMPLETED_QUEUES: u32 = 24;
export const M_VMA_SEQ_KEPT: u32 = 25;
export const M_ACCESS_NOT_RECHECKED: u32 = 26;
export const M_PRIVATE_TAKES_STASH: u32 = 27;
export const M_VMA_LOCK_LEAK: u32 = 28;
export const M_PIN_NONE: u32 = 29;
export const M_PIN_LEAK_RETRY: u32 = 30;
export const M_MAJFLT_TWICE: u32 = 31;
export const M_UNLOCK_EARLY: u32 = 32;
export const M_FINISH_UNCHECKED: u32 = 33;
export const M_WP_UNCHECKED: u32 = 34;
export const M_COW_UNCHECKED: u32 = 35;
export const M_COW_REUSE_SHARED: u32 = 36;
export const M_COW_NO_FLUSH: u32 = 37;
export const M_THROTTLE_SKIPPED: u32 = 38;
export const M_PIN_STORE_UNASKED: u32 = 39;
export const M_MKCLEAN_NO_FLUSH: u32 = 40;
export const M_MKCLEAN_KEEPS_WRITE: u32 = 41;
export const M_MUNMAP_NO_FLUSH: u32 = 42;
export const M_MPROTECT_NO_FLUSH: u32 = 43;
export const M_FORK_PARENT_WRITABLE: u32 = 44;
export const M_FORK_NO_FLUSH: u32 = 45;
export const M_FORK_UNSHARES: u32 = 46;
export const M_ZAP_DIRTY_LOST: u32 = 47;
export const M_TRUNCATE_SIZE_LATE: u32 = 48;
export const M_TRUNCATE_NO_SECOND_UNMAP: u32 = 49;
export const M_TRUNCATE_KEEPS_MAPPING: u32 = 50;
export const M_TRUNCATE_SKIPS_MAPPED: u32 = 51;
export const M_TRUNCATE_NO_WAIT: u32 = 52;
export const M_WRITEBACK_NO_WAKE: u32 = 53;
export const M_REDIRTY_LOST: u32 = 54;
export const M_ERRSEQ_SILENT: u32 = 55;
export const M_UNPREPARE_SKIPPED: u32 = 56;
export const M_MSYNC_NO_WAIT: u32 = 57;
export const M_RWSEM_READER_PASSES: u32 = 58;
export const M_RWSEM_WAKE_LOST: u32 = 59;
export const M_LOCKBIT_WAKE_LOST: u32 = 60;
export const M_PERCPU_WAKE_LOST: u32 = 61;
export const M_FREEZE_SKIPPED: u32 = 62;
export const M_FREEZE_SYNCS_FIRST: u32 = 63;
export const M_CALLBACK_MAPPING: u32 = 64;
export const M_REFLINK_UNLOCKED: u32 = 65;
export const M_RESERVE_LEAK_NOPAGE: u32 = 66;
export const M_RESERVE_RELEASED_TWICE: u32 = 67;
export const M_PAGE_LOCK_FIRST: u32 = 68;
export const M_EXTEND_NO_MKCLEAN: u32 = 69;
export const M_TAIL_NOT_ZEROED: u32 = 70;
export const M_ORDERED_NOT_WAITED: u32 = 71;
export const M_FSYNC_ORDERED: u32 = 72;
export const M_DELALLOC_TWICE: u32 = 73;
export const M_DELALLOC_KEPT: u32 = 74;
export const M_TRUNCATE_ORDERED: u32 = 75;
export const M_PUNCH_ORDERED: u32 = 76;
export const M_PUNCH_EDGE_WRITABLE: u32 = 77;
export const M_ZERO_REST: u32 = 78;
export const M_REFLINK_UNFLUSHED: u32 = 79;
export const M_SNAPSHOT_UNFLUSHED: u32 = 80;
export const M_COMMIT_NO_BARRIER: u32 = 81;
export const M_SUPER_NOT_DURABLE: u32 = 82;
export const M_FREED_EARLY: u32 = 83;
export const M_JOURNAL_NO_BARRIER: u32 = 84;
export const M_JOURNAL_NOT_DURABLE: u32 = 85;
export const M_JOURNAL_DATA_UNORDERED: u32 = 86;

function state(): MutantState {
  return changetype<MutantState>(MUTANT_STATE);
}

/** True when this slip is to be made here. Asked behind `MUTANTS &&`, so that healthy builds do not contain the question. */
export function mutant(id: u32): bool {
  const m = state();
  if (m.selected != id) return false;
  m.reached = 1;
  return true;
}

/** 0: none. Returns false for a number that is no mutant's, and in builds that have none. */
export function mutantSelect(id: u32): bool {
  if (!MUTANTS) return false;
  if (id != 0 && mutantName(id).length == 0) return false;
  state().selected = id;
  state().reached = 0;
  return true;
}

/** Whether the selected slip was made since it was selected. */
export function mutantReached(): bool {
  return MUTANTS && state().reached != 0;
}

/** Empty for a number that is no mutant's. */
export function mutantName(id: u32): string {
  if (!MUTANTS) return "";
  if (id == 0) return "healthy";
  return id < M_UNLOCK_EARLY ? nameOfFaultMutant(id) : id < M_RWSEM_READER_PASSES ? nameOfMmMutant(id) : nameOfOtherMutant(id);
}

/** Those of the fault lock, the helper, get_user_pages. */
function nameOfFaultMutant(id: u32): string {
  switch (id) {
    case M_STASH_MAPPING: return "stash-mapping";
    case M_STASH_INDEX: return "stash-index";
    case M_STASH_FORBIDDEN: return "stash-forbidden";
    case M_STASH_DIRTY: return "stash-dirty";
    case M_STASH_WRITEBACK: return "stash-writeback";
    case M_STASH_RANGE: return "stash-range";
    case M_STASH_UNCHECKED: return "stash-unchecked";
    case M_STASH_DIRTY_ONLY: return "stash-dirty-only";
    case M_STASH_GENERATION: return "stash-generation";
    case M_STASH_SAVED_MAPPING: return "stash-saved-mapping";
    case M_STASH_LEAK_REJECT: return "stash-leak-reject";
    case M_STASH_LEAK_SIGNAL: return "stash-leak-signal";
    case M_STASH_LEAK_SEGV: return "stash-leak-segv";
    case M_STASH_LEAK_GUP: return "stash-leak-gup";
    case M_VMA_AFTER_DROP: return "vma-after-drop";
    case M_ERROR_AFTER_DROP: return "error-after-drop";
    case M_NOPAGE_AFTER_DROP: return "nopage-after-drop";
    case M_RETRY_LOCKED: return "retry-locked";
    case M_TRIED_IGNORED: return "tried-ignored";
    case M_VMA_PASS_UNTRIED: return "vma-pass-untried";
    case M_UNLOCKABLE_IGNORED: return "unlockable-ignored";
    case M_GUP_KEEPS_TRIED: return "gup-keeps-tried";
    case M_COMPLETED_STAMP: return "completed-stamp";
    case M_COMPLETED_QUEUES: return "completed-queues";
    case M_VMA_SEQ_KEPT: return "vma-seq-kept";
    case M_ACCESS_NOT_RECHECKED: return "access-not-rechecked";
    case M_PRIVATE_TAKES_STASH: return "private-takes-stash";
    case M_VMA_LOCK_LEAK: return "vma-lock-leak";
    case M_PIN_NONE: return "pin-none";
    case M_PIN_LEAK_RETRY: return "pin-leak-retry";
    case M_MAJFLT_TWICE: return "majflt-twice";
    default: return "";
  }
}

/** Those of page tables, page cache and writeback. */
function nameOfMmMutant(id: u32): string {
  switch (id) {
    case M_UNLOCK_EARLY: return "unlock-early";
    case M_FINISH_UNCHECKED: return "finish-unchecked";
    case M_WP_UNCHECKED: return "wp-unchecked";
    case M_COW_UNCHECKED: return "cow-unchecked";
    case M_COW_REUSE_SHARED: return "cow-reuse-shared";
    case M_COW_NO_FLUSH: return "cow-no-flush";
    case M_THROTTLE_SKIPPED: return "throttle-skipped";
    case M_PIN_STORE_UNASKED: return "pin-store-unasked";
    case M_MKCLEAN_NO_FLUSH: return "mkclean-no-flush";
    case M_MKCLEAN_KEEPS_WRITE: return "mkclean-keeps-write";
    case M_MUNMAP_NO_FLUSH: return "munmap-no-flush";
    case M_MPROTECT_NO_FLUSH: return "mprotect-no-flush";
    case M_FORK_PARENT_WRITABLE: return "fork-parent-writable";
    case M_FORK_NO_FLUSH: return "fork-no-flush";
    case M_FORK_UNSHARES: return "fork-unshares";
    case M_ZAP_DIRTY_LOST: return "zap-dirty-lost";
    case M_TRUNCATE_SIZE_LATE: return "truncate-size-late";
    case M_TRUNCATE_NO_SECOND_UNMAP: return "truncate-no-second-unmap";
    case M_TRUNCATE_KEEPS_MAPPING: return "truncate-keeps-mapping";
    case M_TRUNCATE_SKIPS_MAPPED: return "truncate-skips-mapped";
    case M_TRUNCATE_NO_WAIT: return "truncate-no-wait";
    case M_WRITEBACK_NO_WAKE: return "writeback-no-wake";
    case M_REDIRTY_LOST: return "redirty-lost";
    case M_ERRSEQ_SILENT: return "errseq-silent";
    case M_UNPREPARE_SKIPPED: return "unprepare-skipped";
    case M_MSYNC_NO_WAIT: return "msync-no-wait";
    default: return "";
  }
}

/** Those of locks and of filesystems. */
function nameOfOtherMutant(id: u32): string {
  switch (id) {
    case M_RWSEM_READER_PASSES: return "rwsem-reader-passes";
    case M_RWSEM_WAKE_LOST: return "rwsem-wake-lost";
    case M_LOCKBIT_WAKE_LOST: return "lockbit-wake-lost";
    case M_PERCPU_WAKE_LOST: return "percpu-wake-lost";
    case M_FREEZE_SKIPPED: return "freeze-skipped";
    case M_FREEZE_SYNCS_FIRST: return "freeze-syncs-first";
    case M_CALLBACK_MAPPING: return "callback-mapping";
    case M_REFLINK_UNLOCKED: return "reflink-unlocked";
    case M_RESERVE_LEAK_NOPAGE: return "reserve-leak-nopage";
    case M_RESERVE_RELEASED_TWICE: return "reserve-released-twice";
    case M_PAGE_LOCK_FIRST: return "page-lock-first";
    case M_EXTEND_NO_MKCLEAN: return "extend-no-mkclean";
    case M_TAIL_NOT_ZEROED: return "tail-not-zeroed";
    case M_ORDERED_NOT_WAITED: return "ordered-not-waited";
    case M_FSYNC_ORDERED: return "fsync-ordered";
    case M_DELALLOC_TWICE: return "delalloc-twice";
    case M_DELALLOC_KEPT: return "delalloc-kept";
    case M_TRUNCATE_ORDERED: return "truncate-ordered";
    case M_PUNCH_ORDERED: return "punch-ordered";
    case M_PUNCH_EDGE_WRITABLE: return "punch-edge-writable";
    case M_ZERO_REST: return "zero-rest";
    case M_REFLINK_UNFLUSHED: return "reflink-unflushed";
    case M_SNAPSHOT_UNFLUSHED: return "snapshot-unflushed";
    case M_COMMIT_NO_BARRIER: return "commit-no-barrier";
    case M_SUPER_NOT_DURABLE: return "super-not-durable";
    case M_FREED_EARLY: return "freed-early";
    case M_JOURNAL_NO_BARRIER: return "journal-no-barrier";
    case M_JOURNAL_NOT_DURABLE: return "journal-not-durable";
    case M_JOURNAL_DATA_UNORDERED: return "journal-data-unordered";
    default: return "";
  }
}
