/*
 * Power failures at every point of a short history: whenever a write or a flush is done, and while writes are under way. From the
 * disk's cache all, nothing, any one piece alone, all but one, or parts of pieces survive. Each time fsck is clean, the filesystem
 * mounts, and what it shows is a state that the oracle allows; what an fsync covered is there.
 *
 * Checks: [mk-7] [mk-9] [cow-1] [cow-9] [tx-4] [or-2] [ct-1] [ct-2] [cn-1].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MAP_SHARED,
  MS_SYNC,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  type UnflushedWrite,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { pattern } from "../fs-suite/mounted.js";
import { randomOf } from "../oracle/random.js";
import { MIB, PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { MNT, boot } from "./machine.js";
import { resized, shownBelow } from "../../src/sim/crash/shown.js";
import { isSnapshot, snapshotsShown } from "../fuzz/disk-life.js";
import { Oracle, type FileNode } from "../fuzz/disk-oracle.js";

const BLOCK_SIZES = [4096, 1024];
/** How far the machine goes between two looks at the disk, ns: less than any of the disk's latencies. */
const STEP_NS = 4000;
const DISK_BLOCKS = 192;

/** A step of a history: what the oracle is told before it, the call, what is certain after it. */
class Historian {
  readonly oracle: Oracle;
  done = false;
  at = "mkfs";

  constructor(blockSize: number) {
    this.oracle = new Oracle(blockSize);
  }

  private node(path: string): FileNode {
    const node = this.oracle.file(path);
    if (typeof node === "number") throw new Error(`no file ${path}`);
    return node;
  }

  *make(path: string): Call {
    this.oracle.make(path, "file");
    return must(yield* sys.open(`${MNT}/${path}`, O_RDWR | O_CREAT), `create ${path}`);
  }

  *write(path: string, fd: number, at: number, bytes: Uint8Array): Call<void> {
    this.at = `write ${path} at ${at}`;
    this.oracle.put(this.node(path), at, bytes);
    must(yield* sys.pwrite(fd, bytes, at), this.at);
  }

  *store(path: string, address: number, at: number, bytes: Uint8Array): Call<void> {
    this.at = `store ${path} at ${at}`;
    this.oracle.put(this.node(path), at, bytes);
    must(yield* mem.store(address + at, bytes), this.at);
  }

  *truncate(path: string, fd: number, size: number): Call<void> {
    this.at = `truncate ${path} to ${size}`;
    this.oracle.write(this.node(path), resized(this.oracle.contentOf(this.node(path)), size));
    must(yield* sys.ftruncate(fd, size), this.at);
  }

  *punch(path: string, fd: number, at: number, length: number): Call<void> {
    this.at = `punch ${path} at ${at}`;
    const content = this.oracle.contentOf(this.node(path)).slice();
    content.fill(0, at, at + length);
    this.oracle.write(this.node(path), content);
    must(yield* sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length), this.at);
  }

  *fsync(path: string, call: Call): Call<void> {
    this.at = `fsync ${path}`;
    must(yield* call, this.at);
    this.oracle.synced(this.node(path));
  }

  *name(text: string, change: () => number, call: Call): Call<void> {
    this.at = text;
    expect(change(), text).toBe(0);
    must(yield* call, text);
  }

  *snapshot(name: string): Call<void> {
    this.at = `snapshot ${name}`;
    const directory = must(yield* sys.open(MNT, O_RDONLY));
    this.oracle.snapshotBegins(name);
    must(yield* sys.snapshot(directory, name), this.at);
    this.oracle.snapshotEnds(name, true);
    this.oracle.allSynced();
    must(yield* sys.close(directory));
  }

  *clone(from: string, fromFd: number, to: string, toFd: number, length: number): Call<void> {
    this.at = `clone ${from} to ${to}`;
    this.oracle.put(this.node(to), 0, this.oracle.contentOf(this.node(from)).subarray(0, length));
    must(yield* sys.cloneRange(fromFd, 0, length, toFd, 0), this.at);
  }

  *sync(): Call<void> {
    this.at = "sync";
    must(yield* sys.sync(), "sync");
    this.oracle.allSynced();
  }
}

