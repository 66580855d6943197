/*
 * A guest that parks sleeps until it is woken, and a snapshot brings it back with nothing to replay.
 *
 * Checks: [guest-h1] for park.
 */
import { expect, it } from "vitest";
import { park, sys } from "../../src/node.js";
import { TestMachine } from "../test-machine.js";

it("a parked guest begins when it is woken, afresh after every restore", () => {
  const t = new TestMachine();
  const seen: string[] = [];
  const tid = t.machine.spawn(function* () {
    seen.push("setup");
    yield* sys.getpid();
    yield* park(function* () {
      seen.push("race");
      seen.push(String(yield* sys.getpid()));
    });
  });
  t.machine.run({ forNs: 1e6 });
  expect(seen).toEqual(["setup"]);
  const snapshot = t.machine.snapshot();
  expect(snapshot.guests.map(({ count }) => count)).toEqual([0]);
  for (let round = 0; round < 3; round++) {
    t.machine.restore(snapshot);
    seen.length = 0;
    expect(t.machine.run({ forNs: 1e9 })).toBe("idle");
    expect(seen).toEqual([]);
    t.machine.unpark(tid);
    t.run();
    expect(seen).toEqual(["race", String(tid)]);
  }
  expect(() => t.machine.unpark(tid)).toThrow(`guest ${tid} is not parked`);
  t.finish();
});
