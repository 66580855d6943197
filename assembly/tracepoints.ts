/*
 * Tracepoints: numbers, and Linux's own names for them.
 *
 * Interface: TP_* ids, tracepointName(id), TP_COUNT. lib/trace counts and records them.
 * Invariants: [tp-1] a name that Linux has is Linux's; a mark of our own is in the group `faultline:`.
 * Locks: none.
 * Why not strings in events: an event is 32 bytes and the fault path emits several.
 */
export const TP_PAGE_FAULT_USER: u32 = 0;
export const TP_PAGE_FAULT_KERNEL: u32 = 1;
export const TP_MMAP_LOCK_START: u32 = 2;
export const TP_MMAP_LOCK_ACQUIRED: u32 = 3;
export const TP_MMAP_LOCK_RELEASED: u32 = 4;
export const TP_SCHED_SWITCH: u32 = 5;
export const TP_SCHED_WAKEUP: u32 = 6;
export const TP_SCHED_FORK: u32 = 7;
export const TP_SCHED_EXIT: u32 = 8;
export const TP_CONTENTION_BEGIN: u32 = 9;
export const TP_CONTENTION_END: u32 = 10;
export const TP_MM_FILEMAP_ADD: u32 = 11;
export const TP_MM_FILEMAP_DELETE: u32 = 12;
export const TP_MM_FILEMAP_FAULT: u32 = 13;
export const TP_MM_PAGE_ALLOC: u32 = 14;
export const TP_MM_PAGE_FREE: u32 = 15;
export const TP_TLB_FLUSH: u32 = 16;
export const TP_IPI_SEND: u32 = 17;
export const TP_BLOCK_RQ_ISSUE: u32 = 18;
export const TP_BLOCK_RQ_COMPLETE: u32 = 19;
export const TP_BLOCK_BIO_QUEUE: u32 = 20;
export const TP_SYS_ENTER: u32 = 21;
export const TP_SYS_EXIT: u32 = 22;
export const TP_OOM_MARK_VICTIM: u32 = 23;
export const TP_VMSCAN_RECLAIM_BEGIN: u32 = 24;
export const TP_VMSCAN_RECLAIM_END: u32 = 25;
export const TP_WRITEBACK_DIRTY_PAGE: u32 = 26;
export const TP_WRITEBACK_SINGLE_INODE: u32 = 27;
export const TP_WAIT_ON_PAGE_WRITEBACK: u32 = 28;
export const TP_SIGNAL_GENERATE: u32 = 29;
export const TP_MMAP: u32 = 30;
export const TP_MUNMAP: u32 = 31;
export const TP_FAULT_RETRY: u32 = 32;
export const TP_FAULT_NOPAGE: u32 = 33;
export const TP_WP_COPY: u32 = 34;
export const TP_WP_REUSE: u32 = 35;
export const TP_WP_SHARED: u32 = 36;
export const TP_MAP_PAGES: u32 = 37;
export const TP_READAHEAD: u32 = 38;
export const TP_RWSEM_HANDOFF: u32 = 39;
export const TP_PAGE_LOCK_WAIT: u32 = 40;
export const TP_PAGE_MKWRITE: u32 = 41;
export const TP_ZERO_PAGE: u32 = 42;
export const TP_COW_LAST_REF: u32 = 43;
export const TP_SHOOTDOWN_REMOTE: u32 = 44;
export const TP_READAHEAD_HIT: u32 = 45;
export const TP_MAJOR_FAULT: u32 = 46;
export const TP_WRITEBACK_START: u32 = 47;
export const TP_BALANCE_DIRTY_PAGES: u32 = 48;
export const TP_MKWRITE_UNLOCKED: u32 = 49;
export const TP_MKWRITE_STASH_ACCEPTED: u32 = 50;
export const TP_MKWRITE_STASH_REJECTED: u32 = 51;
export const TP_MKWRITE_COMPLETED: u32 = 52;
export const TP_MKWRITE_PREPARED: u32 = 53;
export const TP_VMA_LOCK_MISS: u32 = 54;
export const TP_COWFS_BAD_BLOCK: u32 = 55;
export const TP_COWFS_BAD_DATA: u32 = 56;
export const TP_COWFS_ABORT: u32 = 57;
export const TP_COWFS_COMMIT: u32 = 58;
export const TP_COWFS_FLUSH_SPACE: u32 = 59;
export const TP_COWFS_TICKET: u32 = 60;
export const TP_COWFS_ORDERED_ADD: u32 = 61;
export const TP_COWFS_ORDERED_WAIT: u32 = 62;
export const TP_JBD2_START_COMMIT: u32 = 63;
export const TP_JBD2_END_COMMIT: u32 = 64;
export const TP_JBD2_CHECKPOINT: u32 = 65;
export const TP_JBD2_HANDLE_WAIT: u32 = 66;
export const TP_DAX_INSERT_PFN_MKWRITE: u32 = 67;
export const TP_DAX_WRITEBACK_RANGE: u32 = 68;
export const TP_JBDFS_PREPARED: u32 = 69;
export const TP_FORCE_SHUTDOWN: u32 = 70;
export const TP_COWFS_FSCK: u32 = 71;
export const TP_BLOCK_FSCK: u32 = 72;
export const TP_COUNT: u32 = 73;

