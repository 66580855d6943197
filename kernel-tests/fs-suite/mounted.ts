/*
 * A machine with a filesystem mounted at /mnt, and what its guests do again and again.
 *
 * Interface: FilesystemSpec, Features, onFilesystem, rows, Case; make, readAll, save, tree, unmount, remount, sleepMs, names.
 * Invariants: [suite-1] of suite.ts.
 */
import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, S_IFDIR, S_IFLNK, S_IFMT, type Stat, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Body, E, MIB, type TestConfig, TestMachine, must } from "../test-machine.js";

/** What a filesystem can do beyond names and bytes. */
export interface Features {
  /** mkfs makes one; its data is on the disk, in which case spec.config has a disk. */
  mkfs: boolean;
  /** A remount shows the same files. */
  persistent: boolean;
  /** FIFREEZE and FITHAW. */
  freeze: boolean;
  /** Stores to clean pages of shared mappings are noticed (page_mkwrite). */
  mkwrite: boolean;
  /** It runs full: spec.config's disk is small enough to be filled by a test. */
  enospc: boolean;
  /** FICLONE, FICLONERANGE. */
  reflink: boolean;
  symlinks: boolean;
  /** RENAME_EXCHANGE. */
  exchange: boolean;
  /** st_blocks says what a file takes. */
  blocks: boolean;
  /** Modes of fallocate; keepSize: space beyond the end of the file. */
  allocate: boolean;
  keepSize: boolean;
  punchHole: boolean;
  zeroRange: boolean;
  collapseRange: boolean;
  insertRange: boolean;
}

export interface FilesystemSpec {
  /** Its type, as mount(2) names it. */
  name: string;
  mkfsOptions?: string;
  mountOptions?: string;
  /** The machine: at least a disk for a persistent one. */
  config?: TestConfig;
  features: Features;
}

export const MNT = "/mnt";

/** mkfs if it has one, and mount at /mnt. */
function* setUp(spec: FilesystemSpec): Call<void> {
  must(yield* sys.mkdir(MNT), "mkdir /mnt");
  if (spec.features.mkfs) must(yield* sys.mkfs(spec.name, spec.mkfsOptions), "mkfs");
  must(yield* sys.mount(spec.name, MNT, spec.mountOptions), "mount");
}

/** Filesystems whose disk is checked whenever they are unmounted. */
const CHECKED = new Set(["iomapfs", "jbdfs"]);

/** Unmounts; what is on the disk then must break no law. `aborted`: a transaction may have been, and the last sync says so: EIO. */
export function* unmount(type: string, aborted = false): Call<void> {
  const error = yield* sys.umount(MNT);
  if (!aborted || error !== -E.IO) must(error, "umount");
  const law = CHECKED.has(type) ? yield* sys.fsck(type) : 0;
  if (law !== 0) throw new Error(`fsck of ${type}: law ${law} (assembly/fs/block/fsck-state.ts)`);
}

/** The same filesystem, read from the disk again; one that has no names there is left as it is. */
export function* remount(spec: FilesystemSpec): Call<void> {
  if (!spec.features.persistent) return;
  yield* unmount(spec.name);
  must(yield* sys.mount(spec.name, MNT, spec.mountOptions), "mount again");
}

/**
 * Runs one guest on a fresh filesystem at /mnt, unmounts, checks everything. Returns what the guest returned. `aborted`: as unmount's.
 */
export function onFilesystem<T>(spec: FilesystemSpec, body: Body<T>, config: TestConfig = {}, aborted = false): T {
  const t = new TestMachine({ cpus: 2, memoryBytes: 8 * MIB, limitNs: 200e9, ...spec.config, ...config });
  const value = t.runOne(function* (machine, ctx) {
    yield* setUp(spec);
    return yield* body(machine, ctx);
  });
  t.check();
  t.runOne(() => unmount(spec.name, aborted));
  t.check();
  expect(t.machine.stats(), t.machine.command).toMatchObject({ processes: 0, anon_pages: 0, page_tables: 0 });
  return value;
}

