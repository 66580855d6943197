/**
 * S14: the filesystem is frozen while a store's page_mkwrite runs, or between its passes.
 */
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, dropping, frozen, mappedFile, storeByte, withMkwrite } from "./steps.js";

export const freeze = defineScenario<Mapped, { store: string; freeze: string }, string>({
  id: "S14",
  name: "freeze",
  title: "a freeze against a store: nothing changes while frozen, and the store is there after the thaw",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    freeze: thread(({ fd }) =>
      frozen(fd, function* () {
        const before = yield* byteOf(fd, 0);
        yield* sys.schedYield();
        const after = yield* byteOf(fd, 0);
        return before === after ? `${before} still` : `${before} became ${after}`;
      }),
    ),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, frozen ${outcomes.freeze}, file ${after}`,
  allowed: () => ["store ok, frozen 0 0 still 0, file 5", "store ok, frozen 0 5 still 0, file 5"],
  // The store began before the freeze and was made after the thaw, or the freeze waited for it.
  mark: (end) => end.moved(dropping(end.cell) ? "mkwrite_unlocked_attempts" : "mkwrite_runs") > 0 && end.moved("lock:contention_begin") > 0,
});
