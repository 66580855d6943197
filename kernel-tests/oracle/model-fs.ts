/*
 * The oracle of the fs tests: a filesystem in plain TypeScript that answers as Linux does on an in-memory filesystem, errnos
 * and their precedence included. One process, no time, no memory limit.
 *
 * Interface: ModelFs: open, close, dup, read, write, pread, pwrite, lseek, ftruncate, fallocate, fsync, unlink, rmdir, mkdir,
 *            rename, getdents, fstat, mappedStore, mappedLoad. Every call returns the value, or -errno.
 * Invariants: [mf-1] it knows nothing of the kernel under test: no code and no constant is shared but Linux's numbers.
 * Why not a library's in-memory filesystem: those have Node's errors, not Linux's errnos in Linux's order.
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_NOREPLACE,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
} from "../../src/node.js";
import { E, PAGE } from "../test-machine.js";

const O_ACCMODE = 3;
const NAME_MAX = 255;
const PATH_MAX = 4096;
export const MAX_FDS = 256;

interface FileNode {
  kind: "file";
  /** Whole pages; what lies behind `size` in the last one can be stored to through a mapping, and shows when the file grows. */
  pages: Uint8Array;
  size: number;
  links: number;
}
interface DirectoryNode {
  kind: "directory";
  entries: Map<string, Node>;
  parent: DirectoryNode;
  removed: boolean;
}
type Node = FileNode | DirectoryNode;

interface OpenFile {
  node: Node;
  flags: number;
  pos: number;
}

/** Where a path ends: its directory and last name, and what is there. */
interface Place {
  directory: DirectoryNode;
  name: string;
  node: Node | undefined;
  /** The last component is "/", "." or "..". */
  dots: "" | "/" | "." | "..";
  trailing: boolean;
}

export interface ModelStat {
  kind: "file" | "directory";
  nlink: number;
  size: number;
}

export class ModelFs {
  private readonly root: DirectoryNode;
  private readonly fds: (OpenFile | undefined)[] = [];

  constructor(directories: readonly string[] = ["tmp"]) {
    const root = { kind: "directory", entries: new Map(), removed: false } as unknown as DirectoryNode;
    root.parent = root;
    this.root = root;
    for (const name of directories) this.mkdir(`/${name}`);
  }

  private walk(path: string): Place | number {
    if (path === "") return -E.NOENT;
    if (path.length >= PATH_MAX) return -E.NAMETOOLONG;
    const names = path.split("/").filter((name) => name !== "");
    let directory = this.root;
    let node: Node | undefined = this.root;
    let last = "/";
    for (const name of names) {
      if (!node) return -E.NOENT;
      if (node.kind !== "directory") return -E.NOTDIR;
      if (name.length > NAME_MAX) return -E.NAMETOOLONG;
      directory = node;
      last = name;
      node = name === "." ? directory : name === ".." ? directory.parent : directory.entries.get(name);
    }
    const dots = last === "/" || last === "." || last === ".." ? last : "";
    return { directory, name: last, node, dots, trailing: path.endsWith("/") && dots === "" };
  }

  private file(fd: number): OpenFile | undefined {
    return this.fds[fd];
  }

  private install(file: OpenFile): number {
    for (let fd = 0; fd < MAX_FDS; fd++) {
      if (this.fds[fd]) continue;
      this.fds[fd] = file;
      return fd;
    }
    return -E.MFILE;
  }

  open(path: string, flags: number): number {
    if ((flags & (O_CREAT | O_DIRECTORY)) === (O_CREAT | O_DIRECTORY)) return -E.INVAL;
    if (this.openFds === MAX_FDS) return -E.MFILE;
    const place = this.walk(path);
    if (typeof place === "number") return place;
    const create = (flags & O_CREAT) !== 0;
    if (create && place.trailing) return -E.ISDIR;
    let node = place.node;
    if (!node) {
      if (!create) return -E.NOENT;
      node = { kind: "file", pages: new Uint8Array(0), size: 0, links: 1 };
      place.directory.entries.set(place.name, node);
    } else {
      const bad = this.mayOpen(node, flags, place.trailing);
      if (bad !== 0) return bad;
    }
    if ((flags & O_TRUNC) !== 0 && node.kind === "file") resize(node, 0);
    return this.install({ node, flags, pos: 0 });
  }

  private mayOpen(node: Node, flags: number, trailing: boolean): number {
    if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -E.EXIST;
    if (node.kind === "directory") {
      return (flags & O_ACCMODE) !== O_RDONLY || (flags & (O_CREAT | O_TRUNC)) !== 0 ? -E.ISDIR : 0;
    }
    return (flags & O_DIRECTORY) !== 0 || trailing ? -E.NOTDIR : 0;
  }

