/**
 * Whether a step still means something when an earlier one has failed: a rename of a file that was not made is left out.
 *
 * Interface: canMake(step, oracle, runner), contentBefore(step, oracle).
 * Invariants: [spo-1] a step that is made fails for want of what its own sites want, and for nothing else.
 * Locks: none.
 * Why not make it and allow ENOENT: then a name that is lost would pass as well.
 */
import { parentOf } from "../crash/shown.js";
import type { Step, StepRunner } from "../crash/steps.js";
import { type SiteOracle, changedPath } from "./oracle.js";

export function canMake(step: Step, oracle: SiteOracle, runner: StepRunner): boolean {
  return runner.has(step) && hasNames(step, oracle);
}

function hasNames(step: Step, oracle: SiteOracle): boolean {
  switch (step.do) {
    case "create":
      return oracle.exists(parentOf(step.path));
    case "mkdir":
    case "symlink":
      return oracle.exists(parentOf(step.path)) && !oracle.exists(step.path);
    case "link":
      return oracle.exists(step.from) && oracle.exists(parentOf(step.to)) && !oracle.exists(step.to);
    case "rename":
      return oracle.exists(step.from) && oracle.exists(parentOf(step.to));
    case "rmdir":
      return oracle.exists(step.path) && oracle.isEmpty(step.path);
    case "clone":
      return oracle.contentOf(step.from).length >= step.length;
    case "anonymous":
    case "snapshot":
    case "sync":
    case "close":
      return true;
    default:
      return oracle.exists(step.path);
  }
}

/** The content that a step may change, as it is before. */
export function contentBefore(step: Step, oracle: SiteOracle): Uint8Array | undefined {
  const path = changedPath(step);
  if (path === undefined || path === "" || !oracle.exists(path)) return undefined;
  return oracle.contentOf(path);
}
