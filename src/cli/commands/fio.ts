/**
 * `faultline run job.fio`: fio's own job files, reported in fio's own shape.
 *
 * Interface: runJobFile.
 * Invariants: [cli-fio] what the file asks for and the machine does not model is said on stderr before the run.
 * Locks: none.
 * Why not a command of its own: a job file is a workload.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { fioText } from "../../report/fio-text.js";
import { chromeTraces } from "../../report/compare-trace.js";
import { lockStatTable } from "../../report/run-report.js";
import { ftraceText, tracedMachine } from "../../report/trace-report.js";
import { fioReport } from "../../sim/fio.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import type { WorkloadInput } from "../../workloads/index.js";
import { UsageError } from "../errors.js";
import { saveImageOf } from "../image.js";
import { warnOf } from "../input.js";
import { type RunOptions, sweepOf } from "../options.js";
import { checkOutput, columns, emit } from "../output.js";

const FORMATS = ["table", "json", "trace", "chrome", "lock_stat"] as const;

/** What of the common options means something to a job file, as its own options. */
export function fioSet(options: Pick<RunOptions, "set" | "tasks" | "duration">, command: Command): string[] {
  const given = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  const set = options.set === undefined || options.set === "" ? [] : options.set.split(",");
  if (given("duration")) set.push(`runtime=${options.duration}`);
  return set;
}

export async function runJobFile(input: WorkloadInput, options: RunOptions, command: Command): Promise<void> {
  const format = FORMATS.find((f) => f === options.format);
  if (!format) throw new UsageError(`format "${options.format}" of a job file: expected one of ${FORMATS.join(", ")}`);
  checkOutput(options.output);
  checkOutput(options.saveImage);
  warnOf(input);
  const set = fioSet(options, command);
  if (command.getOptionValueSource("tasks") === "cli") set.push(`numjobs=${options.tasks}`);
  const kernel = await loadKernel(options.checked === true);
  const point = sweepPoints(sweepOf(input.name, { ...options, tasks: "1", set: set.join(",") }, kernel, input))[0];
  if (!point) throw new UsageError("nothing to run");
  const run = new Run(kernel, point);
  run.warmUp();
  run.measure();
  const result = await run.result();
  const traced = tracedMachine(run.machine, input.name);
  const text = {
    table: () => fioText(fioReport(run, input, result)),
    json: () => JSON.stringify(fioReport(run, input, result), undefined, 2),
    trace: () => ftraceText(traced),
    chrome: () => JSON.stringify(chromeTraces([traced])),
    lock_stat: () => lockStatTable(result, columns()),
  }[format]();
  emit(text, options.output);
  if (options.saveImage !== undefined) saveImageOf(run, options.saveImage);
}
