/*
 * The test harness: a module of the lower rooms with flat exports, one part per room; nothing but exports.
 *
 * Interface: below; loaded by kernel-tests/host-harness.ts.
 * Invariants: [har-1] a part boots only the rooms it tests and those below.
 * Locks: none.
 * Why not the kernel's ABI: it is for hosts; a test wants the inside of a room, and rooms tested without those above.
 */
export {
  blkBioField, blkBioVecs, blkBoot, blkBreakCount, blkCheck, blkFaults, blkFrames, blkImage, blkImageBytes, blkInFlightNext,
  blkLogCapacity, blkLogData, blkLogHeads, blkLogReset, blkModel, blkNow, blkOpStat, blkProgram, blkRing, blkRingCount, blkRun,
  blkSetCosts, blkSetNow, blkStat, blkSubmit, blkSubmitChunks, blkTask, blkTraceCount, blkTraceEvent,
} from "./block";
