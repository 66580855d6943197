/**
 * S21: on DAX the page is a frame of the disk, which changes in the callback (a hole's zero page becomes a block) and under it (the block
 * is punched out). Nothing of it can be kept over a retry, and the fault lock stays.
 */
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { sys } from "../guest/sys.js";
import { defineScenario, process, thread } from "./scenario.js";
import { type Mapped, PAGE, durable, mappedFile, nameOf, overlapped, storeByte } from "./steps.js";

export const dax = defineScenario<Mapped, { store: string; punch: string; other: string }, string>({
  id: "S21",
  name: "dax",
  title: "a punch and another process's store against a store to a frame of the disk: all see one frame, under the lock",
  applies: ({ fs }) => fs.has.includes("dax"),
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    punch: thread(function* ({ fd }) {
      return nameOf(yield* sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    }),
    other: process(({ at }) => storeByte(at + 1, 6)),
  },
  *after(file, cell) {
    const seen = yield* mem.load(file.at, 2);
    return `memory ${typeof seen === "number" ? seen : [...seen].join(",")}, disk ${yield* durable(cell, file, [0, 1])}`;
  },
  ending(end) {
    const { outcomes, after, moved } = end;
    return `stores ${outcomes.store} ${outcomes.other}, punch ${outcomes.punch}, ${after}, unlocked ${moved("mkwrite_unlocked_attempts")}`;
  },
  allowed: () => ["5,6", "5,0", "0,6", "0,0"].map((bytes) => `stores ok ok, punch 0, memory ${bytes}, disk ${bytes}, unlocked 0`),
  mark: overlapped,
});