export function tracepointName(id: u32): string {
  if (id < 24) return nameLow(id);
  switch (id) {
    case TP_VMSCAN_RECLAIM_BEGIN: return "vmscan:mm_vmscan_direct_reclaim_begin";
    case TP_VMSCAN_RECLAIM_END: return "vmscan:mm_vmscan_direct_reclaim_end";
    case TP_WRITEBACK_DIRTY_PAGE: return "writeback:writeback_dirty_page";
    case TP_WRITEBACK_SINGLE_INODE: return "writeback:writeback_single_inode";
    case TP_WAIT_ON_PAGE_WRITEBACK: return "writeback:wait_on_page_writeback";
    case TP_SIGNAL_GENERATE: return "signal:signal_generate";
    case TP_MMAP: return "mmap:vm_unmapped_area";
    case TP_MUNMAP: return "faultline:munmap";
    case TP_FAULT_RETRY: return "faultline:fault_retry";
    case TP_FAULT_NOPAGE: return "faultline:fault_nopage";
    case TP_WP_COPY: return "faultline:wp_page_copy";
    case TP_WP_REUSE: return "faultline:wp_page_reuse";
    case TP_WP_SHARED: return "faultline:wp_page_shared";
    case TP_MAP_PAGES: return "filemap:mm_filemap_map_pages";
    case TP_READAHEAD: return "faultline:page_cache_ra_unbounded";
    case TP_RWSEM_HANDOFF: return "faultline:rwsem_handoff";
    case TP_PAGE_LOCK_WAIT: return "faultline:page_lock_wait";
    case TP_PAGE_MKWRITE: return "faultline:page_mkwrite";
    case TP_ZERO_PAGE: return "faultline:zero_page";
    case TP_COW_LAST_REF: return "faultline:cow_last_reference";
    case TP_SHOOTDOWN_REMOTE: return "faultline:tlb_shootdown_remote";
    case TP_READAHEAD_HIT: return "faultline:readahead_hit";
    case TP_MAJOR_FAULT: return "faultline:major_fault";
    case TP_WRITEBACK_START: return "writeback:writeback_start";
    case TP_BALANCE_DIRTY_PAGES: return "writeback:balance_dirty_pages";
    case TP_MKWRITE_UNLOCKED: return "faultline:mkwrite_unlocked";
    case TP_MKWRITE_STASH_ACCEPTED: return "faultline:mkwrite_stash_accepted";
    case TP_MKWRITE_STASH_REJECTED: return "faultline:mkwrite_stash_rejected";
    case TP_MKWRITE_COMPLETED: return "faultline:mkwrite_completed";
    case TP_MKWRITE_PREPARED: return "faultline:mkwrite_already_prepared";
    case TP_VMA_LOCK_MISS: return "faultline:vma_lock_miss";
    case TP_COWFS_BAD_BLOCK: return "faultline:cowfs_tree_block_bad";
    case TP_COWFS_BAD_DATA: return "faultline:cowfs_csum_failed";
    case TP_COWFS_ABORT: return "faultline:cowfs_transaction_abort";
    case TP_COWFS_COMMIT: return "btrfs:btrfs_transaction_commit";
    case TP_COWFS_FLUSH_SPACE: return "btrfs:btrfs_flush_space";
    case TP_COWFS_TICKET: return "btrfs:btrfs_reserve_ticket";
    case TP_COWFS_ORDERED_ADD: return "btrfs:btrfs_ordered_extent_add";
    case TP_COWFS_ORDERED_WAIT: return "btrfs:btrfs_ordered_extent_start";
    case TP_JBD2_START_COMMIT: return "jbd2:jbd2_start_commit";
    case TP_JBD2_END_COMMIT: return "jbd2:jbd2_end_commit";
    case TP_JBD2_CHECKPOINT: return "jbd2:jbd2_checkpoint";
    case TP_JBD2_HANDLE_WAIT: return "faultline:jbd2_handle_wait";
    case TP_DAX_INSERT_PFN_MKWRITE: return "fs_dax:dax_insert_pfn_mkwrite";
    case TP_DAX_WRITEBACK_RANGE: return "fs_dax:dax_writeback_range";
    case TP_JBDFS_PREPARED: return "faultline:jbdfs_already_prepared";
    case TP_FORCE_SHUTDOWN: return "xfs:xfs_force_shutdown";
    case TP_COWFS_FSCK: return "faultline:cowfs_fsck";
    case TP_BLOCK_FSCK: return "faultline:block_fsck";
    default: return "";
  }
}

