/**
 * S28, S30: a page that is cleaned again and again: a fault drops its lock once and is done by its second pass ([mk-5] counts the runs).
 */
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../guest/constants.js";
import { must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import {
  type Mapped,
  PAGE,
  RW,
  byteOf,
  cached,
  durable,
  inFileWindow,
  inWindow,
  mappedFile,
  nameOf,
  runs,
  storeByte,
  withMkwrite,
} from "./steps.js";

export const oneAttempt = defineScenario<Mapped, { store: string; map: string; fsync: string }, string>({
  id: "S28",
  name: "one-attempt",
  title: "a writer of mmap_sem and an fsync against a store: it is done by its second pass, and the writer does not wait for ever",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    map: thread(function* () {
      const elsewhere = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
      return nameOf(yield* sys.munmap(elsewhere, PAGE));
    }),
    fsync: thread(function* ({ fd }) {
      return nameOf(yield* sys.fsync(fd));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes: { store, map, fsync }, after }) => `store ${store}, munmap ${map}, fsync ${fsync}, file ${after}`,
  allowed: () => ["store ok, munmap 0, fsync 0, file 5"],
  mark: (end) => (cached(end.cell) ? inWindow(end, runs(end) > 1 || end.moved("mkwrite_completed") > 0) : runs(end) > 0),
});

export const alwaysCleaned = defineScenario<Mapped, { store: string; fsyncs: string }, string>({
  id: "S30",
  name: "always-cleaned",
  title: "fsync after fsync against a store: the page that was prepared is turned down each time, and the store is on the disk",
  applies: cached,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    fsyncs: thread(function* ({ fd }) {
      const results: string[] = [];
      for (let i = 0; i < 3; i++) results.push(nameOf(yield* sys.fsync(fd)));
      return results.join(" ");
    }),
  },
  after: (file, cell) => durable(cell, file, [0]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, fsyncs ${outcomes.fsyncs}, disk ${after}`,
  allowed: () => ["store ok, fsyncs 0 0 0, disk 5"],
  mark: (end) => inFileWindow(end, runs(end) > 1),
});
