/*
 * Random operations on a filesystem with power failures in between, against the oracle. One seed is one filesystem: it lives on machine
 * after machine, each mounting what the power failure of the one before left.
 *
 * Interface: runSeed(kind, seed, operations), FuzzedKind, FuzzResult, sumOf; snapshotsShown, isSnapshot: snapshots that a machine shows.
 * Invariants:
 *   [cfz-1] a seed decides everything: block size, options, regime, operations, when the power fails, which sectors survive.
 *   [cfz-2] every life begins with fsck and a comparison, and every failure names the seed and the operation.
 * Why not fast-check: a life is a sequence that depends on what a crash left; what helps is the seed and the log.
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  MAP_SHARED,
  MKWRITE_REGIMES,
  MS_SYNC,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  type UnflushedWrite,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Shown, resized, shownBelow } from "../../src/sim/crash/shown.js";
import { data, names as namesIn, pattern } from "../fs-suite/mounted.js";
import { type Random, randomOf } from "../oracle/random.js";
import { MIB, PAGE, RW, type TestConfig, TestMachine, must } from "../test-machine.js";
import { type FileNode, Oracle } from "./disk-oracle.js";

const MNT = "/mnt";

const PATHS = ["a", "b", "c", "d", "e", "d/a", "d/b", "d/c", "e/a", "e/b"];
/** Of symbolic links: nothing is looked up through them. */
const LINKS = ["l", "m"];
const MAX_BYTES = 6 * PAGE;
/** A file goes a page and a little beyond. */
const MAP_BYTES = MAX_BYTES + 2 * PAGE;
const MAX_SNAPSHOTS = 3;
const DISK_BLOCKS = 1024;
/** Operations that a failure shows. */
const SHOWN = Number(process.env["LOG"] ?? 30);
/** D6 calls a page with one dirty block prepared: it breaks [mk-1] below the page size, which is its point (small-blocks.test.ts). */
const BACIK_WITHOUT_D6 = 2 + 4 + 8 + 16;

/** A filesystem as it is made, mounted and judged. */
export interface FuzzedKind {
  /** As a failure's command names it. */
  name: string;
  type: string;
  blockSizes: readonly number[];
  /** One of each for every seed. */
  mkfsOptions: readonly string[];
  mountOptions: readonly string[];
  /** Blocks are overwritten where they are. */
  inPlace: boolean;
  reflinks: boolean;
  snapshots: boolean;
  /** What runs one seed again. */
  testFile: string;
}

export interface FuzzResult {
  operations: number;
  crashes: number;
  remounts: number;
  snapshots: number;
  clones: number;
  /** Faults that asked page_mkwrite without the lock, and stashes that were turned down. */
  unlocked: number;
  rejected: number;
}

const full = (path: string): string => `${MNT}/${path}`;

export const isSnapshot = (name: string): boolean => name.startsWith("snap");

/** What the snapshots in the root show, by name. */
export function* snapshotsShown(): Call<Map<string, Shown>> {
  const all = new Map<string, Shown>();
  for (const name of (yield* namesIn(MNT)).filter(isSnapshot)) all.set(name, yield* shownBelow(full(name), isSnapshot));
  return all;
}

/** The sums over several lives. */
export function sumOf(results: readonly FuzzResult[]): FuzzResult {
  const total: FuzzResult = { operations: 0, crashes: 0, remounts: 0, snapshots: 0, clones: 0, unlocked: 0, rejected: 0 };
  for (const one of results) for (const key of Object.keys(total) as (keyof FuzzResult)[]) total[key] += one[key];
  return total;
}

class Life {
  readonly oracle: Oracle;
  readonly log: string[] = [];
  readonly result: FuzzResult = { operations: 0, crashes: 0, remounts: 0, snapshots: 0, clones: 0, unlocked: 0, rejected: 0 };
  private readonly random: Random;
  private readonly blockSize: number;
  private readonly mkfsOptions: string;
  private readonly mountOptions: string;
  private readonly config: TestConfig;
  private nextSnapshot = 0;
  /** Operations that this machine has made. */
  private made = 0;
  private ended = false;

