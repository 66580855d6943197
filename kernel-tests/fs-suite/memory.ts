/*
 * Memory that runs short: more names than may be cached, and every allocation of a few calls failing once.
 * Checks [dca-1] [dca-2] [scr-1] [nm-5] [slab-3]: what fails says ENOMEM or ENOSPC and leaves everything as it was.
 */
import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDWR, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, MIB, type TestMachine, must } from "../test-machine.js";
import { type FilesystemSpec, MNT, isPattern, names, onFilesystem, pattern, readAll, save, tree } from "./mounted.js";

const MANY = 800;

/** Files in directories, each with its own content, then all of them read back. */
function* manyFiles(): Call<unknown> {
  for (let d = 0; d < 8; d++) must(yield* sys.mkdir(`${MNT}/d${d}`));
  for (let i = 0; i < MANY; i++) yield* save(`${MNT}/d${i % 8}/file-${i}`, pattern(10 + i, i));
  let right = 0;
  for (let i = 0; i < MANY; i++) if (isPattern(yield* readAll(`${MNT}/d${i % 8}/file-${i}`), 10 + i, i)) right++;
  for (let i = 0; i < MANY; i += 2) must(yield* sys.unlink(`${MNT}/d${i % 8}/file-${i}`));
  const left: number[] = [];
  for (let d = 0; d < 8; d++) left.push((yield* names(`${MNT}/d${d}`)).length);
  return [right, left];
}

/** One call of each kind. Returns those that failed, as "name: errno". */
function* aFewCalls(): Call<string[]> {
  const failed: string[] = [];
  const note = function* (name: string, call: Call): Call {
    const result = yield* call;
    if (result < 0) failed.push(`${name}: ${-result}`);
    return result;
  };
  const fd = yield* note("open", sys.open(`${MNT}/new`, O_RDWR | O_CREAT));
  if (fd >= 0) {
    yield* note("write", sys.pwrite(fd, pattern(5000), 0));
    yield* note("truncate", sys.ftruncate(fd, 3000));
    yield* note("fsync", sys.fsync(fd));
    yield* note("close", sys.close(fd));
  }
  yield* note("mkdir", sys.mkdir(`${MNT}/dir`));
  yield* note("link", sys.link(`${MNT}/old`, `${MNT}/linked`));
  yield* note("symlink", sys.symlink("old", `${MNT}/soft`));
  yield* note("rename", sys.rename(`${MNT}/full/a`, `${MNT}/full/b`));
  yield* note("unlink", sys.unlink(`${MNT}/gone`));
  yield* note("rmdir", sys.rmdir(`${MNT}/empty`));
  const root = yield* note("open root", sys.open(MNT, 0));
  if (root >= 0) {
    const entries = yield* sys.getdents(root);
    if (typeof entries === "number") failed.push(`getdents: ${-entries}`);
  }
  return failed;
}

function* prepare(): Call<void> {
  for (const name of ["old", "gone"]) yield* save(`${MNT}/${name}`, "content");
  for (const name of ["full", "empty"]) must(yield* sys.mkdir(`${MNT}/${name}`));
  yield* save(`${MNT}/full/a`, "inside");
}

/** The calls with the nth allocation of a kind failing. Returns what failed, or undefined when nothing was left to fail. */
function* withFailure(t: TestMachine, kind: "failSlabAfter" | "failPageAfter", n: number): Call<string[]> {
  yield* prepare();
  t.machine.kernel[kind](n);
  const failed = yield* aFewCalls();
  t.machine.kernel[kind](0);
  // Whatever failed: what there is can be read, and the filesystem can be synced.
  yield* tree(MNT);
  must(yield* sys.sync());
  return failed;
}

/** A filesystem with transactions may abort one that cannot go on, and is read-only from then on, as btrfs is. */
const memoryErrors = (spec: FilesystemSpec): number[] => [E.NOMEM, E.NOSPC, ...(spec.features.persistent ? [E.IO, EROFS] : [])];
const EROFS = 30;

export function memoryTests(spec: FilesystemSpec): void {
  describe("memory", () => {
    it(`${MANY} files in a small machine`, () => {
      const disk = spec.features.mkfs ? { diskBlocks: 4 * MANY } : {};
      const result = onFilesystem(spec, () => manyFiles(), spec.features.persistent ? { ...disk, memoryBytes: 2 * MIB } : disk);
      expect(result).toEqual([MANY, Array.from({ length: 8 }, (_, d) => (d % 2 === 0 ? 0 : MANY / 8))]);
    });

    for (const kind of ["failSlabAfter", "failPageAfter"] as const) {
      it(`${kind}: every allocation of a few calls fails once`, () => {
        let failures = 0;
        for (let n = 1; n <= 60; n++) {
          const failed = onFilesystem(spec, (t) => withFailure(t, kind, n), {}, spec.features.persistent);
          const wrong = failed.filter((one) => !memoryErrors(spec).some((errno) => one.endsWith(`: ${errno}`)));
          // A filesystem without symbolic links says so whatever the memory.
          expect(
            wrong.filter((one) => spec.features.symlinks || one !== `symlink: ${E.PERM}`),
            `allocation ${n}`,
          ).toEqual([]);
          failures += failed.length;
        }
        expect(failures).toBeGreaterThan(0);
      });
    }
  });
}
