/**
 * What a mounted filesystem shows, and how that differs from a tree of names that an oracle holds.
 *
 * Interface: Shown, ShownNode, TreeNode, shownBelow, treeDifferences, parentOf, resized.
 * Invariants: [shn-1] what is shown is all that POSIX lets a program see of names and contents; times are left out.
 * Locks: none.
 * Why not one oracle for all who compare: what a crash may leave of a content is theirs to say; what a tree is, is not.
 */
import { O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT } from "../../guest/constants.js";
import { type Call, must, sys } from "../../guest/sys.js";

/** One entry that a machine shows; `ino` tells hard links. */
export interface ShownNode {
  kind: "file" | "dir" | "link";
  ino: number;
  nlink: number;
  content: Uint8Array;
  target: string;
}
/** By path below a directory. */
export type Shown = Map<string, ShownNode>;

/** What an oracle's node has of names; one that stands under two names is one inode. */
export interface TreeNode {
  kind: ShownNode["kind"];
  target: string;
}

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));

export function resized(content: Uint8Array, size: number): Uint8Array {
  const all = new Uint8Array(size);
  all.set(content.subarray(0, size));
  return all;
}

/** Everything below a directory, but for the names in it that are to be skipped. */
export function* shownBelow(
  root: string,
  skip: (name: string) => boolean = () => false,
  prefix = "",
  into: Shown = new Map(),
): Call<Shown> {
  for (const name of yield* namesIn(`${root}/${prefix}`)) {
    if (prefix === "" && skip(name)) continue;
    const path = prefix + name;
    const info = yield* sys.lstat(`${root}/${path}`);
    if (typeof info === "number") throw new Error(`lstat ${path}: errno ${-info}`);
    const type = info.mode & S_IFMT;
    const kind = type === S_IFDIR ? "dir" : type === S_IFLNK ? "link" : "file";
    const content = kind === "file" ? yield* contentOf(`${root}/${path}`, info.size) : new Uint8Array(0);
    const target = kind === "link" ? String(yield* sys.readlink(`${root}/${path}`)) : "";
    into.set(path, { kind, ino: info.ino, nlink: info.nlink, content, target });
    if (kind === "dir") yield* shownBelow(root, skip, `${path}/`, into);
  }
  return into;
}

function* namesIn(directory: string): Call<string[]> {
  const fd = must(yield* sys.open(directory, O_RDONLY), `open ${directory}`);
  const entries = yield* sys.getdents(fd);
  must(yield* sys.close(fd), "close");
  if (typeof entries === "number") throw new Error(`getdents ${directory}: errno ${-entries}`);
  return entries
    .map(({ name }) => name)
    .filter((name) => name !== "." && name !== "..")
    .sort();
}

/** A byte more is asked for than there should be. */
function* contentOf(path: string, size: number): Call<Uint8Array> {
  const fd = must(yield* sys.open(path, O_RDONLY), `open ${path}`);
  const data = yield* sys.pread(fd, size + 1, 0);
  must(yield* sys.close(fd), "close");
  if (typeof data === "number") throw new Error(`read ${path}: errno ${-data}`);
  return data;
}

/** How what is shown differs from a tree; `compare` says what is wrong with a file's content, "" for nothing. */
export function treeDifferences<N extends TreeNode>(
  names: ReadonlyMap<string, N>,
  shown: Shown,
  compare: (node: N, content: Uint8Array) => string,
): string[] {
  const found: string[] = [];
  const inodes = new Map<N, number>();
  const links = new Map<N, number>();
  for (const node of names.values()) links.set(node, (links.get(node) ?? 0) + 1);
  for (const [path, node] of names) {
    const there = shown.get(path);
    if (there?.kind !== node.kind) {
      found.push(`${path} is ${there ? `a ${there.kind}` : "missing"}, not a ${node.kind}`);
      continue;
    }
    if ((inodes.get(node) ?? there.ino) !== there.ino) found.push(`${path} is another inode than its other name`);
    inodes.set(node, there.ino);
    if (node.kind !== "dir" && there.nlink !== links.get(node)) found.push(`${path} has ${there.nlink} links, not ${links.get(node) ?? 0}`);
    if (there.target !== node.target) found.push(`${path} leads to ${there.target}, not ${node.target}`);
    const text = node.kind === "file" ? compare(node, there.content) : "";
    if (text !== "") found.push(`[mk-7] ${path} ${text}`);
  }
  for (const path of shown.keys()) if (!names.has(path)) found.push(`${path} should not be`);
  if (new Set(inodes.values()).size !== inodes.size) found.push("two files are one inode");
  return found;
}
