/*
 * Circular doubly linked lists, intrusive: the head and every member hold a ListHead.
 *
 *     head <-> a <-> b <-> head          empty: head <-> head
 *
 * Interface: ListHead (8 bytes), listInit, listAdd, listAddTail, listDel, listDelInit, listMove, listEmpty, listFirst, listNext.
 * Invariants: [list-1] for every link l: l.next.prev == l and l.prev.next == l; listDel poisons the links.
 * Locks: the owner's.
 * Why not arrays: members move between lists on the fault path; a link costs four stores and no capacity.
 */
const LIST_POISON: u32 = 0x0000_0122;

@unmanaged
export class ListHead {
  next: u32;
  prev: u32;
}

function at(link: u32): ListHead {
  return changetype<ListHead>(<usize>link);
}

export function listInit(head: ListHead): void {
  const self = <u32>changetype<usize>(head);
  head.next = self;
  head.prev = self;
}

function insert(link: ListHead, prev: u32, next: u32): void {
  const self = <u32>changetype<usize>(link);
  link.next = next;
  link.prev = prev;
  at(prev).next = self;
  at(next).prev = self;
}

/** Adds behind the head: first. */
export function listAdd(link: ListHead, head: ListHead): void {
  insert(link, <u32>changetype<usize>(head), head.next);
}

/** Adds before the head: last. */
export function listAddTail(link: ListHead, head: ListHead): void {
  insert(link, head.prev, <u32>changetype<usize>(head));
}

function unlink(link: ListHead): void {
  const self = <u32>changetype<usize>(link);
  assert(link.next != LIST_POISON, "[list-1] a link is taken out twice");
  assert(at(link.next).prev == self && at(link.prev).next == self, "[list-1] a list is torn");
  at(link.next).prev = link.prev;
  at(link.prev).next = link.next;
}

/** Takes the link out and poisons it. */
export function listDel(link: ListHead): void {
  unlink(link);
  link.next = LIST_POISON;
  link.prev = LIST_POISON;
}

/** Takes the link out; it is an empty list of its own afterwards, so a second call is harmless. */
export function listDelInit(link: ListHead): void {
  unlink(link);
  listInit(link);
}

export function listMove(link: ListHead, head: ListHead): void {
  unlink(link);
  listAdd(link, head);
}

export function listEmpty(head: ListHead): bool {
  return head.next == <u32>changetype<usize>(head);
}

/** The first member. Preconditions: the list is not empty. */
export function listFirst(head: ListHead): ListHead {
  return at(head.next);
}

export function listNext(link: ListHead): ListHead {
  return at(link.next);
}
