/**
 * S15: system calls whose buffer is a mapping of the very file they work on: faults inside what the filesystem holds.
 */
import { must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, bytesOf, cached, frozen, mappedFile, nameOf, runs, withMkwrite } from "./steps.js";

export const ownBuffer = defineScenario<Mapped, { write: string; read: string; freeze: string }, string>({
  id: "S15",
  name: "own-buffer",
  title: "write from and read into a mapping of the same file, against a freeze: no task waits for itself",
  applies: withMkwrite,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: 2 * PAGE, loaded: false });
    must(yield* sys.pwrite(file.fd, Uint8Array.of(2), PAGE), "pwrite");
    return file;
  },
  tasks: {
    /** Byte 0 becomes 2: from the second page to the first. */
    write: thread(function* ({ fd, at }) {
      return nameOf(yield* sys.pwriteFrom(fd, at + PAGE, 1, 0));
    }),
    /** Byte 8 becomes 2, stored by the kernel through the mapping. */
    read: thread(function* ({ fd, at }) {
      return nameOf(yield* sys.preadTo(fd, at + 8, 1, PAGE));
    }),
    freeze: thread(({ fd }) =>
      frozen(fd, function* () {
        const first = yield* bytesOf(fd, [0, 8]);
        return first === (yield* bytesOf(fd, [0, 8])) ? "still" : "moved";
      }),
    ),
  },
  after: ({ fd }) => bytesOf(fd, [0, 8]),
  ending: ({ outcomes: { write, read, freeze }, after }) => `write ${write}, read ${read}, frozen ${freeze}, file ${after}`,
  allowed: () => ["write 1, read 1, frozen 0 still 0, file 2,2"],
  // DAX installs the frame from ->fault: nobody asks page_mkwrite for a page that has no PTE.
  mark: (end) =>
    end.moved("exceptions:page_fault_kernel") > 1 && end.moved("lock:contention_begin") > 0 && (runs(end) > 0 || !cached(end.cell)),
});
