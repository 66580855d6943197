/**
 * Where a command's data and talk go: data on stdout or into a file, talk and a progress bar on stderr.
 *
 * Interface: columns(), colors(stream), checkOutput(path), emit(text, output), Progress, progressBar(total), underBar(jobs).
 * Invariants: [cli-1] stdout carries data only.
 *             [cli-2] no escape sequence reaches what is no terminal, nor anybody who set NO_COLOR.
 * Locks: none.
 * Why not one logger: data and talk have different readers.
 */
import { accessSync, constants, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import cliProgress from "cli-progress";
import pc from "picocolors";
import { errorText } from "../host/error-text.js";
import { UsageError } from "./errors.js";

/** Width that tables may take. */
export function columns(): number {
  const fromEnvironment = Number(process.env.COLUMNS);
  if (Number.isInteger(fromEnvironment) && fromEnvironment > 0) return fromEnvironment;
  // Some terminals say that they are 0 columns wide.
  return process.stdout.isTTY ? (process.stdout.columns > 0 ? process.stdout.columns : 80) : 160;
}

/** Colours for a stream: none unless it is a terminal that wants them. picocolors alone asks stdout, and colours in CI. */
export function colors(stream: { isTTY?: boolean }): ReturnType<typeof pc.createColors> {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const refused = (NO_COLOR !== undefined && NO_COLOR !== "") || process.argv.includes("--no-color");
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== "" && FORCE_COLOR !== "0";
  return pc.createColors(!refused && (forced || (stream.isTTY === true && TERM !== "dumb")));
}

/** Finds out before a long run that its result could not be written. Throws UsageError. */
export function checkOutput(path: string | undefined): void {
  if (path === undefined) return;
  try {
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory() === true) throw new Error("is a directory");
    accessSync(there ? path : dirname(path), constants.W_OK);
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${errorText(error)}`);
  }
}

/** Writes text, ended by a newline, to the file or to stdout. */
export function emit(text: string, output: string | undefined): void {
  const body = text.endsWith("\n") ? text : `${text}\n`;
  if (output === undefined) {
    process.stdout.write(body);
    return;
  }
  writeFileSync(output, body);
  process.stderr.write(`wrote ${output}\n`);
}

/** The part of a terminal that a bar needs. */
export type BarStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

/** A bar on stderr, when that is a terminal and the work turns out long. Call update now and then, stop at the end. */
export class Progress {
  private readonly startMs = performance.now();
  private bar: cliProgress.SingleBar | undefined;

  constructor(
    private readonly total: number,
    private readonly unit: string,
    private readonly stream: BarStream = process.stderr,
    private readonly patienceMs = 700,
  ) {}

  /** `done` of the total, in fractions too. */
  update(done: number): void {
    if (this.stream.isTTY !== true) return;
    if (!this.bar) {
      if (performance.now() - this.startMs < this.patienceMs) return;
      this.bar = new cliProgress.SingleBar({
        stream: this.stream,
        format: `{bar} {percentage} % of ${this.total} ${this.unit}, {eta_formatted} left`,
        barsize: Math.max(8, Math.min(30, (this.stream.columns ?? 80) - 40)),
        clearOnComplete: true,
      });
      this.bar.start(this.total, done);
    }
    this.bar.update(done);
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}

/** A bar over so many runs. */
export function progressBar(total: number): Progress {
  return new Progress(total, "runs");
}

/** Does job after job under a bar; each says how far it is. */
export function underBar<J, R>(jobs: readonly J[], unit: string, run: (job: J, progress: (done: number, total: number) => void) => R): R[] {
  const bar = new Progress(jobs.length, unit);
  try {
    return jobs.map((job, i) =>
      run(job, (done, total) => {
        bar.update(i + done / Math.max(1, total));
      }),
    );
  } finally {
    bar.stop();
  }
}
