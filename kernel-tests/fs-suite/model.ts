/*
 * Random operations against a model: a map of paths to nodes, as small as POSIX allows. Every result must be the model's, and
 * in the end, and after a remount, so must the whole tree.
 *
 * Checks what the tables check one by one, in the order that nobody thought of. A failure names its seed and its operation.
 */
import { describe, expect, it } from "vitest";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MAP_SHARED, O_CREAT, O_EXCL, O_RDWR, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, RW, must } from "../test-machine.js";
import { type FilesystemSpec, MNT, names, onFilesystem, pattern, readAll, remount, stat } from "./mounted.js";

const SEEDS = Number(process.env["FUZZ_RUNS"] ?? 1) * 4;
const STEPS = 300;
const PATHS = ["a", "b", "c", "d", "e", "d/a", "d/b", "d/c", "e/a", "e/b"];
const MAX_BYTES = 6 * PAGE;

interface Node {
  directory: boolean;
  /** Names of a file. */
  links: number;
  content: Uint8Array;
}

/** What POSIX says of a tree of directories and files. */
class Model {
  readonly nodes = new Map<string, Node>();

  /** 0, or why the path's parent is no directory. */
  private parent(path: string): number {
    const slash = path.lastIndexOf("/");
    if (slash < 0) return 0;
    const parent = this.nodes.get(path.slice(0, slash));
    return parent === undefined ? -E.NOENT : parent.directory ? 0 : -E.NOTDIR;
  }

  private isEmpty(path: string): boolean {
    return ![...this.nodes.keys()].some((other) => other.startsWith(`${path}/`));
  }

  make(path: string, directory: boolean): number {
    const error = this.parent(path);
    if (error !== 0) return error;
    if (this.nodes.has(path)) return -E.EXIST;
    this.nodes.set(path, { directory, links: 1, content: new Uint8Array(0) });
    return 0;
  }

  remove(path: string, directory: boolean): number {
    const error = this.parent(path);
    const node = this.nodes.get(path);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    if (node.directory !== directory) return directory ? -E.NOTDIR : -E.ISDIR;
    if (directory && !this.isEmpty(path)) return -E.NOTEMPTY;
    node.links--;
    this.nodes.delete(path);
    return 0;
  }

  link(from: string, to: string): number {
    const error = this.parent(from) || (this.nodes.has(from) ? 0 : -E.NOENT) || this.parent(to);
    const node = this.nodes.get(from);
    if (error !== 0 || node === undefined) return this.parent(from) || this.parent(to) || -E.NOENT;
    if (this.nodes.has(to)) return -E.EXIST;
    if (node.directory) return -E.PERM;
    node.links++;
    this.nodes.set(to, node);
    return 0;
  }

  rename(from: string, to: string): number {
    const error = this.parent(from) || this.parent(to);
    const node = this.nodes.get(from);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    const target = this.nodes.get(to);
    if (node.directory && to.startsWith(`${from}/`)) return -E.INVAL;
    if (target?.directory && from.startsWith(`${to}/`)) return -E.NOTEMPTY;
    if (target === node) return 0;
    if (target && target.directory !== node.directory) return node.directory ? -E.NOTDIR : -E.ISDIR;
    if (target?.directory && !this.isEmpty(to)) return -E.NOTEMPTY;
    if (target) target.links--;
    const moved = [...this.nodes].filter(([path]) => path === from || path.startsWith(`${from}/`));
    this.nodes.delete(to);
    for (const [path] of moved) this.nodes.delete(path);
    for (const [path, one] of moved) this.nodes.set(to + path.slice(from.length), one);
    return 0;
  }

  /** The file behind a path, or why there is none to open for writing. */
  file(path: string): Node | number {
    const error = this.parent(path);
    const node = this.nodes.get(path);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    return node.directory ? -E.ISDIR : node;
  }
}

/** mulberry32. */
function generator(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) % n;
  };
}

const full = (path: string): string => `${MNT}/${path}`;

function resize(content: Uint8Array, size: number): Uint8Array {
  const all = new Uint8Array(size);
  all.set(content.subarray(0, size));
  return all;
}

/** Opens the file, does something to it, closes it. Returns the result of the opening if it failed. */
function* withFile(path: string, body: (fd: number) => Call): Call {
  const fd = yield* sys.open(full(path), O_RDWR);
  if (fd < 0) return fd;
  const result = yield* body(fd);
  must(yield* sys.close(fd));
  return result;
}

/** A store through a shared mapping of the page at `at`. */
function* storeMapped(fd: number, at: number, bytes: Uint8Array): Call {
  const page = Math.floor(at / PAGE) * PAGE;
  const address = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, page));
  must(yield* mem.store(address + at - page, bytes));
  must(yield* sys.munmap(address, PAGE));
  return 0;
}

interface Step {
  text: string;
  /** The model's result, and the filesystem's. */
  expected: number;
  call: Call;
}

