/**
 * What a disk may show after a power failure, step by step of a crash workload.
 *
 *     names      a tree as POSIX has it. Every change of it is one transaction and transactions are in order: a crash shows the
 *                tree as it stood after the last step that is certain, or after any later one; never a mixture.
 *     contents   unit by unit: what the last fsync, msync or sync covered, or any later content of that unit ([mk-7]). A unit is
 *                what the disk writes whole: a block where a filesystem copies on write, a sector where it overwrites in place.
 *     snapshots  what was there when the call returned, for ever ([mk-9]).
 *
 * Interface: CrashOracle (begin, done, allSynced, differences); for the oracle of failures: Node, Names, Snapshot, last, isSnapshot,
 *            sameAt, equal.
 * Invariants: [cor-1] a step is begun before it is made: a crash in the middle of it finds both states allowed.
 * Locks: none.
 * Why not one truth: an fsync of one file says nothing of another.
 */
import { type Shown, type TreeNode, parentOf, resized, treeDifferences } from "./shown.js";
import { type Step, bytesOf } from "./steps.js";

export interface Node extends TreeNode {
  /** All contents it has had, oldest first. */
  versions: Uint8Array[];
  /** The first version that a unit may still show: of all units, and of single ones. */
  floor: number;
  unitFloors: Map<number, number>;
  sizeFloor: number;
  /** Versions up to this number may not be shown with fewer bytes. */
  leastSize: { version: number; bytes: number };
  /** The tree that was the present one when it last changed. */
  changedIn: number;
}

export type Names = Map<string, Node>;

export interface Snapshot {
  name: string;
  certain: boolean;
  files: Map<string, { kind: Node["kind"]; content: Uint8Array; target: string; node: Node }>;
}

export const last = (node: Node): Uint8Array => node.versions.at(-1) ?? new Uint8Array(0);
export const isSnapshot = (path: string): boolean => path.startsWith("snap");

export class CrashOracle {
  protected readonly names: Names = new Map();
  protected readonly root: Node = this.fresh("dir");
  protected snapshots: Snapshot[] = [];
  /** Every tree there was; those before `firstTree` can no longer be found. */
  protected readonly trees: Names[] = [new Map<string, Node>()];
  protected firstTree = 0;

  /** `unitBytes`: what is written whole. `sizeStep`: a file grows in multiples of it. */
  constructor(
    protected readonly unitBytes: number,
    private readonly sizeStep: number,
  ) {}

  private fresh(kind: Node["kind"], target = ""): Node {
    const leastSize = { version: -1, bytes: 0 };
    const versions = [new Uint8Array(0)];
    return { kind, versions, target, floor: 0, unitFloors: new Map(), sizeFloor: 0, leastSize, changedIn: 0 };
  }

  protected node(path: string): Node {
    const node = path === "" ? this.root : this.names.get(path);
    if (!node) throw new Error(`the workload has no ${path}`);
    return node;
  }

  /* A step begins: what it changes may be there from now on. */

  begin(step: Step, number: number): void {
    switch (step.do) {
      case "create":
        if (!this.names.has(step.path)) this.add(step.path, this.fresh("file"));
        return;
      case "mkdir":
        this.add(step.path, this.fresh("dir"));
        return;
      case "symlink":
        this.add(step.path, this.fresh("link", step.target));
        return;
      case "link":
        this.add(step.to, this.node(step.from));
        return;
      case "unlink":
      case "rmdir":
        this.remove(step.path);
        return;
      case "rename":
        this.rename(step.from, step.to);
        return;
      case "snapshot":
        this.snapshots.push({ name: step.name, certain: false, files: this.filesNow() });
        return;
      default:
        this.change(step, number);
    }
  }

  private change(step: Step, number: number): void {
    if (step.do === "clone") {
      this.put(step.to, 0, last(this.node(step.from)).subarray(0, step.length));
    } else if (step.do === "write") {
      this.put(step.path, step.at, bytesOf(number, step.at, step.length));
    } else if (step.do === "store" || step.do === "fork") {
      // Page by page, and what lies beyond the file's end is nobody's.
      const end = Math.min(step.at + step.length, last(this.node(step.path)).length);
      this.put(step.path, step.at, bytesOf(number, step.at, Math.max(0, end - step.at)));
    } else if (step.do === "truncate") {
      this.write(step.path, resized(last(this.node(step.path)), step.size));
    } else if (step.do === "allocate") {
      const old = last(this.node(step.path));
      this.write(step.path, resized(old, Math.max(old.length, step.at + step.length)));
    } else if (step.do === "punch") {
      const content = last(this.node(step.path)).slice();
      this.write(step.path, content.fill(0, step.at, step.at + step.length));
    }
  }

  protected write(path: string, content: Uint8Array): void {
    const node = this.node(path);
    node.versions.push(content);
    node.changedIn = this.trees.length - 1;
  }

  private put(path: string, at: number, bytes: Uint8Array): void {
    const old = last(this.node(path));
    const content = resized(old, Math.max(old.length, at + bytes.length));
    content.set(bytes, at);
    this.write(path, content);
  }

  private filesNow(): Snapshot["files"] {
    return new Map([...this.names].map(([path, node]) => [path, { kind: node.kind, content: last(node), target: node.target, node }]));
  }

  /* Names. */

  /** The tree is another one; these changed with it. */
  protected changed(paths: readonly string[], nodes: readonly Node[]): void {
    this.trees.push(new Map(this.names));
    for (const node of [...paths.map((path) => this.node(parentOf(path))), ...nodes]) node.changedIn = this.trees.length - 1;
  }

