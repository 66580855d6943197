/*
 * fsck of a disk image by the checked kernel, for the tests of every filesystem that has one.
 *
 * Interface: checkImage, lawOf, expectClean, expectCleanRun.
 */
import { expect } from "vitest";
import type { Run } from "../../src/node.js";
import { type FsckReport, describeFsck, fsckImage, syncedImage } from "../../src/sim/fsck.js";
import { checkedKernel } from "../test-machine.js";

/** fsck's report. */
export function checkImage(image: Uint8Array): FsckReport {
  return fsckImage(checkedKernel(), image);
}

/** The first broken law of an image, 0 for none. */
export function lawOf(image: Uint8Array): number {
  return checkImage(image).law;
}

/** Fails with the law's name and place unless the image is clean. */
export function expectClean(image: Uint8Array, message = ""): FsckReport {
  const report = checkImage(image);
  expect(report.law, `${describeFsck(report)}\n${message}`).toBe(0);
  return report;
}

/** Runs a workload: its disk is clean if the power fails, with the disk's cache lost or written, and once all is synced. */
export function expectCleanRun(run: Run): void {
  run.warmUp();
  run.measure();
  expectClean(run.machine.disk.afterPowerLoss(), "power lost");
  expectClean(run.machine.disk.save(), "power lost, the disk's cache was written");
  expectClean(syncedImage(run.machine), "synced");
}
