/**
 * A word on the command line that is a workload's name, or a file that is a workload.
 *
 * Interface: inputOf, warnOf.
 * Invariants: [in-1] a name of the table wins over a file of that name.
 * Locks: none.
 * Why not an option for files: `fio job.fio` is what people type.
 */
import { existsSync, readFileSync } from "node:fs";
import { errorText } from "../host/error-text.js";
import { FioError } from "../workloads/fio/ini.js";
import { parseJobFile } from "../workloads/fio/job.js";
import { TraceError } from "../workloads/trace/parse.js";
import { traceWorkload } from "../workloads/trace/workload.js";
import { type WorkloadInput, workloadByName } from "../workloads/index.js";
import { UsageError } from "./errors.js";
import { colors } from "./output.js";

/** The job file or trace that the word names; undefined when it is (or is meant to be) a workload's name. */
export function inputOf(word: string): WorkloadInput | undefined {
  if (workloadByName(word)) return undefined;
  if (!/\.(fio|trace)$/.test(word) && !existsSync(word)) return undefined;
  const text = readText(word);
  const isTrace = word.endsWith(".trace") || text.trimStart().startsWith("faultline-trace");
  return { kind: isTrace ? "trace" : "fio", name: word, text };
}

export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file}: ${errorText(error)}`);
  }
}

/** Says on stderr what of a job file is not modelled. Throws UsageError for a file that means nothing. */
export function warnOf(input: WorkloadInput): void {
  if (input.kind === "trace") {
    checkTrace(input);
    return;
  }
  for (const { at, message } of parsed(input)) {
    process.stderr.write(`${colors(process.stderr).yellow("warning:")} ${input.name}:${at.line}:${at.column}: ${message}\n`);
  }
}

function parsed(input: WorkloadInput): ReturnType<typeof parseJobFile>["warnings"] {
  try {
    return parseJobFile(input.text, input.name).warnings;
  } catch (error) {
    if (error instanceof FioError) throw new UsageError(error.message);
    throw error;
  }
}

function checkTrace(input: WorkloadInput): void {
  try {
    traceWorkload(input.text, input.name);
  } catch (error) {
    if (error instanceof TraceError) throw new UsageError(error.message);
    throw error;
  }
}
