/**
 * `faultline compare <workload|job.fio>`: one workload under several regimes, on several filesystems, side by side.
 *
 * Interface: registerCompare.
 * Invariants: [cli-base] exit 1 when a baseline check finds a regression; and [cli-cmp].
 * Locks: none.
 * Why not `run` with lists: run says what a machine does; compare says what differs, and whether the seeds can tell.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { errorText } from "../../host/error-text.js";
import { loadKernel } from "../../node.js";
import { baselineText, compareCsv, compareHistograms, compareTable } from "../../report/compare-text.js";
import { chromeTraces } from "../../report/compare-trace.js";
import { lockStatTable } from "../../report/run-report.js";
import { type TracedRun, ftraceText } from "../../report/trace-report.js";
import { verdict } from "../../report/verdict.js";
import { DEFAULT_THRESHOLD_PERCENT, baselineProblem, compareWithBaseline } from "../../sim/baseline.js";
import { COMPARE_SCHEMA, type CompareDescription, type CompareResult, compareJobs, compareResult } from "../../sim/compare.js";
import { MODES } from "../../sim/describe.js";
import { COMPARE_TEXT_DEFAULTS, type CompareText, compareOfText } from "../../sim/describe-compare.js";
import { FILESYSTEM_NAMES } from "../../sim/filesystems.js";
import type { PointOutcome } from "../../sim/outcome.js";
import { runJobs } from "../../sim/pool.js";
import { regimeName, regimeOf } from "../../sim/regimes.js";
import type { KernelImage } from "../../sim/run.js";
import type { WorkloadInput } from "../../workloads/index.js";
import { readCosts } from "../cost-file.js";
import { UsageError } from "../errors.js";
import { inputOf, warnOf } from "../input.js";
import { type RunOptions, collected, costNames, poolOf, usage, withDuration } from "../options.js";
import { checkOutput, columns, emit, progressBar } from "../output.js";
import { checkPaths } from "../paths.js";
import { fioSet } from "./fio.js";

const FORMATS = ["table", "json", "csv", "chrome", "trace", "lock_stat", "hist"] as const;

interface CompareOptions extends Omit<CompareText, "workload">, Pick<RunOptions, "costs" | "checked" | "output" | "format"> {
  threads?: string;
  svg?: string;
  html?: string;
  saveBaseline?: string;
  baseline?: string;
  threshold: string;
}

export function registerCompare(cli: Command): void {
  const d = COMPARE_TEXT_DEFAULTS;
  cli
    .command("compare <workload>")
    .description("run a workload, a job file or a trace under several regimes, side by side; exit 1 on a path not taken or a regression")
    .option("--regime <list>", "regimes, fault lock + mkwrite each, commas between; * for all", d.regime)
    .option("--fs <list>", `filesystems: ${FILESYSTEM_NAMES.join(", ")}`, d.fs)
    .option("-t, --tasks <list>", "numbers of tasks: 1,2,4 or 1-32", d.tasks)
    .option("--seeds <n>", "number of seeds, one run each", d.seeds)
    .option("--seed <n>", "first seed", d.seed)
    .option("--mode <mode>", MODES.join(" or "), d.mode)
    .option("--set <key=value>", "an option of the workload (see: faultline workloads); may be given again", collected)
    .option("--cpus <n>", "emulated CPUs (default: one for each task and actor)")
    .option("--sockets <n>", "sockets the CPUs are spread over (default: 4 from four CPUs on)")
    .option("--memory <size>", "guest memory", d.memory)
    .option("--length <size>", "bytes each task maps")
    .option("--duration <time>", "simulated time measured; workloads may have one of their own", d.duration)
    .option("--warmup <time>", "simulated time before it", d.warmup)
    .option("--stagger <time>", "tasks begin their loops up to this much apart, by the seed", d.stagger)
    .option("--costs <file>", "cost table overrides, JSON (see: faultline costs)")
    .option("--checked", "use the kernel build with every costly check")
    .option("--threads <n>", "worker threads of this computer (default: one a core)")
    .option("--format <format>", FORMATS.join(", "), "table")
    .option("-o, --output <file>", "write that there")
    .option("--svg <file>", "write the scaling chart")
    .option("--html <file>", "write a page with tables and charts that needs nothing but itself")
    .option("--save-baseline <file>", "write the comparison as JSON, to be compared with later")
    .option("--baseline <file>", "compare with a saved one; exit 1 on a regression")
    .option("--threshold <percent>", "a change of a median up to this is no regression", String(DEFAULT_THRESHOLD_PERCENT))
    .action((workload: string, options: CompareOptions, command: Command) => compareCommand(workload, options, command));
}

/** The command line as it was given, for the report. */
function commandLine(command: Command): string {
  const words = command.parent?.parent ? [] : process.argv.slice(2);
  return ["faultline", ...words].map((word) => (/^[\w.,:/=+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}

function describe(workload: string, o: CompareOptions, kernel: KernelImage, command: Command): CompareDescription {
  const input = inputOf(workload);
  if (input) warnOf(input);
  const set = input?.kind === "fio" ? { set: fioSet(o, command).join(",") } : {};
  const described = usage(() => compareOfText({ ...withDuration(workload, o, command), ...set, workload }, commandLine(command), input));
  const description = { ...described, ...fileTasks(input, described.tasks, command) };
  if (o.costs === undefined) return description;
  return { ...description, config: { ...description.config, costs: readCosts(o.costs, costNames(kernel)) } };
}

/** A job file has its own number of jobs, unless tasks are given: then every job has that many clones. */
function fileTasks(
  input: WorkloadInput | undefined,
  tasks: readonly number[],
  command: Command,
): Pick<CompareDescription, "tasks" | "tasksOption"> {
  if (!input) return { tasks };
  if (input.kind === "trace" && command.getOptionValueSource("tasks") === "cli") {
    throw new UsageError("--tasks means nothing to a trace: it has its own threads");
  }
  return command.getOptionValueSource("tasks") === "cli" ? { tasks, tasksOption: "numjobs" } : { tasks: [1] };
}

async function compareCommand(workload: string, options: CompareOptions, command: Command): Promise<void> {
  const format = FORMATS.find((f) => f === options.format);
  if (!format) throw new UsageError(`format "${options.format}": expected one of ${FORMATS.join(", ")}`);
  const threshold = Number(options.threshold);
  if (!(threshold >= 0)) throw new UsageError(`threshold "${options.threshold}": expected per cent, 0 or more`);
  const pool = poolOf(options.threads, "threads");
  for (const path of [options.output, options.svg, options.html, options.saveBaseline]) checkOutput(path);
  const baseline = options.baseline === undefined ? undefined : readCompare(options.baseline);
  const kernel = await loadKernel(options.checked === true);
  const description = describe(workload, options, kernel, command);
  const jobs = compareJobs(description, format === "chrome" || format === "trace");
  const bar = progressBar(jobs.length);
  const outcomes = await runJobs(kernel, jobs, {
    ...pool,
    progress: (done) => {
      bar.update(done);
    },
  }).finally(() => {
    bar.stop();
  });
  const result = compareResult(description, outcomes);
  emit(formatted(format, result, outcomes), options.output);
  await drawn(result, options);
  if (options.saveBaseline !== undefined) writeFileSync(options.saveBaseline, `${JSON.stringify(result)}\n`);
  if (baseline) checkBaseline(baseline, result, threshold, options.baseline ?? "");
  checkPaths(outcomes);
}

/** Writes the documents asked for. */
async function drawn(result: CompareResult, { svg, html }: CompareOptions): Promise<void> {
  if (svg === undefined && html === undefined) return;
  const { compareHtml, compareSvg } = await import("../../report/compare-document.js");
  if (svg !== undefined) writeFileSync(svg, compareSvg(result));
  if (html !== undefined) writeFileSync(html, compareHtml(result));
}

/** The trace of an outcome that kept one. */
function tracedOf({ trace, traceWritten, result }: PointOutcome, name: string): TracedRun[] {
  return trace ? [{ name, events: trace, written: traceWritten ?? trace.length, cpus: result.config.cpus ?? 1 }] : [];
}

function formatted(format: (typeof FORMATS)[number], result: CompareResult, outcomes: readonly PointOutcome[]): string {
  const title = ({ result: r }: PointOutcome): string =>
    [r.fs, ...r.set, `${r.tasks} tasks`, regimeName(regimeOf(r.config)), `seed ${r.seed}`].join(", ");
  switch (format) {
    case "json":
      return JSON.stringify(result, undefined, 2);
    case "csv":
      return compareCsv(result);
    case "hist":
      return compareHistograms(result);
    case "chrome":
      return JSON.stringify(chromeTraces(outcomes.flatMap((o) => tracedOf(o, title(o)))));
    case "trace":
      return outcomes
        .flatMap((o) => tracedOf(o, title(o)))
        .map(ftraceText)
        .join("\n\n");
    case "lock_stat":
      return outcomes.map((o) => `# ${title(o)}\n${lockStatTable(o.result, columns())}`).join("\n\n");
    default:
      return [compareTable(result, columns()), verdict(result).join("\n")].filter((text) => text !== "").join("\n\n");
  }
}

function checkBaseline(before: CompareResult, after: CompareResult, threshold: number, file: string): void {
  const problem = baselineProblem(before, after);
  if (problem !== undefined) throw new UsageError(`${file} is of another comparison: ${problem}`);
  const report = compareWithBaseline(before, after, threshold);
  process.stderr.write(`${baselineText(after, report, threshold)}\n`);
  if (report.regressions.length > 0) process.exitCode = 1;
}

function readCompare(file: string): CompareResult {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`${file}: ${errorText(error)}`);
  }
  const schema = (parsed as { schema?: unknown } | null)?.schema;
  if (schema !== COMPARE_SCHEMA) {
    throw new UsageError(`${file}: expected a comparison of schema ${COMPARE_SCHEMA}, found ${String(schema)}`);
  }
  return parsed as CompareResult;
}
