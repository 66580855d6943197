/*
 * errseq: an error of writeback that every open file hears of once.
 *
 *     value (u32):  31        13 | 12   | 11    0
 *                  |  counter    | SEEN | errno  |        0: no error ever
 *
 * Interface: errseqSet(at, errno), errseqSample(at), errseqCheckAndAdvance(at, since).
 * Invariants:
 *   [es-1] an error set after a sample is returned by the first check against that sample, and by no later one.
 *   [es-2] an error that nobody has seen yet is seen by files opened after it, too: the sample of an unseen value is 0.
 * Locks: none; each function is one emulated step.
 * Why not a flag in the mapping: the first fsync would take the error away from all the others.
 */
const ERRNO_MASK: u32 = 0xfff;
const SEEN: u32 = 0x1000;
const COUNT_ONE: u32 = 0x2000;

/** Records -errno or errno at the errseq word. */
export function errseqSet(at: usize, errno: i32): void {
  const code = <u32>(errno < 0 ? -errno : errno);
  assert(code != 0 && code <= ERRNO_MASK, "an error has a number");
  const old = load<u32>(at);
  let next = (old & ~(ERRNO_MASK | SEEN)) | code;
  // Only a value that somebody has seen needs a new count to be told from the next one.
  if ((old & SEEN) != 0) next += COUNT_ONE;
  store<u32>(at, next);
}

/** What a newly opened file remembers. */
export function errseqSample(at: usize): u32 {
  const value = load<u32>(at);
  return (value & SEEN) == 0 ? 0 : value;
}

/** Returns -errno when there is an error that `since` (the file's word) has not been told, and tells it. */
export function errseqCheckAndAdvance(at: usize, since: usize): i32 {
  const value = load<u32>(at);
  if (value == load<u32>(since)) return 0;
  const seen = value | SEEN;
  store<u32>(at, seen);
  store<u32>(since, seen);
  return -<i32>(value & ERRNO_MASK);
}
