/**
 * S31: stores are forbidden between the passes of a fault: the file becomes a swap file, or the filesystem is shut down.
 */
import { FS_IOC_SHUTDOWN } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, byteOf, cached, inFileWindow, mappedFile, nameOf, runs, storeByte } from "./steps.js";

export const swapfile = defineScenario<Mapped, { store: string; swapon: string }, string>({
  id: "S31",
  name: "swapfile",
  title: "swapon of the file against a store: what the file holds when swapon is done it holds for ever",
  applies: cached,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    swapon: thread(function* ({ fd }) {
      const result = nameOf(yield* sys.swapon(`${MNT}/f`));
      return `${result} ${yield* byteOf(fd, 0)}`;
    }),
  },
  *after({ fd }) {
    const byte = yield* byteOf(fd, 0);
    return `${byte}, swapoff ${nameOf(yield* sys.swapoff(`${MNT}/f`))}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, swapon ${outcomes.swapon}, file ${after}`,
  allowed: () => ["store ok, swapon 0 5, file 5, swapoff 0", "store SIGBUS, swapon 0 0, file 0, swapoff 0"],
  mark: (end) => inFileWindow(end, end.outcomes.store === "SIGBUS"),
});

export const shutdown = defineScenario<Mapped, { store: string; shutdown: string }, string>({
  id: "S31",
  name: "shutdown",
  title: "a forced shutdown against a store: made, or a SIGBUS and nowhere, and nobody waits for what will never be written",
  applies: (cell) => cached(cell) && cell.fs.has.includes("disk"),
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    shutdown: thread(function* ({ fd }) {
      const result = nameOf(yield* sys.ioctl(fd, FS_IOC_SHUTDOWN));
      // EIO, or 0 where nothing was dirty: it does not wait for what will never be written.
      yield* sys.fsync(fd);
      return result;
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, shutdown ${outcomes.shutdown}, file ${after}`,
  allowed: () => ["store ok, shutdown 0, file 5", "store SIGBUS, shutdown 0, file 0"],
  // The callback was running, or had run, when it was forbidden.
  mark: (end) => runs(end) > 0 && end.outcomes.store === "SIGBUS",
});
