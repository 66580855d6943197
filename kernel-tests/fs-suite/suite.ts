/*
 * The tests that every filesystem must pass: one describe per filesystem, each test on a machine and a filesystem of its own.
 *
 *   filesystemSuite({ name: "cowfs", mkfsOptions: "blocksize=4096", features: { persistent: true, freeze: true, ... } });
 *
 * Interface: filesystemSuite, FilesystemSpec, Features.
 * Invariants:
 *   [suite-1] a test mounts at /mnt, and the filesystem is unmounted and every invariant walk run when its guest is done.
 *   [suite-2] a feature that is off has its tests turned into tests of the refusal (EOPNOTSUPP), or left out where there is none.
 * Why not one file per filesystem: what Linux's system calls promise does not depend on the filesystem below.
 */
import { describe } from "vitest";
import { dataTests } from "./data.js";
import { directoryTests } from "./directories.js";
import { freezeTests } from "./freeze.js";
import type { FilesystemSpec } from "./mounted.js";
import { mappingTests } from "./mappings.js";
import { memoryTests } from "./memory.js";
import { mountTests } from "./mounts.js";
import { nameTests } from "./names.js";
import { modelTests } from "./model.js";
import { pointerTests } from "./pointers.js";
import { spaceTests } from "./space.js";

export type { Features, FilesystemSpec } from "./mounted.js";

export function filesystemSuite(spec: FilesystemSpec): void {
  describe(`${spec.name} ${spec.mkfsOptions ?? ""} ${spec.mountOptions ?? ""}`.trim(), () => {
    nameTests(spec);
    directoryTests(spec);
    dataTests(spec);
    mappingTests(spec);
    spaceTests(spec);
    freezeTests(spec);
    mountTests(spec);
    pointerTests(spec);
    memoryTests(spec);
    modelTests(spec);
  });
}
