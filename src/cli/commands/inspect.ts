/**
 * `faultline inspect <workload>`: runs a workload, checks every invariant and prints /proc-like views.
 */
import type { Command } from "commander";
import { INSPECT_KINDS } from "../../host/machine.js";
import { loadKernel } from "../../node.js";
import { Run } from "../../sim/run.js";
import { sweepPoints } from "../../sim/sweep.js";
import { UsageError } from "../errors.js";
import { type RunOptions, describeRun, sweepOf } from "../options.js";

export function registerInspect(cli: Command): void {
  describeRun(cli.command("inspect <workload>").description("run a workload, check every invariant, print /proc-like views"))
    .option("--view <list>", `${INSPECT_KINDS.join(", ")} or all`, "all")
    .action((workload: string, options: RunOptions & { view: string }) => inspectCommand(workload, { ...options, format: "table" }));
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
    const pid = kind === "maps" || kind === "smaps" || kind === "cmdline" || kind === "stat" ? run.targetPid : 0;
    process.stdout.write(`== ${kind}${pid > 0 ? ` of process ${pid}` : ""}\n${run.machine.inspect(kind, pid).replaceAll("\0", " ")}\n`);
  }
}
