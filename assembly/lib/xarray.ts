/*
 * XArray: a radix tree of 64-slot nodes from u32 indices to pointers, with three marks per entry.
 *
 *     node (304 bytes):  64 slots (u32) | 256 parent | 260 count | 264 shift, offset | 272 marks: 3 x u64 | pad
 *     index 0x12345:     level shift 12: slot 0x12 -> shift 6: slot 0x0d -> shift 0: slot 0x05
 *
 * Interface: XArray (16 bytes), xaInit, xaLoad, xaStore, xaErase, xaSetMark, xaClearMark, xaGetMark, XaCursor (16 bytes), xaFind,
 *            xaFindMarked, xaNodeCacheInit, checkXarray, XA_MARK_*.
 * Invariants:
 *   [xa-1] a node's count is the number of its non-null slots and is never 0.
 *   [xa-2] a mark is set in a node's slot exactly if it is set somewhere below.
 *   [xa-3] the root is no higher than its highest index needs.
 * Locks: the owner's i_pages for changes; loads take none.
 * Why not a hash: the page cache is walked in order, from a start, by mark.
 */
import { ENOMEM } from "./errno";
import { LIB_STATE } from "../memlayout";
import { KmemCache, kmemCacheAlloc, kmemCacheFree, kmemCacheInit } from "./slab";

export const XA_MARK_0: u32 = 0;
export const XA_MARK_1: u32 = 1;
export const XA_MARK_2: u32 = 2;
const MARKS: u32 = 3;
const SLOTS: u32 = 64;
const NODE_CACHE: usize = LIB_STATE + 0x20;
const TOP_SHIFT: u32 = 30;

@unmanaged
export class XArray {
  head: usize;
  /** Shift of the head node. */
  shift: u32;
  count: u32;
  pad: u32;
}

@unmanaged
export class XaCursor {
  index: u32;
  pad0: u32;
  pad1: u32;
  pad2: u32;
}

@unmanaged
class XaNode {
  slot0: u32;
}

const NODE_PARENT: u32 = 256;
const NODE_COUNT: u32 = 260;
const NODE_SHIFT: u32 = 264;
const NODE_OFFSET: u32 = 268;
const NODE_MARKS: u32 = 272;
export const XA_NODE_BYTES: u32 = 304;

function nodeCache(): KmemCache {
  return changetype<KmemCache>(NODE_CACHE);
}

export function xaNodeCacheInit(nameId: u32): void {
  assert(offsetof<XaNode>() == 4, "a slot is four bytes");
  kmemCacheInit(nodeCache(), XA_NODE_BYTES, nameId);
}

export function xaNodeCache(): KmemCache {
  return nodeCache();
}

export function xaInit(xa: XArray): void {
  xa.head = 0;
  xa.shift = 0;
  xa.count = 0;
}

function slotOf(index: u32, shift: u32): u32 {
  return (index >> shift) & 63;
}

function getSlot(node: usize, slot: u32): usize {
  return load<u32>(node + (slot << 2));
}

function marksAt(node: usize, mark: u32): usize {
  return node + NODE_MARKS + (mark << 3);
}

/** True when the tree, whose head has this shift, is high enough for the index. */
function reaches(index: u32, shift: u32): bool {
  return shift >= TOP_SHIFT - 5 || index >> (shift + 6) == 0;
}

/** The entry at index, or 0. */
export function xaLoad(xa: XArray, index: u32): usize {
  let node = xa.head;
  let shift = xa.shift;
  if (node == 0 || !reaches(index, shift)) return 0;
  while (shift != 0) {
    node = load<u32>(node + (((index >> shift) & 63) << 2));
    if (node == 0) return 0;
    shift -= 6;
  }
  return load<u32>(node + ((index & 63) << 2));
}

function newNode(shift: u32, parent: usize, offset: u32): usize {
  const node = kmemCacheAlloc(nodeCache());
  if (node == 0) return 0;
  store<u32>(node, shift, NODE_SHIFT);
  store<u32>(node, <u32>parent, NODE_PARENT);
  store<u32>(node, offset, NODE_OFFSET);
  return node;
}

/** Puts a child or an entry into an empty slot. */
function fillSlot(node: usize, slot: u32, value: usize): void {
  store<u32>(node + (slot << 2), <u32>value);
  store<u32>(node, load<u32>(node, NODE_COUNT) + 1, NODE_COUNT);
}

/** The first root is as high as its first index needs: raising an empty one would leave it below as a node without entries. */
function plant(xa: XArray, index: u32): bool {
  let shift: u32 = 0;
  while (!reaches(index, shift)) shift += 6;
  xa.head = newNode(shift, 0, 0);
  if (xa.head == 0) return false;
  xa.shift = shift;
  return true;
}

