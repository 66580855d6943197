/*
 * Promises of space: what a store, a write or a change of a name needs is reserved before it begins, and is there to the end.
 *
 * HOW DOES THIS WORK
 *
 * Data, in blocks:                                                    dataReserved    dataAllocated
 *     page_mkwrite, write_begin of n blocks that are not delalloc     += n
 *     truncate, punch of n delalloc blocks                            -= n
 *     writeback takes an extent for n blocks                                          += n
 *     the blocks of a page get their place in it                      -= n            -= n
 *     the extent has n blocks that found no page                                      -= n
 *     at rest                                                         0               0
 *
 * Tree blocks. Copy on write needs new blocks for what changes, and splits make trees larger.
 *     C  live tree blocks that the running transaction has not copied yet: each may be copied once
 *     L  all live tree blocks: in the next transaction each may be copied again
 *     S  most blocks that promised insertions can add to the trees (below)
 *     D  whole clusters that promised data needs beyond the fragments
 *     H  live blocks that a snapshot shares: their copy does not set the original free
 * A promise is made only while both hold afterwards:
 *     now          free clusters                   >= C + S + D
 *     next time    free + pinned clusters          >= L + 2 S + H + D
 * and each step that uses a promise keeps both: copying a block takes 1 from free and 1 from C (and adds 1 pinned); a split
 * takes 1 from free and 1 from S, adds 1 to L; a fragment or cluster of data takes it from D; a commit turns pinned into free
 * and sets C to L, which is what the second line paid for.
 *
 * S, for a tree with N bytes of items in b blocks and h levels, and promised insertions of K items, B bytes:
 *     each insertion splits at most one block a level and the root:             K * levels(N + B)
 *     a block but the root is at least a quarter full (btree.ts), so at most    blocks(N + B) - b
 * Insertions move bytes from B to N and blocks to b, so both bounds go down by what a split takes; S is the smaller one.
 *
 * Of insertions there are two kinds:                                  metaBlocks      handles
 *     a block gets a delalloc bit: EXTENT_DATA (two: a middle is      += 1
 *         split), EXTENT_ITEM, EXTENT_CSUM, when its ordered extent
 *         ends
 *     the ordered extent ends: n blocks, the handle inserts           -= n            += the items of n blocks
 *     truncate, punch of n delalloc blocks                            -= n
 *     a handle starts with a reservation                                              += its items
 *     an item is inserted                                                             -= it
 *     the handle ends                                                                 -= what is left
 *     at rest                                                         0               0
 *
 * Interface: reserveSpace, releaseSpace, promisesHold, grantTickets, headTicket, failTickets, Ticket,
 *            itemsOfBlocks, metaNeed, checkReserve.
 * Invariants:
 *   [cow-5] both lines above hold whenever the last reservation was granted: what is promised can be written.
 *   [cow-6] reservations are granted in the order in which they were asked for, but for those that set space free.
 *   [mk-6] at rest dataReserved, metaBlocks and the handles' items are 0.
 * Locks: none; counters change in one emulated step. A reservation may sleep: no page lock, no handle is held.
 * Why not btrfs's two nodes a level for each item: on a disk of 256 blocks ten dirty extents would have promised all of it.
 */
import { EINTR, ENOMEM, ENOSPC, EROFS } from "../../lib/errno";
import { SITE_SPACE, shouldFail } from "../../lib/fault-sites";
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_TICKET } from "../../tracepoints";
import { WAKE_SIGNAL, schedule, syncPoint, wakeUp } from "../../sched/core";
import { C_SPACE_RESERVE, chargeCost } from "../../sched/cost";
import { TASK_KILLABLE, Task, currentTask, nowNs, sched } from "../../sched/state";
import { wakeAll } from "../../sched/wait-queue";
import { mmState } from "../../mm/state";
import { LEAF_BYTES } from "./layout";
import { needForData } from "./space";
import {
  CACHE_TICKET, TREES, TREE_CSUM, TREE_EXTENT, TREE_FS, TREE_ROOT, CowfsInfo, TreeReserve, cowCache, cowCacheInit, cowfsState,
} from "./state";

/** Insertions that one block's ordered extent may need, and their bytes with item headers. */
export const BLOCK_FS_ITEMS: u32 = 2;
export const BLOCK_FS_BYTES: u32 = 2 * (25 + 53);
export const BLOCK_EXTENT_BYTES: u32 = 25 + 24;
export const BLOCK_CSUM_BYTES: u32 = 25 + 4;

/** Clusters that only what sets space free may promise: unlink and truncate work on a full disk. */
const MARGIN: u32 = 6;

const TICKET_WAITING: u32 = 0;
const TICKET_GRANTED: u32 = 1;
const TICKET_FAILED: u32 = 2;

