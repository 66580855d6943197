/*
 * The cost table: what each step of the emulated machine takes, in ns of simulated time.
 *
 * Interface: C_* ids, cost(id), chargeCost(id), costName(id), costSetDefaults(), COST_COUNT.
 * Invariants: [cost-1] simulated time comes from this table and from the disk model, nowhere else.
 * Locks: immutable while the machine runs.
 * Why not measured host time: it measures the host (DESIGN D3).
 *
 * Sources: `m` calibration/measured-2vcpu.csv, `p` calibration/published.md, `d` derived: a total from m or p shared out over
 * its steps. A value is a property of one step on a 3 GHz server core; the totals that follow from it are what is checked.
 */
import { COST_TABLE } from "../memlayout";
import { SCHED_STATE } from "../memlayout";
import { SchedState } from "./state";

export const C_TRAP_ENTRY: u32 = 0;
export const C_TRAP_EXIT: u32 = 1;
export const C_SYSCALL: u32 = 2;
export const C_TLB_HIT: u32 = 3;
export const C_TLB_WALK: u32 = 4;
export const C_TLB_FLUSH_LOCAL: u32 = 5;
export const C_IPI_BASE: u32 = 6;
export const C_IPI_PER_CPU: u32 = 7;
export const C_IPI_RECEIVE: u32 = 8;
export const C_ATOMIC_LOCAL: u32 = 9;
export const C_LINE_SAME_SOCKET: u32 = 10;
export const C_LINE_CROSS_SOCKET: u32 = 11;
export const C_LINE_CONTENDER: u32 = 12;
export const C_VMA_LOOKUP: u32 = 13;
export const C_VMA_CACHED: u32 = 14;
export const C_FAULT_SETUP: u32 = 15;
export const C_PTE_ALLOC: u32 = 16;
export const C_PTE_SET: u32 = 17;
export const C_PTE_ZAP: u32 = 18;
export const C_PAGE_CACHE_LOOKUP: u32 = 19;
export const C_PAGE_CACHE_INSERT: u32 = 20;
export const C_PAGE_ALLOC: u32 = 21;
export const C_PAGE_ALLOC_BATCH: u32 = 22;
export const C_PAGE_FREE: u32 = 23;
export const C_PAGE_ZERO: u32 = 24;
export const C_PAGE_COPY: u32 = 25;
export const C_PAGE_DIRTY: u32 = 26;
export const C_RMAP: u32 = 27;
export const C_FILE_PIN: u32 = 28;
export const C_CONTEXT_SWITCH: u32 = 29;
export const C_MM_SWITCH: u32 = 30;
export const C_WAKE: u32 = 31;
export const C_WAKE_IDLE: u32 = 32;
export const C_VMA_CREATE: u32 = 33;
export const C_VMA_SPLIT: u32 = 34;
export const C_MMAP: u32 = 35;
export const C_MUNMAP: u32 = 36;
export const C_FORK_BASE: u32 = 37;
export const C_FORK_VMA: u32 = 38;
export const C_FORK_PTE: u32 = 39;
export const C_EXIT: u32 = 40;
export const C_CLONE_THREAD: u32 = 41;
export const C_PATH_COMPONENT: u32 = 42;
export const C_FILE_OPEN: u32 = 43;
export const C_COPY_USER_PAGE: u32 = 44;
export const C_BIO_SUBMIT: u32 = 45;
export const C_BIO_END: u32 = 46;
export const C_LRU_SCAN: u32 = 47;
export const C_MAP_PAGES: u32 = 48;
export const C_PROC_READ: u32 = 49;
export const C_PAGE_MKCLEAN: u32 = 50;
export const C_GUP: u32 = 51;
export const C_LOCK_SLOWPATH: u32 = 52;
export const C_MEMCG_CHARGE: u32 = 53;
export const C_BALANCE_DIRTY: u32 = 54;
export const C_SPACE_RESERVE: u32 = 55;
export const C_TRANSACTION_START: u32 = 56;
export const C_DELALLOC: u32 = 57;
export const C_ORDERED_LOOKUP: u32 = 58;
export const C_EXTENT_MAP: u32 = 59;
export const C_BTREE_NODE: u32 = 60;
export const C_BTREE_COW: u32 = 61;
export const C_BTREE_ITEM: u32 = 62;
export const C_CSUM_PAGE: u32 = 63;
export const C_COMMIT: u32 = 64;
/** A thousand instructions of a program: one takes less than a ns. */
export const C_THOUSAND_INSTRUCTIONS: u32 = 65;
export const COST_COUNT: u32 = 66;