const path = (name: string): string => `${MNT}/${name}`;

const HISTORIES: Record<string, (h: Historian) => Call<void>> = {
  *"write, fsync, overwrite, fsync"(h) {
    const fd = yield* h.make("f");
    yield* h.write("f", fd, 0, pattern(3 * PAGE, 1));
    yield* h.fsync("f", sys.fsync(fd));
    yield* h.write("f", fd, 1000, pattern(PAGE, 2));
    yield* h.write("f", fd, 3 * PAGE - 10, pattern(100, 3));
    yield* h.fsync("f", sys.fdatasync(fd));
  },
  *"stores through a mapping and msync"(h) {
    const fd = yield* h.make("f");
    yield* h.truncate("f", fd, 4 * PAGE);
    const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd));
    for (let i = 0; i < 3; i++) {
      yield* h.store("f", at, i * PAGE + 500, pattern(300, i));
      yield* h.store("f", at, 3000, pattern(1500, 9 + i));
      yield* h.fsync("f", sys.msync(at, 4 * PAGE, MS_SYNC));
    }
  },
  *"names, and an fsync of each kind"(h) {
    const { oracle } = h;
    yield* h.name("mkdir d", () => oracle.make("d", "dir"), sys.mkdir(path("d")));
    const fd = yield* h.make("d/a");
    yield* h.fsync("d/a", sys.fsync(fd));
    yield* h.name("link", () => oracle.link("d/a", "b"), sys.link(path("d/a"), path("b")));
    yield* h.name("rename", () => oracle.rename("d/a", "d/c"), sys.rename(path("d/a"), path("d/c")));
    yield* h.name("symlink", () => oracle.make("l", "link", "d/c"), sys.symlink("d/c", path("l")));
    yield* h.sync();
    yield* h.write("b", fd, 0, pattern(2 * PAGE));
    yield* h.name("unlink b", () => oracle.remove("b", false), sys.unlink(path("b")));
    yield* h.fsync("d/c", sys.fsync(fd));
    yield* h.name("unlink d/c", () => oracle.remove("d/c", false), sys.unlink(path("d/c")));
    must(yield* sys.close(fd));
    yield* h.sync();
  },
  *"truncate inside a block and grow again"(h) {
    const fd = yield* h.make("f");
    yield* h.write("f", fd, 0, pattern(3 * PAGE));
    yield* h.fsync("f", sys.fsync(fd));
    yield* h.truncate("f", fd, PAGE + 77);
    yield* h.truncate("f", fd, 2 * PAGE);
    yield* h.punch("f", fd, 100, PAGE - 300);
    yield* h.fsync("f", sys.fsync(fd));
  },
  *"a snapshot and a reflink between stores"(h) {
    const fd = yield* h.make("f");
    const other = yield* h.make("g");
    yield* h.write("f", fd, 0, pattern(2 * PAGE + 50));
    yield* h.snapshot("snap0");
    yield* h.write("f", fd, 10, pattern(PAGE, 4));
    yield* h.clone("f", fd, "g", other, 2 * PAGE);
    yield* h.write("f", fd, PAGE, pattern(PAGE, 5));
    yield* h.fsync("f", sys.fsync(fd));
    yield* h.write("g", other, 500, pattern(100, 6));
    yield* h.sync();
  },
};

