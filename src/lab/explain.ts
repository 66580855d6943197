/**
 * Trace events in plain words.
 *
 * Interface: explain(event) -> one or two sentences, or undefined for an event that has no explanation.
 * Invariants: [exp-1] every event that the life of a store can show is explained (kernel-tests/lab holds the two together).
 * Locks: none.
 * Why not beside the tracepoints: the kernel's names are for those who know them; these words are for those who do not yet.
 */
import type { TraceEvent } from "../host/trace.js";
import { SYS, errnoName } from "../guest/constants.js";

const SYSCALLS = new Map<number, string>(Object.entries(SYS).map(([name, nr]) => [nr, name]));

const CAUSES: Readonly<Record<number, string>> = { 12: "an instruction fetch", 13: "a load", 15: "a store" };

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function call(event: TraceEvent): string {
  return SYSCALLS.get(Number(event.a)) ?? `system call ${event.a.toString()}`;
}

function trap(event: TraceEvent): string {
  const cause = Number(event.b);
  const access = CAUSES[cause] ?? "an access";
  const walk = `The MMU walks the page table for ${access} at ${hex(event.a)}, finds no entry that allows it`;
  return `${walk}, and traps (scause ${cause}). From here on the kernel runs.`;
}

function sysExit(event: TraceEvent): string {
  const value = BigInt.asIntN(64, event.b);
  if (value < 0n && value > -4096n) return `${call(event)} fails with ${errnoName(Number(value))}.`;
  return `${call(event)} returns ${value > 0xffffn ? hex(value) : value.toString()}.`;
}

