/**
 * `faultline run <workload>`: a workload over numbers of tasks and seeds, reported as a table or in a machine's format.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { chromeTrace, ftraceText, lockStatTable, runCsv, runTable, scalingSvg } from "../../report/index.js";
import type { RunResult } from "../../sim/result.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import { type RunOptions, checkFormat, checkWorkload, describeRun, sweepOf } from "../options.js";
import { columns, emit, progressBar } from "../output.js";

export function registerRun(cli: Command): void {
  describeRun(cli.command("run <workload>").description("run a workload and report simulated fault throughput"))
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", "table, json, csv, trace, chrome, svg or lock_stat", "table")
    .action(runCommand);
}

async function runCommand(workload: string, options: RunOptions): Promise<void> {
  checkWorkload(workload);
  const format = checkFormat(options.format);
  const kernel = await loadKernel(options.checked === true);
  const points = sweepPoints(sweepOf(workload, options, kernel));
  const results: RunResult[] = [];
  let traces = "";
  const bar = progressBar(points.length);
  try {
    for (const point of points) {
      const run = new Run(kernel, point);
      run.warmUp();
      run.measure();
      results.push(await run.result());
      if (format === "trace") traces += `${ftraceText(run.machine.trace())}\n`;
      if (format === "chrome") traces = JSON.stringify(chromeTrace(run.machine.trace()));
      bar.update(results.length);
    }
  } finally {
    bar.stop();
  }
  emit(formatted(format, results, traces), options.output);
  if (format === "trace") process.stderr.write(`${results.map((r) => `state_sha256 ${r.state_sha256}`).join("\n")}\n`);
}

function formatted(format: string, results: readonly RunResult[], traces: string): string {
  switch (format) {
    case "json":
      return JSON.stringify(results, undefined, 2);
    case "csv":
      return runCsv(results, idlePercent);
    case "trace":
    case "chrome":
      return traces;
    case "svg":
      return scalingSvg(
        results.map((r) => ({ series: r.mode, tasks: r.tasks, perSecond: r.simulated.faults_per_s })),
        results[0]?.workload ?? "",
      );
    case "lock_stat":
      return results.map((r) => `# ${r.tasks} tasks, seed ${r.seed}\n${lockStatTable(r, columns())}`).join("\n\n");
    default:
      return runTable(results, columns());
  }
}

/** Share of CPU time without a task; every task of these workloads has a CPU of its own unless there are fewer CPUs. */
function idlePercent(r: RunResult): number {
  const cpus = r.config.cpus ?? r.tasks;
  return Math.max(0, (1 - r.tasks / cpus) * 100);
}
