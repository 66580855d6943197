/*
 * Lock classes: every lock of the kernel belongs to one; lockdep orders classes, lock_stat counts by class.
 *
 *     f_pos_lock                                     the lock tree, outermost first; a class nests inside those above it
 *       s_vfs_rename_mutex     (path walks, mount; sb_writers is only tried under it: a frozen filesystem stops no walk)
 *         sb_writers           (freeze protection of system calls)
 *           i_rwsem/dir, i_rwsem/dir/1
 *             i_rwsem, i_rwsem/1
 *               mmap_sem       (write() faults its buffer)
 *                 vma_lock
 *                   sb_pagefaults        (freeze protection of page_mkwrite)
 *                     sb_internal        (freeze protection of transactions)
 *                       fs_transaction   (journal handle, transaction)
 *                         invalidate_lock
 *                           jbd2_handle        (iomapfs, jbdfs: outside page locks)
 *                           page_lock
 *                             i_data_sem       (iomapfs, jbdfs: a file's extents)
 *                             cowfs_transaction      (a page being read waits for an ordered extent, which needs one)
 *                               cowfs_fs_tree, cowfs_extent_tree, cowfs_csum_tree, cowfs_root_tree
 *                             i_mmap_rwsem
 *                               page_table_lock    (spinlock)
 *                                 i_pages          (xarray, spinlock)
 *                                   lru_lock, zone_lock (spinlocks)
 *     freeze owns sb_writers, then sb_pagefaults, syncs, then sb_internal; no lock of the tree is held across its system call
 *
 * Interface: LC_* ids, lockClassName(id), lockClassParent(id).
 * Invariants: [lk-1] locks nest only as the tree says; a test compares this tree with what lockdep learned.
 * Locks: none.
 * Why not a class per lock instance: the order is a property of the code, not of one inode.
 */
export const LC_NONE: u32 = 0;
export const LC_MMAP_SEM: u32 = 1;
export const LC_MMAP_SEM_NESTED: u32 = 2;
export const LC_VMA_LOCK: u32 = 3;
export const LC_I_RWSEM: u32 = 4;
export const LC_INVALIDATE_LOCK: u32 = 5;
export const LC_PAGE_LOCK: u32 = 6;
export const LC_I_MMAP_RWSEM: u32 = 7;
export const LC_PAGE_TABLE_LOCK: u32 = 8;
export const LC_PAGE_TABLE_LOCK_NESTED: u32 = 9;
export const LC_I_PAGES: u32 = 10;
export const LC_LRU_LOCK: u32 = 11;
export const LC_ZONE_LOCK: u32 = 12;
export const LC_SB_WRITERS: u32 = 13;
export const LC_SB_PAGEFAULTS: u32 = 14;
export const LC_SB_INTERNAL: u32 = 15;
export const LC_FILES_LOCK: u32 = 16;
export const LC_DIR_I_RWSEM: u32 = 17;
export const LC_S_VFS_RENAME: u32 = 18;
export const LC_F_POS_LOCK: u32 = 19;
export const LC_QUEUE_LOCK: u32 = 20;
export const LC_TEST_A: u32 = 21;
export const LC_TEST_B: u32 = 22;
export const LC_TEST_C: u32 = 23;
export const LC_I_RWSEM_NESTED: u32 = 24;
export const LC_DIR_I_RWSEM_NESTED: u32 = 25;
export const LC_FS_TRANSACTION: u32 = 26;
export const LC_COWFS_TRANS: u32 = 27;
export const LC_COWFS_FS_TREE: u32 = 28;
export const LC_COWFS_EXTENT_TREE: u32 = 29;
export const LC_COWFS_CSUM_TREE: u32 = 30;
export const LC_COWFS_ROOT_TREE: u32 = 31;
export const LC_INVALIDATE_LOCK_NESTED: u32 = 32;
export const LC_JBD2_HANDLE: u32 = 33;
export const LC_I_DATA_SEM: u32 = 34;
export const LC_COUNT: u32 = 35;
/** Room for the classes of filesystems to come: lockdep's rows are 64 bits. */
export const LC_MAX: u32 = 64;

