/**
 * Jobs of the explorer: one run here, or in a worker thread; what has been done already is not done again. Works in Node and in workers.
 *
 * Interface: exploreJob, machineOf, ExploreKernels, CellResult, ExploreDocument, documentOf, mergeDocuments, EXPLORE_SCHEMA.
 * Invariants:
 *   [xj-1] a document holds its cells in the order of their names: merging shards in any order gives the document of the whole.
 *   [xj-2] documents of different kernels are not merged.
 * Locks: none.
 * Why not one machine for all: a cell is a configuration, and a snapshot is of one configuration.
 */
import type { MachineConfig } from "../../host/config.js";
import type { ScenarioFs } from "../../scenarios/filesystems.js";
import { ParseError } from "../parse.js";
import { ExploreMachine } from "./machine.js";
import { type ExploreJob, cellOf, jobName } from "./plan.js";
import { type CellReport, searchCell } from "./search.js";

export const EXPLORE_SCHEMA = "faultline.explore/1";

export interface CellResult extends ExploreJob {
  id: string;
  report: CellReport;
}

export interface ExploreDocument {
  schema: typeof EXPLORE_SCHEMA;
  kernel_sha256: string;
  cells: CellResult[];
}

/** The explorer's kernel, and the same taking notes (instrument.ts) where a job wants a reduction. */
export interface ExploreKernels {
  module: WebAssembly.Module;
  noted?: WebAssembly.Module;
}

/** The machine of a job, ready for schedules; `extra` decides nothing about them. */
export function machineOf(
  { module, noted }: ExploreKernels,
  job: ExploreJob,
  own: readonly ScenarioFs[] = [],
  extra: Partial<MachineConfig> = {},
): ExploreMachine {
  const { scenario, cell } = cellOf(job, own);
  const config = job.mutant === undefined ? extra : { ...extra, mutant: job.mutant };
  if (job.reduction === undefined) return new ExploreMachine(module, scenario, cell, config);
  if (!noted) throw new Error("a reduction needs the kernel that takes notes");
  return new ExploreMachine(noted, scenario, cell, config, true);
}

export function exploreJob(kernels: ExploreKernels, job: ExploreJob, own: readonly ScenarioFs[] = []): CellResult {
  const machine = machineOf(kernels, job, own);
  return { ...job, id: machine.scenario.id, report: searchCell(machine, job) };
}

export function documentOf(kernelSha256: string, cells: readonly CellResult[]): ExploreDocument {
  const named = cells.map((cell) => ({ cell, name: jobName(cell) }));
  named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { schema: EXPLORE_SCHEMA, kernel_sha256: kernelSha256, cells: named.map(({ cell }) => cell) };
}

/** One document of several. Throws ParseError for documents of different kernels. */
export function mergeDocuments(documents: readonly ExploreDocument[]): ExploreDocument {
  const [first] = documents;
  if (!first) throw new ParseError("nothing to merge");
  const cells = new Map<string, CellResult>();
  for (const document of documents) {
    if (document.kernel_sha256 !== first.kernel_sha256) throw new ParseError("the results are of different builds of the kernel");
    for (const cell of document.cells) cells.set(jobName(cell), cell);
  }
  return documentOf(first.kernel_sha256, [...cells.values()]);
}
