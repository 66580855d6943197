/**
 * `faultline run <workload>`: a workload over numbers of tasks and seeds, reported as a table or in a machine's format.
 *
 * Interface: registerRun.
 * Invariants: [run-1] the format changes what is printed, never what is run.
 * Locks: none.
 * Why not stop at the first failed point: a point that fails says why and what to raise; half a sweep is no result.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { lockStatTable, runCsv, runTable } from "../../report/run-report.js";
import { type TracedRun, ftraceText, tracedMachine } from "../../report/trace-report.js";
import { chromeTraces } from "../../report/compare-trace.js";
import type { RunResult } from "../../sim/result.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import { UsageError } from "../errors.js";
import { saveImageOf } from "../image.js";
import { inputOf } from "../input.js";
import { FORMATS, type Format, type RunOptions, checkFormat, checkWorkload, describeRuns, sweepOf, withDuration } from "../options.js";
import { checkOutput, columns, emit, progressBar } from "../output.js";
import { runJobFile } from "./fio.js";
import { replayTrace } from "./replay-trace.js";

/** A run is measured in so many steps, for the bar. Where it is stopped makes no difference to it ([core-4]). */
const STEPS = 50;

export function registerRun(cli: Command): void {
  describeRuns(cli.command("run <workload>").description("run a workload, or a job file of fio's (job.fio), and report what it did"))
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(", "), "table")
    .option("--save-image <file>", "sync after the run and write the disk there (see: faultline fsck)")
    .action(runCommand);
}

async function runCommand(workload: string, options: RunOptions, command: Command): Promise<void> {
  const input = inputOf(workload);
  if (input?.kind === "trace") return replayTrace(input, options, command);
  if (input) return runJobFile(input, options, command);
  checkWorkload(workload);
  const format = checkFormat(options.format);
  checkOutput(options.output);
  const kernel = await loadKernel(options.checked === true);
  const points = sweepPoints(sweepOf(workload, withDuration(workload, options, command), kernel));
  const { saveImage } = options;
  if (saveImage !== undefined && points.length > 1) throw new UsageError(`--save-image takes one run, not ${points.length}`);
  checkOutput(saveImage);
  const results: RunResult[] = [];
  const traced: TracedRun[] = [];
  const progress = progressBar(points.length);
  try {
    for (const point of points) {
      const run = new Run(kernel, point);
      run.warmUp();
      measure(run, (done) => {
        progress.update(results.length + done);
      });
      results.push(await run.result());
      if (format === "trace" || format === "chrome") traced.push(tracedRun(run));
      if (saveImage !== undefined) saveImageOf(run, saveImage);
    }
  } finally {
    progress.stop();
  }
  emit(await formatted(format, results, traced), options.output);
  if (format === "trace" || format === "chrome") {
    process.stderr.write(`${results.map((r) => `state_sha256 ${r.state_sha256}`).join("\n")}\n`);
  }
}

/** Measures to the end of the duration, telling how far it has come. */
function measure(run: Run, done: (share: number) => void): void {
  const { durationNs } = run.description;
  for (let step = 1; step <= STEPS; step++) {
    run.measure(Math.round((durationNs * step) / STEPS) - run.measuredNs);
    done(step / STEPS);
  }
}

function tracedRun(run: Run): TracedRun {
  const { workload, tasks, config } = run.description;
  return tracedMachine(run.machine, `${workload} ${tasks} tasks seed ${config.seed ?? 1}`);
}

async function formatted(format: Format, results: readonly RunResult[], traced: readonly TracedRun[]): Promise<string> {
  switch (format) {
    case "json":
      return JSON.stringify(results, undefined, 2);
    case "csv":
      return runCsv(results);
    case "trace":
      return traced.map(ftraceText).join("\n");
    case "chrome":
      return JSON.stringify(chromeTraces(traced));
    case "svg": {
      // Half of the time that the command takes to start, for those who draw.
      const { scalingSvg, seriesOf } = await import("../../report/scaling-plot.js");
      return scalingSvg(seriesOf(results), results[0]?.workload ?? "");
    }
    case "lock_stat":
      return results.map((r) => `# ${r.tasks} tasks, seed ${r.seed}\n${lockStatTable(r, columns())}`).join("\n\n");
    case "table":
      return runTable(results, columns());
  }
}