/** Raises the root until it reaches the index. False on ENOMEM; the tree is valid either way. */
function grow(xa: XArray, index: u32): bool {
  while (!reaches(index, xa.shift)) {
    const node = newNode(xa.shift + 6, 0, 0);
    if (node == 0) return false;
    const old = xa.head;
    fillSlot(node, 0, old);
    store<u32>(old, <u32>node, NODE_PARENT);
    store<u32>(old, 0, NODE_OFFSET);
    for (let mark: u32 = 0; mark < MARKS; mark++) {
      if (load<u64>(marksAt(old, mark)) != 0) store<u64>(marksAt(node, mark), 1);
    }
    xa.head = node;
    xa.shift += 6;
  }
  return true;
}

/** Stores an entry (not 0), replacing what was there, marks kept. Returns 0 or -ENOMEM. */
export function xaStore(xa: XArray, index: u32, entry: usize): i32 {
  assert(entry != 0, "xaErase removes an entry");
  if (xa.head == 0 && !plant(xa, index)) return -ENOMEM;
  if (!grow(xa, index)) {
    trim(xa, xa.head);
    return -ENOMEM;
  }
  let node = xa.head;
  for (let shift = xa.shift; shift != 0; shift -= 6) {
    const slot = slotOf(index, shift);
    let child = getSlot(node, slot);
    if (child == 0) {
      child = newNode(shift - 6, node, slot);
      if (child == 0) {
        trim(xa, node);
        return -ENOMEM;
      }
      fillSlot(node, slot, child);
    }
    node = child;
  }
  const slot = index & 63;
  if (getSlot(node, slot) == 0) {
    fillSlot(node, slot, entry);
    xa.count++;
  } else store<u32>(node + (slot << 2), <u32>entry);
  return 0;
}

/** Frees nodes that became empty, upwards from `from`, and lowers the root. */
function trim(xa: XArray, from: usize): void {
  let node = from;
  while (node != 0 && load<u32>(node, NODE_COUNT) == 0) {
    const parent = load<u32>(node, NODE_PARENT);
    const offset = load<u32>(node, NODE_OFFSET);
    kmemCacheFree(nodeCache(), node);
    if (parent == 0) {
      xa.head = 0;
      xa.shift = 0;
      return;
    }
    store<u32>(parent + (offset << 2), 0);
    store<u32>(parent, load<u32>(parent, NODE_COUNT) - 1, NODE_COUNT);
    clearUp(parent, offset);
    node = parent;
  }
  lowerRoot(xa);
}

/** A slot is empty now: no mark of it may stay. */
function clearUp(node: usize, slot: u32): void {
  for (let mark: u32 = 0; mark < MARKS; mark++) clearMarkFrom(node, slot, mark);
}

function lowerRoot(xa: XArray): void {
  while (xa.shift != 0) {
    const head = xa.head;
    const only = getSlot(head, 0);
    if (load<u32>(head, NODE_COUNT) != 1 || only == 0) return;
    store<u32>(only, 0, NODE_PARENT);
    xa.head = only;
    xa.shift -= 6;
    kmemCacheFree(nodeCache(), head);
  }
}

/** The leaf node of an index, or 0. */
function leafOf(xa: XArray, index: u32): usize {
  let node = xa.head;
  let shift = xa.shift;
  if (node == 0 || !reaches(index, shift)) return 0;
  while (shift != 0) {
    node = getSlot(node, slotOf(index, shift));
    if (node == 0) return 0;
    shift -= 6;
  }
  return node;
}

/** Removes the entry; returns it, or 0. */
export function xaErase(xa: XArray, index: u32): usize {
  const leaf = leafOf(xa, index);
  if (leaf == 0) return 0;
  const slot = index & 63;
  const entry = getSlot(leaf, slot);
  if (entry == 0) return 0;
  clearUp(leaf, slot);
  store<u32>(leaf + (slot << 2), 0);
  store<u32>(leaf, load<u32>(leaf, NODE_COUNT) - 1, NODE_COUNT);
  xa.count--;
  trim(xa, leaf);
  return entry;
}

/** Marks an entry that is present. */
export function xaSetMark(xa: XArray, index: u32, mark: u32): void {
  let node = leafOf(xa, index);
  let slot = index & 63;
  assert(node != 0 && getSlot(node, slot) != 0, "an entry that is marked is present");
  while (node != 0) {
    const at = marksAt(node, mark);
    const old = load<u64>(at);
    if (((old >> slot) & 1) != 0) return;
    store<u64>(at, old | ((<u64>1) << slot));
    slot = load<u32>(node, NODE_OFFSET);
    node = load<u32>(node, NODE_PARENT);
  }
}

