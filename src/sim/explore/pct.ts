/**
 * Probabilistic concurrency testing (Burckhardt and others, ASPLOS 2010): the words that the kernel's policy reads.
 *
 * Interface: prioritiesOf(schedule), pctGuarantee(tasks, steps, depth).
 * Invariants: [pct-1] the words follow from the seed; every priority that is not of a change is above all those that are.
 * Locks: none.
 * Why not a fair coin at each point: a bug of depth d is found with a probability of 1 / (tasks * steps^(d-1)) at least, whatever the rest.
 */
import { randomWords } from "../../host/guests.js";
import type { Schedule } from "./schedule.js";

const NAMES = 32;

/** Points of change, rising, then a priority for each candidate. */
export function prioritiesOf({ seed, changes, steps }: Extract<Schedule, { kind: "pct" }>): number[] {
  const word = randomWords(seed);
  const points = Array.from({ length: changes }, () => word() % Math.max(1, steps)).sort((a, b) => a - b);
  const priorities = Array.from({ length: NAMES }, (_, i) => changes + 1 + i);
  for (let i = NAMES - 1; i > 0; i--) {
    const j = word() % (i + 1);
    [priorities[i], priorities[j]] = [priorities[j] ?? 0, priorities[i] ?? 0];
  }
  return [...points, ...priorities];
}

/** The least probability that one schedule finds a bug of this depth. */
export function pctGuarantee(tasks: number, steps: number, depth: number): number {
  return 1 / (tasks * Math.max(1, steps) ** (depth - 1));
}