  constructor(
    readonly kind: FuzzedKind,
    readonly seed: number,
    private readonly wanted: number,
  ) {
    const { blockSizes } = kind;
    this.random = randomOf(seed);
    this.blockSize = blockSizes[seed % blockSizes.length] ?? 4096;
    const faultLock = this.random.pick(FAULT_LOCK_REGIMES);
    const mkwrite = MKWRITE_REGIMES[Math.floor(seed / blockSizes.length) % MKWRITE_REGIMES.length] ?? "generic_page_mkwrite";
    this.config = { faultLock, mkwrite, bacikDefects: BACIK_WITHOUT_D6, seed };
    this.mkfsOptions = [`blocksize=${this.blockSize}`, this.random.pick(kind.mkfsOptions)].filter((option) => option !== "").join();
    this.mountOptions = this.random.pick(kind.mountOptions);
    this.oracle = new Oracle(this.blockSize, kind.inPlace);
    this.log.push(`${kind.type} ${this.mkfsOptions} ${this.mountOptions}, ${faultLock} + ${mkwrite}`);
  }

  private note(text: string): void {
    this.log.push(`${this.result.operations}: ${text}`);
  }

  /** From mkfs to the last comparison. */
  run(): void {
    let image: Uint8Array | undefined;
    for (;;) {
      const t = new TestMachine({ cpus: 2, memoryBytes: 4 * MIB, limitNs: 1e15, diskBlocks: DISK_BLOCKS, ...this.config });
      t.machine.command = commandOf(this.kind, this.seed, this.wanted);
      if (image) t.machine.disk.load(image);
      const isFirst = image === undefined;
      t.spawn(() => this.guest(t, isFirst));
      const crashed = this.runUntilCrash(t);
      this.result.unlocked += t.stat("mkwrite_unlocked_attempts");
      for (const why of ["mapping", "index", "clean", "writeback", "generation", "range"]) {
        this.result.rejected += t.stat(`stash_rejected_${why}`);
      }
      if (!crashed) {
        if (!this.ended) this.fail([`the guest was killed:`, ...t.machine.trace(40).map((e) => `${e.name} ${e.a} ${e.b}`)]);
        t.finish();
        return;
      }
      image = this.powerLoss(t);
    }
  }

  /** True when the power is to fail; false when the guest has come to its end. */
  private runUntilCrash(t: TestMachine): boolean {
    const { random } = this;
    const atOperation = 10 + random.below(60);
    this.made = 0;
    t.machine.run({ stopWhen: () => this.made >= atOperation || t.machine.guestCount === 0 });
    if (t.machine.guestCount === 0) return false;
    // Then somewhere in the time of a few operations, or of one.
    t.machine.run({ forNs: random.below(random.oneIn(2) ? 5e6 : 2e5) });
    return t.machine.guestCount !== 0;
  }

  private powerLoss(t: TestMachine): Uint8Array {
    const { random } = this;
    const kinds: readonly ((write: UnflushedWrite) => number)[] = [
      () => 0,
      () => 0xff,
      () => (random.oneIn(2) ? 0xff : 0),
      () => random.below(256),
    ];
    this.result.crashes++;
    this.note(`the power fails, ${t.machine.disk.unflushed().length} writes are not flushed`);
    return t.machine.disk.afterPowerLoss(random.pick(kinds));
  }

  private fail(lines: readonly string[]): never {
    const last = this.log.slice(-SHOWN).join("\n  ");
    throw new Error(`${lines.join("\n")}\nthe last operations:\n  ${last}\nagain: ${commandOf(this.kind, this.seed, this.wanted)}`);
  }

