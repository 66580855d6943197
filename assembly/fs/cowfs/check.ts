/*
 * The walk over a mounted cowfs: what its counters say against what its pages, its map and its lists hold.
 *
 * Interface: cowfsCheck (SuperOperations.check).
 * Invariants: checks [cow-2] [cow-3] [cow-5] [ps-1] [mk-1] of every unlocked page, and [mk-6]: with no process and nothing under way, what
 *             is promised is what has a delalloc bit.
 * Locks: none; called between two steps of the machine.
 * Why not at unmount alone: by then a promise that was kept twice may have been taken back twice.
 */
import { XaCursor, xaFind } from "../../lib/xarray";
import { ListHead, listEmpty } from "../../lib/list";
import { Page, pageLocked } from "../../mm/page";
import { mmState } from "../../mm/state";
import { Inode, inodeOfSbLink, isRegular } from "../inode";
import { SuperBlock } from "../super";
import { checkPrepared, preparedBytes } from "./delalloc";
import { cowInode } from "./inode-item";
import { delallocBits } from "./page-state";
import { checkReserve } from "./reserve";
import { checkSpace } from "./space";
import { CowfsInfo, TREES } from "./state";

/** Delalloc blocks of a file's pages; each page against its bits. */
function countPages(info: CowfsInfo, inode: Inode): u32 {
  const cursor = changetype<XaCursor>(mmState().cursor);
  let blocks: u32 = 0;
  let at = xaFind(inode.mapping.pages, 0, u32.MAX_VALUE, cursor);
  while (at != 0) {
    const page = changetype<Page>(at);
    const index = cursor.index;
    blocks += <u32>popcnt(delallocBits(page));
    if (!pageLocked(page)) {
      checkPrepared(page, false);
      assert(page.preparedEnd <= preparedBytes(info, page), "[mk-1] a page is prepared where it has no space");
    }
    if (index == u32.MAX_VALUE) break;
    at = xaFind(inode.mapping.pages, index + 1, u32.MAX_VALUE, cursor);
  }
  return blocks;
}

/** Nothing is on its way: no handle, no ordered extent, no commit, nobody who waits for space. */
function nothingUnderWay(info: CowfsInfo): bool {
  return info.writers == 0 && info.orderedCount == 0 && info.committing == 0 && listEmpty(info.ticketList) && info.pendingSnapshot == 0;
}

/** [mk-6] */
function checkPromises(info: CowfsInfo, delalloc: u32): void {
  assert(info.dataReserved == delalloc && info.dataAllocated == 0, "[mk-6] data is promised to blocks that are not delalloc");
  assert(info.metaBlocks == delalloc, "[mk-6] tree space is promised to blocks that are not delalloc");
  for (let tree: u32 = 0; tree < TREES; tree++) {
    assert(info.handles.items(tree) == 0 && info.handles.bytes(tree) == 0, "[mk-6] a handle that has ended keeps a promise");
  }
}

export function cowfsCheck(sb: SuperBlock, atRest: bool): void {
  const info = changetype<CowfsInfo>(sb.fsPrivate);
  if (changetype<usize>(info) == 0 || info.aborted != 0) return;
  // While a commit writes, blocks that the next transaction has given up already are dirty still.
  if (info.committing == 0) checkSpace(info);
  checkReserve(info);
  let delalloc: u32 = 0;
  let writing = false;
  const head = changetype<usize>(sb.inodes);
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    const inode = inodeOfSbLink(link);
    if (!isRegular(inode) || inode.fsPrivate == 0) continue;
    const ci = cowInode(inode);
    const blocks = countPages(info, inode);
    assert(blocks == ci.delallocBlocks, "[ps-1] an inode counts its delalloc blocks");
    delalloc += blocks;
    if (ci.writing != 0) writing = true;
  }
  if (atRest && !writing && nothingUnderWay(info)) checkPromises(info, delalloc);
}