/** One row of a table: what it is, the guest, and what the guest must return. */
export type Case = readonly [name: string, body: Body<unknown>, expected: unknown];

/** A table of rows, each on a filesystem of its own. */
export function rows(title: string, spec: FilesystemSpec, cases: readonly Case[]): void {
  describe(title, () => {
    for (const [name, body, expected] of cases) it(name, () => expect(onFilesystem(spec, body)).toEqual(expected));
  });
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** Bytes that differ from place to place, so that a block in the wrong place shows. */
export function pattern(length: number, seed = 1): Uint8Array {
  const data = new Uint8Array(length);
  for (let i = 0; i < length; i++) data[i] = (Math.imul(i + seed * 7919, 0x9e3779b1) >>> 24) | 1;
  return data;
}

export function isPattern(content: Uint8Array, length: number, seed = 1): boolean {
  const wanted = pattern(length, seed);
  return content.length === length && content.every((byte, i) => byte === wanted[i]);
}

/** A data result, or an exception with its errno. */
export function data(result: Uint8Array | number): Uint8Array {
  if (typeof result === "number") throw new Error(`no data: errno ${-result}`);
  return result;
}

export function stat(result: Stat | number): Stat {
  if (typeof result === "number") throw new Error(`no stat: errno ${-result}`);
  return result;
}

/** Makes a file with the content given. */
export function* save(path: string, content: Uint8Array | string): Call<void> {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT | O_TRUNC), `open ${path}`);
  const all = typeof content === "string" ? bytes(content) : content;
  if (all.length > 0 && must(yield* sys.write(fd, all), "write") !== all.length) throw new Error(`${path}: short write`);
  must(yield* sys.close(fd), "close");
}

/** An empty file. Returns 0 or -errno. */
export function* make(path: string): Call {
  const fd = yield* sys.open(path, O_RDWR | O_CREAT);
  return fd < 0 ? fd : yield* sys.close(fd);
}

/** The whole content of a file. */
export function* readAll(path: string): Call<Uint8Array> {
  const fd = must(yield* sys.open(path, O_RDONLY), `open ${path}`);
  const size = stat(yield* sys.fstat(fd)).size;
  const content = data(yield* sys.pread(fd, size + 1, 0));
  must(yield* sys.close(fd), "close");
  return content;
}

/** Names in a directory without the dots, sorted. */
export function* names(path: string): Call<string[]> {
  const fd = must(yield* sys.open(path, O_RDONLY), `open ${path}`);
  const entries = yield* sys.getdents(fd);
  must(yield* sys.close(fd), "close");
  if (typeof entries === "number") throw new Error(`getdents: errno ${-entries}`);
  return entries
    .map((entry) => entry.name)
    .filter((name) => name !== "." && name !== "..")
    .sort();
}

/** What a user can see of everything below a path: one line each with type, links, size, a hash of the content or the target. */
export function* tree(path: string): Call<string[]> {
  const lines: string[] = [];
  for (const name of yield* names(path)) {
    const full = `${path}/${name}`;
    const info = stat(yield* sys.lstat(full));
    const kind = info.mode & S_IFMT;
    if (kind === S_IFDIR) {
      lines.push(`${full} dir ${info.nlink}`, ...(yield* tree(full)));
    } else if (kind === S_IFLNK) {
      lines.push(`${full} -> ${yield* sys.readlink(full)}`);
    } else {
      lines.push(`${full} file ${info.nlink} ${info.size} ${hash(yield* readAll(full))} ${info.mtimeNs}`);
    }
  }
  return lines;
}

function hash(content: Uint8Array): string {
  let h = 0x811c9dc5;
  for (const byte of content) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return h.toString(16).padStart(8, "0");
}

/** Lets simulated time pass: longer than a tick of the file times. */
export function* sleepMs(ms: number): Call<void> {
  must(yield* sys.nanosleep(ms * 1e6), "nanosleep");
}