/** A reservation that waits. */
@unmanaged
export class Ticket {
  next: u32;
  prev: u32;
  task: Task;
  state: u32;
  dataBlocks: u32;
  metaBlocks: u32;
  /** TreeReserve asked for, or 0. */
  want: usize;
  margin: u32;
  /** Tickets are numbered from 1, in the order in which they were asked for. */
  number: u32;

  get link(): ListHead {
    return changetype<ListHead>(changetype<usize>(this));
  }
}

export function reserveInit(): void {
  cowCacheInit(CACHE_TICKET, <u32>offsetof<Ticket>());
}

/** Most blocks of a tree with so many bytes of items. */
function blocksBound(bytes: u32): u32 {
  const leaves = (bytes * 4 + LEAF_BYTES - 1) / LEAF_BYTES;
  return leaves + leaves / 29 + leaves / 841 + 4;
}

/** Most levels of such a tree. */
function levelsBound(bytes: u32): u32 {
  const leaves = (bytes * 4) / LEAF_BYTES;
  if (leaves < 2) return 1;
  if (leaves < 60) return 2;
  if (leaves < 1800) return 3;
  return leaves < 54000 ? 4 : 5;
}

/** S of one tree. */
function treeNeed(info: CowfsInfo, tree: u32, items: u32, bytes: u32): u32 {
  if (items == 0) return 0;
  const root = info.root(tree);
  const total = root.itemBytes + bytes;
  const linear = items * levelsBound(total);
  const most = blocksBound(total);
  const growth = most > root.blocks ? most - root.blocks : 0;
  return linear < growth ? linear : growth;
}

/** S: blocks that the promised insertions can add. */
export function metaNeed(info: CowfsInfo): u32 {
  const h = info.handles;
  const n = info.metaBlocks;
  return (
    treeNeed(info, TREE_FS, h.items(TREE_FS) + n * BLOCK_FS_ITEMS, h.bytes(TREE_FS) + n * BLOCK_FS_BYTES) +
    treeNeed(info, TREE_EXTENT, h.items(TREE_EXTENT) + n, h.bytes(TREE_EXTENT) + n * BLOCK_EXTENT_BYTES) +
    treeNeed(info, TREE_CSUM, h.items(TREE_CSUM) + n, h.bytes(TREE_CSUM) + n * BLOCK_CSUM_BYTES) +
    treeNeed(info, TREE_ROOT, h.items(TREE_ROOT), h.bytes(TREE_ROOT))
  );
}

/** L: blocks of the live trees. */
export function liveBlocks(info: CowfsInfo): u32 {
  let blocks: u32 = 0;
  for (let tree: u32 = 0; tree < TREES; tree++) blocks += info.root(tree).blocks;
  return blocks;
}

/** [cow-5], with `margin` clusters to spare. */
function holdsWith(info: CowfsInfo, margin: u32): bool {
  const need = metaNeed(info);
  const data = needForData(info) + margin;
  const now = info.freeClusters + info.pinnedCommitting;
  if (now < info.cleanBlocks + need + data) return false;
  const later = info.freeClusters + info.pinnedClusters;
  return later >= liveBlocks(info) + 2 * need + info.root(TREE_FS).shared + data;
}

export function promisesHold(info: CowfsInfo): bool {
  return holdsWith(info, 0);
}

/** Adds n blocks' insertions to `reserve` (sign 1) or takes them away. */
export function itemsOfBlocks(reserve: TreeReserve, n: i32): void {
  reserve.add(TREE_FS, n * <i32>BLOCK_FS_ITEMS, n * <i32>BLOCK_FS_BYTES);
  reserve.add(TREE_EXTENT, n, n * <i32>BLOCK_EXTENT_BYTES);
  reserve.add(TREE_CSUM, n, n * <i32>BLOCK_CSUM_BYTES);
}

/** info.handles += or -= what `want` has. */
export function reserveCount(info: CowfsInfo, want: usize, sign: i32): void {
  if (want == 0) return;
  const w = changetype<TreeReserve>(want);
  for (let tree: u32 = 0; tree < TREES; tree++) info.handles.add(tree, <i32>w.items(tree) * sign, <i32>w.bytes(tree) * sign);
}

function asksItems(want: usize): bool {
  if (want == 0) return false;
  let items: u32 = 0;
  for (let tree: u32 = 0; tree < TREES; tree++) items += changetype<TreeReserve>(want).items(tree);
  return items != 0;
}

function tryReserve(info: CowfsInfo, dataBlocks: u32, metaBlocks: u32, want: usize, margin: u32): bool {
  info.dataReserved += dataBlocks;
  info.metaBlocks += metaBlocks;
  reserveCount(info, want, 1);
  if (holdsWith(info, margin)) return true;
  info.dataReserved -= dataBlocks;
  info.metaBlocks -= metaBlocks;
  reserveCount(info, want, -1);
  return false;
}

