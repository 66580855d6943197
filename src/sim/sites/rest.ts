/**
 * What a machine holds when nothing is mounted and no process is left.
 *
 * Interface: AtRest, atRest(machine), restDifferences(expected, found).
 * Invariants: [mk-6] two runs of one workload, whatever failed in them, end with the same.
 * Locks: none.
 * Why not zero: the root filesystem, the kernel's tasks and what their stacks keep are always there.
 */
import type { Machine } from "../../host/machine.js";

export type AtRest = Readonly<Record<string, number>>;

/** Counters that are about what is held, not about what was done. */
const HELD = [
  "page_tables",
  "dirty_pages",
  "live_tasks",
  "processes",
  "anon_pages",
  "stashes",
  "writeback_pages",
  "cowfs_data_reserved",
  "cowfs_meta_reserved",
  "cowfs_ordered_extents",
];
const SLAB_NAMES = 128;

export function atRest(machine: Machine): AtRest {
  const rest: Record<string, number> = Object.fromEntries(HELD.map((name) => [name, machine.stat(name)]));
  const meminfo = machine.inspect("meminfo");
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0);
  // Frames that the object caches took stay theirs: they are not lost.
  rest["frames, free or of the object caches"] = machine.stat("free_frames") + slabFrames(machine, kilobytes("Slab"));
  rest["pages of the page cache"] = kilobytes("Cached") / 4;
  for (let id = 0; id < SLAB_NAMES; id++) {
    const objects = machine.kernel.slabObjectsOf(id);
    if (objects !== 0) rest[`objects of cache ${id}`] = objects;
  }
  return rest;
}

/** Frames beyond the arena: what the caches have less what they took of it, whole pages. */
function slabFrames(machine: Machine, slabKilobytes: number): number {
  return Math.round((slabKilobytes - Math.floor(machine.stat("slab_bytes") / 1024)) / 4);
}

export function restDifferences(expected: AtRest, found: AtRest): string[] {
  const names = new Set([...Object.keys(expected), ...Object.keys(found)]);
  return [...names]
    .filter((name) => (expected[name] ?? 0) !== (found[name] ?? 0))
    .map((name) => `[mk-6] at rest: ${name}: ${found[name] ?? 0}, not ${expected[name] ?? 0}`);
}
