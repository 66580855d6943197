/**
 * What may fail, and what Linux allows an operation to say of it.
 *
 *     kind        a site of it                   what it is
 *     eio-read    a bio that reads               a sector that cannot be read
 *     eio-write   a bio that writes              one that cannot be written
 *     eio-flush   a bio that only flushes        a cache that cannot be emptied
 *     enospc      a reservation of space         a full disk
 *     oom-page    a page frame                   memory that is used up
 *     oom-slab    an object of the kernel        the same
 *
 * Interface: SITE_KINDS, SiteKind, siteKindsOf(text), kernelKindOf, mayAbort, allowedResults(kind, operation, where).
 * Invariants:
 *   [sk-1] what the table does not name is not allowed: an operation that it gives nothing must not fail at all.
 *   [sk-2] a filesystem that has shut down says EIO or EROFS, and SIGBUS to a fault; only a failure of the disk shuts one down, and want of
 *          memory where a transaction cannot go on without.
 * Locks: none.
 * Why not one set of errnos for all: EIO of an open, or SIGBUS of a load when the disk is full, would pass.
 */
import type { SiteKernelKind } from "../../host/fault-sites.js";
import type { Step } from "../crash/steps.js";
import { ParseError } from "../parse.js";
import { suggestion } from "../suggest.js";

export const SITE_KINDS = ["eio-read", "eio-write", "eio-flush", "enospc", "oom-page", "oom-slab"] as const;
export type SiteKind = (typeof SITE_KINDS)[number];

type Operation = Step["do"];
type Allowed = Partial<Record<Operation, readonly string[]>>;

const NAMES: readonly Operation[] = ["create", "open", "mkdir", "rmdir", "unlink", "rename", "link", "symlink"];
const CHANGES: readonly Operation[] = ["truncate", "punch", "allocate", "clone", "snapshot"];
const SYNCS: readonly Operation[] = ["fsync", "fdatasync", "msync", "sync"];
const FAULTS: readonly Operation[] = ["load", "store", "fork", "private"];
const CALLS: readonly Operation[] = [...NAMES, ...CHANGES, ...SYNCS, "map", "close"];

const each = (operations: readonly Operation[], results: readonly string[]): Allowed =>
  Object.fromEntries(operations.map((operation) => [operation, results]));

/**
 * A page that cannot be filled for want of memory below it is not uptodate, which is EIO to read(2) and SIGBUS to a fault; one that
 * cannot be written is an error of writeback like another (AS_EIO).
 */
const NO_MEMORY: Allowed = {
  ...each(CALLS, ["ENOMEM"]),
  ...each([...CHANGES, ...SYNCS], ["ENOMEM", "EIO"]),
  write: ["ENOMEM", "EIO", "short"],
  read: ["ENOMEM", "EIO"],
  // VM_FAULT_OOM ends in the OOM killer; a call that copies for the process says so itself.
  ...each(["load", "store", "private"], ["ENOMEM", "SIGBUS", "SIGKILL"]),
  anonymous: ["ENOMEM", "SIGKILL"],
  fork: ["ENOMEM", "EAGAIN", "SIGBUS", "SIGKILL"],
};

/** ramfs says ENOSPC when an inode cannot be had, as Linux's does. */
const RAMFS_NO_INODE: readonly Operation[] = ["create", "mkdir", "symlink"];

/** A store that cannot be written is told at the next fsync or msync; what writes a range first says so at once. */
const NOT_WRITTEN: Allowed = { ...each(SYNCS, ["EIO"]), ...each(CHANGES, ["EIO"]) };

const ALLOWED: Readonly<Record<SiteKind, Allowed>> = {
  "eio-read": {
    ...each([...NAMES, ...CHANGES, ...SYNCS, "read"], ["EIO"]),
    write: ["EIO", "short"],
    ...each(FAULTS, ["SIGBUS"]),
  },
  "eio-write": NOT_WRITTEN,
  "eio-flush": NOT_WRITTEN,
  enospc: {
    ...each([...NAMES, ...CHANGES], ["ENOSPC"]),
    open: [],
    write: ["ENOSPC", "short"],
    ...each(["store", "fork"], ["SIGBUS"]),
  },
  "oom-page": NO_MEMORY,
  "oom-slab": NO_MEMORY,
};

const KERNEL_KIND: Readonly<Record<SiteKind, SiteKernelKind>> = {
  "eio-read": "read",
  "eio-write": "write",
  "eio-flush": "flush",
  enospc: "space",
  "oom-page": "page",
  "oom-slab": "slab",
};

const GROUPS: Readonly<Record<string, readonly SiteKind[]>> = {
  all: SITE_KINDS,
  eio: ["eio-read", "eio-write", "eio-flush"],
  oom: ["oom-page", "oom-slab"],
};

/** The kinds of a list. Throws ParseError. */
export function siteKindsOf(text: string): SiteKind[] {
  const names: string[] = [...Object.keys(GROUPS), ...SITE_KINDS];
  const kinds = text.split(",").flatMap((word) => {
    const name = word.trim();
    const kind = SITE_KINDS.find((one) => one === name);
    const found = kind ? [kind] : GROUPS[name];
    if (!found) throw new ParseError(`kind "${name}": expected ${names.join(", ")}.${suggestion(name, names)}`);
    return found;
  });
  return [...new Set(kinds)];
}

export function kernelKindOf(kind: SiteKind): SiteKernelKind {
  return KERNEL_KIND[kind];
}

/** Whether a filesystem may shut down over it ([sk-2]). */
export function mayAbort(kind: SiteKind): boolean {
  return kind !== "enospc";
}

/** What an operation may return once a site has failed, besides success. */
export function allowedResults(kind: SiteKind, operation: Operation, { fs, aborted }: { fs: string; aborted: boolean }): readonly string[] {
  const results = ALLOWED[kind][operation] ?? [];
  if (fs === "ramfs" && RAMFS_NO_INODE.includes(operation)) return [...results, "ENOSPC"];
  if (!aborted || !mayAbort(kind)) return results;
  return [...results, "EIO", "EROFS", ...(FAULTS.includes(operation) ? ["SIGBUS"] : [])];
}
