/**
 * `faultline workloads`: what can be run.
 */
import type { Command } from "commander";
import { WORKLOADS } from "../../workloads/index.js";

export function registerWorkloads(cli: Command): void {
  cli.command("workloads").description("list the workloads").action(workloadsCommand);
}

function workloadsCommand(): void {
  const rows = WORKLOADS.map((w) => [w.name, w.summary, w.origin]);
  const width = Math.max(...rows.map((row) => (row[0] ?? "").length));
  for (const [name, summary, origin] of rows) process.stdout.write(`${(name ?? "").padEnd(width)}  ${summary} (${origin})\n`);
}
