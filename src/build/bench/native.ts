/*
 * This computer's own kernel as the baseline: builds and runs faults.c, which takes shared write faults on tmpfs.
 *
 * Interface: Native, nativeBaseline(source, seconds).
 * Invariants: none.
 * Locks: none.
 * Why not require it: who has no compiler, no Linux or not that file still wants the emulator's own figures.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";

const TMPFS_MAGIC = 0x01021994;
const TMPFS_PLACES = ["/dev/shm", "/run/shm", tmpdir()];

const Line = z.object({ faults_per_s: z.number().positive() });

/** The baseline, or why there is none. */
export type Native = { sample: () => number; command: string; close: () => void } | { missing: string };

function tmpfsDirectory(): string | undefined {
  return TMPFS_PLACES.find((place) => existsSync(place) && statfsSync(place).type === TMPFS_MAGIC);
}

/** Builds the program; one sample runs one process of it for `seconds`, after its own warm-up, on files of `lengthMib`. */
export function nativeBaseline(source: string, seconds: number, lengthMib: number): Native {
  if (!existsSync(source)) return { missing: `no ${source}` };
  const directory = tmpfsDirectory();
  if (directory === undefined) return { missing: `no tmpfs at ${TMPFS_PLACES.join(", ")}` };
  const built = mkdtempSync(join(tmpdir(), "faultline-bench-"));
  const close = (): void => {
    rmSync(built, { recursive: true, force: true });
  };
  const program = join(built, "faults");
  const cc = spawnSync("cc", ["-O2", "-pthread", "-o", program, source], { encoding: "utf8" });
  if (cc.status !== 0) {
    close();
    return { missing: cc.error ? `cc: ${cc.error.message}` : `cc failed: ${cc.stderr.trim()}` };
  }
  const args = [directory, "1", "processes", String(seconds), String(lengthMib)];
  const sample = (): number => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.trim()}`);
    return Line.parse(JSON.parse(stdout)).faults_per_s;
  };
  return { sample, command: `faults ${args.join(" ")}`, close };
}