  private *guest(t: TestMachine, isFirst: boolean): Call<void> {
    must(yield* sys.mkdir(MNT), "mkdir");
    if (isFirst) must(yield* sys.mkfs(this.kind.type, this.mkfsOptions), "mkfs");
    const law = yield* sys.fsck(this.kind.type);
    if (law !== 0) this.fail([`fsck after the crash: ${law}`]);
    must(yield* sys.mount(this.kind.type, MNT, this.mountOptions), "mount");
    if (!isFirst) yield* this.compareAfterCrash();
    while (this.result.operations < this.wanted) {
      yield* this.step();
      this.made++;
      this.result.operations++;
      if (this.random.oneIn(40)) yield* this.remount(t);
    }
    yield* this.remount(t);
    must(yield* sys.umount(MNT), "umount");
    this.ended = true;
  }

  private *compareAfterCrash(): Call<void> {
    const there = yield* shownBelow(MNT, isSnapshot);
    const snapshots = yield* snapshotsShown();
    const found = [...this.oracle.differencesAfterCrash(there), ...this.oracle.snapshotDifferences(snapshots)];
    if (found.length > 0) this.fail(["after the crash:", ...found]);
    this.oracle.adopt(there, snapshots);
  }

  private *compare(when: string): Call<void> {
    const found = this.oracle.differences(yield* shownBelow(MNT, isSnapshot));
    found.push(...this.oracle.snapshotDifferences(yield* snapshotsShown()));
    if (found.length > 0) this.fail([`${when}:`, ...found]);
  }

  private *remount(t: TestMachine): Call<void> {
    this.note("remount");
    yield* this.compare("before a remount");
    must(yield* sys.umount(MNT), "umount");
    this.oracle.allSynced();
    t.check();
    const law = yield* sys.fsck(this.kind.type);
    if (law !== 0) this.fail([`fsck after umount: ${law}`]);
    must(yield* sys.mount(this.kind.type, MNT, this.mountOptions), "mount");
    yield* this.compare("after a remount");
    this.result.remounts++;
  }

  /** One random operation; what it returns must be what the oracle says. */
  private *step(): Call<void> {
    const { random, oracle } = this;
    const path = random.pick(PATHS);
    const other = random.pick(PATHS);
    switch (random.below(20)) {
      case 0:
      case 1:
        return yield* this.expect(`create ${path}`, oracle.make(path, "file"), create(full(path)));
      case 2:
        return yield* this.expect(`mkdir ${path}`, oracle.make(path, "dir"), sys.mkdir(full(path)));
      case 3:
        return yield* this.expect(`unlink ${path}`, oracle.remove(path, false), sys.unlink(full(path)));
      case 4:
        return yield* this.expect(`rmdir ${path}`, oracle.remove(path, true), sys.rmdir(full(path)));
      case 5:
        return yield* this.expect(`link ${path} ${other}`, oracle.link(path, other), sys.link(full(path), full(other)));
      case 6:
        return yield* this.expect(`rename ${path} ${other}`, oracle.rename(path, other), sys.rename(full(path), full(other)));
      case 7:
        return yield* this.symlinks(random.pick(LINKS), random.pick(LINKS), other);
      case 8:
        return yield* this.whole();
      default:
        return yield* this.onFile(random.oneIn(8) ? path : this.someFile(path));
    }
  }

  /** A file that exists, or `otherwise`. */
  private someFile(otherwise: string): string {
    const files = [...this.oracle.names].filter(([, node]) => node.kind === "file");
    return files.length === 0 ? otherwise : this.random.pick(files)[0];
  }

  private *symlinks(name: string, other: string, target: string): Call<void> {
    const { oracle } = this;
    switch (this.random.below(4)) {
      case 0:
        return yield* this.expect(`unlink ${name}`, oracle.remove(name, false), sys.unlink(full(name)));
      case 1:
        return yield* this.expect(`link ${name} ${other}`, oracle.link(name, other), sys.link(full(name), full(other)));
      default:
        return yield* this.expect(`symlink ${name}`, oracle.make(name, "link", target), sys.symlink(target, full(name)));
    }
  }

