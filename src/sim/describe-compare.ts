/**
 * Comparisons as users write them, on the command line and in the page.
 *
 * Interface: CompareText, COMPARE_TEXT_DEFAULTS, compareOfText, commandOfCompare.
 * Invariants: [desc-1] equal texts make equal comparisons, on the command line and in the page.
 *             [desc-2] a text that makes no comparison is a ParseError that names its field.
 * Locks: none.
 * Why not in describe.ts: a comparison knows runs, and runs need not know of comparisons.
 */
import type { WorkloadInput } from "../workloads/index.js";
import type { CompareDescription } from "./compare.js";
import { RUN_FLAGS, RUN_TEXT_DEFAULTS, type RunText, casesOf, commandWords, field, sweepOfText } from "./describe.js";
import { filesystemByName } from "./filesystems.js";
import type { SweepDescription } from "./sweep.js";
import { parseDuration } from "./parse.js";
import { parseRegimes } from "./regimes.js";

/** A comparison in words; `fs` is a list. */
export interface CompareText extends Omit<RunText, "faultLock" | "mkwrite"> {
  /** Regimes, commas between. */
  regime: string;
  /** How far apart tasks begin their loops, by the seed. */
  stagger: string;
}

/** Words of a run that a comparison has no use for: each of its points has a regime of its own. */
const { faultLock, mkwrite, ...SHARED_DEFAULTS } = RUN_TEXT_DEFAULTS;

/** What a user who says nothing gets. */
export const COMPARE_TEXT_DEFAULTS = {
  ...SHARED_DEFAULTS,
  // ramfs has no page_mkwrite: half of every regime would not be compared.
  fs: "cowfs",
  seeds: "5",
  regime: "linux-4.19+generic_page_mkwrite,linux-4.19+generic_page_mkwrite_nommapsem",
  stagger: "10us",
} as const satisfies Omit<CompareText, "workload">;

/** The comparison that a text stands for; with an input, of that file. Throws ParseError with its field. */
export function compareOfText(t: CompareText, command = commandOfCompare(t), input?: WorkloadInput): CompareDescription {
  const filesystems = field("fs", () => [...new Set(t.fs.split(",").map((name) => filesystemByName(name.trim()).name))]);
  // The sweep of each: one filesystem that the workload cannot use is a mistake in the list.
  const [sweep] = filesystems.map((fs) => sweepOfText({ ...t, fs, faultLock, mkwrite }, input)) as [SweepDescription];
  const { set = [] } = sweep;
  const config = { ...sweep.config };
  delete config.faultLock;
  delete config.mkwrite;
  delete sweep.fs;
  return {
    ...sweep,
    regimes: field("regime", () => parseRegimes(t.regime)),
    filesystems,
    cases: field("set", () => casesOf(t.workload, set)),
    set,
    staggerNs: field("stagger", () => parseDuration(t.stagger)),
    config,
    command,
  };
}

const FLAGS = [
  ["regime", "--regime"],
  ...RUN_FLAGS.flatMap(([name, flag]) => (name === "faultLock" || name === "mkwrite" ? [] : [[name, flag] as const])),
  ["stagger", "--stagger"],
] as const;

/** The command line of a text. */
export function commandOfCompare(t: CompareText): string {
  return commandWords("compare", FLAGS, t, COMPARE_TEXT_DEFAULTS);
}