  private get openFds(): number {
    return this.fds.filter((file) => file !== undefined).length;
  }

  close(fd: number): number {
    if (!this.file(fd)) return -E.BADF;
    this.fds[fd] = undefined;
    return 0;
  }

  dup(fd: number): number {
    const file = this.file(fd);
    return file ? this.install(file) : -E.BADF;
  }

  read(fd: number, count: number): Uint8Array | number {
    const file = this.file(fd);
    const data = this.readAt(file, count, file?.pos ?? 0);
    if (file && typeof data !== "number") file.pos += data.length;
    return data;
  }

  pread(fd: number, count: number, offset: number): Uint8Array | number {
    if (offset < 0) return -E.INVAL;
    return this.readAt(this.file(fd), count, offset);
  }

  private readAt(file: OpenFile | undefined, count: number, pos: number): Uint8Array | number {
    if (!file || (file.flags & O_ACCMODE) === O_WRONLY) return -E.BADF;
    if (file.node.kind === "directory") return -E.ISDIR;
    return file.node.pages.slice(pos, Math.min(pos + count, file.node.size));
  }

  write(fd: number, bytes: Uint8Array): number {
    const file = this.file(fd);
    return this.writeAt(file, bytes, file?.pos ?? 0, true);
  }

  pwrite(fd: number, bytes: Uint8Array, offset: number): number {
    if (offset < 0) return -E.INVAL;
    return this.writeAt(this.file(fd), bytes, offset, false);
  }

  /** O_APPEND writes at the end, pwrite(2) too, as in Linux. */
  private writeAt(file: OpenFile | undefined, bytes: Uint8Array, pos: number, moves: boolean): number {
    if (!file || (file.flags & O_ACCMODE) === O_RDONLY) return -E.BADF;
    if (file.node.kind === "directory") return -E.ISDIR;
    if (bytes.length === 0) return 0;
    const at = (file.flags & O_APPEND) !== 0 ? file.node.size : pos;
    if (at + bytes.length > file.node.size) resize(file.node, at + bytes.length);
    file.node.pages.set(bytes, at);
    if (moves) file.pos = at + bytes.length;
    return bytes.length;
  }

  lseek(fd: number, offset: number, whence: number): number {
    const file = this.file(fd);
    if (!file) return -E.BADF;
    const size = file.node.kind === "file" ? file.node.size : 0;
    if (![SEEK_SET, SEEK_CUR, SEEK_END].includes(whence)) return -E.INVAL;
    const target = offset + (whence === SEEK_CUR ? file.pos : whence === SEEK_END ? size : 0);
    if (target < 0) return -E.INVAL;
    file.pos = target;
    return target;
  }

  ftruncate(fd: number, length: number): number {
    if (length < 0) return -E.INVAL;
    const file = this.file(fd);
    if (!file) return -E.BADF;
    if (file.node.kind !== "file" || (file.flags & O_ACCMODE) === O_RDONLY) return -E.INVAL;
    resize(file.node, length);
    return 0;
  }

  fallocate(fd: number, mode: number, offset: number, length: number): number {
    const file = this.file(fd);
    if (!file) return -E.BADF;
    if (offset < 0 || length <= 0) return -E.INVAL;
    const punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (mode !== 0 && mode !== FALLOC_FL_KEEP_SIZE && mode !== punch) return -E.OPNOTSUPP;
    if ((file.flags & O_ACCMODE) === O_RDONLY) return -E.BADF;
    if (file.node.kind !== "file") return -E.ISDIR;
    if (mode === punch) file.node.pages.fill(0, offset, offset + length);
    if (mode === 0 && offset + length > file.node.size) resize(file.node, offset + length);
    return 0;
  }

  fsync(fd: number): number {
    return this.file(fd) ? 0 : -E.BADF;
  }

  mkdir(path: string): number {
    const place = this.walk(path);
    if (typeof place === "number") return place;
    if (place.dots !== "" || place.node) return -E.EXIST;
    place.directory.entries.set(place.name, { kind: "directory", entries: new Map(), parent: place.directory, removed: false });
    return 0;
  }

  unlink(path: string): number {
    const place = this.walk(path);
    if (typeof place === "number") return place;
    if (place.dots !== "") return -E.ISDIR;
    if (!place.node) return -E.NOENT;
    if (place.node.kind === "directory") return -E.ISDIR;
    if (place.trailing) return -E.NOTDIR;
    place.directory.entries.delete(place.name);
    place.node.links--;
    return 0;
  }

