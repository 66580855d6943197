/*
 * What a filesystem must show: now, and after a power failure at any time. One that overwrites in place promises less than one that
 * copies on write.
 *
 *     names      a tree as POSIX has it. Every change is one transaction, so a crash shows the tree as it stood after the last
 *                operation that committed, or after any later one; never a mixture.
 *     contents   block by block: what the last fsync of the file (or sync) covered, or any later content of that block ([mk-7]).
 *                The size is one that the file has had since. In place: sector by sector, as a block's write may be torn.
 *     snapshots  what was there when the call returned, for ever ([mk-9]).
 *
 * Interface: Oracle, FileNode, Snapshot.
 * Invariants: [orc-1] an operation is noted before it is made: a crash in the middle of it finds both states allowed.
 * Why not the suite's model: that one knows one truth at a time.
 */
import { type Shown, type TreeNode, parentOf, resized, treeDifferences } from "../../src/sim/crash/shown.js";
import { E } from "../test-machine.js";

const PAGE = 4096;
/** What a disk writes whole or not at all. */
const SECTOR = 512;

export interface FileNode extends TreeNode {
  links: number;
  /** Contents since the last one that is certain, oldest first. */
  versions: Uint8Array[];
  /** The tree that was the present one when it last changed. */
  changedIn: number;
}

type Names = Map<string, FileNode>;

export interface Snapshot {
  name: string;
  /** False: the call has not returned; it may be missing after a crash. */
  certain: boolean;
  files: Map<string, { kind: FileNode["kind"]; content: Uint8Array; target: string }>;
}

export class Oracle {
  names: Names = new Map();
  snapshots: Snapshot[] = [];
  /** Trees since the last one that is certain, oldest first; the last is the present one. */
  private history: Names[] = [new Map<string, FileNode>()];
  /** Number of the first tree in `history`. */
  private firstTree = 0;

  constructor(
    readonly blockSize: number,
    /** Blocks are overwritten where they are: data that is written need not bring a transaction with it. */
    readonly inPlace = false,
  ) {}

  /* What is so now. */

  contentOf(node: FileNode): Uint8Array {
    return node.versions.at(-1) ?? new Uint8Array(0);
  }

  /** The file of a path, or the errno of opening it for writing. */
  file(path: string): FileNode | number {
    const error = this.parentError(path);
    const node = this.names.get(path);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    return node.kind === "dir" ? -E.ISDIR : node.kind === "link" ? -E.LOOP : node;
  }

  private parentError(path: string): number {
    const parent = parentOf(path);
    if (parent === "") return 0;
    const node = this.names.get(parent);
    return node === undefined ? -E.NOENT : node.kind === "dir" ? 0 : -E.NOTDIR;
  }

  private hasChildren(path: string): boolean {
    return [...this.names.keys()].some((other) => other.startsWith(`${path}/`));
  }

  /* Changes. Each returns what the call must return. */

  private get presentTree(): number {
    return this.firstTree + this.history.length - 1;
  }

  /** The tree is another one, and so are these inodes. */
  private changed(...nodes: (FileNode | undefined)[]): number {
    this.history.push(new Map(this.names));
    for (const node of nodes) if (node) node.changedIn = this.presentTree;
    return 0;
  }

  /** Trees before number `tree` can no longer be found. */
  private forget(tree: number): void {
    this.history.splice(0, Math.max(0, tree - this.firstTree));
    this.firstTree = Math.max(this.firstTree, tree);
  }

  make(path: string, kind: FileNode["kind"], target = ""): number {
    const error = this.parentError(path) || (this.names.has(path) ? -E.EXIST : 0);
    if (error !== 0) return error;
    const node = { kind, links: 1, versions: [new Uint8Array(0)], target, changedIn: 0 };
    this.names.set(path, node);
    return this.changed(node);
  }

  remove(path: string, directory: boolean): number {
    const error = this.parentError(path);
    const node = this.names.get(path);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    if ((node.kind === "dir") !== directory) return directory ? -E.NOTDIR : -E.ISDIR;
    if (directory && this.hasChildren(path)) return -E.NOTEMPTY;
    node.links--;
    this.names.delete(path);
    return this.changed(node);
  }

  link(from: string, to: string): number {
    const node = this.names.get(from);
    const error = this.parentError(from) || this.parentError(to) || (node ? 0 : -E.NOENT) || (this.names.has(to) ? -E.EXIST : 0);
    if (error !== 0 || node === undefined) return error;
    if (node.kind === "dir") return -E.PERM;
    node.links++;
    this.names.set(to, node);
    return this.changed(node);
  }

  rename(from: string, to: string): number {
    const error = this.parentError(from) || this.parentError(to);
    const node = this.names.get(from);
    if (error !== 0 || node === undefined) return error || -E.NOENT;
    const target = this.names.get(to);
    const isDir = node.kind === "dir";
    if (isDir && to.startsWith(`${from}/`)) return -E.INVAL;
    if (target?.kind === "dir" && from.startsWith(`${to}/`)) return -E.NOTEMPTY;
    if (target === node) return 0;
    if (target && (target.kind === "dir") !== isDir) return isDir ? -E.NOTDIR : -E.ISDIR;
    if (target?.kind === "dir" && this.hasChildren(to)) return -E.NOTEMPTY;
    if (target) target.links--;
    const moved = [...this.names].filter(([path]) => path === from || path.startsWith(`${from}/`));
    this.names.delete(to);
    for (const [path] of moved) this.names.delete(path);
    for (const [path, one] of moved) this.names.set(to + path.slice(from.length), one);
    return this.changed(node, target);
  }

