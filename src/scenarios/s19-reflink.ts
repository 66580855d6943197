/**
 * S19, S20: the file is cloned, or the filesystem snapshot, while a store to it is under way ([mk-9]).
 */
import { O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR } from "../guest/constants.js";
import { must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, byteOf, drop, inFileWindow, mappedFile, nameOf, remount, runs, storeByte } from "./steps.js";

/** f holds 1 on the disk and is clean: the store makes it 5. */
function* cleanFile(cell: Parameters<typeof mappedFile>[0]) {
  const file = yield* mappedFile(cell, { lenBytes: PAGE });
  yield* storeByte(file.at, 1);
  must(yield* sys.fsync(file.fd), "fsync");
  return file;
}

function* byteAt(path: string) {
  const fd = must(yield* sys.open(path, O_RDONLY), `open ${path}`);
  const byte = yield* byteOf(fd, 0);
  must(yield* sys.close(fd), "close");
  return byte;
}

export const reflink = defineScenario<Mapped & { clone: number }, { store: string; clone: string }, string>({
  id: "S19",
  name: "reflink",
  title: "a clone against a store: the clone has the byte from before or after, and what it had first it has for ever",
  applies: ({ fs }) => fs.has.includes("clone"),
  *setup(cell) {
    return { ...(yield* cleanFile(cell)), clone: must(yield* sys.open(`${MNT}/g`, O_RDWR | O_CREAT), "open") };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    clone: thread(function* ({ fd, clone }) {
      const result = nameOf(yield* sys.cloneRange(fd, 0, PAGE, clone, 0));
      return `${result} ${yield* byteOf(clone, 0)}`;
    }),
  },
  *after(file, cell) {
    must(yield* sys.close(file.clone), "close");
    yield* drop(file);
    yield* remount(cell);
    return `f ${yield* byteAt(`${MNT}/f`)}, g ${yield* byteAt(`${MNT}/g`)}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, clone ${outcomes.clone}, disk ${after}`,
  allowed: () => ["store ok, clone 0 1, disk f 5, g 1", "store ok, clone 0 5, disk f 5, g 5"],
  mark: (end) => inFileWindow(end, runs(end) > 1),
});

export const snapshot = defineScenario<Mapped & { root: number }, { store: string; snapshot: string }, string>({
  id: "S20",
  name: "snapshot",
  title: "a snapshot against a store: the snapshot has the byte from before or after, and what it had first it has for ever",
  applies: ({ fs }) => fs.has.includes("snapshot"),
  *setup(cell) {
    return { ...(yield* cleanFile(cell)), root: must(yield* sys.open(MNT, O_RDONLY | O_DIRECTORY), "open") };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    snapshot: thread(function* ({ root }) {
      const result = nameOf(yield* sys.snapshot(root, "snap"));
      return `${result} ${yield* byteAt(`${MNT}/snap/f`)}`;
    }),
  },
  *after(file, cell) {
    must(yield* sys.close(file.root), "close");
    yield* drop(file);
    yield* remount(cell);
    return `f ${yield* byteAt(`${MNT}/f`)}, snap ${yield* byteAt(`${MNT}/snap/f`)}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, snapshot ${outcomes.snapshot}, disk ${after}`,
  allowed: () => ["store ok, snapshot 0 1, disk f 5, snap 1", "store ok, snapshot 0 5, disk f 5, snap 5"],
  mark: (end) => inFileWindow(end, runs(end) > 1),
});