  rmdir(path: string): number {
    const place = this.walk(path);
    if (typeof place === "number") return place;
    if (place.dots === ".") return -E.INVAL;
    if (place.dots === "..") return -E.NOTEMPTY;
    if (place.dots === "/") return -E.BUSY;
    if (!place.node) return -E.NOENT;
    if (place.node.kind !== "directory") return -E.NOTDIR;
    if (place.node.entries.size > 0) return -E.NOTEMPTY;
    place.directory.entries.delete(place.name);
    place.node.removed = true;
    return 0;
  }

  rename(from: string, to: string, flags = 0): number {
    const source = this.walk(from);
    if (typeof source === "number") return source;
    const target = this.walk(to);
    if (typeof target === "number") return target;
    if (source.dots !== "") return -E.BUSY;
    const noReplace = (flags & RENAME_NOREPLACE) !== 0;
    if (target.dots !== "") return noReplace ? -E.EXIST : -E.BUSY;
    const moved = source.node;
    if (!moved) return -E.NOENT;
    if (noReplace && target.node) return -E.EXIST;
    if (moved.kind === "file" && (source.trailing || target.trailing)) return -E.NOTDIR;
    const bad = mayRename(source.directory, moved, target);
    if (bad !== 0 || target.node === moved) return bad;
    if (target.node?.kind === "file") target.node.links--;
    if (target.node?.kind === "directory") target.node.removed = true;
    source.directory.entries.delete(source.name);
    target.directory.entries.set(target.name, moved);
    if (moved.kind === "directory") moved.parent = target.directory;
    return 0;
  }

  /** Names with their kinds, sorted, without "." and "..". */
  getdents(fd: number): string[] | number {
    const file = this.file(fd);
    if (!file) return -E.BADF;
    if (file.node.kind !== "directory") return -E.NOTDIR;
    if (file.node.removed) return -E.NOENT;
    return [...file.node.entries].map(([name, node]) => `${name} ${node.kind}`).sort();
  }

  fstat(fd: number): ModelStat | number {
    const file = this.file(fd);
    if (!file) return -E.BADF;
    const { node } = file;
    if (node.kind === "file") return { kind: "file", nlink: node.links, size: node.size };
    const directories = [...node.entries.values()].filter((entry) => entry.kind === "directory").length;
    return { kind: "directory", nlink: node.removed ? 0 : 2 + directories, size: -1 };
  }

  /** mmap(MAP_SHARED) of the page of `offset`, one store, munmap: 0, or "SIGBUS" beyond the last page, or mmap's -errno. */
  mappedStore(fd: number, offset: number, value: number): number | string {
    const file = this.mappable(fd, O_RDWR);
    if (typeof file === "number") return file;
    if (offset >= file.pages.length) return "SIGBUS";
    file.pages[offset] = value;
    return 0;
  }

  mappedLoad(fd: number, offset: number): number | string {
    const file = this.mappable(fd, O_RDONLY);
    if (typeof file === "number") return file;
    return file.pages[offset] ?? "SIGBUS";
  }

  private mappable(fd: number, need: number): FileNode | number {
    const file = this.file(fd);
    if (!file) return -E.BADF;
    if ((file.flags & O_ACCMODE) === O_WRONLY || (need === O_RDWR && (file.flags & O_ACCMODE) !== O_RDWR)) return -E.ACCES;
    return file.node.kind === "file" ? file.node : -E.NODEV;
  }
}

/** Shrinking zeroes what is cut off; growing shows what stores have left behind the old end, as Linux's tmpfs does. */
function resize(node: FileNode, size: number): void {
  const pages = new Uint8Array(Math.ceil(size / PAGE) * PAGE);
  pages.set(node.pages.subarray(0, pages.length));
  if (size < node.size) pages.fill(0, size);
  node.pages = pages;
  node.size = size;
}

/** True when `ancestor` is `node` or above it. */
function isAbove(ancestor: Node, node: DirectoryNode): boolean {
  for (let at = node; ; at = at.parent) {
    if (at === ancestor) return true;
    if (at.parent === at) return false;
  }
}

/** Linux's order: a directory into itself, a target above the source, then kinds, then emptiness. */
function mayRename(from: DirectoryNode, moved: Node, target: Place): number {
  if (moved.kind === "directory" && isAbove(moved, target.directory)) return -E.INVAL;
  const { node } = target;
  if (!node) return 0;
  if (node.kind === "directory" && isAbove(node, from)) return -E.NOTEMPTY;
  if (node === moved) return 0;
  if (moved.kind === "directory" && node.kind !== "directory") return -E.NOTDIR;
  if (moved.kind !== "directory" && node.kind === "directory") return -E.ISDIR;
  return node.kind === "directory" && node.entries.size > 0 ? -E.NOTEMPTY : 0;
}
