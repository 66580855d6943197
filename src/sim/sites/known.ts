/**
 * Sites where something is broken and known: each with its reason, counted apart from failures, and named in every report.
 *
 * Interface: KnownFault, KNOWN_FAULTS, knownFault(run, problems).
 * Invariants: [skn-1] an entry that no run of the long sweep meets is dropped.
 * Locks: none.
 * Why not a weaker oracle: it would be weaker everywhere, and nobody would know of what.
 */
import type { SiteKind } from "./kinds.js";

export interface KnownFault {
  fs: RegExp;
  kind: SiteKind;
  workload: string;
  /** Every problem of the run is one of these. */
  problems: RegExp;
  why: string;
}

export const KNOWN_FAULTS: readonly KnownFault[] = [
  {
    fs: /^jbdfs(-1024)?$/,
    kind: "eio-write",
    workload: "truncate-extend",
    problems: /^on the disk: (names: of|\[mk-7\] f at 0 shows none)/,
    why:
      "ordered data commits a new block's mapping although its data could not be written (ext4's data_err=ignore): " +
      "the error is told, but the block shows what its last owner left",
  },
];

/** The entry that a run's problems belong to, all of them; undefined: they are news. */
export function knownFault(
  run: { fs: { name: string }; kind: SiteKind; workload: { name: string } },
  problems: readonly string[],
): KnownFault | undefined {
  return KNOWN_FAULTS.find(
    (known) =>
      known.fs.test(run.fs.name) &&
      known.kind === run.kind &&
      known.workload === run.workload.name &&
      problems.every((problem) => known.problems.test(problem)),
  );
}
