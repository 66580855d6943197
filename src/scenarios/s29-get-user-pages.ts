/**
 * S29: get_user_pages asks for a page to store to: with and without leave to drop the lock, under writeback that cleans the page each time.
 */
import { MADV_POPULATE_WRITE } from "../guest/constants.js";
import { procMemWrite } from "../guest/mem.js";
import { type Call, sys } from "../guest/sys.js";
import { defineScenario, process, thread } from "./scenario.js";
import { PAGE, type Mapped, bytesOf, cached, dropping, durable, inFileWindow, mappedFile, nameOf, runs, storeByte } from "./steps.js";
import { type Sender, withSender } from "./s25-other-mm.js";

type Remote = Sender & { pid: number };

function* fsyncTwice({ fd }: Mapped): Call<string> {
  const first = nameOf(yield* sys.fsync(fd));
  return `${first} ${nameOf(yield* sys.fsync(fd))}`;
}

export const pinned = defineScenario<Remote, { remote: string; fsync: string }, string>({
  id: "S29",
  name: "pinned",
  title: "process_vm_writev against two fsyncs: each fault that it takes is a fault of its own, and the store is on the disk",
  applies: cached,
  *setup(cell) {
    return { ...(yield* withSender(cell)), pid: yield* sys.getpid() };
  },
  tasks: {
    remote: process(function* ({ at, own, pid }) {
      return nameOf(yield* sys.processVmWritev(pid, [{ base: own, len: 1 }], [{ base: at, len: 1 }]));
    }),
    fsync: thread(fsyncTwice),
  },
  after: (file, cell) => durable(cell, file, [0]),
  ending: ({ outcomes, after }) => `remote ${outcomes.remote}, fsyncs ${outcomes.fsync}, disk ${after}`,
  allowed: () => ["remote 1, fsyncs 0 0, disk 6"],
  // Asked again: for the page that was cleaned under the pin, or between the passes.
  mark: (end) => runs(end) > 1 && (!dropping(end.cell) || end.moved("mkwrite_unlocked_attempts") > 0),
});

export const keptLock = defineScenario<Remote, { remote: string; unmap: string; fsync: string }, string>({
  id: "S29",
  name: "kept-lock",
  title: "/proc/PID/mem against munmap and fsync: no unlocked attempt, and the store is in the file or refused",
  applies: cached,
  *setup(cell) {
    return { ...(yield* withSender(cell)), pid: yield* sys.getpid() };
  },
  tasks: {
    remote: process(function* ({ at, pid }) {
      return nameOf(yield* procMemWrite(pid, at, Uint8Array.of(6)));
    }),
    unmap: thread(function* ({ at }) {
      return nameOf(yield* sys.munmap(at, PAGE));
    }),
    fsync: thread(function* ({ fd }) {
      return nameOf(yield* sys.fsync(fd));
    }),
  },
  after: ({ fd }) => bytesOf(fd, [0]),
  ending({ outcomes: { remote, unmap, fsync }, after, moved }) {
    return `remote ${remote}, munmap ${unmap}, fsync ${fsync}, file ${after}, unlocked ${moved("mkwrite_unlocked_attempts")}`;
  },
  allowed: () => ["remote 1, munmap 0, fsync 0, file 6, unlocked 0", "remote EIO, munmap 0, fsync 0, file 0, unlocked 0"],
  mark: (end) => end.outcomes.remote === "1" && runs(end) > 0 && end.moved("lock:contention_begin") > 0,
});

export const populate = defineScenario<Mapped, { populate: string; store: string; fsync: string }, string>({
  id: "S29",
  name: "populate",
  title: "MADV_POPULATE_WRITE and a store against two fsyncs: populate ends, and the store is on the disk",
  applies: cached,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    populate: thread(function* ({ at }) {
      return nameOf(yield* sys.madvise(at, PAGE, MADV_POPULATE_WRITE));
    }),
    store: thread(({ at }) => storeByte(at, 5)),
    fsync: thread(fsyncTwice),
  },
  after: (file, cell) => durable(cell, file, [0]),
  ending: ({ outcomes: { populate, store, fsync }, after }) => `populate ${populate}, store ${store}, fsyncs ${fsync}, disk ${after}`,
  allowed: () => ["populate 0, store ok, fsyncs 0 0, disk 5"],
  mark: (end) => inFileWindow(end, runs(end) > 1),
});