/** Which pieces of the unflushed writes survive: each a function from the nth of them to its sectors. */
function choices(count: number, seed: number): ((i: number) => number)[] {
  const random = randomOf(seed);
  const all: ((i: number) => number)[] = [() => 0, () => 0xff, (i) => (i === count - 1 ? 0xff : 0), (i) => (i === count - 1 ? 0 : 0xff)];
  if (count > 1) {
    const one = random.below(count);
    all.push(
      (i) => (i === one ? 0xff : 0),
      (i) => (i === one ? 0 : 0xff),
      (i) => (i % 2 === 0 ? 0xff : 0),
    );
  }
  all.push(
    () => 0x0f,
    () => 0xf0,
    () => random.below(256),
  );
  return count === 0 ? all.slice(0, 1) : all;
}

/** Looks at one image on a machine of its own; fails with what it shows that it may not. */
function lookAt(image: Uint8Array, h: Historian, what: string): void {
  const t = boot({ memoryBytes: 4 * MIB }, image);
  const value = t.runOne(function* () {
    must(yield* sys.mkdir(MNT), "mkdir");
    const law = yield* sys.fsck("cowfs");
    const mounted = yield* sys.mount("cowfs", MNT);
    if (law !== 0 || mounted !== 0) return { law, mounted };
    return { law, mounted, files: yield* shownBelow(MNT, isSnapshot), snapshots: yield* snapshotsShown() };
  });
  expect({ law: value.law, mounted: value.mounted }, what).toEqual({ law: 0, mounted: 0 });
  if (!value.files) return;
  const found = [...h.oracle.differencesAfterCrash(value.files), ...h.oracle.snapshotDifferences(value.snapshots)];
  expect(found, what).toEqual([]);
  t.check();
}

/** The power fails at every step of the disk. Returns how many images were looked at. */
function crashEverywhere(t: TestMachine, h: Historian): number {
  const seen = new Set<string>();
  let images = 0;
  let last = "";
  while (!h.done) {
    t.machine.run({ forNs: STEP_NS });
    const unflushed = t.machine.disk.unflushed();
    const now = `${t.machine.disk.progress()} ${unflushed.map((w) => w.bioId).join(" ")}`;
    if (now === last) continue;
    last = now;
    for (const [nr, choice] of choices(unflushed.length, images).entries()) {
      const order = new Map<string, number>(unflushed.map((w, i) => [key(w), i]));
      const image = t.machine.disk.afterPowerLoss((w) => choice(order.get(key(w)) ?? 0));
      // What the oracle allows changes with time, the image need not.
      const state = `${hash(image)} ${h.at}`;
      if (seen.has(state)) continue;
      seen.add(state);
      images++;
      lookAt(
        image,
        h,
        `power fails during "${h.at}" at ${t.machine.nowNs()} ns, choice ${nr}, ${unflushed.length} unflushed; ${t.machine.command}`,
      );
    }
  }
  return images;
}

const key = (w: UnflushedWrite): string => `${w.bioId} ${w.firstByte}`;

function hash(image: Uint8Array): number {
  const words = new Uint32Array(image.buffer, image.byteOffset, image.length >> 2);
  let h = 0x811c9dc5;
  for (const word of words) h = Math.imul(h ^ word, 0x01000193);
  return h;
}

describe("the power fails at every write", () => {
  for (const blockSize of BLOCK_SIZES) {
    for (const [name, history] of Object.entries(HISTORIES)) {
      it(`${name}, blocks of ${blockSize}`, () => {
        const t = boot({ diskBlocks: DISK_BLOCKS, mkwrite: "generic_page_mkwrite_nommapsem" });
        t.runOne(function* () {
          must(yield* sys.mkfs("cowfs", `blocksize=${blockSize}`), "mkfs");
          must(yield* sys.mkdir(MNT), "mkdir");
          must(yield* sys.mount("cowfs", MNT), "mount");
        });
        const h = new Historian(blockSize);
        t.spawn(function* () {
          yield* history(h);
          h.done = true;
        });
        expect(crashEverywhere(t, h)).toBeGreaterThan(20);
        t.run();
        t.runOne(() => sys.umount(MNT));
        t.finish();
      });
    }
  }
});
