/*
 * Fault injection: what the host asked the disk to get wrong, decided once for each bio, in order of submission.
 *
 * Interface: injectDecide(bio), INJECT_*, EIO_READS, EIO_WRITES.
 * Invariants: [inj-1] the decision depends on the order of submission only: no order of completion changes what is hit.
 * Locks: none.
 * Why not decide at completion: an explorer reorders completions; "the third write" would be another one in each run.
 *
 * What each does: EIO transfers nothing. A torn write reports success; the log entry remembers how many of its sectors
 * reach the medium if the power fails before a flush, FUA or not (a disk that lies); a flush heals it. A lost flush
 * reports success and leaves the log as it is; so does a lost PREFLUSH, its write goes ahead.
 */
import { SITE_FLUSH, SITE_READ, SITE_WRITE, shouldFail } from "../lib/fault-sites";
import { BIO_FLUSH, BIO_READ, Bio, REQ_PREFLUSH, bioEndSector } from "./bio";
import { DiskFaults, blockState, diskFaults } from "./state";

/** The bio fails with EIO. */
export const INJECT_EIO: u32 = 1;
export const INJECT_TORN: u32 = 2;
export const INJECT_LOSE_FLUSH: u32 = 4;
/** Not a fault of the host's: the bio reaches past the end of the disk. */
export const INJECT_BEYOND_END: u32 = 8;

/** Bits of DiskFaults.eioRangeOps. */
export const EIO_READS: u32 = 1;
export const EIO_WRITES: u32 = 2;

/** Counts the bio down on the counter at `at`; true when it is the one. */
function countdown(at: usize): bool {
  const left = load<u32>(at);
  if (left == 0) return false;
  store<u32>(at, left - 1);
  return left == 1;
}

function inEioRange(f: DiskFaults, bio: Bio): bool {
  if (f.eioSectors == 0 || bio.op == BIO_FLUSH) return false;
  if ((f.eioRangeOps & (bio.op == BIO_READ ? EIO_READS : EIO_WRITES)) == 0) return false;
  const first = <u64>f.eioFirstSector;
  return bio.sector < first + f.eioSectors && bioEndSector(bio) > first;
}

/** A bio that flushes, alone or before its data. */
function decideFlush(f: DiskFaults, bio: Bio): void {
  if (f.loseFlushNth == 0) return;
  if (f.loseFlushNth > 1) {
    f.loseFlushNth--;
    return;
  }
  bio.inject |= INJECT_LOSE_FLUSH;
  f.hitsLostFlush++;
  if (f.loseFlushes > 1) f.loseFlushes--;
  else f.loseFlushNth = 0;
}

function decideEio(f: DiskFaults, bio: Bio): void {
  const at = changetype<usize>(f);
  if (bio.op == BIO_FLUSH) {
    if (!countdown(at + offsetof<DiskFaults>("eioFlushNth"))) return;
    f.hitsEioFlush++;
  } else if (bio.op == BIO_READ) {
    if (!countdown(at + offsetof<DiskFaults>("eioReadNth"))) return;
    f.hitsEioRead++;
  } else {
    if (!countdown(at + offsetof<DiskFaults>("eioWriteNth"))) return;
    f.hitsEioWrite++;
  }
  bio.inject |= INJECT_EIO;
}

function siteOf(bio: Bio): u32 {
  return bio.op == BIO_FLUSH ? SITE_FLUSH : bio.op == BIO_READ ? SITE_READ : SITE_WRITE;
}

/** Sets bio.inject. Called once, at submission. */
export function injectDecide(bio: Bio): void {
  const f = diskFaults();
  assert(bio.inject == 0, "[inj-1] decided once");
  decideEio(f, bio);
  if (shouldFail(siteOf(bio))) bio.inject |= INJECT_EIO;
  if (bio.op == BIO_FLUSH || (bio.flags & REQ_PREFLUSH) != 0) decideFlush(f, bio);
  if (inEioRange(f, bio)) {
    bio.inject |= INJECT_EIO;
    f.hitsEioRange++;
  }
  if (bio.op != BIO_FLUSH && bio.op != BIO_READ && countdown(changetype<usize>(f) + offsetof<DiskFaults>("tornNth"))) {
    bio.inject |= INJECT_TORN;
    bio.tornSectors = f.tornSectors;
    f.hitsTorn++;
  }
  if (bio.op != BIO_FLUSH && bioEndSector(bio) > blockState().sectors) bio.inject |= INJECT_BEYOND_END;
}
