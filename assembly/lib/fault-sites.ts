/*
 * Sites of failure: every place that asks whether it is to fail, counted by kind, and the one of them that the host picked.
 *
 *     site number since siteArm:  1 2 3 ... first ... first + count - 1 ...
 *                                 go on     fail      fail              go on
 *
 * Interface: shouldFail(kind), siteArm(kind, first, count), siteSeen(kind), siteHits(kind), sitesHold(on), SITE_*.
 * Invariants:
 *   [site-1] while a kind is armed each of its sites is counted once, in the order in which they are reached.
 *   [site-2] a kind that is not armed is not counted, and nothing of it fails.
 *   [site-3] while sites are held none fails or is counted: an allocation that may not fail (GFP_NOFAIL) is no site.
 * Locks: none; a site is one emulated step.
 * Why not one place in the host: only the kernel knows when it is about to ask for memory or space.
 */
import { LIB_STATE } from "../memlayout";

/** A page frame, a slab object, a reservation of space, a bio that reads, writes, flushes. */
export const SITE_PAGE: u32 = 0;
export const SITE_SLAB: u32 = 1;
export const SITE_SPACE: u32 = 2;
export const SITE_READ: u32 = 3;
export const SITE_WRITE: u32 = 4;
export const SITE_FLUSH: u32 = 5;
const SITES: u32 = 6;

@unmanaged
class FaultSite {
  /** Number of the first site that fails; 0: not armed. */
  first: u32;
  /** How many fail, from the first on. */
  count: u32;
  /** Sites reached and failed since siteArm. */
  seen: u32;
  hits: u32;
}

/** Behind the trace's state, in front of its counters. */
const FAULT_SITES: usize = LIB_STATE + 0x80;
const HELD: usize = FAULT_SITES + 0x7c;
if (<u32>offsetof<FaultSite>() * SITES > 0x7c) ERROR("the sites end before the trace's counters");

function siteOf(kind: u32): FaultSite {
  assert(kind < SITES, "a kind of site");
  return changetype<FaultSite>(FAULT_SITES + kind * offsetof<FaultSite>());
}

/** A site of this kind is reached: is it to fail? */
export function shouldFail(kind: u32): bool {
  const site = siteOf(kind);
  if (site.first == 0 || load<u32>(HELD) != 0) return false;
  site.seen++;
  if (site.seen < site.first || site.seen - site.first >= site.count) return false;
  site.hits++;
  return true;
}

/** Not across anything that sleeps: what others do meanwhile would be held as well. */
export function sitesHold(on: bool): void {
  assert((load<u32>(HELD) != 0) != on, "sites are held once");
  store<u32>(HELD, on ? 1 : 0);
}

/** From now on the sites from the first-th on fail, `count` of them. 0: none, and none is counted. */
export function siteArm(kind: u32, first: u32, count: u32): void {
  const site = siteOf(kind);
  site.first = first;
  site.count = count;
  site.seen = 0;
  site.hits = 0;
}

export function siteSeen(kind: u32): u32 {
  return siteOf(kind).seen;
}

export function siteHits(kind: u32): u32 {
  return siteOf(kind).hits;
}