/**
 * Promises space: data blocks, insertions for metaBlocks blocks, the items of `want` (a TreeReserve at an address that stays, or
 * 0). `frees`: the caller will set space free, and may use the margin. Sleeps while delalloc is flushed and transactions commit.
 * Returns 0, -ENOSPC, -EINTR after a fatal signal, -ENOMEM or -EROFS.
 */
export function reserveSpace(info: CowfsInfo, dataBlocks: u32, metaBlocks: u32, want: usize, frees: bool): i32 {
  chargeCost(C_SPACE_RESERVE);
  syncPoint();
  if (info.aborted != 0) return -EROFS;
  if ((dataBlocks != 0 || metaBlocks != 0 || asksItems(want)) && shouldFail(SITE_SPACE)) return -ENOSPC;
  const margin: u32 = frees ? 0 : MARGIN;
  if (frees || listEmpty(info.ticketList)) {
    if (tryReserve(info, dataBlocks, metaBlocks, want, margin)) return 0;
  }
  const ticket = changetype<Ticket>(kmemCacheAlloc(cowCache(CACHE_TICKET)));
  if (changetype<usize>(ticket) == 0) return -ENOMEM;
  ticket.dataBlocks = dataBlocks;
  ticket.metaBlocks = metaBlocks;
  ticket.want = want;
  ticket.margin = margin;
  ticket.task = currentTask();
  listAddTail(ticket.link, info.ticketList);
  ticket.number = ++info.ticketsQueued;
  traceEmit(nowNs(), TP_COWFS_TICKET, sched().cpu.id, sched().current.id, dataBlocks, info.freeClusters);
  wakeAll(cowfsState().flushWait);
  return waitForTicket(info, ticket);
}

function waitForTicket(info: CowfsInfo, ticket: Ticket): i32 {
  let result: i32 = 0;
  const startNs = nowNs();
  while (ticket.state == TICKET_WAITING) {
    const task = currentTask();
    task.state = TASK_KILLABLE;
    schedule();
    if (ticket.state == TICKET_WAITING && currentTask().wakeReason == WAKE_SIGNAL) {
      listDelInit(ticket.link);
      result = -EINTR;
      break;
    }
  }
  mmState().reserveWaits++;
  mmState().reserveWaitNs += nowNs() - startNs;
  if (ticket.state == TICKET_FAILED) result = info.aborted != 0 ? -EROFS : -ENOSPC;
  kmemCacheFree(cowCache(CACHE_TICKET), changetype<usize>(ticket));
  // Those behind may be smaller.
  if (result != 0) grantTickets(info);
  return result;
}

function finish(ticket: Ticket, state: u32): void {
  listDelInit(ticket.link);
  ticket.state = state;
  wakeUp(ticket.task, 0);
}

function firstTicket(info: CowfsInfo): Ticket {
  return changetype<Ticket>(changetype<usize>(listFirst(info.ticketList)));
}

/** Number of the ticket at the head of the queue, 0 when nobody waits. */
export function headTicket(info: CowfsInfo): u32 {
  return listEmpty(info.ticketList) ? 0 : firstTicket(info).number;
}

/** Grants tickets from the head while they fit ([cow-6]). Does not sleep. */
export function grantTickets(info: CowfsInfo): void {
  while (!listEmpty(info.ticketList)) {
    const ticket = firstTicket(info);
    if (!tryReserve(info, ticket.dataBlocks, ticket.metaBlocks, ticket.want, ticket.margin)) return;
    finish(ticket, TICKET_GRANTED);
  }
}

/** Everything was flushed and the head still does not fit: it gets ENOSPC, and so does everyone after an abort. */
export function failTickets(info: CowfsInfo): void {
  if (listEmpty(info.ticketList)) return;
  finish(firstTicket(info), TICKET_FAILED);
  if (info.aborted == 0) return;
  while (!listEmpty(info.ticketList)) finish(firstTicket(info), TICKET_FAILED);
}

/** Gives promises back. May be called under any lock, in an event handler as well. */
export function releaseSpace(info: CowfsInfo, dataBlocks: u32, metaBlocks: u32): void {
  assert(dataBlocks <= info.dataReserved && metaBlocks <= info.metaBlocks, "[mk-6] no more is given back than was promised");
  info.dataReserved -= dataBlocks;
  info.metaBlocks -= metaBlocks;
  grantTickets(info);
}

/** [cow-5]. */
export function checkReserve(info: CowfsInfo): void {
  assert(info.aborted != 0 || promisesHold(info), "[cow-5] what is promised can be written");
}
