/**
 * The shortest script that still fails: delta debugging (Zeller and Hildebrandt, 2002) over deviations.
 *
 * Interface: shrink(script, fails).
 * Invariants: [shr-1] the result fails; without any one of its deviations it does not. A script that does not fail comes back as it is.
 * Locks: none.
 * Why not try all subsets: a walk's script has hundreds of deviations, and two of them matter.
 */
import type { Script } from "./schedule.js";

/** Schedules that shrinking may take. */
const MAX_RUNS = 3000;

export function shrink(script: Script, fails: (candidate: Script) => boolean): Script {
  let runs = 0;
  const test = (candidate: Script): boolean => runs++ < MAX_RUNS && fails(candidate);
  if (test([])) return [];
  if (!test(script)) return script;
  let best = script;
  let parts = 2;
  while (best.length > 1 || parts <= best.length) {
    const smaller = withoutOnePart(best, parts, test);
    if (smaller) {
      best = smaller;
      parts = Math.max(2, parts - 1);
    } else if (parts >= best.length) return best;
    else parts = Math.min(best.length, parts * 2);
  }
  return best;
}

/** The script without its first part (of so many) that it can fail without. */
function withoutOnePart(script: Script, parts: number, test: (candidate: Script) => boolean): Script | undefined {
  const size = Math.ceil(script.length / parts);
  for (let from = 0; from < script.length; from += size) {
    const rest = [...script.slice(0, from), ...script.slice(from + size)];
    if (rest.length > 0 && test(rest)) return rest;
  }
  return undefined;
}
