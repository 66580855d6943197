/**
 * `faultline workloads`: what can be run.
 */
import type { Command } from "commander";
import { WORKLOADS, optionHelp } from "../../workloads/index.js";

export function registerWorkloads(cli: Command): void {
  cli.command("workloads").description("list the workloads").action(workloadsCommand);
}

function workloadsCommand(): void {
  const width = Math.max(...WORKLOADS.map((w) => w.name.length));
  for (const w of WORKLOADS) {
    process.stdout.write(`${w.name.padEnd(width)}  ${w.summary} (${w.origin})\n`);
    if (w.duration !== undefined) {
      process.stdout.write(`${" ".repeat(width)}    measured for ${w.duration} unless --duration says otherwise\n`);
    }
    for (const line of optionHelp(w.options ?? [])) process.stdout.write(`${" ".repeat(width)}    --set ${line}\n`);
  }
}
