/*
 * What is shared with a file must not change with it: looked at while stores to the file go on.
 *
 * Interface: staysTheSame(take, at, pages, rounds).
 */
import { mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, must } from "../test-machine.js";
import { readAll } from "./mounted.js";

/**
 * Takes a copy of the file that is mapped at `at`, `rounds` times, and looks whether one ever changes while stores to the file go on.
 * `take` returns the copy's path.
 */
export function* staysTheSame(take: () => Call<string>, at: number, pages: number, rounds: number): Call<boolean> {
  const state = { stop: false, running: true };
  must(
    yield* sys.thread(function* () {
      for (let value = 1; !state.stop; value = (value % 250) + 1) {
        yield* mem.touch(at, pages * PAGE, { write: true, value });
        yield* mem.touch(at + 2000, (pages - 1) * PAGE, { write: true, value });
        yield* sys.nanosleep(5000);
      }
      state.running = false;
    }),
  );
  let same = true;
  for (let i = 0; i < rounds; i++) {
    yield* sys.nanosleep(40_000);
    const name = yield* take();
    const first = yield* readAll(name);
    yield* sys.nanosleep(400_000);
    must(yield* sys.sync(), "sync");
    same &&= Buffer.compare(first, yield* readAll(name)) === 0;
  }
  state.stop = true;
  while (state.running) yield* sys.nanosleep(10_000);
  return same;
}
