/**
 * `faultline explore <scenario|all>`: every order of a race within a bound, or seeded walks; `explore merge` joins what shards have found.
 *
 * Interface: registerExplore, loadOwn.
 * Invariants: [cli-e1] exit 1 when a cell fails: a law, an ending that is not allowed, a window that no schedule has entered.
 * Locks: none.
 * Why not an option of run: a run is one order of one machine.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { errorText } from "../../host/error-text.js";
import { type KernelImage, kernelBytes, loadKernel } from "../../node.js";
import { exploreJson, exploreMarkdown, exploreText } from "../../report/explore-text.js";
import type { ScenarioFs } from "../../scenarios/filesystems.js";
import { SCENARIO_FS_NAMES } from "../../scenarios/filesystems.js";
import { SCENARIOS } from "../../scenarios/index.js";
import {
  type CellResult,
  EXPLORE_SCHEMA,
  type ExploreKernels,
  type ExploreDocument,
  documentOf,
  exploreJob,
  mergeDocuments,
} from "../../sim/explore/jobs.js";
import { instrument } from "../../sim/explore/instrument.js";
import { ownFilesystem } from "../../sim/explore/own.js";
import { EXPLORE_DEFAULTS, type ExploreJob, type ExploreText, explorePlan, jobName, shardOf } from "../../sim/explore/plan.js";
import { STRATEGIES } from "../../sim/explore/search.js";
import type { ExploreWorkerData } from "../../sim/explore/worker.js";
import { type PoolOptions, runPool } from "../../sim/pool.js";
import { UsageError } from "../errors.js";
import { checkOneOf, poolOf, usage } from "../options.js";
import { Progress, checkOutput, columns, emit } from "../output.js";

const FORMATS = ["table", "json", "markdown"] as const;

interface ExploreOptions extends Omit<ExploreText, "scenario"> {
  filesystem?: string;
  workers?: string;
  shard?: string;
  resume?: string;
  output?: string;
  format: string;
}

export function registerExplore(cli: Command): void {
  const d = EXPLORE_DEFAULTS;
  const width = Math.max(...SCENARIOS.map(({ id, name }) => id.length + name.length + 1));
  const list = SCENARIOS.map(({ id, name, title }) => `  ${`${id} ${name}`.padEnd(width)}  ${title}`).join("\n");
  const explore = cli
    .command("explore <scenario>")
    .description("run a race in every order within a bound, or in orders that are drawn, and hold each ending against what is right")
    .option("--regime <list>", 'regimes, fault lock + mkwrite each, commas between; "*+*" for all', d.regime)
    .option("--fs <list>", `filesystems: ${SCENARIO_FS_NAMES.join(", ")}, or all`, d.fs)
    .option("--filesystem <module>", "a JavaScript module that exports a filesystem of your own, to explore in place of --fs")
    .option("--strategy <name>", `${STRATEGIES.join(", ")}: every order, priorities with a guarantee, a seeded walk`, d.strategy)
    .option("--budget <n>", "schedules of each scenario in each cell, at most", d.budget)
    .option("--preemptions <k>", "dfs: preemptions of a schedule, at most, or all; pct: the depth of the bugs looked for", d.preemptions)
    .option(
      "--reduction <name>",
      "dfs: what spares orders that come to the same: none, states, or sleep (with --preemptions all)",
      d.reduction,
    )
    .option("--seed <n>", "seed of the walks", d.seed)
    .option("--workers <n>", "worker threads (default: one a core)")
    .option("--shard <i/N>", "only the i-th of N parts of the work")
    .option("--resume <file>", "keep each finished cell there, and skip those that it has")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(", "), "table")
    .addHelpText("after", `\nScenarios (by name or number, all for every one):\n${list}`)
    .action(exploreCommand);
  explore
    .command("merge <files...>")
    .description("join the JSON results of shards into one")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(", "), "table")
    .action(mergeCommand);
}

/** A path, or nothing, as the filesystems of the user's. */
export async function loadOwn(path: string | undefined): Promise<{ own: ScenarioFs[]; url?: string }> {
  if (path === undefined) return { own: [] };
  const url = pathToFileURL(resolve(path)).href;
  try {
    return { own: [await ownFilesystem(url)], url };
  } catch (error) {
    throw new UsageError(errorText(error));
  }
}

