/**
 * What must be there when steps fail: as for a crash, and what a running machine shows.
 *
 *     a step fails      each byte it would have changed is the old one or the new one; a name is there or not; which, is looked up
 *     an error is told  by fsync, msync or sync: what was not on the disk by then may stay away, until it is stored again
 *     nothing is told   after an unmount and a mount all is as it was shown
 *
 * Interface: SiteOracle: a CrashOracle that can be told of failures (settle, told), and knows what is shown now (contentOf, exists,
 *            isEmpty, shownDifferences).
 * Invariants:
 *   [sor-1] after settle the present content and names are what the machine shows.
 *   [sor-2] a sync that returns 0 after an error was told covers what was stored after it, and no more.
 * Locks: none.
 * Why not sets of possible states through the whole run: they grow with each failure, and every one of them but one is wrong.
 */
import { CrashOracle, type Names, type Node, equal, isSnapshot, last, sameAt } from "../crash/oracle.js";
import { type Shown, treeDifferences } from "../crash/shown.js";
import type { Step } from "../crash/steps.js";

export class SiteOracle extends CrashOracle {
  /** What a step would have made of a file that failed where nothing could be looked up. */
  private readonly failedVersions = new Set<Uint8Array>();
  /** Tainted files that the error may not have been about. */
  private readonly suspects = new Set<Node>();

  /** The tree before the step that began last, when it changes names. */
  private treeBefore: Names | undefined;
  /** When each node had changed by then. */
  private changedBefore = new Map<Node, number>();

  override begin(step: Step, number: number): void {
    const trees = this.trees.length;
    this.changedBefore = new Map([this.root, ...this.names.values()].map((node) => [node, node.changedIn]));
    super.begin(step, number);
    this.treeBefore = this.trees.length > trees ? this.trees[trees - 1] : undefined;
  }

  contentOf(path: string): Uint8Array {
    return last(this.node(path)).slice();
  }

  exists(path: string): boolean {
    return path === "" || this.names.has(path);
  }

  isEmpty(path: string): boolean {
    return ![...this.names.keys()].some((name) => name.startsWith(`${path}/`));
  }

  files(): string[] {
    return [...this.names].filter(([, node]) => node.kind === "file").map(([path]) => path);
  }

  get anythingTold(): boolean {
    return this.tainted.size > 0;
  }

  /** An error of writeback, or of a sync, was told to whoever works on this file. */
  told(path: string): void {
    const node = this.node(path);
    this.tainted.set(node, node.versions.length - 1);
    this.suspects.delete(node);
  }

  /** A sync told an error, and not of which file: until an fsync says otherwise it may be any. */
  toldOfAny(): void {
    for (const node of this.names.values()) {
      if (node.kind !== "file" || this.tainted.has(node)) continue;
      this.tainted.set(node, node.versions.length - 1);
      this.suspects.add(node);
    }
  }

  override done(step: Step): void {
    if ((step.do === "fsync" || step.do === "fdatasync" || step.do === "msync") && this.exists(step.path)) {
      const node = this.node(step.path);
      if (this.suspects.delete(node)) this.tainted.delete(node);
    }
    super.done(step);
  }

  protected override synced(node: Node): void {
    const version = this.tainted.get(node);
    if (version === undefined) super.synced(node);
    else this.storedSince(node, version, 0, Infinity);
  }

  protected override rangeSynced(node: Node, at: number, length: number): void {
    const version = this.tainted.get(node);
    if (version === undefined) super.rangeSynced(node, at, length);
    else this.storedSince(node, version, at, at + length);
  }

  /** [sor-2] Units that have changed since a version are certain. */
  private storedSince(node: Node, version: number, from: number, to: number): void {
    const now = last(node);
    const newest = node.versions.length - 1;
    const end = Math.min(now.length, to);
    for (let unit = Math.floor(from / this.unitBytes); unit * this.unitBytes < end; unit++) {
      const at = unit * this.unitBytes;
      const since = node.versions.slice(version).filter((content) => !this.failedVersions.has(content));
      // A cut behind what was lost does not store it again.
      const changed = since.some((content) => !sameAt(content, now, at, Math.min(at + this.unitBytes, now.length)));
      if (changed) node.unitFloors.set(unit, newest);
    }
  }

