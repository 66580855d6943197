/**
 * Saved results, as far as running them again needs them.
 *
 * Interface: readResults(path).
 * Invariants: [saved-1] what is returned can be run again; anything else is a UsageError that names the file and the field.
 * Locks: none.
 * Why not trust the schema's name: files are cut off, edited, and written by other programs.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { errorText } from "../host/error-text.js";
import { type RunResult, SCHEMA } from "../sim/result.js";
import { UsageError } from "./errors.js";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits");
const whole = z.number().int().nonnegative();

const saved = z.looseObject({
  schema: z.literal(SCHEMA),
  workload: z.string(),
  tasks: whole.min(1).max(128),
  mode: z.enum(["threads", "processes"]),
  seed: whole,
  length_bytes: whole,
  warmup_ns: whole,
  duration_ns: whole,
  fs: z.string(),
  set: z.array(z.string()),
  stagger_ns: whole,
  config: z.record(z.string(), z.unknown()),
  wasm_sha256: sha256,
  state_sha256: sha256,
});

/** The results in a file that `faultline run --format json` wrote: an array, or one. */
export function readResults(path: string): RunResult[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path}: ${errorText(error)}`);
  }
  const list = Array.isArray(parsed) ? (parsed as unknown[]) : [parsed];
  if (list.length === 0) throw new UsageError(`${path}: no results in it`);
  for (const [i, entry] of list.entries()) {
    const issue = saved.safeParse(entry).error?.issues[0];
    if (issue) throw new UsageError(`${path}: result ${i}, ${issue.path.join(".") || "itself"}: ${issue.message}`);
  }
  return list as RunResult[];
}