  /** The file's content is `content` from now on. */
  write(node: FileNode, content: Uint8Array): void {
    // What is the same as before need not be a change to the filesystem, nor a store to a page that is dirty already.
    if (!this.inPlace && Buffer.compare(content, this.contentOf(node)) !== 0) node.changedIn = this.presentTree;
    node.versions.push(content);
  }

  /** Puts bytes into the file, which grows to take them. */
  put(node: FileNode, at: number, bytes: Uint8Array): void {
    const old = this.contentOf(node);
    const content = resized(old, Math.max(old.length, at + bytes.length));
    content.set(bytes, at);
    this.write(node, content);
  }

  /* What is certain from now on. */

  /**
   * fsync of a file returned. What happened to names up to the file's last change is on the disk as well: transactions are in order.
   * Later changes of names need not be; of fdatasync, in place, none.
   */
  synced(node: FileNode, dataOnly = false): void {
    node.versions = [this.contentOf(node)];
    if (!this.inPlace || !dataOnly) this.forget(node.changedIn);
  }

  /** sync, umount or a snapshot returned. */
  allSynced(): void {
    for (const node of this.names.values()) node.versions = [this.contentOf(node)];
    this.forget(this.presentTree);
  }

  /** A snapshot is about to be made. */
  snapshotBegins(name: string): void {
    const files = new Map(
      [...this.names].map(([path, node]) => [path, { kind: node.kind, content: this.contentOf(node), target: node.target }]),
    );
    this.snapshots.push({ name, certain: false, files });
  }

  snapshotEnds(name: string, made: boolean): void {
    const snapshot = this.snapshots.find((one) => one.name === name);
    if (!snapshot) throw new Error(`no snapshot ${name}`);
    if (made) snapshot.certain = true;
    else this.snapshots = this.snapshots.filter((one) => one !== snapshot);
  }

  /* Comparing. */

  /** How what is shown differs from what is so now; empty: not at all. */
  differences(shown: Shown): string[] {
    return treeDifferences(this.names, shown, (node, content) => {
      const wanted = this.contentOf(node);
      const at = content.findIndex((byte, i) => byte !== wanted[i]);
      if (content.length !== wanted.length) return `has ${content.length} bytes, not ${wanted.length}`;
      return at < 0 ? "" : `differs at ${at}: ${content[at]}, not ${wanted[at]}`;
    });
  }

  /** How what is shown differs from every state that a crash may leave; empty: it is one of them. */
  differencesAfterCrash(shown: Shown): string[] {
    let best: string[] | undefined;
    for (const names of [...this.history].reverse()) {
      const found = treeDifferences(names, shown, (node, content) => this.mayBe(node, content));
      if (found.length === 0) return [];
      if (!best || found.length < best.length) best = found;
    }
    return [`of ${this.history.length} trees that are allowed the nearest differs:`, ...(best ?? [])];
  }

  /** Why the content is none that a crash may leave, or "". */
  private mayBe(node: FileNode, content: Uint8Array): string {
    if (!this.mayHaveSize(node, content.length)) {
      return `has ${content.length} bytes; sizes were ${node.versions.map((v) => v.length).join(" ")}`;
    }
    const unit = this.inPlace ? SECTOR : this.blockSize;
    for (let at = 0; at < content.length; at += unit) {
      const end = Math.min(at + unit, content.length);
      const found = node.versions.some((version) => {
        for (let i = at; i < end; i++) if (content[i] !== (version[i] ?? 0)) return false;
        return true;
      });
      if (!found) {
        return `block at ${at} is none of ${node.versions.length} versions (it begins ${[...content.subarray(at, at + 6)].join(" ")})`;
      }
    }
    return "";
  }

  /** A file grows page by page (in place: block by block), and shrinks at once. */
  private mayHaveSize(node: FileNode, size: number): boolean {
    const unit = this.inPlace ? this.blockSize : PAGE;
    return node.versions.some((version, i) => {
      if (version.length === size) return true;
      const next = node.versions[i + 1];
      return next !== undefined && size > version.length && size < next.length && size % unit === 0;
    });
  }

  /** What is shown is so, and certain: the life after a crash begins, with these snapshots. */
  adopt(shown: Shown, snapshots: ReadonlyMap<string, Shown>): void {
    this.snapshots = this.snapshots.filter(({ name }) => snapshots.has(name)).map((one) => ({ ...one, certain: true }));
    const nodes = new Map<number, FileNode>();
    this.names = new Map();
    for (const [path, { kind, ino, content, target }] of shown) {
      const known = nodes.get(ino);
      const node = known ?? { kind, links: 0, versions: [content], target, changedIn: 0 };
      node.links++;
      nodes.set(ino, node);
      this.names.set(path, node);
    }
    this.history = [new Map(this.names)];
    this.firstTree = 0;
  }

  /** What an image shows of snapshots must be these: those that are certain all, the rest perhaps. */
  snapshotDifferences(shown: ReadonlyMap<string, Shown>): string[] {
    const found: string[] = [];
    for (const { name, certain, files } of this.snapshots) {
      const there = shown.get(name);
      if (there === undefined) {
        if (certain) found.push(`snapshot ${name} is missing`);
        continue;
      }
      for (const [path, { kind, content, target }] of files) {
        const one = there.get(path);
        if (one?.kind !== kind || one.target !== target) found.push(`snapshot ${name}: ${path} is ${one ? "another thing" : "missing"}`);
        else if (Buffer.compare(one.content, content) !== 0) found.push(`snapshot ${name}: ${path} has changed`);
      }
      for (const path of there.keys()) if (!files.has(path)) found.push(`snapshot ${name}: ${path} should not be`);
    }
    for (const name of shown.keys()) if (!this.snapshots.some((one) => one.name === name)) found.push(`snapshot ${name} should not be`);
    return found;
  }
}
