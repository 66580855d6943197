/**
 * `faultline calibrate` and `faultline costs`: the machine beside measured ones, and the table its times come from.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { table } from "../../report/index.js";
import { CALIBRATION_POINTS, type CalibrationPoint, calibrate } from "../../sim/calibrate.js";
import { checkOneOf, defaultCosts } from "../options.js";
import { checkOutput, columns, emit, progressBar } from "../output.js";

export function registerCalibrate(cli: Command): void {
  cli
    .command("calibrate")
    .description("print the machine's scaling curves beside measured ones")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", "table or json", "table")
    .action(calibrateCommand);
}

export function registerCosts(cli: Command): void {
  cli.command("costs").description("print the cost table as JSON").action(costsCommand);
}

/** What the two columns are, and what the machine that was measured had and this one has not. */
const FOOTNOTES = [
  "measured: will-it-scale on 144 cores, Linux 5.10 (linux-mm, 2021); simulated: default cost table, 4 sockets.",
  "Not modelled: huge pages, which page_fault1 gets by default, and the reader spinning of Linux 5.10's rwsem (removed in 5.12),",
  "by which readers pass a waiting writer; both leave the simulated thread curves below the measured ones.",
];

async function calibrateCommand(options: { format: string; output?: string }): Promise<void> {
  const format = checkOneOf(options.format, "format", ["table", "json"]);
  checkOutput(options.output);
  const kernel = await loadKernel();
  const bar = progressBar(CALIBRATION_POINTS);
  const points = await calibrate(kernel, {}, (done) => {
    bar.update(done);
  }).finally(() => {
    bar.stop();
  });
  emit(format === "json" ? JSON.stringify(points, undefined, 2) : calibrationTable(points), options.output);
}

function calibrationTable(points: readonly CalibrationPoint[]): string {
  const percent = (error: number): string => `${error >= 0 ? "+" : ""}${(error * 100).toFixed(0)} %`;
  const rows = points.map((p) => [
    p.workload,
    p.mode,
    String(p.tasks),
    String(Math.round(p.measured)),
    String(Math.round(p.simulated)),
    percent(p.error),
  ]);
  const header = ["workload", "mode", "tasks", "measured faults/s", "simulated faults/s", "error"];
  return `${table(header, rows, columns())}\n\n${FOOTNOTES.join("\n")}`;
}

async function costsCommand(): Promise<void> {
  process.stdout.write(`${JSON.stringify(defaultCosts(await loadKernel()), undefined, 2)}\n`);
  process.stderr.write("costs of the emulated machine, ns of simulated time each; save, change, and pass with --costs\n");
}
