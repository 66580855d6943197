/*
 * /proc/mounts: one line a mounted filesystem, in the order of mounting.
 *
 *     device mount-point type rw,frozen 0 0       device: "disk", "disk[start+blocks]" for a part of it, "none" in memory
 *
 * Interface: mountsText().
 * Invariants: none.
 * Locks: none: a text is made in one emulated step.
 * Why not the options: a filesystem's options are its own to show.
 */
import { ListHead } from "../lib/list";
import { SECTORS_PER_BLOCK, blockState } from "../block/state";
import { Dentry, isNullDentry } from "../fs/dentry";
import { fsState } from "../fs/state";
import { SB_UNFROZEN, SuperBlock, superOfLink } from "../fs/super";
import { textByte, textDec, textString } from "./text";

/** The dentry `levels` above, through mounts. */
function above(dentry: Dentry, levels: u32): Dentry {
  let at = dentry;
  for (let i: u32 = 0; i < levels; i++) at = parentThroughMounts(at);
  return at;
}

/** Null above "/". */
function parentThroughMounts(dentry: Dentry): Dentry {
  if (!isNullDentry(dentry.parent)) return dentry.parent;
  const covers = changetype<Dentry>(dentry.inode.sb.covers);
  return isNullDentry(covers) ? covers : covers.parent;
}

/** The path of a directory from "/". */
function pathText(dentry: Dentry): void {
  let depth: u32 = 0;
  for (let at = dentry; !isNullDentry(at); at = parentThroughMounts(at)) depth++;
  if (depth <= 1) textByte(0x2f);
  for (let level = depth - 1; level != 0; level--) {
    const at = above(dentry, level - 1);
    // The root of a mount has the name of the directory that it covers.
    const named = isNullDentry(at.parent) ? changetype<Dentry>(at.inode.sb.covers) : at;
    textByte(0x2f);
    for (let i: u32 = 0; i < named.nameLength; i++) textByte(load<u8>(named.name + i));
  }
}

function deviceText(sb: SuperBlock): void {
  if (sb.nrBlocks == 0) {
    textString("none");
    return;
  }
  textString("disk");
  if (sb.startBlock == 0 && <u64>sb.nrBlocks * SECTORS_PER_BLOCK == blockState().sectors) return;
  textByte(0x5b);
  textDec(sb.startBlock);
  textByte(0x2b);
  textDec(sb.nrBlocks);
  textByte(0x5d);
}

export function mountsText(): void {
  const head = changetype<usize>(fsState().superList);
  for (let link: usize = fsState().superList.next; link != head; link = changetype<ListHead>(link).next) {
    const sb = superOfLink(link);
    if (sb.root == 0) continue;
    deviceText(sb);
    textByte(0x20);
    pathText(changetype<Dentry>(sb.root));
    textByte(0x20);
    textString(changetype<string>(sb.typeName));
    textString(sb.frozen == SB_UNFROZEN ? " rw 0 0\n" : " rw,frozen 0 0\n");
  }
}