async function exploreCommand(scenario: string, options: ExploreOptions): Promise<void> {
  const format = checkOneOf(options.format, "format", FORMATS);
  checkOutput(options.output);
  const { own, url } = await loadOwn(options.filesystem);
  const fs = own[0]?.name ?? options.fs;
  const all = usage(() => explorePlan({ ...options, fs, scenario }, own));
  const jobs = usage(() => (options.shard === undefined ? all : shardOf(all, options.shard)));
  const pool = poolOf(options.workers, "workers");
  const kernel = await loadKernel("explore");
  const known = options.resume === undefined ? [] : readCells(options.resume, kernel);
  const cells = await explored(kernel, jobs, known, { own, url, resume: options.resume, pool });
  const document = documentOf(kernel.sha256, cells);
  finish(document, format, options.output);
}

function finish(document: ExploreDocument, format: (typeof FORMATS)[number], output: string | undefined): void {
  const write = {
    table: () => exploreText(document, columns()),
    json: () => exploreJson(document),
    markdown: () => exploreMarkdown(document),
  };
  emit(write[format](), output);
  if (document.cells.some(({ report }) => report.failure)) process.exitCode = 1;
}

interface Means {
  own: readonly ScenarioFs[];
  url: string | undefined;
  resume: string | undefined;
  pool: Pick<PoolOptions, "threads">;
}

async function kernelsFor({ module }: KernelImage, jobs: readonly ExploreJob[]): Promise<ExploreKernels> {
  if (jobs.every(({ reduction }) => reduction === undefined)) return { module };
  return { module, noted: await WebAssembly.compile(instrument(kernelBytes("explore")) as Uint8Array<ArrayBuffer>) };
}

/** Runs what is not known yet, each finished cell kept at once. */
async function explored(
  kernel: KernelImage,
  jobs: readonly ExploreJob[],
  known: readonly CellResult[],
  means: Means,
): Promise<CellResult[]> {
  const done = new Map(known.map((cell) => [jobName(cell), cell]));
  const left = jobs.filter((job) => !done.has(jobName(job)));
  const kernels = await kernelsFor(kernel, left);
  const data: ExploreWorkerData = { ...kernels, ...(means.url === undefined ? {} : { filesystem: means.url }) };
  const bar = new Progress(left.length, "cells");
  try {
    await runPool<ExploreJob, CellResult>(
      {
        ...{ file: "explore-worker.js", data, jobs: left, here: (job) => exploreJob(kernels, job, means.own) },
        each: (_, cell) => {
          done.set(jobName(cell), cell);
          if (means.resume !== undefined) appendFileSync(means.resume, `${JSON.stringify(cell)}\n`);
        },
      },
      {
        ...means.pool,
        progress: (count) => {
          bar.update(count);
        },
      },
    );
  } finally {
    bar.stop();
  }
  return jobs.flatMap((job) => done.get(jobName(job)) ?? []);
}

/** The cells of a file of finished ones: a line for the kernel, then a line each. A file that is not there begins empty. */
function readCells(path: string, { sha256 }: KernelImage): CellResult[] {
  if (!existsSync(path)) writeFileSync(path, `${JSON.stringify({ kernel_sha256: sha256 })}\n`);
  const [head = "", ...lines] = readFileSync(path, "utf8").trimEnd().split("\n");
  try {
    const { kernel_sha256: made } = JSON.parse(head) as { kernel_sha256?: string };
    if (made !== sha256) throw new UsageError(`${path} was made with another build of the kernel: begin a new file`);
    return lines.map((line) => JSON.parse(line) as CellResult);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${path} is no file of finished cells`);
  }
}

function readDocument(path: string): ExploreDocument {
  try {
    const document = JSON.parse(readFileSync(path, "utf8")) as Omit<ExploreDocument, "schema"> & { schema?: string };
    if (document.schema !== EXPLORE_SCHEMA) throw new Error("not a result of faultline explore --format json");
    return { ...document, schema: EXPLORE_SCHEMA };
  } catch (error) {
    throw new UsageError(`${path}: ${errorText(error)}`);
  }
}

function mergeCommand(files: readonly string[], options: { output?: string; format: string }): void {
  const format = checkOneOf(options.format, "format", FORMATS);
  checkOutput(options.output);
  finish(
    usage(() => mergeDocuments(files.map(readDocument))),
    format,
    options.output,
  );
}
