/*
 * fsck as a user sees it, and over what every workload leaves on the disk: synced, and as a power failure would leave it.
 *
 * Checks: [fk-3], exit codes, the Must of the issue that an image written by any workload passes.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KernelImage, Run, WORKLOADS, loadKernel } from "../../src/node.js";
import { describeFsck } from "../../src/sim/fsck.js";
import type { WorkloadInput } from "../../src/workloads/index.js";
import { pattern, save } from "../fs-suite/mounted.js";
import { expectCleanRun } from "../fs-suite/check-image.js";
import { MNT, flipped, placeOf, withCowfs } from "./machine.js";

const MIB = 1 << 20;
const FILESYSTEMS = ["cowfs", "cowfs-512", "cowfs-1024", "cowfs-2048"];
const JOB: WorkloadInput = {
  kind: "fio",
  name: "job.fio",
  text: "[j]\nioengine=mmap\nrw=randwrite\nbs=4k\nsize=1m\nfsync=16\nnumjobs=2\nthread\n",
};

let kernel: KernelImage;

beforeAll(async () => {
  kernel = await loadKernel(true);
});

describe("an image written by any workload is clean", () => {
  const all = [...WORKLOADS.map(({ name }) => ({ name, input: undefined })), { name: JOB.name, input: JOB }];
  it.each(all.map((one, i) => ({ ...one, fs: FILESYSTEMS[i % FILESYSTEMS.length] ?? "cowfs" })))("$name on $fs", ({ name, input, fs }) => {
    const config = { memoryBytes: 64 * MIB };
    const description = { workload: name, tasks: 2, mode: "threads" as const, fs, lenBytes: MIB, durationNs: 2e6, warmupNs: 1e5, config };
    const run = new Run(kernel, { ...description, ...(input ? { input } : {}) });
    expectCleanRun(run);
  });
});

describe("faultline fsck", () => {
  const cli = fileURLToPath(new URL("../../build/dist/cli/main.js", import.meta.url));
  const directory = mkdtempSync(join(tmpdir(), "faultline-fsck-"));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const faultline = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [cli, ...args], { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
  const file = (name: string, image: Uint8Array): string => {
    writeFileSync(join(directory, name), image);
    return join(directory, name);
  };

  it("says what it walked, exit 0; names the broken law and its place, exit 1", () => {
    const content = pattern(4096);
    const { image } = withCowfs({}, () => save(`${MNT}/f`, content));
    const clean = faultline("fsck", file("clean.img", image));
    expect([clean.status, clean.stderr]).toEqual([0, ""]);
    expect(clean.stdout).toMatch(
      /^clean, generation \d: 4 tree blocks, 1 extents with 1 blocks of data, 2 inodes, 1 names, 0 snapshots\n$/,
    );
    const at = placeOf(image, content);
    const broken = faultline("fsck", file("broken.img", flipped(image, at)));
    expect(broken.status).toBe(1);
    expect(broken.stdout).toMatch(new RegExp(`^law 8 is broken: checksums of data, byte ${at}\n`));
  });

  it("what is no image is a usage error", () => {
    expect(faultline("fsck", join(directory, "missing")).status).toBe(2);
    expect(faultline("fsck", file("odd.img", new Uint8Array(1000))).status).toBe(2);
    expect(faultline("fsck").status).toBe(2);
    expect(faultline("run", "page_fault3", "-t", "1", "--duration", "1ms", "--save-image", join(directory, "x")).status).toBe(2);
  });

  it("run --save-image writes what it reads", () => {
    const path = join(directory, "run.img");
    const ran = faultline(
      "run",
      "msync-storm",
      "-t",
      "2",
      "--fs",
      "cowfs-512",
      "--duration",
      "1ms",
      "--length",
      "1M",
      "--save-image",
      path,
    );
    expect([ran.status, ran.stderr]).toEqual([0, expect.stringContaining(`wrote ${path}`) as string]);
    const checked = faultline("fsck", path, "--format", "json");
    const report = JSON.parse(checked.stdout) as Parameters<typeof describeFsck>[0];
    expect(report, describeFsck(report)).toMatchObject({ law: 0, lawName: "clean" });
    expect(report.names).toBeGreaterThan(0);
  });
});