export function lockClassName(id: u32): string {
  switch (id) {
    case LC_MMAP_SEM: return "mmap_sem";
    case LC_MMAP_SEM_NESTED: return "mmap_sem/1";
    case LC_VMA_LOCK: return "vma_lock";
    case LC_I_RWSEM: return "i_rwsem";
    case LC_INVALIDATE_LOCK: return "invalidate_lock";
    case LC_PAGE_LOCK: return "page_lock";
    case LC_I_MMAP_RWSEM: return "i_mmap_rwsem";
    case LC_PAGE_TABLE_LOCK: return "page_table_lock";
    case LC_PAGE_TABLE_LOCK_NESTED: return "page_table_lock/1";
    case LC_I_PAGES: return "i_pages";
    case LC_LRU_LOCK: return "lru_lock";
    case LC_ZONE_LOCK: return "zone_lock";
    case LC_SB_WRITERS: return "sb_writers";
    case LC_SB_PAGEFAULTS: return "sb_pagefaults";
    case LC_SB_INTERNAL: return "sb_internal";
    case LC_FILES_LOCK: return "files_lock";
    case LC_DIR_I_RWSEM: return "i_rwsem/dir";
    case LC_S_VFS_RENAME: return "s_vfs_rename_mutex";
    case LC_F_POS_LOCK: return "f_pos_lock";
    case LC_QUEUE_LOCK: return "queue_lock";
    case LC_TEST_A: return "test_a";
    case LC_TEST_B: return "test_b";
    case LC_TEST_C: return "test_c";
    case LC_I_RWSEM_NESTED: return "i_rwsem/1";
    case LC_DIR_I_RWSEM_NESTED: return "i_rwsem/dir/1";
    case LC_FS_TRANSACTION: return "fs_transaction";
    case LC_COWFS_TRANS: return "cowfs_transaction";
    case LC_COWFS_FS_TREE: return "cowfs_fs_tree";
    case LC_COWFS_EXTENT_TREE: return "cowfs_extent_tree";
    case LC_COWFS_CSUM_TREE: return "cowfs_csum_tree";
    case LC_COWFS_ROOT_TREE: return "cowfs_root_tree";
    case LC_INVALIDATE_LOCK_NESTED: return "invalidate_lock/1";
    case LC_JBD2_HANDLE: return "jbd2_handle";
    case LC_I_DATA_SEM: return "i_data_sem";
    default: return "";
  }
}

/** True when the class may be held while a class below it in the tree is taken: `outer` before `inner`. */
export function lockClassRank(id: u32): u32 {
  switch (id) {
    case LC_F_POS_LOCK: return 0;
    case LC_S_VFS_RENAME: return 1;
    case LC_SB_WRITERS: return 2;
    case LC_DIR_I_RWSEM: return 3;
    case LC_DIR_I_RWSEM_NESTED: return 4;
    case LC_I_RWSEM: return 5;
    case LC_I_RWSEM_NESTED: return 6;
    case LC_MMAP_SEM: return 10;
    case LC_MMAP_SEM_NESTED: return 11;
    case LC_VMA_LOCK: return 12;
    case LC_SB_PAGEFAULTS: return 13;
    case LC_SB_INTERNAL: return 14;
    case LC_FS_TRANSACTION: return 15;
    case LC_INVALIDATE_LOCK: return 16;
    case LC_INVALIDATE_LOCK_NESTED: return 17;
    case LC_JBD2_HANDLE: return 18;
    case LC_PAGE_LOCK: return 19;
    case LC_COWFS_TRANS: return 20;
    case LC_COWFS_FS_TREE: return 21;
    case LC_COWFS_EXTENT_TREE: return 22;
    case LC_COWFS_CSUM_TREE: return 23;
    case LC_COWFS_ROOT_TREE: return 24;
    case LC_I_DATA_SEM: return 28;
    case LC_I_MMAP_RWSEM: return 30;
    case LC_FILES_LOCK: return 31;
    case LC_PAGE_TABLE_LOCK: return 32;
    case LC_PAGE_TABLE_LOCK_NESTED: return 33;
    case LC_I_PAGES: return 34;
    case LC_LRU_LOCK: return 35;
    case LC_ZONE_LOCK: return 36;
    case LC_QUEUE_LOCK: return 37;
    default: return 0xff;
  }
}
