/**
 * `faultline replay-trace <file>`: a recorded trace, run again on the emulated machine. `faultline import-strace`: how traces are made.
 *
 * Interface: registerReplayTrace, registerImportStrace.
 * Invariants: [cli-trace] what a recording has and a trace cannot say is named on stderr, with its number.
 * Locks: none.
 * Why not `replay`: that runs Faultline's own results again, and compares their states.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { chromeTraces } from "../../report/compare-trace.js";
import { lockStatTable } from "../../report/run-report.js";
import { type TracedRun, ftraceText, tracedMachine } from "../../report/trace-report.js";
import { replayCsv, replayTable } from "../../report/replay-text.js";
import type { RunResult } from "../../sim/result.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import type { WorkloadInput } from "../../workloads/index.js";
import { TRACE_RECORDER } from "../../workloads/trace/guest.js";
import { traceWorkload } from "../../workloads/trace/workload.js";
import { importStrace } from "../../workloads/trace/strace.js";
import { UsageError } from "../errors.js";
import { saveImageOf } from "../image.js";
import { readText, warnOf } from "../input.js";
import { type RunOptions, describeRuns, sweepOf } from "../options.js";
import { checkOutput, colors, columns, emit, progressBar } from "../output.js";

const FORMATS = ["table", "json", "csv", "trace", "chrome", "lock_stat"] as const;

export function registerReplayTrace(cli: Command): void {
  describeRuns(cli.command("replay-trace <file>").description("run a recorded trace again and report what it did (docs/trace-format.md)"))
    .option("-o, --output <file>", "write the result there")
    .option("--save-image <file>", "sync after the run and write the disk there (see: faultline fsck)")
    .option("--format <format>", FORMATS.join(", "), "table")
    .action((file: string, options: RunOptions, command: Command) =>
      replayTrace({ kind: "trace", name: file, text: readText(file) }, options, command),
    );
}

/** Options that a trace answers itself. */
const FIXED = ["tasks", "mode", "duration", "warmup", "length"] as const;

export async function replayTrace(input: WorkloadInput, options: RunOptions, command: Command): Promise<void> {
  const format = FORMATS.find((f) => f === options.format);
  if (!format) throw new UsageError(`format "${options.format}" of a trace: expected one of ${FORMATS.join(", ")}`);
  for (const name of FIXED) {
    if (command.getOptionValueSource(name) === "cli") throw new UsageError(`--${name} means nothing to a trace: it has its own`);
  }
  for (const file of [options.output, options.saveImage]) checkOutput(file);
  warnOf(input);
  const summary = traceWorkload(input.text, input.name).summary;
  const kernel = await loadKernel(options.checked === true);
  const points = sweepPoints(sweepOf(input.name, { ...options, tasks: "1" }, kernel, input));
  if (options.saveImage !== undefined && points.length > 1) throw new UsageError(`--save-image takes one run, not ${points.length}`);
  const bar = progressBar(points.length);
  const results: RunResult[] = [];
  const traced: TracedRun[] = [];
  const failed: number[] = [];
  try {
    for (const point of points) {
      const run = new Run(kernel, point);
      run.warmUp();
      run.measure();
      results.push(await run.result());
      if (options.saveImage !== undefined) saveImageOf(run, options.saveImage);
      failed.push(run.machine.recorded(TRACE_RECORDER.failed).N);
      traced.push(tracedMachine(run.machine, `${input.name} seed ${run.description.config.seed ?? 1}`));
      bar.update(results.length);
    }
  } finally {
    bar.stop();
  }
  const text = {
    table: () => results.map((r, i) => replayTable(r, summary, failed[i] ?? 0, columns())).join("\n\n"),
    json: () => JSON.stringify(results, undefined, 2),
    csv: () => replayCsv(results),
    trace: () => traced.map((t) => ftraceText(t)).join("\n"),
    chrome: () => JSON.stringify(chromeTraces(traced)),
    lock_stat: () => results.map((r) => `# ${input.name}, seed ${r.seed}\n${lockStatTable(r, columns())}`).join("\n\n"),
  }[format]();
  emit(text, options.output);
  const most = Math.max(...failed);
  if (most > 0) {
    const warning = colors(process.stderr).yellow("warning:");
    process.stderr.write(`${warning} ${most} operations failed that had succeeded when they were recorded\n`);
  }
}

export function registerImportStrace(cli: Command): void {
  cli
    .command("import-strace <calls>")
    .description("make a trace of what strace -f -ttt -y wrote, and perf script of page faults (docs/trace-format.md)")
    .option("--faults <file>", "perf script's output: loads and stores")
    .option("--comment <text>", "how it was recorded, for the trace's head")
    .option("-o, --output <file>", "write the trace there")
    .action(importCommand);
}

function importCommand(calls: string, options: { faults?: string; comment?: string; output?: string }): void {
  checkOutput(options.output);
  const faults = options.faults === undefined ? "" : readText(options.faults);
  const { text, events, left } = importStrace(readText(calls), faults, options.comment?.split("\n") ?? []);
  if (events === 0) throw new UsageError(`${calls}: no call that a trace can have; was it written by strace -f -ttt -y -o?`);
  emit(text, options.output);
  process.stderr.write(`${events} events\n`);
  for (const [why, count] of left) process.stderr.write(`left out: ${count} ${why}\n`);
}
