/**
 * `faultline exec <program> [args...]`: an executable of riscv64 Linux, run instruction by instruction on the emulated machine.
 *
 * Interface: registerExec.
 * Invariants:
 *   [cli-x1] stdout and stderr are the program's; the summary comes last on stderr.
 *   [cli-x2] the exit code is the program's, 128 and the signal's number when one killed it, 126 for a file that cannot be executed.
 * Locks: none.
 * Why not the options behind the program: they are its own.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Command } from "commander";
import { errorText } from "../../host/error-text.js";
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES, type MachineConfig } from "../../host/config.js";
import { GuestFailure } from "../../host/machine.js";
import { ExecError, whyNotExecutable } from "../../host/program.js";
import { loadKernel } from "../../node.js";
import { execSummary } from "../../report/exec-text.js";
import { FILESYSTEM_NAMES, filesystemByName } from "../../sim/filesystems.js";
import { parseSize, parseWhole } from "../../sim/parse.js";
import { type ExecDescription, type ExecResult, runProgram } from "../../sim/exec.js";
import { readCosts } from "../cost-file.js";
import { UsageError } from "../errors.js";
import { checkOneOf, costNames, usage } from "../options.js";

interface Options {
  fs: string;
  cpus: string;
  memory: string;
  seed: string;
  faultLock: string;
  mkwrite: string;
  costs?: string;
  env?: string[];
  stdin?: string;
  json?: boolean;
  quiet?: boolean;
  checked?: boolean;
}

/** What a shell says of a file that is there and cannot be executed. */
const CANNOT_EXECUTE = 126;
const ENOEXEC = 8;

export function registerExec(cli: Command): void {
  const command = cli
    .command("exec")
    .description("run a static riscv64 Linux executable on the emulated machine (docs/programs.md)")
    .argument("<program>", "an ELF file of the host; it is copied into the guest's filesystem")
    .argument("[args...]", "its arguments")
    .option("--fs <name>", `filesystem that it lies on: ${FILESYSTEM_NAMES.join(", ")}`, "ramfs")
    .option("--cpus <n>", "emulated CPUs", "1")
    .option("--memory <size>", "guest memory", "256M")
    .option("--seed <n>", "seed of the machine's random choices, getrandom(2) among them", "1")
    .option("--fault-lock <regime>", FAULT_LOCK_REGIMES.join(" or "), "linux-4.19")
    .option("--mkwrite <regime>", `how page_mkwrite is called: ${MKWRITE_REGIMES.join(", ")}`, "generic_page_mkwrite")
    .option("--costs <file>", "cost table overrides (see: faultline costs)")
    .option("--env <name=value>", "a variable of its environment; may be given again", (value: string, before?: string[]) => [
      ...(before ?? []),
      value,
    ])
    .option("--stdin <file>", "what it reads from standard input; - is this command's")
    .option("--json", "the summary as JSON")
    .option("--quiet", "no summary")
    .option("--checked", "use the kernel build with every costly check")
    .option("--no-color", "plain text")
    .action(execCommand);
  // What stands behind the program is the program's. For other commands the options of faultline itself may stand anywhere.
  if (process.argv[2] !== "exec") return;
  cli.enablePositionalOptions();
  command.passThroughOptions();
}

function readInput(path: string, what: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`cannot read ${what} ${path}: ${errorText(error)}`);
  }
}

function configOf(options: Options): MachineConfig {
  return {
    cpus: usage(() => parseWhole(options.cpus, "cpus", 1, 128)),
    memoryBytes: usage(() => parseSize(options.memory)),
    seed: usage(() => parseWhole(options.seed, "seed", 0, Number.MAX_SAFE_INTEGER)),
    faultLock: checkOneOf(options.faultLock, "fault-lock", FAULT_LOCK_REGIMES),
    mkwrite: checkOneOf(options.mkwrite, "mkwrite", MKWRITE_REGIMES),
  };
}

async function execCommand(program: string, args: string[], options: Options): Promise<void> {
  usage(() => filesystemByName(options.fs));
  const bytes = readInput(program, "program");
  const config = configOf(options);
  const reason = whyNotExecutable(bytes);
  if (reason !== undefined) {
    refuse(program, reason);
    return;
  }
  const kernel = await loadKernel(options.checked === true);
  if (options.costs !== undefined) config.costs = readCosts(options.costs, costNames(kernel));
  const description: ExecDescription = { fs: options.fs, name: basename(program), bytes, args, env: options.env ?? [], config };
  if (options.stdin !== undefined) description.stdin = readInput(options.stdin, "standard input");
  const result = await start(kernel.module, description);
  if (!result) {
    refuse(program, "the kernel does not take it for an executable (ENOEXEC)");
    return;
  }
  process.exitCode = result.exit.kind === "exited" ? result.exit.code : 128 + result.exit.signal;
  if (options.quiet === true) return;
  process.stderr.write(options.json === true ? `${JSON.stringify(result)}\n` : execSummary(result));
}

/** Runs the program; undefined when the kernel would not. */
async function start(module: WebAssembly.Module, description: ExecDescription): Promise<ExecResult | undefined> {
  try {
    return await runProgram(
      module,
      description,
      (stream, bytes) => process[stream].write(bytes),
      async () => {
        await setImmediate();
      },
    );
  } catch (error) {
    if (error instanceof GuestFailure && error.cause instanceof ExecError && error.cause.errno === ENOEXEC) return undefined;
    throw error;
  }
}

function refuse(program: string, reason: string): void {
  process.stderr.write(`faultline: cannot execute ${program}: ${reason}\n`);
  process.exitCode = CANNOT_EXECUTE;
}