  private *expect(text: string, expected: number, call: Call): Call<void> {
    this.note(text);
    const result = yield* call;
    if (result !== expected) this.fail([`${text} returned ${result}, not ${expected}`]);
  }

  /** What concerns the filesystem as a whole. */
  private *whole(): Call<void> {
    const { random, oracle } = this;
    const kind = random.below(4);
    if (kind === 0 && this.kind.snapshots && oracle.snapshots.length < MAX_SNAPSHOTS) {
      const name = `snap${this.nextSnapshot++}`;
      const directory = must(yield* sys.open(MNT, O_RDONLY), "open");
      oracle.snapshotBegins(name);
      yield* this.expect(`snapshot ${name}`, 0, sys.snapshot(directory, name));
      oracle.snapshotEnds(name, true);
      oracle.allSynced();
      must(yield* sys.close(directory), "close");
      this.result.snapshots++;
    } else if (kind === 1) {
      // Long enough for a commit, and now and then for the flusher.
      const seconds = random.pick([6, 40]);
      yield* this.expect(`sleep ${seconds} s`, 0, sys.nanosleep(seconds * 1e9));
    } else {
      yield* this.expect("sync", 0, sys.sync());
      oracle.allSynced();
    }
  }

  private *onFile(path: string): Call<void> {
    const node = this.oracle.file(path);
    if (typeof node === "number") {
      return yield* this.expect(`open ${path}`, node, sys.open(full(path), O_RDWR));
    }
    const fd = must(yield* sys.open(full(path), O_RDWR), "open");
    yield* this.change(path, node, fd);
    must(yield* sys.close(fd), "close");
  }

  private *change(path: string, node: FileNode, fd: number): Call<void> {
    const { random, oracle } = this;
    const old = oracle.contentOf(node);
    const at = random.below(MAX_BYTES);
    const length = 1 + random.below(PAGE + 200);
    const text = `${path} (${old.length} bytes) at ${at} length ${length}`;
    switch (random.below(9)) {
      case 0:
        oracle.write(node, resized(old, at));
        return yield* this.expect(`truncate ${text}`, 0, sys.ftruncate(fd, at));
      case 1: {
        const content = old.slice();
        content.fill(0, at, at + length);
        oracle.write(node, content);
        const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return yield* this.expect(`punch ${text}`, 0, sys.fallocate(fd, mode, at, length));
      }
      case 2: {
        const dataOnly = !random.oneIn(2);
        yield* this.expect(`${dataOnly ? "fdatasync" : "fsync"} ${path}`, 0, dataOnly ? sys.fdatasync(fd) : sys.fsync(fd));
        oracle.synced(node, dataOnly);
        return;
      }
      case 3:
        return yield* this.kind.reflinks ? this.clone(path, node, fd) : this.preallocate(text, fd, at, length);
      case 4:
      case 5:
        return yield* this.stores(path, node, fd);
      case 6:
        oracle.write(node, resized(old, Math.max(old.length, at + length)));
        return yield* this.expect(`fallocate ${text}`, 0, sys.fallocate(fd, 0, at, length));
      default: {
        const bytes = pattern(length, random.below(1e6));
        oracle.put(node, at, bytes);
        return yield* this.expect(`write ${text}`, length, sys.pwrite(fd, bytes, at));
      }
    }
  }

  /** Space behind the end of the file, too. */
  private preallocate(text: string, fd: number, at: number, length: number): Call<void> {
    return this.expect(`fallocate, size kept, ${text}`, 0, sys.fallocate(fd, FALLOC_FL_KEEP_SIZE, at, length));
  }