function clearMarkFrom(from: usize, fromSlot: u32, mark: u32): void {
  let node = from;
  let slot = fromSlot;
  while (node != 0) {
    const at = marksAt(node, mark);
    const old = load<u64>(at);
    if (((old >> slot) & 1) == 0) return;
    const rest = old & ~((<u64>1) << slot);
    store<u64>(at, rest);
    if (rest != 0) return;
    slot = load<u32>(node, NODE_OFFSET);
    node = load<u32>(node, NODE_PARENT);
  }
}

export function xaClearMark(xa: XArray, index: u32, mark: u32): void {
  const leaf = leafOf(xa, index);
  if (leaf != 0) clearMarkFrom(leaf, index & 63, mark);
}

export function xaGetMark(xa: XArray, index: u32, mark: u32): bool {
  const leaf = leafOf(xa, index);
  return leaf != 0 && ((load<u64>(marksAt(leaf, mark)) >> (index & 63)) & 1) != 0;
}

/** The first entry in [start, max]; its index goes to the cursor. 0: none. */
export function xaFind(xa: XArray, start: u32, max: u32, cursor: XaCursor): usize {
  return find(xa, start, max, cursor, MARKS);
}

/** As xaFind, among the entries with the mark. */
export function xaFindMarked(xa: XArray, start: u32, max: u32, mark: u32, cursor: XaCursor): usize {
  return find(xa, start, max, cursor, mark);
}

function find(xa: XArray, start: u32, max: u32, cursor: XaCursor, mark: u32): usize {
  let index = start;
  while (index <= max) {
    let node = xa.head;
    let shift = xa.shift;
    if (node == 0 || !reaches(index, shift)) return 0;
    while (true) {
      const slot = slotOf(index, shift);
      const wanted = mark == MARKS || ((load<u64>(marksAt(node, mark)) >> slot) & 1) != 0;
      const next = wanted ? getSlot(node, slot) : 0;
      if (next == 0) break;
      if (shift == 0) {
        cursor.index = index;
        return next;
      }
      node = next;
      shift -= 6;
    }
    // Nothing below this slot: on to the next slot of this level.
    const step = ((index >> shift) + 1) << shift;
    if (step <= index) return 0;
    index = step;
  }
  return 0;
}

/** [xa-1] [xa-2] [xa-3]: walks the whole tree; returns the number of entries. */
export function checkXarray(xa: XArray): u32 {
  if (xa.head == 0) {
    assert(xa.count == 0, "[xa-1] an empty tree has no entries");
    return 0;
  }
  assert(load<u32>(xa.head, NODE_PARENT) == 0, "the root has no parent");
  if (xa.shift != 0) {
    const alone = load<u32>(xa.head, NODE_COUNT) == 1 && getSlot(xa.head, 0) != 0;
    assert(!alone, "[xa-3] the root is too high");
  }
  let entries: u32 = 0;
  let node = xa.head;
  let slot: u32 = 0;
  checkNode(node);
  while (true) {
    if (slot == SLOTS) {
      slot = load<u32>(node, NODE_OFFSET) + 1;
      node = load<u32>(node, NODE_PARENT);
      if (node == 0) break;
      continue;
    }
    const child = getSlot(node, slot);
    if (child != 0 && load<u32>(node, NODE_SHIFT) != 0) {
      assert(load<u32>(child, NODE_PARENT) == <u32>node && load<u32>(child, NODE_OFFSET) == slot, "[xa-1] links agree");
      checkMarks(node, slot, child);
      checkNode(child);
      node = child;
      slot = 0;
      continue;
    }
    if (child != 0) entries++;
    slot++;
  }
  assert(entries == xa.count, "[xa-1] entries are counted");
  return entries;
}

function checkNode(node: usize): void {
  let used: u32 = 0;
  for (let slot: u32 = 0; slot < SLOTS; slot++) if (getSlot(node, slot) != 0) used++;
  assert(used == load<u32>(node, NODE_COUNT) && used != 0, "[xa-1] a node counts its slots");
  for (let mark: u32 = 0; mark < MARKS; mark++) {
    for (let slot: u32 = 0; slot < SLOTS; slot++) {
      const marked = ((load<u64>(marksAt(node, mark)) >> slot) & 1) != 0;
      assert(!marked || getSlot(node, slot) != 0, "[xa-2] an empty slot is marked");
    }
  }
}

function checkMarks(node: usize, slot: u32, child: usize): void {
  for (let mark: u32 = 0; mark < MARKS; mark++) {
    const above = ((load<u64>(marksAt(node, mark)) >> slot) & 1) != 0;
    assert(above == (load<u64>(marksAt(child, mark)) != 0), "[xa-2] a mark is not carried up");
  }
}
