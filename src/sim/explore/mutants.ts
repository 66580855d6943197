/**
 * What each mutant of the kernel is: the slip, where it is made, the law it breaks, who is to notice it. Their names and numbers are the
 * kernel's (assembly/lib/mutant.ts); a test holds the two lists against each other.
 *
 * Interface: Mutant, MUTANTS, mutantByName.
 * Invariants:
 *   [mtb-1] every mutant of the kernel has its row here, in the kernel's order.
 *   [mtb-2] a mutant that is equivalent says why; a run that kills it all the same says that this is wrong.
 * Locks: none.
 * Why not in the kernel: its text would be in every snapshot, and the host alone reads it.
 */
import { ParseError } from "../parse.js";
import { suggestion } from "../suggest.js";

export interface Mutant {
  name: string;
  /** The slip, in words: what the kernel does, or leaves out. */
  slip: string;
  /** Where it is made, below assembly/. */
  file: string;
  /** The law that it breaks. */
  law: string;
  /** Who is to notice first: a scenario, or a workload of `faultline crash`. */
  killer: string;
  /** Why no run can tell it from the healthy kernel. */
  equivalent?: string;
}

const m = (name: string, file: string, law: string, killer: string, slip: string, equivalent?: string): Mutant => ({
  name,
  slip,
  file,
  law,
  killer,
  ...(equivalent === undefined ? {} : { equivalent }),
});

