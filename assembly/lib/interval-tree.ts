/*
 * Interval tree: a treap of intervals ordered by (start, last), each node knowing the largest `last` below it.
 *
 *     node (40 bytes):  left | right | parent | prio | start (u64) | last (u64) | subtree last (u64)
 *
 * Interface: IntervalRoot (16 bytes), IntervalNode, itInit, itInsert, itRemove, itFind, itFirstOverlap, itNextOverlap, itFirst,
 *            itNext, itPrev, checkIntervalTree.
 * Invariants:
 *   [it-1] left.start <= node.start <= right.start; a parent's priority is not below its children's.
 *   [it-2] subtreeLast is the maximum of `last` over the subtree.
 * Locks: the owner's (mmap_sem, i_mmap_rwsem).
 * Why not a red-black tree: same bounds in expectation with a third of the code; priorities come from a counter, so the shape
 * is a function of the history.
 */
@unmanaged
export class IntervalNode {
  left: u32;
  right: u32;
  parent: u32;
  prio: u32;
  start: u64;
  last: u64;
  subtreeLast: u64;
}

@unmanaged
export class IntervalRoot {
  root: u32;
  count: u32;
  /** Counter that the priorities are hashed from. */
  serial: u32;
  pad: u32;
}

function at(link: u32): IntervalNode {
  return changetype<IntervalNode>(<usize>link);
}

function addressOf(node: IntervalNode): u32 {
  return <u32>changetype<usize>(node);
}

export function itInit(root: IntervalRoot): void {
  root.root = 0;
  root.count = 0;
  root.serial = 0;
}

function priorityOf(serial: u32): u32 {
  let x = serial * 0x9e37_79b1;
  x = (x ^ (x >> 16)) * 0x85eb_ca6b;
  return x ^ (x >> 13);
}

/** Recomputes one node from its children. */
function pull(node: IntervalNode): void {
  let last = node.last;
  if (node.left != 0 && at(node.left).subtreeLast > last) last = at(node.left).subtreeLast;
  if (node.right != 0 && at(node.right).subtreeLast > last) last = at(node.right).subtreeLast;
  node.subtreeLast = last;
}

function pullUp(from: u32): void {
  for (let link = from; link != 0; link = at(link).parent) pull(at(link));
}

/** Puts `to` where `from` hangs below `parent`. */
function replaceChild(root: IntervalRoot, parent: u32, from: u32, to: u32): void {
  if (parent == 0) root.root = to;
  else if (at(parent).left == from) at(parent).left = to;
  else at(parent).right = to;
  if (to != 0) at(to).parent = parent;
}

/** Moves a node above its parent. */
function rotateUp(root: IntervalRoot, node: IntervalNode): void {
  const self = addressOf(node);
  const parentLink = node.parent;
  const parent = at(parentLink);
  replaceChild(root, parent.parent, parentLink, self);
  if (parent.left == self) {
    parent.left = node.right;
    if (node.right != 0) at(node.right).parent = parentLink;
    node.right = parentLink;
  } else {
    parent.right = node.left;
    if (node.left != 0) at(node.left).parent = parentLink;
    node.left = parentLink;
  }
  parent.parent = self;
  pull(parent);
  pull(node);
}

function isLess(a: IntervalNode, b: IntervalNode): bool {
  return a.start < b.start || (a.start == b.start && a.last < b.last);
}

/** Inserts a node whose start and last are set; equal keys go to the right. */
export function itInsert(root: IntervalRoot, node: IntervalNode): void {
  assert(node.start <= node.last, "[it-1] an interval is not empty");
  const self = addressOf(node);
  node.left = 0;
  node.right = 0;
  node.prio = priorityOf(++root.serial);
  node.subtreeLast = node.last;
  let parent: u32 = 0;
  let link = root.root;
  let goLeft: bool = false;
  while (link != 0) {
    parent = link;
    goLeft = isLess(node, at(link));
    link = goLeft ? at(link).left : at(link).right;
  }
  node.parent = parent;
  if (parent == 0) root.root = self;
  else if (goLeft) at(parent).left = self;
  else at(parent).right = self;
  root.count++;
  pullUp(parent);
  while (node.parent != 0 && at(node.parent).prio < node.prio) rotateUp(root, node);
}

export function itRemove(root: IntervalRoot, node: IntervalNode): void {
  assert(root.count != 0, "a node that is removed is in the tree");
  while (node.left != 0 || node.right != 0) {
    if (node.left == 0) rotateUp(root, at(node.right));
    else if (node.right == 0) rotateUp(root, at(node.left));
    else rotateUp(root, at(node.left).prio > at(node.right).prio ? at(node.left) : at(node.right));
  }
  const parent = node.parent;
  replaceChild(root, parent, addressOf(node), 0);
  node.parent = 0;
  root.count--;
  pullUp(parent);
}