  /** FICLONERANGE from another file: whole blocks, or to the source's end. */
  private *clone(path: string, node: FileNode, fd: number): Call<void> {
    const { random, oracle, blockSize } = this;
    const source = this.someFile("a");
    const from = oracle.file(source);
    if (typeof from === "number" || from === node) return;
    const content = oracle.contentOf(from);
    const unit = (n: number): number => n - (n % blockSize);
    const srcAt = unit(random.below(content.length + 1));
    const dstAt = unit(random.below(MAX_BYTES - PAGE));
    const old = oracle.contentOf(node);
    const toEnd = content.length - srcAt;
    // What ends inside a block must end the target, too.
    const length = random.oneIn(2) && dstAt + toEnd >= old.length ? toEnd : unit(random.below(toEnd + 1));
    if (length === 0 || dstAt + length > MAX_BYTES) return;
    const sourceFd = must(yield* sys.open(full(source), O_RDONLY), "open");
    oracle.put(node, dstAt, content.subarray(srcAt, srcAt + length));
    yield* this.expect(
      `clone ${source} at ${srcAt} to ${path} at ${dstAt} length ${length}`,
      0,
      sys.cloneRange(sourceFd, srcAt, length, fd, dstAt),
    );
    must(yield* sys.close(sourceFd), "close");
    this.result.clones++;
  }

  /** Stores through a shared mapping, some with an fsync between them, some while a thread syncs. */
  private *stores(path: string, node: FileNode, fd: number): Call<void> {
    const { random, oracle } = this;
    const size = oracle.contentOf(node).length;
    if (size === 0) return;
    const address = must(yield* sys.mmap(0, MAP_BYTES, RW, MAP_SHARED, fd), "mmap");
    const helper = { running: random.oneIn(2), done: false };
    if (helper.running) {
      must(
        yield* sys.thread(function* () {
          for (let i = 0; i < 3; i++) must(yield* sys.fsync(fd), "fsync");
          helper.done = true;
        }),
        "thread",
      );
    }
    const count = 1 + random.below(6);
    for (let i = 0; i < count; i++) {
      const at = random.below(size);
      const length = Math.min(1 + random.below(600), size - at);
      const bytes = pattern(length, random.below(1e6));
      oracle.put(node, at, bytes);
      yield* this.expect(
        `store ${path} at ${at} length ${length}${helper.running ? ", a thread syncs" : ""}`,
        length,
        mem.store(address + at, bytes),
      );
      if (helper.running || !random.oneIn(3)) continue;
      yield* this.expect(`msync ${path}`, 0, sys.msync(address, MAP_BYTES, MS_SYNC));
      oracle.synced(node);
    }
    while (helper.running && !helper.done) must(yield* sys.nanosleep(1e5), "nanosleep");
    const there = data(yield* mem.load(address, size));
    if (Buffer.compare(there, oracle.contentOf(node)) !== 0) this.fail([`the mapping of ${path} shows something else`]);
    must(yield* sys.munmap(address, MAP_BYTES), "munmap");
  }
}

function* create(path: string): Call {
  const fd = yield* sys.open(path, O_RDWR | O_CREAT | O_EXCL);
  return fd < 0 ? fd : yield* sys.close(fd);
}

function commandOf(kind: FuzzedKind, seed: number, operations: number): string {
  return `SEED=${seed} OPERATIONS=${operations} npx vitest run ${kind.testFile} -t "^${kind.name},"`;
}

/** Throws with the seed, the last operations and a command to paste when a law is broken. */
export function runSeed(kind: FuzzedKind, seed: number, operations: number): FuzzResult {
  const life = new Life(kind, seed, operations);
  try {
    life.run();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (text.includes("the last operations")) throw error;
    throw new Error(
      `${text}\nthe last operations:\n  ${life.log.slice(-SHOWN).join("\n  ")}\nagain: ${commandOf(kind, seed, operations)}`,
      {
        cause: error,
      },
    );
  }
  return life.result;
}