/** One random operation, applied to the model, ready for the filesystem. */
function nextStep(model: Model, pick: (n: number) => number, spec: FilesystemSpec): Step {
  const path = PATHS[pick(PATHS.length)] ?? "a";
  const other = PATHS[pick(PATHS.length)] ?? "b";
  const at = pick(MAX_BYTES);
  const length = 1 + pick(PAGE + 200);
  switch (pick(12)) {
    case 0:
    case 1:
      return { text: `create ${path}`, expected: model.make(path, false), call: create(path) };
    case 2:
      return { text: `mkdir ${path}`, expected: model.make(path, true), call: sys.mkdir(full(path)) };
    case 3:
      return { text: `unlink ${path}`, expected: model.remove(path, false), call: sys.unlink(full(path)) };
    case 4:
      return { text: `rmdir ${path}`, expected: model.remove(path, true), call: sys.rmdir(full(path)) };
    case 5:
      return { text: `link ${path} ${other}`, expected: model.link(path, other), call: sys.link(full(path), full(other)) };
    case 6:
      return { text: `rename ${path} ${other}`, expected: model.rename(path, other), call: sys.rename(full(path), full(other)) };
    default:
      return onBytes(model, path, at, length, pick(6), spec);
  }
}

function* create(path: string): Call {
  const fd = yield* sys.open(full(path), O_RDWR | O_CREAT | O_EXCL);
  return fd < 0 ? fd : yield* sys.close(fd);
}

function onBytes(model: Model, path: string, at: number, length: number, kind: number, spec: FilesystemSpec): Step {
  const node = model.file(path);
  const missing = typeof node === "number" ? node : undefined;
  const file = typeof node === "number" ? { content: new Uint8Array(0) } : node;
  const bytes = pattern(length, at + length);
  const text = `${path} at ${at} length ${length}`;
  if (kind === 0) {
    file.content = resize(file.content, at);
    return { text: `truncate ${text}`, expected: missing ?? 0, call: withFile(path, (fd) => sys.ftruncate(fd, at)) };
  }
  if (kind === 1 && spec.features.punchHole) {
    file.content.fill(0, at, at + length);
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return { text: `punch ${text}`, expected: missing ?? 0, call: withFile(path, (fd) => sys.fallocate(fd, mode, at, length)) };
  }
  const inPage = Math.min(length, PAGE - (at % PAGE), file.content.length - at);
  if (kind === 2 && inPage > 0) {
    file.content.set(bytes.subarray(0, inPage), at);
    return { text: `store ${text}`, expected: missing ?? 0, call: withFile(path, (fd) => storeMapped(fd, at, bytes.subarray(0, inPage))) };
  }
  if (kind === 3) return { text: `fsync ${path}`, expected: missing ?? 0, call: withFile(path, (fd) => sys.fsync(fd)) };
  file.content = resize(file.content, Math.max(file.content.length, at + length));
  file.content.set(bytes, at);
  return { text: `write ${text}`, expected: missing ?? length, call: withFile(path, (fd) => sys.pwrite(fd, bytes, at)) };
}

/** Where the filesystem's tree differs from the model's: nothing is right. */
function* differences(model: Model): Call<string[]> {
  const found: string[] = [];
  for (const [path, node] of model.nodes) {
    const info = yield* sys.stat(full(path));
    if (typeof info === "number") {
      found.push(`${path} is missing`);
    } else if (!node.directory) {
      const content = yield* readAll(full(path));
      const place = content.findIndex((byte, i) => byte !== node.content[i]);
      if (content.length !== node.content.length) found.push(`${path} has ${content.length} bytes, not ${node.content.length}`);
      else if (place >= 0) found.push(`${path} differs at ${place}`);
      if (stat(info).nlink !== node.links) found.push(`${path} has ${info.nlink} links, not ${node.links}`);
    }
  }
  for (const directory of ["", ...[...model.nodes].filter(([, node]) => node.directory).map(([path]) => `${path}/`)]) {
    for (const name of yield* names(full(directory))) {
      if (!model.nodes.has(directory + name)) found.push(`${directory}${name} should not be`);
    }
  }
  return found;
}

function* run(seed: number, spec: FilesystemSpec): Call<string[]> {
  const pick = generator(seed);
  const model = new Model();
  for (let i = 0; i < STEPS; i++) {
    if (pick(60) === 0) yield* remount(spec);
    const step = nextStep(model, pick, spec);
    const result = yield* step.call;
    if (result !== step.expected) return [`step ${i}: ${step.text}: ${result}, not ${step.expected}`];
  }
  const before = yield* differences(model);
  if (!spec.features.persistent || before.length > 0) return before;
  yield* remount(spec);
  return (yield* differences(model)).map((line) => `after a remount: ${line}`);
}

export function modelTests(spec: FilesystemSpec): void {
  describe("random operations give the model's results", () => {
    for (let seed = 1; seed <= SEEDS; seed++) it(`seed ${seed}`, () => expect(onFilesystem(spec, () => run(seed, spec))).toEqual([]));
  });
}
