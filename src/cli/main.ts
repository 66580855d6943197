#!/usr/bin/env node
/**
 * The command line. Data on stdout, talk on stderr; exit codes 0 ok, 1 failed, 2 usage. A command is one file in commands/
 * and one line here.
 */
import { Command, CommanderError } from "commander";
import { errorText } from "../host/error-text.js";
import { ConfigError } from "../host/config.js";
import { RunError, VERSION } from "../sim/run.js";
import { registerCompare } from "./commands/compare.js";
import { registerCalibrate, registerCosts } from "./commands/calibrate.js";
import { registerCrash } from "./commands/crash.js";
import { registerExplore } from "./commands/explore.js";
import { registerExec } from "./commands/exec.js";
import { registerFsck } from "./commands/fsck.js";
import { registerInspect } from "./commands/inspect.js";
import { registerMutants } from "./commands/mutants.js";
import { registerReplay } from "./commands/replay.js";
import { registerImportStrace, registerReplayTrace } from "./commands/replay-trace.js";
import { registerRun } from "./commands/run.js";
import { registerSettle } from "./commands/settle.js";
import { registerSites } from "./commands/sites.js";
import { registerWorkloads } from "./commands/workloads.js";
import { UsageError } from "./errors.js";
import { colors } from "./output.js";

const COMMANDS: readonly ((cli: Command) => void)[] = [
  registerRun,
  registerExec,
  registerCompare,
  registerSettle,
  registerWorkloads,
  registerReplay,
  registerReplayTrace,
  registerImportStrace,
  registerInspect,
  registerFsck,
  registerCrash,
  registerMutants,
  registerExplore,
  registerSites,
  registerCalibrate,
  registerCosts,
];

function program(): Command {
  const cli = new Command("faultline")
    .description("an emulated machine with a real virtual-memory subsystem: measures what page faults cost under mmap_sem")
    .version(VERSION)
    .option("--no-color", "plain text (NO_COLOR is honoured as well)")
    .exitOverride()
    .showHelpAfterError("(faultline --help shows the commands)");
  for (const register of COMMANDS) register(cli);
  return cli;
}

/** What an error means for the exit code and for stderr. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const message = errorText(error);
  process.stderr.write(`${colors(process.stderr).red("faultline:")} ${message}\n`);
  if (error instanceof UsageError || error instanceof ConfigError) return 2;
  const debug = process.env.FAULTLINE_DEBUG !== undefined && !(error instanceof RunError);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
  return 1;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that goes away has seen enough; a disk that is full has not.
  if (error.code !== "EPIPE") process.stderr.write(`${colors(process.stderr).red("faultline:")} stdout: ${error.message}\n`);
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

try {
  await program().parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