/** The name a user types in a cost file: Linux's or the field's word for the step. */
export function costName(id: u32): string {
  if (id < 27) return costNameLow(id);
  switch (id) {
    case C_RMAP: return "rmap_add";
    case C_FILE_PIN: return "file_pin";
    case C_CONTEXT_SWITCH: return "context_switch";
    case C_MM_SWITCH: return "mm_switch";
    case C_WAKE: return "wake";
    case C_WAKE_IDLE: return "wake_idle_cpu";
    case C_VMA_CREATE: return "vma_create";
    case C_VMA_SPLIT: return "vma_split";
    case C_MMAP: return "mmap_base";
    case C_MUNMAP: return "munmap_base";
    case C_FORK_BASE: return "fork_base";
    case C_FORK_VMA: return "fork_vma";
    case C_FORK_PTE: return "fork_pte";
    case C_EXIT: return "exit_base";
    case C_CLONE_THREAD: return "clone_thread";
    case C_PATH_COMPONENT: return "path_component";
    case C_FILE_OPEN: return "file_open";
    case C_COPY_USER_PAGE: return "copy_user_page";
    case C_BIO_SUBMIT: return "bio_submit";
    case C_BIO_END: return "bio_end";
    case C_LRU_SCAN: return "lru_scan";
    case C_MAP_PAGES: return "map_pages_each";
    case C_PROC_READ: return "proc_read";
    case C_PAGE_MKCLEAN: return "page_mkclean";
    case C_GUP: return "gup_page";
    case C_LOCK_SLOWPATH: return "lock_slowpath";
    case C_MEMCG_CHARGE: return "memcg_charge";
    case C_BALANCE_DIRTY: return "balance_dirty_pages";
    case C_SPACE_RESERVE: return "space_reserve";
    case C_TRANSACTION_START: return "transaction_start";
    case C_DELALLOC: return "delalloc_reserve";
    case C_ORDERED_LOOKUP: return "ordered_lookup";
    case C_EXTENT_MAP: return "extent_map_lookup";
    case C_BTREE_NODE: return "btree_search_node";
    case C_BTREE_COW: return "btree_cow_block";
    case C_BTREE_ITEM: return "btree_change_item";
    case C_CSUM_PAGE: return "checksum_page";
    case C_COMMIT: return "transaction_commit";
    case C_THOUSAND_INSTRUCTIONS: return "thousand_instructions";
    default: return "";
  }
}

function costNameLow(id: u32): string {
  switch (id) {
    case C_TRAP_ENTRY: return "trap_entry";
    case C_TRAP_EXIT: return "trap_exit";
    case C_SYSCALL: return "syscall";
    case C_TLB_HIT: return "tlb_hit";
    case C_TLB_WALK: return "tlb_walk";
    case C_TLB_FLUSH_LOCAL: return "tlb_flush_local";
    case C_IPI_BASE: return "ipi_base";
    case C_IPI_PER_CPU: return "ipi_per_cpu";
    case C_IPI_RECEIVE: return "ipi_receive";
    case C_ATOMIC_LOCAL: return "atomic_local";
    case C_LINE_SAME_SOCKET: return "line_same_socket";
    case C_LINE_CROSS_SOCKET: return "line_cross_socket";
    case C_LINE_CONTENDER: return "line_contender";
    case C_VMA_LOOKUP: return "vma_lookup";
    case C_VMA_CACHED: return "vma_cached";
    case C_FAULT_SETUP: return "fault_setup";
    case C_PTE_ALLOC: return "pte_alloc";
    case C_PTE_SET: return "pte_set";
    case C_PTE_ZAP: return "pte_zap";
    case C_PAGE_CACHE_LOOKUP: return "page_cache_lookup";
    case C_PAGE_CACHE_INSERT: return "page_cache_insert";
    case C_PAGE_ALLOC: return "page_alloc";
    case C_PAGE_ALLOC_BATCH: return "page_alloc_batch";
    case C_PAGE_FREE: return "page_free";
    case C_PAGE_ZERO: return "page_zero";
    case C_PAGE_COPY: return "page_copy";
    case C_PAGE_DIRTY: return "page_dirty";
    default: return "";
  }
}

export function cost(id: u32): u32 {
  return load<u32>(COST_TABLE + (id << 2));
}

export function chargeCost(id: u32): void {
  changetype<SchedState>(SCHED_STATE).clockNs += load<u32>(COST_TABLE + (id << 2));
}

function set(id: u32, ns: u32): void {
  store<u32>(COST_TABLE + (id << 2), ns);
}

