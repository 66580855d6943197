/*
 * The walk over a mounted jbdfs or iomapfs: what an inode counts against what its pages hold.
 *
 * Interface: blockFsCheck (SuperOperations.check).
 * Invariants: checks [ps-1] [ps-2] [mk-1]; counts of an inode whose page is locked, or whose writes are under way, are let be.
 * Locks: none; called between two steps of the machine.
 * Why not the extents as well: they are read from the disk, and a walk must not sleep; fsck reads them.
 */
import { XaCursor, xaFind } from "../../lib/xarray";
import { ListHead } from "../../lib/list";
import { PG_DIRTY, Page, pageLocked } from "../../mm/page";
import { mmState } from "../../mm/state";
import { Inode, inodeOfSbLink, isRegular } from "../inode";
import { SuperBlock } from "../super";
import { PS_DELALLOC, PS_DIRTY, preparedBytes, psMask } from "./page-state";
import { BlockFs, blockInodeOf } from "./state";

function checkPage(fs: BlockFs, page: Page): void {
  const dirty = psMask(page, PS_DIRTY);
  if (dirty != 0) assert(page.test(PG_DIRTY), "[ps-1] a page with a dirty block is dirty");
  assert(page.preparedEnd <= preparedBytes(fs, page), "[mk-1] a page is prepared where it has no space");
}

/** DELALLOC bits of a file's pages; u32.MAX_VALUE: somebody is at work on one of them. */
function countPages(fs: BlockFs, inode: Inode): u32 {
  const cursor = changetype<XaCursor>(mmState().cursor);
  let blocks: u32 = 0;
  let busy = false;
  let at = xaFind(inode.mapping.pages, 0, u32.MAX_VALUE, cursor);
  while (at != 0) {
    const page = changetype<Page>(at);
    const index = cursor.index;
    if (pageLocked(page)) busy = true;
    else checkPage(fs, page);
    blocks += <u32>popcnt(psMask(page, PS_DELALLOC));
    if (index == u32.MAX_VALUE) break;
    at = xaFind(inode.mapping.pages, index + 1, u32.MAX_VALUE, cursor);
  }
  return busy ? u32.MAX_VALUE : blocks;
}

export function blockFsCheck(sb: SuperBlock, atRest: bool): void {
  const fs = changetype<BlockFs>(sb.fsPrivate);
  if (changetype<usize>(fs) == 0 || fs.aborted != 0) return;
  const head = changetype<usize>(sb.inodes);
  for (let link: usize = sb.inodes.next; link != head; link = changetype<ListHead>(link).next) {
    const inode = inodeOfSbLink(link);
    if (!isRegular(inode) || inode.fsPrivate == 0) continue;
    const bi = blockInodeOf(inode);
    const blocks = countPages(fs, inode);
    if (!atRest || blocks == u32.MAX_VALUE || bi.pendingUnits != 0) continue;
    assert(blocks == bi.delalloc, "[ps-2] an inode counts its delalloc blocks");
  }
}