const WORDS: Readonly<Record<string, string | ((event: TraceEvent) => string)>> = {
  "raw_syscalls:sys_enter": (e) => `The program calls ${call(e)}.`,
  "raw_syscalls:sys_exit": sysExit,
  "mmap:vm_unmapped_area": (e) =>
    `A gap of ${e.b.toString()} bytes is found at ${hex(e.a)} and a VMA put there. No page is mapped: the page table stays as it is.`,
  "exceptions:page_fault_user": trap,
  "exceptions:page_fault_kernel": (e) => `The kernel itself touches ${hex(e.a)} for a system call, and traps.`,
  "mmap_lock:mmap_lock_start_locking": "The fault handler asks for mmap_sem, for reading: the VMA must not change while it looks.",
  "mmap_lock:mmap_lock_acquire_returned":
    "It has mmap_sem. Other faults may hold it too; mmap, munmap and mprotect must wait from here on.",
  "mmap_lock:mmap_lock_released": "mmap_sem is free again.",
  "faultline:vma_lock_miss": "The lock of the one VMA cannot be had: the fault falls back to mmap_sem.",
  "faultline:fault_retry":
    "The handler lets its lock go in mid-fault and starts over (VM_FAULT_RETRY). What it has done so far stays in the page cache.",
  "faultline:fault_nopage": "Somebody else was first: nothing is left to install, the instruction is executed again.",
  "faultline:major_fault": "The page is not in the page cache: a major fault. The filesystem must make it.",
  "filemap:mm_filemap_add_to_page_cache": (e) => `A free frame becomes page ${e.a.toString()} of the file in the page cache.`,
  "filemap:mm_filemap_delete_from_page_cache": (e) => `Page ${e.a.toString()} of the file leaves the page cache.`,
  "filemap:mm_filemap_fault": (e) =>
    `->fault hands over page ${e.a.toString()} of the file, locked, so that nobody truncates or writes it now.`,
  "filemap:mm_filemap_map_pages": "Fault-around: whatever the page cache already holds near this address is mapped along with it.",
  "faultline:page_cache_ra_unbounded": "Readahead brings in the pages that are likely to be next.",
  "faultline:readahead_hit": "A page that readahead brought in is met, and the next window is started.",
  "faultline:page_mkwrite":
    "The filesystem is asked whether the page may become writable. It reserves space, may wait for a transaction, dirties the page.",
  "faultline:mkwrite_unlocked": "The fault lock is dropped first: while the filesystem works, nobody waits for this fault.",
  "faultline:mkwrite_stash_accepted": "Back under the lock, the page prepared before is still good: the filesystem is not asked again.",
  "faultline:mkwrite_stash_rejected": "Back under the lock, the page prepared before is no longer good: the filesystem is asked again.",
  "faultline:mkwrite_completed":
    "The lock could be had again at once and the VMA has not changed: the entry is installed without a second walk.",
  "faultline:mkwrite_already_prepared": "The filesystem finds the page already prepared and answers at once.",
  "faultline:wp_page_shared": "The entry was read-only: it gets W and D, and the page counts as dirty.",
  "faultline:wp_page_reuse": "The entry was read-only and nobody needs to be asked: it becomes writable as it is.",
  "faultline:wp_page_copy": "Copy on write: the page is copied, and the entry points to the copy.",
  "faultline:cow_last_reference": "The last one to share the page keeps it: no copy.",
  "faultline:zero_page": "A read of memory never written: the one page of zeroes is mapped.",
  "faultline:page_lock_wait": "The page is locked by somebody else: the task sleeps.",
  "lock:contention_begin": "A lock is taken: the task sleeps until it is free.",
  "lock:contention_end": "The task has the lock it waited for.",
  "writeback:writeback_dirty_page": (e) => `Page ${e.a.toString()} of the file is now dirty: writeback must carry it to the disk some day.`,
  "writeback:writeback_start": (e) =>
    `Writeback of the file begins; dirty pages: ${e.b.toString()}. Each is write-protected first, so that the next store is noticed.`,
  "writeback:writeback_single_inode": "Writeback of the file is done.",
  "btrfs:btrfs_transaction_commit":
    "A transaction commits: its tree blocks go to new places, then the superblock that points to them, with flushes around it.",
  "btrfs:btrfs_flush_space": "Space is short: delalloc is flushed and transactions are committed until some is free.",
  "btrfs:btrfs_reserve_ticket": "The reservation cannot be met yet: the task queues with a ticket and sleeps.",
  "btrfs:btrfs_ordered_extent_add":
    "Nothing is overwritten in place: the dirty range gets a new place on the disk, and an ordered extent to watch its IO.",
  "btrfs:btrfs_ordered_extent_start": "Whoever needs the data on disk waits for the ordered extent's IO to end.",
  "jbd2:jbd2_start_commit": "A transaction of the journal commits: the blocks that it changed are written to the log, in order.",
  "jbd2:jbd2_end_commit": "The log has the transaction, flushed: from here on a crash does not lose it.",
  "jbd2:jbd2_checkpoint": "The log runs short: blocks go to their own places, and their room in the log becomes free.",
  "faultline:jbd2_handle_wait": "The journal has no room for a handle, or its transaction is being settled: the task waits for the commit.",
  "faultline:jbdfs_already_prepared": "Blocks are mapped and the page is dirty: page_mkwrite answers at once, without a handle.",
  "fs_dax:dax_insert_pfn_mkwrite": "DAX: the device's own page is mapped writable. There is no page of the page cache.",
  "fs_dax:dax_writeback_range": "DAX: the pages stored to are write-protected, and the device is flushed.",
  "writeback:wait_on_page_writeback": (e) => `Page ${e.a.toString()} is on its way to the disk: the task waits for it.`,
  "writeback:balance_dirty_pages": "Whoever dirties pages is asked to wait when too many are dirty. The fault lock is not held here.",
  "tlb:tlb_flush": (e) =>
    `${e.a === 1n ? "One page is" : `${e.a.toString()} pages are`} flushed from the TLBs; other CPUs that take part: ${e.b.toString()}.`,
  "ipi:ipi_send_cpumask": "The other CPUs are interrupted to flush their TLBs.",
  "block:block_bio_queue": "A request for the disk is queued.",
  "block:block_rq_issue": "The disk starts on the request.",
  "block:block_rq_complete": "The disk is done with the request.",
  "sched:sched_switch": (e) => `The CPU leaves task ${e.a.toString()} for task ${e.b.toString()}.`,
  "sched:sched_process_fork": (e) => `Task ${e.a.toString()} is made.`,
  "sched:sched_process_exit": (e) => `Task ${e.a.toString()} ends.`,
  "sched:sched_wakeup": "A sleeping task may run again.",
  "signal:signal_generate": "A signal is sent.",
};

/** The event in plain words. */
export function explain(event: TraceEvent): string | undefined {
  const words = WORDS[event.name];
  return typeof words === "function" ? words(event) : words;
}

/** What the MMU did on its own: the change of an entry that no event tells of. */
export function explainSilence(before: bigint, after: bigint): string {
  const D = 128n;
  const A = 64n;
  if (before === after) return "No trap, no event: the TLB holds a writable translation, and the store goes straight to memory.";
  if ((before & D) === 0n && (after & D) !== 0n) {
    return "No trap: the entry is writable already, and the MMU alone sets D on the way. The kernel does not hear of this store.";
  }
  if ((before & A) === 0n && (after & A) !== 0n) return "No trap: the MMU alone sets A on the way.";
  return "No trap; the kernel changed the entry meanwhile.";
}
