/**
 * `faultline calibrate` and `faultline costs`: the machine beside measured ones, and the table its times come from.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { table } from "../../report/format.js";
import { CALIBRATION_POINTS, type CalibrationPoint, calibrate } from "../../sim/calibrate.js";
import { INVERSION_PROGRESS, type InversionPoint, type InversionTimes, calibrateInversion } from "../../sim/calibrate-inversion.js";
import { checkOneOf, defaultCosts } from "../options.js";
import { checkOutput, columns, emit, progressBar } from "../output.js";

export function registerCalibrate(cli: Command): void {
  cli
    .command("calibrate [what]")
    .description("print the machine's figures beside measured ones: its scaling curves, or the inversion of mmap_sem")
    .addHelpText(
      "after",
      "\nwhat: scaling (the default): will-it-scale's page_fault1-3; inversion: who waits for a store stuck in page_mkwrite",
    )
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

async function calibrateCommand(what: string | undefined, options: { format: string; output?: string }): Promise<void> {
  const subject = checkOneOf(what ?? "scaling", "what", ["scaling", "inversion"]);
  const format = checkOneOf(options.format, "format", ["table", "json"]);
  checkOutput(options.output);
  const kernel = await loadKernel();
  const bar = progressBar(subject === "scaling" ? CALIBRATION_POINTS : INVERSION_PROGRESS);
  const progress = (done: number): void => {
    bar.update(done);
  };
  let points: CalibrationPoint[] | InversionPoint[];
  let text: string;
  try {
    if (subject === "scaling") text = calibrationTable((points = await calibrate(kernel, {}, progress)));
    else text = inversionTable((points = await calibrateInversion(kernel, "frozen", progress)));
  } finally {
    bar.stop();
  }
  emit(format === "json" ? JSON.stringify(points, undefined, 2) : text, options.output);
}

const INVERSION_FOOTNOTES = [
  "ms that each waits: measured / simulated / simulated with the helper.",
  "Measured: Linux 6.18, per-VMA locks, in steps of 50 ms, 0.01 for not blocked. Simulated: linux-6.7+generic_page_mkwrite on cowfs,",
  "frozen for 1500 ms; the helper is generic_page_mkwrite_nommapsem.",
];

function inversionTable(points: readonly InversionPoint[]): string {
  const ms = (time: number): string => (time >= 10 ? time.toFixed(0) : time.toFixed(3));
  const three = (p: InversionPoint, actor: keyof InversionTimes): string =>
    [p.measured, p.simulated, p.helper].map((times) => ms(times[actor])).join(" / ");
  const rows = points.map((p) => [p.faultFrom, p.op, three(p, "op"), three(p, "cmdlineRead"), three(p, "otherThreadAnonFault")]);
  const header = ["stuck store", "op", "op blocked", "cmdline blocked", "anon fault"];
  return `${table(header, rows, columns())}\n\n${INVERSION_FOOTNOTES.join("\n")}`;
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
