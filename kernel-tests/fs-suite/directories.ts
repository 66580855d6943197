/*
 * Directories: getdents64 of many entries, while others come and go, and the times of files and directories.
 * Checks [rd-1] [dent-2].
 */
import { O_CREAT, O_RDONLY, O_RDWR, SEEK_SET, SYS, S_IFMT, S_IFREG, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, make, names, rows, save, sleepMs, stat } from "./mounted.js";

const MANY = 1000;
const numbered = (i: number): string => `${MNT}/entry-${String(i).padStart(4, "0")}`;

function* makeMany(count: number): Call<void> {
  for (let i = 0; i < count; i++) must(yield* make(numbered(i)), "create");
}

/** Every entry once, and the dots. */
function* listMany(): Call<unknown> {
  yield* makeMany(MANY);
  const fd = must(yield* sys.open(MNT, O_RDONLY));
  const entries = yield* sys.getdents(fd);
  if (typeof entries === "number") return entries;
  const found = new Set(entries.map((entry) => entry.name));
  must(yield* sys.lseek(fd, 0, SEEK_SET));
  const again = yield* sys.getdents(fd);
  return [entries.length, found.size, found.has("."), found.has(".."), typeof again === "number" ? again : again.length];
}

/** One getdents64 of at most `count` bytes: the names. */
function* readSome(fd: number, count: number): Call<string[]> {
  const result = yield { nr: SYS.getdents64, args: [fd, 0, count], bufferArgs: [1], readBack: count };
  if (result.ret < 0 || !result.data) throw new Error(`getdents64: ${result.ret}`);
  const found: string[] = [];
  const view = new DataView(result.data.buffer, result.data.byteOffset);
  for (let at = 0; at < result.ret; at += view.getUint16(at + 16, true)) {
    let end = at + 19;
    while (result.data[end] !== 0) end++;
    found.push(new TextDecoder().decode(result.data.subarray(at + 19, end)));
  }
  return found;
}

/** rm -r: read a few, remove them, read on. Nothing may be left. */
function* removeWhileReading(): Call<unknown> {
  yield* makeMany(200);
  const fd = must(yield* sys.open(MNT, O_RDONLY));
  let removed = 0;
  for (let some = yield* readSome(fd, 512); some.length > 0; some = yield* readSome(fd, 512)) {
    for (const name of some.filter((one) => !one.startsWith("."))) {
      must(yield* sys.unlink(`${MNT}/${name}`));
      removed++;
    }
  }
  return [removed, yield* names(MNT)];
}

/** Names that were there all the time come exactly once, whatever is made and removed meanwhile. */
function* changeWhileReading(): Call<unknown> {
  yield* makeMany(100);
  const fd = must(yield* sys.open(MNT, O_RDONLY));
  const seen = new Map<string, number>();
  let round = 0;
  for (let some = yield* readSome(fd, 256); some.length > 0; some = yield* readSome(fd, 256)) {
    for (const name of some) seen.set(name, (seen.get(name) ?? 0) + 1);
    must(yield* sys.unlink(numbered(round)));
    must(yield* make(`${MNT}/new-${round}`));
    if (++round > 60) break;
  }
  const stayed = [...seen].filter(([name]) => name.startsWith("entry-") && Number(name.slice(6)) >= round);
  return [stayed.length, stayed.every(([, times]) => times === 1)];
}

function* removedDirectory(): Call {
  must(yield* sys.mkdir(`${MNT}/d`));
  const fd = must(yield* sys.open(`${MNT}/d`, O_RDONLY));
  must(yield* sys.rmdir(`${MNT}/d`));
  const entries = yield* sys.getdents(fd);
  return typeof entries === "number" ? entries : entries.length;
}

function* openAtDirectory(): Call<unknown> {
  must(yield* sys.mkdir(`${MNT}/d`));
  yield* save(`${MNT}/d/f`, "x");
  const dir = must(yield* sys.open(`${MNT}/d`, O_RDONLY));
  const data = new TextEncoder().encode("f\0");
  const relative = (yield { nr: SYS.openat, args: [dir, 0, O_RDONLY], bufferArgs: [1], data }).ret;
  const notDirectory = (yield { nr: SYS.openat, args: [relative, 0, O_RDONLY], bufferArgs: [1], data }).ret;
  const notOpen = (yield { nr: SYS.openat, args: [99, 0, O_RDONLY], bufferArgs: [1], data }).ret;
  return [relative > dir, notDirectory, notOpen];
}

