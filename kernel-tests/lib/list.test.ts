/*
 * Lists against arrays, and what a misuse is called.
 *
 * Checks: [list-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { LibRoom } from "./room";

const LINKS = 8;

class Lists {
  readonly room = new LibRoom();
  readonly heads = [this.room.alloc(8), this.room.alloc(8)];
  readonly links = Array.from({ length: LINKS }, () => this.room.alloc(8));

  constructor() {
    for (const head of this.heads) this.room.call("listInit", head);
  }

  /** Members by number, forwards; checks that backwards is the same. */
  members(which: number): number[] {
    const head = this.heads[which] ?? 0;
    const forwards: number[] = [];
    for (let at = this.room.call("listNext", head); at !== head; at = this.room.call("listNext", at)) {
      forwards.push(this.links.indexOf(at));
      if (forwards.length > LINKS) throw new Error("the list does not end");
    }
    const backwards: number[] = [];
    for (let at = this.room.get(head + 4); at !== head; at = this.room.get(at + 4)) backwards.push(this.links.indexOf(at));
    expect(backwards.reverse(), "[list-1] prev mirrors next").toEqual(forwards);
    return forwards;
  }
}

type ListOp = readonly [kind: number, link: number, list: number];

/** Does an operation on both; one that the model forbids is skipped. */
function apply(lists: Lists, model: number[][], [kind, link, list]: ListOp): void {
  const at = lists.links[link] ?? 0;
  const head = lists.heads[list] ?? 0;
  const home = model.find((members) => members.includes(link));
  if (kind < 2 && !home) {
    lists.room.call(kind === 0 ? "listAdd" : "listAddTail", at, head);
    if (kind === 0) model[list]?.unshift(link);
    else model[list]?.push(link);
  } else if (kind >= 2 && home) {
    home.splice(home.indexOf(link), 1);
    if (kind === 2) lists.room.call("listDel", at);
    else if (kind === 3) lists.room.call("listDelInit", at);
    else {
      lists.room.call("listMove", at, head);
      model[list]?.unshift(link);
    }
  }
}

describe("list", () => {
  it("[list-1] members are those of an array after any operations on two lists", () => {
    const op = fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: LINKS - 1 }), fc.nat({ max: 1 }));
    holds(fc.array(op, { maxLength: 40 }), 80, (ops) => {
      const lists = new Lists();
      const model: number[][] = [[], []];
      for (const one of ops) apply(lists, model, one);
      for (const which of [0, 1]) {
        expect(lists.members(which)).toEqual(model[which]);
        const head = lists.heads[which] ?? 0;
        expect(lists.room.call("listEmpty", head)).toBe(model[which]?.length === 0 ? 1 : 0);
        const first = model[which]?.[0];
        if (first !== undefined) expect(lists.room.call("listFirst", head)).toBe(lists.links[first]);
      }
    });
  });

  it("[list-1] names a link that is taken out twice, and a list that was torn", () => {
    const lists = new Lists();
    const [head = 0] = lists.heads;
    const [a = 0, b = 0] = lists.links;
    lists.room.call("listAdd", a, head);
    lists.room.call("listAdd", b, head);
    lists.room.call("listDel", a);
    expect(lawOf(() => lists.room.call("listDel", a))).toMatch("[list-1] a link is taken out twice");
    lists.room.set(b, a);
    expect(lawOf(() => lists.room.call("listDel", b))).toMatch("[list-1] a list is torn");
  });

  it("listDelInit leaves a link that may be taken out again, listDel one that may not be followed", () => {
    const lists = new Lists();
    const [a = 0, b = 0] = lists.links;
    for (const link of [a, b]) lists.room.call("listAddTail", link, lists.heads[0] ?? 0);
    lists.room.call("listDelInit", a);
    lists.room.call("listDelInit", a);
    expect(lists.room.call("listEmpty", a)).toBe(1);
    lists.room.call("listDel", b);
    expect(lists.room.get(b), "poison lies in the null page").toBeLessThan(0x400);
    expect(lists.members(0)).toEqual([]);
  });
});