export const MUTANTS: readonly Mutant[] = [
  m("stash-mapping", "mm/mkwrite.ts", "mk-2", "S2", "the page kept from the first attempt is not asked whose file it belongs to"),
  m("stash-index", "mm/mkwrite.ts", "mk-2", "S3", "the page kept from the first attempt is not asked which offset it has"),
  m("stash-forbidden", "mm/mkwrite.ts", "mkw-1", "S31", "a file that became a swap file, or was shut down, in between is not noticed"),
  m(
    "stash-dirty",
    "mm/mkwrite.ts",
    "mk-1",
    "S11",
    "the kept page may be clean",
    "a page that is cleaned is prepared for no byte any more (clearDirtyMark), so the check of the range refuses it",
  ),
  m(
    "stash-writeback",
    "mm/mkwrite.ts",
    "mk-1",
    "S12",
    "the kept page may be under writeback where pages must stand still",
    "dirty and under writeback at once needs a page_mkwrite or a write that did not wait, and every filesystem here waits under its lock",
  ),
  m("stash-range", "mm/mkwrite.ts", "mk-1", "S8", "the dirty bit stands for every block of the page"),
  m("stash-unchecked", "mm/mkwrite.ts", "mk-1", "S11", "the kept page is taken if it is the file's and at the offset, as it is"),
  m(
    "stash-dirty-only",
    "mm/mkwrite.ts",
    "mk-1",
    "S9",
    '"still dirty" is all that is asked: not the range, not whether it is the same dirty',
  ),
  m(
    "stash-generation",
    "mm/nommapsem.ts",
    "mk-1",
    "S9",
    "a page that was cleaned and dirtied again counts as the one that was prepared",
    "what was dirtied again and passes the check of the range has space for every byte: nothing is lost by taking it",
  ),
  m("stash-saved-mapping", "mm/nommapsem.ts", "mk-2", "S2", "the kept page is compared with the mapping noted before the drop"),
  m("stash-leak-reject", "mm/nommapsem.ts", "mk-6", "S6", "a kept page that is refused keeps its reference"),
  m("stash-leak-signal", "mm/fault-lock.ts", "mk-6", "S27", "a fault that ends because its task is killed keeps the page's reference"),
  m("stash-leak-segv", "mm/fault-lock.ts", "mk-6", "S1", "a fault that ends in SIGSEGV keeps the page's reference"),
  m("stash-leak-gup", "mm/fault-lock.ts", "mk-6", "S29", "get_user_pages that gives up keeps the page's reference"),
  m("vma-after-drop", "mm/nommapsem.ts", "mk-3", "S1", "the VMA is read after the lock was dropped"),
  m("error-after-drop", "mm/nommapsem.ts", "mk-4", "S16", "an error found without the lock is returned as if the lock were held"),
  m("nopage-after-drop", "mm/nommapsem.ts", "mk-4", "S6", "NOPAGE found without the lock is returned as if the lock were held"),
  m("retry-locked", "mm/nommapsem.ts", "mk-4", "S6", "RETRY is returned with mmap_sem taken again"),
  m("tried-ignored", "mm/nommapsem.ts", "mk-5", "S28", "the second pass may drop the lock as well"),
  m("vma-pass-untried", "mm/fault-lock.ts", "mk-5", "S28", "a pass under the VMA's lock does not count as the first attempt"),
  m("unlockable-ignored", "mm/nommapsem.ts", "gup-1", "S29", "the lock is dropped although the caller said that it may not be"),
  m("gup-keeps-tried", "mm/gup.ts", "mk-5", "S25", "a fault of get_user_pages that is over is not told from the next one"),
  m("completed-stamp", "mm/fault-lock.ts", "mk-3", "S4", "completed takes a VMA at the same address for the same VMA"),
  m("completed-queues", "mm/nommapsem.ts", "lk-1", "S2", "completed waits for the fault lock with the page locked"),
  m("vma-seq-kept", "mm/vma-ops.ts", "vma-3", "S4", "a VMA that is changed keeps its stamp"),
  m("access-not-rechecked", "mm/fault-lock.ts", "mp-1", "S4", "the second pass does not ask again whether the VMA may be written"),
  m("private-takes-stash", "mm/memory.ts", "fk-1", "S4", "the second pass does not ask again whether the VMA is shared"),
  m("vma-lock-leak", "mm/fault-lock.ts", "lk-2", "S4", "a fault that the VMA refuses keeps the VMA's lock"),
  m("pin-none", "mm/fault.ts", "vmf-1", "S5", "the file of a fault is not pinned"),
  m("pin-leak-retry", "mm/fault.ts", "mk-6", "S5", "a pass that dropped its lock keeps the file pinned"),
  m("majflt-twice", "mm/fault-lock.ts", "mk-5", "R6", "a pass that ends in RETRY is counted as a major fault of its own"),
  m("unlock-early", "mm/memory.ts", "mk-2", "S13", "the page is unlocked before its PTE is in"),
  m("finish-unchecked", "mm/memory.ts", "mem-1", "S23", "the PTE goes in whatever the slot has become"),
  m("wp-unchecked", "mm/memory.ts", "mem-1", "S6", "a read-only PTE that the fault has seen comes back writable, whatever it has become"),
  m("cow-unchecked", "mm/memory.ts", "mem-1", "M1", "the private copy goes in whatever the slot has become"),
  m("cow-reuse-shared", "mm/memory.ts", "fk-1", "M2", "a page that two processes map is taken for one's own"),
  m("cow-no-flush", "mm/memory.ts", "tlb-1", "M1", "the page that a private copy replaces stays in the TLBs"),
  m("throttle-skipped", "mm/memory.ts", "wb-4", "M6", "stores through mappings are not throttled"),
  m("pin-store-unasked", "mm/access-remote.ts", "gup-5", "S9", "a store through a pin does not ask whether the page is prepared still"),
  m("mkclean-no-flush", "mm/rmap.ts", "sd-1", "S8", "writeback write-protects a PTE and leaves it in the TLBs"),
  m("mkclean-keeps-write", "mm/rmap.ts", "mk-1", "S13", "writeback takes the PTE's dirty bit and leaves it writable"),
  m("munmap-no-flush", "mm/zap.ts", "zap-1", "S1", "pages are dropped with their translations still in the TLBs"),
  m("mprotect-no-flush", "mm/zap.ts", "mp-1", "S4", "rights that mprotect takes away stay in the TLBs"),
  m("fork-parent-writable", "mm/zap.ts", "fk-1", "M2", "fork leaves the parent's private pages writable"),
  m("fork-no-flush", "mm/zap.ts", "fk-1", "S9", "fork leaves writable translations of the parent in the TLBs"),
  m("fork-unshares", "mm/fork.ts", "fk-1", "S24", "a shared mapping becomes a private one in the child"),
  m(
    "zap-dirty-lost",
    "mm/zap.ts",
    "zap-2",
    "S1",
    "the PTE's dirty bit is forgotten with the PTE",
    "a writable PTE implies a dirty page ([mk-1]), so the page is told nothing new",
  ),
  m("truncate-size-late", "fs/cowfs/truncate.ts", "tr-1", "S6", "pages go before i_size says so"),
  m("truncate-no-second-unmap", "mm/truncate.ts", "tr-1", "M3", "a private copy made during the truncate stays mapped behind the end"),
  m("truncate-keeps-mapping", "mm/filemap.ts", "page-2", "S6", "a page that left the cache still names its mapping"),
  m("truncate-skips-mapped", "mm/truncate.ts", "tr-2", "M4", "a page that was mapped again after the first unmap is taken out mapped"),
  m("truncate-no-wait", "mm/truncate.ts", "tr-2", "S6", "a page goes with its writeback under way"),
  m("writeback-no-wake", "mm/page-writeback.ts", "wq-1", "S11", "the end of writeback wakes nobody"),
  m("redirty-lost", "mm/page-writeback.ts", "mk-1", "S11", "the end of writeback takes the dirty bit that came meanwhile"),
  m("errseq-silent", "mm/writeback.ts", "sy-2", "S16", "fsync does not say that writeback failed"),
  m("unprepare-skipped", "mm/writeback.ts", "mk-1", "S10", "a hole in a page leaves it prepared"),
  m("msync-no-wait", "mm/writeback.ts", "mk-7", "mmap-msync", "msync does not wait for the writes it started"),
  m("rwsem-reader-passes", "sched/rwsem.ts", "rwsem-2", "S1", "a reader passes a writer who waits"),
  m("rwsem-wake-lost", "sched/rwsem.ts", "rwsem-3", "S2", "a writer who leaves wakes nobody"),
  m("lockbit-wake-lost", "sched/lock-bit.ts", "bit-1", "S23", "a page lock that is given up is handed to nobody"),
  m("percpu-wake-lost", "sched/percpu-rwsem.ts", "pcpu-1", "S14", "the last page fault under freeze protection does not wake the freezer"),
  m("freeze-skipped", "fs/super.ts", "mk-8", "S14", "page_mkwrite takes no freeze protection"),
  m("freeze-syncs-first", "fs/super.ts", "mk-8", "S14", "freezing writes what is dirty before it keeps page_mkwrite out"),
  m("callback-mapping", "fs/cowfs/file.ts", "mk-2", "S6", "page_mkwrite does not ask whether the page is the file's still"),
  m("reflink-unlocked", "fs/remap.ts", "mk-9", "S19", "a clone keeps no page_mkwrite out"),
  m("reserve-leak-nopage", "fs/cowfs/file.ts", "mk-6", "S18", "space reserved for a page that is gone is not given back"),
  m("reserve-released-twice", "fs/cowfs/file.ts", "mk-6", "S9", "space that was not needed is given back twice"),
  m("page-lock-first", "fs/cowfs/file.ts", "cf-2", "S16", "space is reserved with the page locked"),
  m("extend-no-mkclean", "fs/cowfs/file.ts", "mk-1", "S8", "a file that grows inside its last page leaves that page writable"),
  m("tail-not-zeroed", "fs/cowfs/writeback.ts", "ct-1", "M5", "stores behind the end of the file reach the disk"),
  m(
    "ordered-not-waited",
    "fs/cowfs/file.ts",
    "or-1",
    "S11",
    "page_mkwrite does not wait for an ordered extent",
    "data of a later write is finished later (one worker, in order), and a reader finds the page in the cache",
  ),
  m("fsync-ordered", "fs/cowfs/file.ts", "mk-7", "mmap-msync", "fsync commits before the ordered extents are in the trees"),
  m("delalloc-twice", "fs/cowfs/delalloc.ts", "mk-6", "S9", "a block that has space is counted once more"),
  m("delalloc-kept", "fs/cowfs/delalloc.ts", "ps-1", "S10", "a truncated page gives its space back and keeps its bits"),
  m("truncate-ordered", "fs/cowfs/truncate.ts", "ct-1", "S18", "truncate does not wait for ordered extents behind the new end"),
  m("punch-ordered", "fs/cowfs/truncate.ts", "or-1", "S10", "a hole punch does not wait for ordered extents inside the hole"),
  m("punch-edge-writable", "fs/cowfs/truncate.ts", "mk-1", "S10", "the page at the edge of a hole stays writable"),
  m("zero-rest", "fs/cowfs/truncate.ts", "ct-1", "truncate-extend", "what the last block holds behind the new end stays on the disk"),
  m("reflink-unflushed", "fs/cowfs/reflink.ts", "mk-9", "S19", "a clone is made of what is on the disk, not of what was stored"),
  m("snapshot-unflushed", "fs/cowfs/snapshot.ts", "mk-9", "S20", "a snapshot is made of what is on the disk, not of what was stored"),
  m(
    "commit-no-barrier",
    "fs/cowfs/commit.ts",
    "cow-9",
    "write-fsync",
    "the superblock is written before what it refers to is on the medium",
  ),
  m("super-not-durable", "fs/cowfs/commit.ts", "mk-7", "write-fsync", "a commit ends before its superblock is on the medium"),
  m("freed-early", "fs/cowfs/space.ts", "cow-1", "holes", "space is used again before the commit that gave it up"),
  m(
    "journal-no-barrier",
    "fs/block/commit.ts",
    "jnl-5",
    "write-fsync",
    "the commit record is written before what it commits is on the medium",
  ),
  m("journal-not-durable", "fs/block/commit.ts", "jnl-6", "write-fsync", "a commit ends before its record is on the medium"),
  m("journal-data-unordered", "fs/block/commit.ts", "jnl-5", "M7", "a commit does not wait for the data it refers to"),
];

/** The mutant of that name. Throws ParseError. */
export function mutantByName(name: string): Mutant {
  const found = MUTANTS.find((mutant) => mutant.name === name);
  if (found) return found;
  const names = MUTANTS.map((mutant) => mutant.name);
  throw new ParseError(`mutant "${name}": no such mutant.${suggestion(name, names)}`);
}