  /** A step has begun and failed: what is shown now is what it did. `before`: content that it may have changed. Returns problems. */
  settle(step: Step, before: Uint8Array | undefined, shown: Shown): string[] {
    const problems = this.settleNames(step, shown);
    const path = changedPath(step);
    if (before === undefined || path === undefined || !this.names.has(path)) return problems;
    const there = shown.get(path);
    if (!there) return [...problems, `${path} is missing`];
    const wrong = betweenDifference(before, this.contentOf(path), there.content);
    if (wrong !== "") problems.push(`${path} ${wrong}`);
    const node = this.node(path);
    // Bytes that are overwritten in place need no transaction: a sync of them says nothing of names.
    if (there.content.length === before.length) node.changedIn = this.changedBefore.get(node) ?? node.changedIn;
    if (!equal(there.content, this.contentOf(path))) {
      node.versions.pop();
      if (!equal(there.content, before)) node.versions.push(there.content.slice());
    }
    return problems;
  }

  private settleNames(step: Step, shown: Shown): string[] {
    if (step.do === "snapshot") {
      if (!shown.has(step.name)) this.snapshots = this.snapshots.filter(({ name }) => name !== step.name);
      return [];
    }
    const files = new Map([...shown].filter(([path]) => !isSnapshot(path)));
    const differences = namesDifferences(this.names, files);
    if (differences.length === 0) return [];
    const previous = this.treeBefore;
    if (!previous || namesDifferences(previous, files).length > 0) return differences;
    this.become(previous);
    return [];
  }

  /**
   * A step has failed where nothing can be looked up. It has changed no name; with EROFS (`untouched`) no content either, else what is
   * there now may be the old content or the new one.
   */
  undo(step: Step, before: Uint8Array | undefined, untouched: boolean): void {
    const path = changedPath(step);
    if (before && path !== undefined && this.names.has(path) && !equal(before, this.contentOf(path))) {
      const node = this.node(path);
      if (untouched) {
        node.versions.pop();
        node.changedIn = this.changedBefore.get(node) ?? node.changedIn;
      } else {
        this.failedVersions.add(last(node));
        this.write(path, before);
      }
    }
    if (this.treeBefore) this.become(this.treeBefore);
  }

  private become(tree: Names): void {
    for (const [node, changedIn] of this.changedBefore) node.changedIn = changedIn;
    this.names.clear();
    for (const [path, node] of tree) this.names.set(path, node);
    this.changed([], []);
  }

  /** How what is shown differs from what it must be: all that was done, unless an error was told of a file. */
  shownDifferences(shown: Shown): string[] {
    const files = new Map([...shown].filter(([path]) => !isSnapshot(path)));
    const compare = (node: Node, content: Uint8Array): string => {
      if (this.tainted.has(node)) return "";
      return equal(content, last(node)) ? "" : firstDifference(last(node), content);
    };
    return [...treeDifferences(this.names, files, compare), ...this.snapshotDifferences(shown)];
  }
}

/** The file whose content a step changes. */
export function changedPath(step: Step): string | undefined {
  return step.do === "clone" ? step.to : "path" in step ? step.path : undefined;
}

function namesDifferences(names: Names, shown: Shown): string[] {
  return treeDifferences(names, shown, () => "");
}

function firstDifference(expected: Uint8Array, found: Uint8Array): string {
  if (expected.length !== found.length) return `has ${found.length} bytes, not ${expected.length}`;
  const at = expected.findIndex((byte, i) => byte !== found[i]);
  return `at ${at} is ${found[at] ?? 0}, not ${expected[at] ?? 0}`;
}

/** Why a content is none that a step may leave which fails between two others, or "". */
function betweenDifference(before: Uint8Array, after: Uint8Array, found: Uint8Array): string {
  const [least, most] = [Math.min(before.length, after.length), Math.max(before.length, after.length)];
  if (found.length < least || found.length > most) return `has ${found.length} bytes after a step that failed, not ${least} to ${most}`;
  for (const [i, byte] of found.entries()) {
    // Bytes that are not there are zeros.
    if (byte !== (before[i] ?? 0) && byte !== (after[i] ?? 0)) {
      return `at ${i} is ${byte} after a step that failed, neither ${before[i] ?? 0} nor ${after[i] ?? 0}`;
    }
  }
  return "";
}
