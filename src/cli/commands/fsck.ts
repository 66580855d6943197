/**
 * `faultline fsck <image>`: checks a disk image, says what was walked, or names the first broken law.
 *
 * Interface: registerFsck.
 * Invariants: [cli-f1] exit code 0: clean; 1: a law is broken.
 * Locks: none.
 * Why not repair: see assembly/fs/cowfs/fsck.ts and assembly/fs/block/fsck.ts.
 */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { errorText } from "../../host/error-text.js";
import { loadKernel } from "../../node.js";
import { describeFsck, fsckImage } from "../../sim/fsck.js";
import { UsageError } from "../errors.js";
import { checkOneOf } from "../options.js";

const FORMATS = ["text", "json"] as const;

export function registerFsck(cli: Command): void {
  cli
    .command("fsck <image>")
    .description("check a disk image of cowfs, iomapfs or jbdfs (faultline run --fs <type> --save-image <file> writes one)")
    .option("--format <format>", FORMATS.join(" or "), "text")
    .action(fsckCommand);
}

async function fsckCommand(path: string, options: { format: string }): Promise<void> {
  const format = checkOneOf(options.format, "format", FORMATS);
  const kernel = await loadKernel();
  const report = fsckImage(kernel.module, readImage(path));
  process.stdout.write(`${format === "json" ? JSON.stringify(report, undefined, 2) : describeFsck(report)}\n`);
  if (report.law !== 0) process.exitCode = 1;
}

function readImage(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${errorText(error)}`);
  }
}