/** The node that contains `point`, or the lowest above it, for trees without overlaps (find_vma). Null when there is none. */
export function itFind(root: IntervalRoot, point: u64): IntervalNode {
  let best: u32 = 0;
  let link = root.root;
  while (link != 0) {
    const node = at(link);
    if (node.last >= point) {
      best = link;
      if (node.start <= point) break;
      link = node.left;
    } else link = node.right;
  }
  return at(best);
}

/** The leftmost node below `link` that overlaps [start, last], or null. */
function leftmostOverlap(link: u32, start: u64, last: u64): IntervalNode {
  while (link != 0) {
    const node = at(link);
    if (node.left != 0 && at(node.left).subtreeLast >= start) {
      link = node.left;
      continue;
    }
    if (node.start > last) break;
    if (node.last >= start) return node;
    if (node.right == 0 || at(node.right).subtreeLast < start) break;
    link = node.right;
  }
  return at(0);
}

/** The first node, by start, that overlaps [start, last]; null when there is none. */
export function itFirstOverlap(root: IntervalRoot, start: u64, last: u64): IntervalNode {
  if (root.root == 0 || at(root.root).subtreeLast < start) return at(0);
  return leftmostOverlap(root.root, start, last);
}

/** The node after `node` that overlaps [start, last]. */
export function itNextOverlap(node: IntervalNode, start: u64, last: u64): IntervalNode {
  let here = node;
  while (true) {
    if (here.right != 0 && at(here.right).subtreeLast >= start) {
      const found = leftmostOverlap(here.right, start, last);
      if (changetype<usize>(found) != 0) return found;
    }
    // Up until we come from a left child: that parent is next in order.
    let from = addressOf(here);
    let up = here.parent;
    while (up != 0 && at(up).right == from) {
      from = up;
      up = at(up).parent;
    }
    if (up == 0) return at(0);
    here = at(up);
    if (here.start > last) return at(0);
    if (here.last >= start) return here;
  }
}

export function itFirst(root: IntervalRoot): IntervalNode {
  let link = root.root;
  while (link != 0 && at(link).left != 0) link = at(link).left;
  return at(link);
}

export function itLast(root: IntervalRoot): IntervalNode {
  let link = root.root;
  while (link != 0 && at(link).right != 0) link = at(link).right;
  return at(link);
}

export function itNext(node: IntervalNode): IntervalNode {
  let link = node.right;
  if (link != 0) {
    while (at(link).left != 0) link = at(link).left;
    return at(link);
  }
  let from = addressOf(node);
  let up = node.parent;
  while (up != 0 && at(up).right == from) {
    from = up;
    up = at(up).parent;
  }
  return at(up);
}

export function itPrev(node: IntervalNode): IntervalNode {
  let link = node.left;
  if (link != 0) {
    while (at(link).right != 0) link = at(link).right;
    return at(link);
  }
  let from = addressOf(node);
  let up = node.parent;
  while (up != 0 && at(up).left == from) {
    from = up;
    up = at(up).parent;
  }
  return at(up);
}

/** A node's `last` changed, its place in the order did not. */
export function itAugmentFixup(node: IntervalNode): void {
  pullUp(addressOf(node));
}

/** [it-1] [it-2]: walks the whole tree in order; returns the number of nodes. */
export function checkIntervalTree(root: IntervalRoot): u32 {
  let count: u32 = 0;
  let node = itFirst(root);
  let before = at(0);
  while (changetype<usize>(node) != 0) {
    checkNode(node);
    if (changetype<usize>(before) != 0) assert(before.start <= node.start, "[it-1] nodes are in order");
    before = node;
    count++;
    node = itNext(node);
  }
  assert(count == root.count, "the tree counts its nodes");
  return count;
}

function checkNode(node: IntervalNode): void {
  const self = addressOf(node);
  const kept = node.subtreeLast;
  pull(node);
  assert(node.subtreeLast == kept, "[it-2] subtreeLast is the maximum below");
  if (node.left != 0) {
    assert(at(node.left).parent == self, "links agree");
    assert(at(node.left).prio <= node.prio, "[it-1] heap order");
  }
  if (node.right != 0) {
    assert(at(node.right).parent == self, "links agree");
    assert(at(node.right).prio <= node.prio, "[it-1] heap order");
  }
}
