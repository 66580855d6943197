/*
 * Sites of failure: which of them fail, and which are counted.
 *
 * Checks: [site-1] [site-2].
 */
import { describe, expect, it } from "vitest";
import { LibRoom } from "./room";

const PAGE = 0;
const SPACE = 2;
const ALL = 0xffff_ffff;

/** Numbers of the sites that fail, of `count` that are reached. */
function failing(room: LibRoom, kind: number, count: number): number[] {
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  return numbers.filter(() => room.call("shouldFail", kind) !== 0);
}

describe("sites of failure", () => {
  it.each([
    ["none", 0, ALL, []],
    ["the first", 1, 1, [1]],
    ["the fourth", 4, 1, [4]],
    ["two from the third on", 3, 2, [3, 4]],
    ["all from the eighth on", 8, ALL, [8, 9, 10]],
    ["one that is not reached", 11, 1, []],
    ["no count: none", 2, 0, []],
  ])("%s", (_, first, count, expected) => {
    const room = new LibRoom();
    room.call("siteArm", PAGE, first, count);
    expect(failing(room, PAGE, 10)).toEqual(expected);
    expect(room.call("siteSeen", PAGE)).toBe(first === 0 ? 0 : 10);
    expect(room.call("siteHits", PAGE)).toBe(expected.length);
  });

  it("kinds do not meet, and arming again begins at one", () => {
    const room = new LibRoom();
    room.call("siteArm", PAGE, 2, 1);
    room.call("siteArm", SPACE, 1, 1);
    expect([failing(room, SPACE, 3), failing(room, PAGE, 3)]).toEqual([[1], [2]]);
    room.call("siteArm", PAGE, 2, 1);
    expect(failing(room, PAGE, 3)).toEqual([2]);
    expect(room.call("siteSeen", SPACE)).toBe(3);
  });
});
