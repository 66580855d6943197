/**
 * `faultline inspect <workload>`: runs a workload, checks every invariant and prints /proc-like views.
 */
import type { Command } from "commander";
import { INSPECT_KINDS } from "../../host/machine.js";
import { loadKernel } from "../../node.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import { UsageError } from "../errors.js";
import { type RunOptions, checkOneOf, describeRun, sweepOf } from "../options.js";

export function registerInspect(cli: Command): void {
  const command = cli.command("inspect <workload>").description("run a workload, check every invariant, print /proc-like views");
  describeRun(command, "2")
    .option("--view <list>", `${INSPECT_KINDS.join(", ")} or all`, "all")
    .action((workload: string, options: RunOptions & { view: string }) =>
      inspectCommand(workload, { ...options, seeds: "1", format: "table" }),
    );
}

async function inspectCommand(workload: string, options: RunOptions & { view: string }): Promise<void> {
  const kernel = await loadKernel(options.checked === true);
  const points = sweepPoints(sweepOf(workload, options, kernel));
  const [point] = points;
  if (!point || points.length > 1) {
    throw new UsageError(`inspect looks at one run, not at ${points.length}: give one number of tasks`);
  }
  const kinds =
    options.view === "all" ? INSPECT_KINDS : options.view.split(",").map((kind) => checkOneOf(kind.trim(), "view", INSPECT_KINDS));
  const run = new Run(kernel, point);
  run.warmUp();
  run.measure();
  run.machine.check();
  for (const kind of INSPECT_KINDS.filter((k) => kinds.includes(k))) {
    const pid = kind === "maps" || kind === "smaps" || kind === "cmdline" || kind === "stat" ? run.targetPid : 0;
    process.stdout.write(`== ${kind}${pid > 0 ? ` of process ${pid}` : ""}\n${run.machine.inspect(kind, pid).replaceAll("\0", " ")}\n`);
  }
}