function nameLow(id: u32): string {
  switch (id) {
    case TP_PAGE_FAULT_USER: return "exceptions:page_fault_user";
    case TP_PAGE_FAULT_KERNEL: return "exceptions:page_fault_kernel";
    case TP_MMAP_LOCK_START: return "mmap_lock:mmap_lock_start_locking";
    case TP_MMAP_LOCK_ACQUIRED: return "mmap_lock:mmap_lock_acquire_returned";
    case TP_MMAP_LOCK_RELEASED: return "mmap_lock:mmap_lock_released";
    case TP_SCHED_SWITCH: return "sched:sched_switch";
    case TP_SCHED_WAKEUP: return "sched:sched_wakeup";
    case TP_SCHED_FORK: return "sched:sched_process_fork";
    case TP_SCHED_EXIT: return "sched:sched_process_exit";
    case TP_CONTENTION_BEGIN: return "lock:contention_begin";
    case TP_CONTENTION_END: return "lock:contention_end";
    case TP_MM_FILEMAP_ADD: return "filemap:mm_filemap_add_to_page_cache";
    case TP_MM_FILEMAP_DELETE: return "filemap:mm_filemap_delete_from_page_cache";
    case TP_MM_FILEMAP_FAULT: return "filemap:mm_filemap_fault";
    case TP_MM_PAGE_ALLOC: return "kmem:mm_page_alloc";
    case TP_MM_PAGE_FREE: return "kmem:mm_page_free";
    case TP_TLB_FLUSH: return "tlb:tlb_flush";
    case TP_IPI_SEND: return "ipi:ipi_send_cpumask";
    case TP_BLOCK_RQ_ISSUE: return "block:block_rq_issue";
    case TP_BLOCK_RQ_COMPLETE: return "block:block_rq_complete";
    case TP_BLOCK_BIO_QUEUE: return "block:block_bio_queue";
    case TP_SYS_ENTER: return "raw_syscalls:sys_enter";
    case TP_SYS_EXIT: return "raw_syscalls:sys_exit";
    case TP_OOM_MARK_VICTIM: return "oom:mark_victim";
    default: return "";
  }
}
