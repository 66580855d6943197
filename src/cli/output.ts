/**
 * Where a command's data and talk go: data on stdout or into a file, a progress bar on stderr.
 *
 * Interface: columns(), emit(text, output), progressBar(total).
 * Invariants: [cli-1] stdout carries data only.
 * Locks: none.
 * Why not one logger: data and talk have different readers.
 */
import { writeFileSync } from "node:fs";
import cliProgress from "cli-progress";

/** Width that tables may take. */
export function columns(): number {
  const fromEnvironment = Number(process.env.COLUMNS);
  if (Number.isInteger(fromEnvironment) && fromEnvironment > 0) return fromEnvironment;
  return process.stdout.isTTY ? process.stdout.columns : 160;
}

/** Writes text, ended by a newline, to the file or to stdout. */
export function emit(text: string, output: string | undefined): void {
  const body = text.endsWith("\n") ? text : `${text}\n`;
  if (output === undefined) process.stdout.write(body);
  else writeFileSync(output, body);
}

/** A bar on stderr when that is a terminal and there is something to wait for. */
export function progressBar(total: number): { update: (done: number) => void; stop: () => void } {
  if (!process.stderr.isTTY || total < 3) return { update: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: "{bar} {value}/{total} runs, {eta} s left",
    barsize: Math.max(8, Math.min(30, process.stderr.columns - 40)),
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}
