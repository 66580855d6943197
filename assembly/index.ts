/*
 * The kernel's ABI: flat functions of numbers and struct pointers; nothing but exports.
 *
 * Interface: below; kept by src/host/wasm.ts.
 * Invariants: [abi-1] every exported function takes and returns i32, u32 or f64.
 * Locks: none; the host calls between two steps of the machine.
 * Why not the loader's classes: a flat ABI has no marshalling and works from any host.
 */
export { configDefaults, minimumBytes, boot } from "./kernel/boot";
export {
  blockBioField, blockImageBase, blockImageBytes, blockInFlightNext, blockLogBase, blockLogCapacity, blockLogData, blockLogReset,
  blockLogSeq, checkMachine, choiceLogMade, choiceLogPtr, choiceScriptPtr,
  choiceScriptSet, configPtr, costCount, costName, costTablePtr, diskFaultsPtr, diskModelPtr, faultHistogram, faultLockName, guestExited,
  guestResume, guestTask, hostAnswered, scriptedFsTable, histField, histPercentile, inspect, inspectPtr, lockClassName, lockStatField,
  lockWaitHistogram, lockdepClass, mkwriteName, nowNs, opBuffer, pageTableRoot, recorderHistogram, run, spawnProcess, traceCapacity,
  traceCount, traceEnable, tracePtr, traceSeq, tracepointName, usedBytes, failPageAfter, failSlabAfter, siteFail, siteCount,
  slabObjectsOf, currentTaskPtr, fsckLawName, unpark, consoleRing, consoleRingBytes, consoleWritten, unknownCalls,
} from "./kernel/abi";
export { mutantName, mutantReached, mutantSelect } from "./kernel/abi";
export {
  exploreBegin, exploreInit, explorePoints, explorePruned, footprintsBegin, footprintsInit, footprintsLength, noteLoad, noteRead,
  noteStore, noteWrite,
} from "./kernel/explore";
export { configFieldName, configFieldOffset, taskFieldName, taskFieldOffset } from "./kernel/layout";
export { hashPrepare } from "./kernel/hash";
export { statName, statValue, statsReset } from "./kernel/stats";
export { benchMmuHits, benchSwitch } from "./kernel/bench";
