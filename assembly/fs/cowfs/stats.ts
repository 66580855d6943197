/*
 * Figures of all mounted cowfs's, summed, for the machine's counters.
 *
 * Interface: cowfsStat(i), COWFS_STATS.
 * Invariants: [mk-6] 0, 1 and 6 are 0 when nothing is dirty and nobody is inside.
 * Locks: none; asked between two steps of the machine.
 * Why not in state.ts: what a figure means is the ledger's matter (reserve.ts), not the struct's.
 */
import { ListHead } from "../../lib/list";
import { CowfsInfo, TREE_FS, TREE_ROOT, cowfsState } from "./state";

export const COWFS_STATS: u32 = 8;

function statOf(info: CowfsInfo, i: u32): u32 {
  switch (i) {
    case 0: return info.dataReserved;
    case 1: {
      let items = info.metaBlocks;
      for (let tree = TREE_FS; tree <= TREE_ROOT; tree++) items += info.handles.items(tree);
      return items;
    }
    case 2: return info.ticketsQueued;
    case 3: return info.flushes;
    case 4: return info.commits;
    case 5: return info.csumErrors;
    case 6: return info.orderedCount;
    default: return info.freeClusters + info.pinnedClusters;
  }
}

/**
 * 0 blocks of data promised, 1 blocks and items of metadata promised, 2 reservations that had to wait, 3 steps of flushing for
 * them, 4 commits, 5 blocks that did not sum up, 6 ordered extents under way, 7 clusters that are free or will be at the next commit.
 */
export function cowfsStat(i: u32): u32 {
  let sum: u32 = 0;
  if (i >= COWFS_STATS) return 0;
  const head = changetype<usize>(cowfsState().mounts);
  for (let link: usize = cowfsState().mounts.next; link != head; link = changetype<ListHead>(link).next) {
    sum += statOf(changetype<CowfsInfo>(link - offsetof<CowfsInfo>("mountNext")), i);
  }
  return sum;
}