/** Fills the table. The host may overwrite entries before boot. */
export function costSetDefaults(): void {
  memory.fill(COST_TABLE, 0, 1024);
  // p: 715 cycles to enter, 330 to return, at 3 GHz; entry code included.
  set(C_TRAP_ENTRY, 290);
  set(C_TRAP_EXIT, 110);
  // m: null syscall 174 with 20 of timer overhead.
  set(C_SYSCALL, 154);
  set(C_TLB_HIT, 1);
  // p: a walk with tables in L2 is about 10 ns.
  set(C_TLB_WALK, 10);
  set(C_TLB_FLUSH_LOCAL, 200);
  // p: 1 us base plus 200 ns a receiver. m: mprotect with another CPU running adds 300..450.
  set(C_IPI_BASE, 300);
  set(C_IPI_PER_CPU, 100);
  set(C_IPI_RECEIVE, 200);
  // p: one atomic, about 20 cycles; 40..42 ns for a line on one socket, 2..4 times that across.
  set(C_ATOMIC_LOCAL, 7);
  set(C_LINE_SAME_SOCKET, 41);
  set(C_LINE_CROSS_SOCKET, 130);
  set(C_LINE_CONTENDER, 5);
  // d: tmpfs_shared_write_fault_cached is 1055 in all; what trap, walk and atomics leave is shared out over these steps.
  set(C_VMA_LOOKUP, 30);
  set(C_VMA_CACHED, 8);
  set(C_FAULT_SETUP, 130);
  set(C_PTE_ALLOC, 250);
  set(C_PTE_SET, 90);
  // d: page_fault3's 1309 a page on two tasks (scaling-144core.csv), less the fault's 1035.
  set(C_PTE_ZAP, 230);
  set(C_PAGE_CACHE_LOOKUP, 140);
  set(C_PAGE_CACHE_INSERT, 120);
  set(C_PAGE_ALLOC, 70);
  set(C_PAGE_ALLOC_BATCH, 400);
  set(C_PAGE_FREE, 60);
  set(C_PAGE_ZERO, 150);
  // d: page_fault2's 2480 a page on two tasks, less page_fault3's 1309 and what the copy's own frame costs: both pages are cold.
  set(C_PAGE_COPY, 900);
  set(C_PAGE_DIRTY, 60);
  set(C_RMAP, 120);
  set(C_FILE_PIN, 14);
  // p: thread switch 1.07 us, process switch 2.4 us one-way pipe.
  set(C_CONTEXT_SWITCH, 1070);
  set(C_MM_SWITCH, 300);
  set(C_WAKE, 250);
  // m: 36 us in a VM; bare metal is far lower.
  set(C_WAKE_IDLE, 2000);
  set(C_VMA_CREATE, 300);
  set(C_VMA_SPLIT, 400);
  // m: mmap of 4 KiB anonymous 1300 with the system call and its page.
  set(C_MMAP, 700);
  set(C_MUNMAP, 500);
  set(C_FORK_BASE, 30000);
  set(C_FORK_VMA, 500);
  set(C_FORK_PTE, 20);
  set(C_EXIT, 8000);
  set(C_CLONE_THREAD, 8000);
  set(C_PATH_COMPONENT, 120);
  set(C_FILE_OPEN, 500);
  set(C_COPY_USER_PAGE, 350);
  set(C_BIO_SUBMIT, 800);
  set(C_BIO_END, 700);
  set(C_LRU_SCAN, 50);
  set(C_MAP_PAGES, 25);
  set(C_PROC_READ, 2000);
  set(C_PAGE_MKCLEAN, 120);
  set(C_GUP, 60);
  set(C_LOCK_SLOWPATH, 120);
  set(C_MEMCG_CHARGE, 60);
  // d: a look at the counters, as long as a VMA lookup.
  set(C_BALANCE_DIRTY, 30);
  // d: btrfs_write_fault_fs_16GB is 4000 at p50; what a store to a clean page costs without a filesystem is about 1000; the rest is
  // shared out over the steps of btrfs_page_mkwrite.
  set(C_SPACE_RESERVE, 900);
  set(C_TRANSACTION_START, 600);
  set(C_DELALLOC, 1000);
  set(C_ORDERED_LOOKUP, 200);
  set(C_EXTENT_MAP, 120);
  // d: a binary search over cached lines; a page copied and a page allocated; items of half a leaf moved.
  set(C_BTREE_NODE, 150);
  set(C_BTREE_COW, 800);
  set(C_BTREE_ITEM, 300);
  // p: crc32c by instruction, about 10 bytes a ns.
  set(C_CSUM_PAGE, 400);
  set(C_COMMIT, 2000);
  // d: one instruction a cycle at 3 GHz.
  set(C_THOUSAND_INSTRUCTIONS, 333);
}
