#!/usr/bin/env node
/**
 * The command line. Data on stdout, talk on stderr; exit codes 0 ok, 1 failed, 2 usage.
 */
import { readFileSync, writeFileSync } from "node:fs";
import cliProgress from "cli-progress";
import { Command, CommanderError } from "commander";
import pc from "picocolors";
import { ConfigError } from "../host/config.js";
import { INSPECT_KINDS } from "../host/machine.js";
import { loadKernel } from "../node.js";
import { chromeTrace, ftraceText, lockStatTable, runCsv, runTable, scalingSvg, table } from "../report/index.js";
import { calibrate } from "../sim/calibrate.js";
import type { RunResult } from "../sim/result.js";
import { SCHEMA } from "../sim/result.js";
import { type KernelImage, Run, RunError, VERSION, descriptionOf, runPoint } from "../sim/run.js";
import { sweepPoints } from "../sim/sweep.js";
import { WORKLOADS } from "../workloads/index.js";
import { UsageError } from "./errors.js";
import { type RunOptions, checkFormat, checkWorkload, defaultCosts, describeRun, sweepOf } from "./options.js";

function columns(): number {
  const fromEnvironment = Number(process.env["COLUMNS"]);
  if (Number.isInteger(fromEnvironment) && fromEnvironment > 0) return fromEnvironment;
  return process.stdout.isTTY ? process.stdout.columns : 160;
}

function emit(text: string, output: string | undefined): void {
  const body = text.endsWith("\n") ? text : `${text}\n`;
  if (output === undefined) process.stdout.write(body);
  else writeFileSync(output, body);
}

/** A bar on stderr when that is a terminal and there is something to wait for. */
function progressBar(total: number): { update: (done: number) => void; stop: () => void } {
  if (!process.stderr.isTTY || total < 3) return { update: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total} runs, {eta} s left",
    barsize: Math.max(8, Math.min(30, (process.stderr.columns ?? 80) - 40)),
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
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

async function replayCommand(file: string): Promise<void> {
  const results = readResults(file);
  const kernel = await loadKernel();
  let differs = 0;
  for (const wanted of results) {
    if (wanted.wasm_sha256 !== kernel.sha256) process.stderr.write(`${pc.yellow("note:")} the result is of another kernel build\n`);
    const got = await runPoint(kernel, descriptionOf(wanted));
    const same = got.state_sha256 === wanted.state_sha256;
    if (!same) differs++;
    const verdict = same ? pc.green("same state") : pc.red(`other state: ${got.state_sha256}`);
    process.stdout.write(`${wanted.workload} ${wanted.tasks} ${wanted.mode} seed ${wanted.seed}: ${verdict}\n`);
  }
  if (differs > 0) process.exitCode = 1;
}

function readResults(file: string): RunResult[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const list = Array.isArray(parsed) ? (parsed as unknown[]) : [parsed];
  for (const entry of list) {
    const schema = (entry as { schema?: unknown } | null)?.schema;
    if (schema !== SCHEMA) throw new UsageError(`${file}: expected results of schema ${SCHEMA}, found ${String(schema)}`);
  }
  return list as RunResult[];
}

async function inspectCommand(workload: string, options: RunOptions & { view: string }): Promise<void> {
  const kernel = await loadKernel(options.checked === true);
  const point = sweepPoints(sweepOf(workload, options, kernel))[0];
  if (!point) throw new UsageError("nothing to run");
  const kinds = options.view === "all" ? [...INSPECT_KINDS] : options.view.split(",");
  for (const kind of kinds) {
    if (!INSPECT_KINDS.some((k) => k === kind)) throw new UsageError(`view "${kind}": expected ${INSPECT_KINDS.join(", ")} or all`);
  }
  const run = new Run(kernel, point);
  run.warmUp();
  run.measure();
  run.machine.check();
  for (const kind of INSPECT_KINDS.filter((k) => kinds.includes(k))) {
    const pid = kind === "maps" || kind === "smaps" || kind === "cmdline" || kind === "stat" ? 1 : 0;
    process.stdout.write(`== ${kind}${pid > 0 ? ` of process ${pid}` : ""}\n${run.machine.inspect(kind, pid).replaceAll("\0", " ")}\n`);
  }
}

async function calibrateCommand(options: { format: string }): Promise<void> {
  const kernel = await loadKernel();
  const bar = progressBar(12);
  const points = await calibrate(kernel, {}, (done) => bar.update(done));
  bar.stop();
  if (options.format === "json") {
    process.stdout.write(`${JSON.stringify(points, undefined, 2)}\n`);
    return;
  }
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
  process.stdout.write(`${table(header, rows, columns())}\n\n`);
  process.stdout.write("measured: will-it-scale on 144 cores, Linux 5.10 (linux-mm, 2021); simulated: default cost table, 4 sockets\n");
}

async function costsCommand(): Promise<void> {
  process.stdout.write(`${JSON.stringify(defaultCosts(await loadKernel()), undefined, 2)}\n`);
  process.stderr.write("costs of the emulated machine, ns of simulated time each; save, change, and pass with --costs\n");
}

function workloadsCommand(): void {
  const rows = WORKLOADS.map((w) => [w.name, w.summary, w.origin]);
  const width = Math.max(...rows.map((row) => (row[0] ?? "").length));
  for (const [name, summary, origin] of rows) process.stdout.write(`${(name ?? "").padEnd(width)}  ${summary} (${origin})\n`);
}

function program(): Command {
  const cli = new Command("faultline")
    .description("an emulated machine with a real virtual-memory subsystem: measures what page faults cost under mmap_sem")
    .version(VERSION)
    .option("--no-color", "plain text (NO_COLOR is honoured as well)")
    .exitOverride()
    .showHelpAfterError("(faultline --help shows the commands)");
  describeRun(cli.command("run <workload>").description("run a workload and report simulated fault throughput"))
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", "table, json, csv, trace, chrome, svg or lock_stat", "table")
    .action(runCommand);
  cli.command("workloads").description("list the workloads").action(workloadsCommand);
  cli.command("replay <run.json>").description("run saved results again; exit 1 when a state differs").action(replayCommand);
  describeRun(cli.command("inspect <workload>").description("run a workload, check every invariant, print /proc-like views"))
    .option("--view <list>", `${INSPECT_KINDS.join(", ")} or all`, "all")
    .action((workload: string, options: RunOptions & { view: string }) => inspectCommand(workload, { ...options, format: "table" }));
  cli
    .command("calibrate")
    .description("print the machine's scaling curves beside measured ones")
    .option("--format <format>", "table or json", "table")
    .action(calibrateCommand);
  cli.command("costs").description("print the cost table as JSON").action(costsCommand);
  return cli;
}

/** What an error means for the exit code and for stderr. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red("faultline:")} ${message}\n`);
  if (error instanceof UsageError || error instanceof ConfigError) return 2;
  if (!(error instanceof RunError) && process.env["FAULTLINE_DEBUG"] && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
  return 1;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program().parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