  private add(path: string, node: Node): void {
    this.names.set(path, node);
    this.changed([path], [node]);
  }

  private remove(path: string): void {
    const node = this.node(path);
    this.names.delete(path);
    this.changed([path], [node]);
  }

  private rename(from: string, to: string): void {
    const node = this.node(from);
    const target = this.names.get(to);
    const moved = [...this.names].filter(([path]) => path === from || path.startsWith(`${from}/`));
    this.names.delete(to);
    for (const [path] of moved) this.names.delete(path);
    for (const [path, one] of moved) this.names.set(to + path.slice(from.length), one);
    this.changed([from, to], target ? [node, target] : [node]);
  }

  /* A step has returned: what it promised is certain. */

  done(step: Step): void {
    if (step.do === "fsync" || step.do === "fdatasync") this.synced(this.node(step.path));
    else if (step.do === "msync") this.rangeSynced(this.node(step.path), step.at, step.length);
    else if (step.do === "sync" || step.do === "snapshot") this.allSynced();
    if (step.do !== "snapshot") return;
    for (const snapshot of this.snapshots) if (snapshot.name === step.name) snapshot.certain = true;
  }

  protected synced(node: Node): void {
    this.firstTree = Math.max(this.firstTree, node.changedIn);
    node.floor = node.versions.length - 1;
    node.sizeFloor = node.floor;
    node.unitFloors.clear();
  }

  protected rangeSynced(node: Node, at: number, length: number): void {
    this.firstTree = Math.max(this.firstTree, node.changedIn);
    const version = node.versions.length - 1;
    const end = Math.min(at + length, last(node).length);
    for (let unit = Math.floor(at / this.unitBytes); unit * this.unitBytes < end; unit++) node.unitFloors.set(unit, version);
    node.leastSize = { version, bytes: end };
  }

  allSynced(): void {
    for (const node of this.names.values()) this.synced(node);
    this.firstTree = this.trees.length - 1;
  }

  /* Comparing. */

  /** How what is shown differs from every state that a crash may leave; empty: it is one of them. */
  differences(shown: Shown): string[] {
    const files = new Map([...shown].filter(([path]) => !isSnapshot(path)));
    let best: string[] | undefined;
    for (const names of this.trees.slice(this.firstTree).reverse()) {
      const found = treeDifferences(names, files, (node, content) => this.mayBe(node, content));
      if (found.length === 0) return this.snapshotDifferences(shown);
      if (!best || found.length < best.length) best = found;
    }
    return [`names: of ${this.trees.length - this.firstTree} trees that are allowed the nearest differs:`, ...(best ?? [])];
  }

  /** Why the content is none that a crash may leave, or "". */
  private mayBe(node: Node, content: Uint8Array): string {
    if (!this.mayHaveSize(node, content.length)) {
      const sizes = node.versions.slice(node.sizeFloor).map((v) => v.length);
      return `has ${content.length} bytes; sizes were ${sizes.join(" ")}`;
    }
    for (let unit = 0; unit * this.unitBytes < content.length; unit++) {
      const at = unit * this.unitBytes;
      const end = Math.min(at + this.unitBytes, content.length);
      const from = Math.max(node.floor, node.unitFloors.get(unit) ?? 0);
      if (!node.versions.some((version, i) => i >= from && sameAt(version, content, at, end))) {
        const begins = [...content.subarray(at, at + 6)].join(" ");
        return `at ${at} shows none of ${node.versions.length - from} versions that are allowed (it begins ${begins})`;
      }
    }
    return "";
  }

  /** A file grows step by step, and shrinks at once. */
  private mayHaveSize(node: Node, size: number): boolean {
    const { version: until, bytes } = node.leastSize;
    return node.versions.some((version, i) => {
      if (i < node.sizeFloor || (i <= until && size < bytes)) return false;
      if (version.length === size) return true;
      const next = node.versions[i + 1];
      return next !== undefined && size > version.length && size < next.length && size % this.sizeStep === 0;
    });
  }

  /** Files of which an error of writeback was told: a snapshot may have of them what the disk has. None in a crash. */
  protected readonly tainted = new Map<Node, number>();

  protected snapshotDifferences(shown: Shown): string[] {
    const found: string[] = [];
    for (const { name, certain, files } of this.snapshots) {
      if (!shown.has(name)) {
        if (certain) found.push(`[mk-9] snapshot ${name} is missing`);
        continue;
      }
      const mine = [...shown.keys()].filter((path) => path.startsWith(`${name}/`));
      for (const [path, { kind, content, target, node }] of files) {
        const one = shown.get(`${name}/${path}`);
        if (one?.kind !== kind || one.target !== target) found.push(`[mk-9] ${name}/${path} is ${one ? "another thing" : "missing"}`);
        else if (!this.tainted.has(node) && !equal(content, one.content)) found.push(`[mk-9] ${name}/${path} has changed`);
      }
      for (const path of mine) if (!files.has(path.slice(name.length + 1))) found.push(`[mk-9] ${path} should not be`);
    }
    const known = new Set(this.snapshots.map(({ name }) => name));
    const strangers = [...shown.keys()].filter((path) => isSnapshot(path) && !known.has(path.split("/")[0] ?? ""));
    return [...found, ...strangers.map((path) => `[mk-9] ${path} should not be`)];
  }
}

/** Bytes that are not there are zeros. */
export function sameAt(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((a[i] ?? 0) !== (b[i] ?? 0)) return false;
  return true;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && sameAt(a, b, 0, a.length);
}