const listing: Case[] = [
  [`${MANY} entries, each once`, () => listMany(), [MANY + 2, MANY + 2, true, true, MANY + 2]],
  ["remove while reading", () => removeWhileReading(), [200, []]],
  [
    "create and remove while reading",
    function* () {
      const [stayed, once] = (yield* changeWhileReading()) as [number, boolean];
      return [stayed > 30, once];
    },
    [true, true],
  ],
  ["of a directory that was removed", () => removedDirectory(), -E.NOENT],
  ["of a file", () => onFile(), -E.NOTDIR],
  ["with too small a buffer", () => tooSmall(), -E.INVAL],
  ["openat of a directory's number", () => openAtDirectory(), [true, -E.NOTDIR, -E.BADF]],
];

const types: Case[] = [
  [
    "types",
    () => typesOf(),
    [
      ["d", "directory"],
      ["f", "file"],
      ["s", "symlink"],
    ],
  ],
];

function* onFile(): Call {
  const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
  return (yield { nr: SYS.getdents64, args: [fd, 0, 512], bufferArgs: [1], readBack: 512 }).ret;
}

function* tooSmall(): Call {
  const fd = must(yield* sys.open(MNT, O_RDONLY));
  return (yield { nr: SYS.getdents64, args: [fd, 0, 20], bufferArgs: [1], readBack: 20 }).ret;
}

function* typesOf(): Call<unknown> {
  must(yield* sys.mkdir(`${MNT}/d`));
  must(yield* make(`${MNT}/f`));
  must(yield* sys.symlink("f", `${MNT}/s`));
  const fd = must(yield* sys.open(MNT, O_RDONLY));
  const entries = yield* sys.getdents(fd);
  if (typeof entries === "number") return entries;
  return entries
    .filter((entry) => !entry.name.startsWith("."))
    .map((entry) => [entry.name, entry.type])
    .sort();
}

/** What a call does to the times of a path: "m" mtime, "c" ctime moved. */
function moves(name: string, path: string, call: (fd: number) => Call<unknown>, expected: string): Case {
  return [
    name,
    function* () {
      yield* save(`${MNT}/f`, "content");
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
      const before = stat(yield* sys.stat(path));
      yield* sleepMs(20);
      yield* call(fd);
      const after = stat(yield* sys.stat(path));
      return (after.mtimeNs > before.mtimeNs ? "m" : "") + (after.ctimeNs > before.ctimeNs ? "c" : "");
    },
    expected,
  ];
}

const FILE = `${MNT}/f`;
const times: Case[] = [
  moves("write: the file", FILE, (fd) => sys.write(fd, new Uint8Array(3)), "mc"),
  moves("ftruncate: the file", FILE, (fd) => sys.ftruncate(fd, 3), "mc"),
  moves("read: the file", FILE, (fd) => sys.pread(fd, 3, 0), ""),
  moves("create: the directory", MNT, () => make(`${MNT}/g`), "mc"),
  moves("unlink: the directory", MNT, () => sys.unlink(FILE), "mc"),
  moves("link: the file", FILE, () => sys.link(FILE, `${MNT}/g`), "c"),
  moves("rename: the directory", MNT, () => sys.rename(FILE, `${MNT}/g`), "mc"),
  moves("write: not the directory", MNT, (fd) => sys.write(fd, new Uint8Array(3)), ""),
];

const attributes: Case[] = [
  ["chmod", () => modes((path) => sys.chmod(path, 0o640)), [0, 0o640]],
  ["fchmod keeps the type", () => modes(() => fchmod(0o7777)), [0, 0o7777]],
  ["chmod of a missing file", () => sys.chmod(`${MNT}/missing`, 0), -E.NOENT],
  ["utimensat", () => timesSet(), [0, 5_000_000_007, 1_234_567_890]],
  ["utimensat of a missing file", () => sys.utimes(`${MNT}/missing`, 0, 0), -E.NOENT],
  moves("chmod: the file", FILE, () => sys.chmod(FILE, 0o600), "c"),
];

function* modes(call: (path: string) => Call): Call<unknown> {
  yield* save(FILE, "content");
  const result = yield* call(FILE);
  const info = stat(yield* sys.stat(FILE));
  return [result, (info.mode & S_IFMT) === S_IFREG ? info.mode & 0o7777 : "not a file"];
}

function* fchmod(mode: number): Call {
  return yield* sys.fchmod(must(yield* sys.open(FILE, O_RDWR)), mode);
}

function* timesSet(): Call<unknown> {
  yield* save(FILE, "content");
  const result = yield* sys.utimes(FILE, 5_000_000_007, 1_234_567_890);
  const info = stat(yield* sys.stat(FILE));
  return [result, info.atimeNs, info.mtimeNs];
}

export function directoryTests(spec: FilesystemSpec): void {
  rows("getdents", spec, spec.features.symlinks ? [...listing, ...types] : listing);
  rows("times", spec, times);
  rows("attributes", spec, attributes);
}
