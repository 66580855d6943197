/**
 * Disk images on the user's disk.
 *
 * Interface: saveImageOf(run, path).
 * Invariants: none.
 * Locks: none.
 * Why not a format of our own: a raw image is what losetup, hexdump and every other tool take.
 */
import { writeFileSync } from "node:fs";
import { syncedImage } from "../sim/fsck.js";
import type { Run } from "../sim/run.js";
import { UsageError } from "./errors.js";

/** Syncs the machine of a run that was measured, and writes its disk to a file. Throws UsageError when there is no disk. */
export function saveImageOf(run: Run, path: string): void {
  if (run.machine.disk.image().length === 0) throw new UsageError(`--save-image: this machine has no disk (--fs ${run.description.fs})`);
  const image = syncedImage(run.machine);
  writeFileSync(path, image);
  process.stderr.write(`wrote ${path}, ${image.length / 4096} blocks\n`);
}
