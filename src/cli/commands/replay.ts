/**
 * `faultline replay <run.json>`: saved results run again; exit 1 when a state differs.
 */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import pc from "picocolors";
import { loadKernel } from "../../node.js";
import { type RunResult, SCHEMA } from "../../sim/result.js";
import { descriptionOf, runPoint } from "../../sim/run.js";
import { UsageError } from "../errors.js";

export function registerReplay(cli: Command): void {
  cli.command("replay <run.json>").description("run saved results again; exit 1 when a state differs").action(replayCommand);
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
