/**
 * All scenarios, in the order of SCENARIOS.md.
 *
 * Interface: SCENARIOS, SCENARIO_NAMES, scenarioByName.
 * Invariants: [scn-i1] a name is one scenario's; an id may be several scenarios', each with a name of its own.
 * Locks: none.
 * Why not read the folder: the lab and a bundle have none.
 */
import type { AnyScenario } from "./scenario.js";
import { forkCopies, privateStores, privateTruncate } from "./m1-private-memory.js";
import { behindTheEnd, faultCounts, loadTruncate, throttled, twoSyncs } from "./m4-page-cache.js";
import { munmap } from "./s01-munmap.js";
import { otherFile } from "./s02-other-file.js";
import { mremap, otherOffset } from "./s03-other-offset.js";
import { privateMapping, readOnly } from "./s04-read-only.js";
import { lastReference } from "./s05-last-reference.js";
import { truncate } from "./s06-truncate.js";
import { truncateExtend } from "./s07-truncate-extend.js";
import { extendTail, extendTailRemote } from "./s08-extend-tail.js";
import { dirtyAgain, dirtyAgainRemote } from "./s09-dirty-again.js";
import { punch } from "./s10-punch.js";
import { firstPte, stablePages, writeback } from "./s11-writeback.js";
import { freeze } from "./s14-freeze.js";
import { ownBuffer } from "./s15-own-buffer.js";
import { noSpace, spaceReturns } from "./s16-no-space.js";
import { outOfMemory, reclaim } from "./s17-out-of-memory.js";
import { reservations } from "./s18-reservations.js";
import { reflink, snapshot } from "./s19-reflink.js";
import { dax } from "./s21-dax.js";
import { fork, forkedStores, twoStores } from "./s23-two-stores.js";
import { exitingTarget, procMem } from "./s25-other-mm.js";
import { protectionToggles } from "./s26-protection-toggles.js";
import { killed, killedReader } from "./s27-killed.js";
import { alwaysCleaned, oneAttempt } from "./s28-one-attempt.js";
import { keptLock, pinned, populate } from "./s29-get-user-pages.js";
import { shutdown, swapfile } from "./s31-forbidden.js";
import { accounting, majorFault, noFlush, throttle } from "./s32-throttle.js";
import { splitVma } from "./s34-split-vma.js";
import { retryLocked, stacked } from "./s35-planted.js";
import { coldRead, errorReported, mlockall, populateReclaim } from "./r1-cold-read.js";
import { secondRunCold, secondRunLoaded } from "./d2-second-run.js";

export const SCENARIOS: readonly AnyScenario[] = [
  munmap,
  otherFile,
  otherOffset,
  mremap,
  readOnly,
  privateMapping,
  lastReference,
  truncate,
  truncateExtend,
  extendTail,
  extendTailRemote,
  dirtyAgain,
  dirtyAgainRemote,
  punch,
  writeback,
  stablePages,
  firstPte,
  freeze,
  ownBuffer,
  noSpace,
  spaceReturns,
  outOfMemory,
  reservations,
  reflink,
  snapshot,
  dax,
  reclaim,
  twoStores,
  fork,
  forkedStores,
  exitingTarget,
  procMem,
  protectionToggles,
  killed,
  oneAttempt,
  pinned,
  keptLock,
  populate,
  alwaysCleaned,
  swapfile,
  shutdown,
  throttle,
  accounting,
  splitVma,
  retryLocked,
  stacked,
  coldRead,
  killedReader,
  mlockall,
  populateReclaim,
  errorReported,
  majorFault,
  noFlush,
  secondRunCold,
  secondRunLoaded,
  privateStores,
  forkCopies,
  privateTruncate,
  loadTruncate,
  behindTheEnd,
  throttled,
  faultCounts,
  twoSyncs,
];

export const SCENARIO_NAMES: readonly string[] = SCENARIOS.map(({ name }) => name);

export function scenarioByName(name: string): AnyScenario | undefined {
  return SCENARIOS.find((one) => one.name === name);
}
