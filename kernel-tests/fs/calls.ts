/*
 * One call of the file system calls as data, carried out by the model and by the machine, results in one form.
 *
 * Interface: FsCall, onModel, onMachine, Answer.
 * Invariants: [fc-1] both sides get the same arguments, and an answer holds everything a guest can see of the call.
 */
import { MAP_SHARED, PROT_READ, PROT_WRITE, SIGBUS, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import type { ModelFs } from "../oracle/model-fs.js";
import { PAGE } from "../test-machine.js";

export type FsCall =
  | { op: "open"; path: string; flags: number }
  | { op: "close" | "dup" | "fsync" | "getdents" | "fstat"; fd: number }
  | { op: "read"; fd: number; count: number }
  | { op: "pread"; fd: number; count: number; offset: number }
  | { op: "write"; fd: number; bytes: number[] }
  | { op: "pwrite"; fd: number; bytes: number[]; offset: number }
  | { op: "lseek"; fd: number; offset: number; whence: number }
  | { op: "ftruncate"; fd: number; length: number }
  | { op: "fallocate"; fd: number; mode: number; offset: number; length: number }
  | { op: "mkdir" | "unlink" | "rmdir"; path: string }
  | { op: "rename"; from: string; to: string; flags: number }
  | { op: "mappedStore"; fd: number; offset: number; value: number }
  | { op: "mappedLoad"; fd: number; offset: number };

/** A number, bytes or names as text, or a stat. */
export type Answer = number | string | object;

/** Bytes as text; many are told by their number, the first ones and a checksum. */
function text(bytes: Uint8Array | number): Answer {
  if (typeof bytes === "number") return bytes;
  if (bytes.length <= 16) return `bytes ${[...bytes].join()}`;
  const sum = bytes.reduce((hash, byte) => (Math.imul(hash, 31) + byte) >>> 0, 7);
  return `${bytes.length} bytes ${[...bytes.subarray(0, 8)].join()}.. checksum ${sum}`;
}
const names = (list: string[] | number): Answer => (typeof list === "number" ? list : list.join("; "));

export function onModel(fs: ModelFs, c: FsCall): Answer {
  switch (c.op) {
    case "open":
      return fs.open(c.path, c.flags);
    case "close":
      return fs.close(c.fd);
    case "dup":
      return fs.dup(c.fd);
    case "fsync":
      return fs.fsync(c.fd);
    case "getdents":
      return names(fs.getdents(c.fd));
    case "fstat":
      return fs.fstat(c.fd);
    case "read":
      return text(fs.read(c.fd, c.count));
    case "pread":
      return text(fs.pread(c.fd, c.count, c.offset));
    case "write":
      return fs.write(c.fd, Uint8Array.from(c.bytes));
    case "pwrite":
      return fs.pwrite(c.fd, Uint8Array.from(c.bytes), c.offset);
    case "lseek":
      return fs.lseek(c.fd, c.offset, c.whence);
    case "ftruncate":
      return fs.ftruncate(c.fd, c.length);
    case "fallocate":
      return fs.fallocate(c.fd, c.mode, c.offset, c.length);
    case "mkdir":
      return fs.mkdir(c.path);
    case "unlink":
      return fs.unlink(c.path);
    case "rmdir":
      return fs.rmdir(c.path);
    case "rename":
      return fs.rename(c.from, c.to, c.flags);
    case "mappedStore":
      return fs.mappedStore(c.fd, c.offset, c.value);
    case "mappedLoad":
      return fs.mappedLoad(c.fd, c.offset);
  }
}

export function* onMachine(c: FsCall): Call<Answer> {
  switch (c.op) {
    case "open":
      return yield* sys.open(c.path, c.flags);
    case "close":
      return yield* sys.close(c.fd);
    case "dup":
      return yield* sys.dup(c.fd);
    case "fsync":
      return yield* sys.fsync(c.fd);
    case "getdents":
      return yield* entries(c.fd);
    case "fstat":
      return yield* stat(c.fd);
    case "read":
      return text(yield* sys.read(c.fd, c.count));
    case "pread":
      return text(yield* sys.pread(c.fd, c.count, c.offset));
    case "write":
      return yield* sys.write(c.fd, Uint8Array.from(c.bytes));
    case "pwrite":
      return yield* sys.pwrite(c.fd, Uint8Array.from(c.bytes), c.offset);
    case "lseek":
      return yield* sys.lseek(c.fd, c.offset, c.whence);
    case "ftruncate":
      return yield* sys.ftruncate(c.fd, c.length);
    case "fallocate":
      return yield* sys.fallocate(c.fd, c.mode, c.offset, c.length);
    case "mkdir":
      return yield* sys.mkdir(c.path);
    case "unlink":
      return yield* sys.unlink(c.path);
    case "rmdir":
      return yield* sys.rmdir(c.path);
    case "rename":
      return yield* sys.rename(c.from, c.to, c.flags);
    case "mappedStore":
      return yield* mapped(c.fd, c.offset, c.value);
    case "mappedLoad":
      return yield* mapped(c.fd, c.offset, undefined);
  }
}

/** The names of a directory from its start on; "." and ".." must be among them. */
function* entries(fd: number): Call<Answer> {
  const list = yield* sys.getdents(fd);
  if (typeof list === "number") return list;
  // A directory's position 0 is its start.
  yield* sys.lseek(fd, 0, 0);
  const all = list.map((entry) => `${entry.name} ${entry.type}`);
  const dots = all.filter((entry) => entry === ". directory" || entry === ".. directory");
  if (dots.length !== 2) return `dots: ${dots.join()}`;
  return all
    .filter((entry) => !entry.startsWith("."))
    .sort()
    .join("; ");
}

function* stat(fd: number): Call<Answer> {
  const result = yield* sys.fstat(fd);
  if (typeof result === "number") return result;
  const directory = (result.mode & 0xf000) === 0x4000;
  return { kind: directory ? "directory" : "file", nlink: result.nlink, size: directory ? -1 : result.size };
}

/** A shared mapping of one page for one store, or one load without a value. */
function* mapped(fd: number, offset: number, value: number | undefined): Call<Answer> {
  const prot = value === undefined ? PROT_READ : PROT_READ | PROT_WRITE;
  const page = Math.floor(offset / PAGE) * PAGE;
  const at = yield* sys.mmap(0, PAGE, prot, MAP_SHARED, fd, page);
  if (at < 0) return at;
  const touch = yield* mem.tryTouch(at + offset - page, 1, value === undefined ? {} : { write: true, value });
  let answer: Answer = touch.signal === SIGBUS ? "SIGBUS" : touch.signal === 0 ? 0 : `signal ${touch.signal}`;
  if (answer === 0 && value === undefined) {
    const data = yield* mem.load(at + offset - page, 1);
    answer = typeof data === "number" ? data : (data[0] ?? -1);
  }
  const unmapped = yield* sys.munmap(at, PAGE);
  return unmapped === 0 ? answer : unmapped;
}
