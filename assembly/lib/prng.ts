/*
 * The only source of randomness: splitmix64, with its state where the caller keeps it.
 *
 * Interface: prngSeed(state, seed), prngU64, prngU32, prngBelow(state, n). A state is 8 bytes; 16 may be set aside.
 * Invariants: [prng-1] the same seed gives the same sequence, on every host.
 * Locks: the owner's.
 * Why not Math.random: a run is a function of its description (DESIGN D4).
 */
export function prngSeed(state: usize, seed: u64): void {
  store<u64>(state, seed);
}

export function prngU64(state: usize): u64 {
  const next = load<u64>(state) + 0x9e37_79b9_7f4a_7c15;
  store<u64>(state, next);
  let z = next;
  z = (z ^ (z >> 30)) * 0xbf58_476d_1ce4_e5b9;
  z = (z ^ (z >> 27)) * 0x94d0_49bb_1331_11eb;
  return z ^ (z >> 31);
}

export function prngU32(state: usize): u32 {
  return <u32>(prngU64(state) >> 32);
}

/** Uniform in [0, n): rejects the part of the range that would favour low answers. */
export function prngBelow(state: usize, n: u32): u32 {
  assert(n != 0, "there is something to draw from");
  const unfair: u32 = (0 - n) % n;
  let draw = prngU32(state);
  while (draw < unfair) draw = prngU32(state);
  return draw % n;
}
