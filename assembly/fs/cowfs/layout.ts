/*
 * What cowfs writes on the disk. Records, keys and numbers are modelled after btrfs's, so that its own format can take their
 * place: a superblock, and B-trees of 4 KiB blocks whose items are found by (objectid, type, offset). Little-endian throughout.
 *
 *     filesystem        0   1        16 (64 KiB)    17                            mirror      end         in clusters of 4 KiB
 *                       | - | data and trees | super | data and tree blocks ...   | super | ... |          mirror: at 64 MiB,
 *                         address 0 says "hole"                                                             or the last cluster
 *     superblock        0    32   48     56    64    72         80        112           120           128          144      148
 *                       |csum|fsid|bytenr|flags|magic|generation|root ... |total_bytes  |bytes_used   |root_dir |.. |sector-|node-|
 *                                                                                                                 |size   |size |
 *     tree block        0    32   48     56    64             80         88    96      100   101                        4096
 *                       |csum|fsid|bytenr|flags|chunk_tree_uuid|generation|owner|nritems|level| items -> ... <- item data |
 *     item, level 0     0        8    9      17     21   25       offset counts from byte 101 of the block
 *                       |objectid|type|offset|offset|size|
 *     pointer, level>0  0        8    9      17       25         33
 *                       |objectid|type|offset|blockptr|generation|
 *
 *     key                                           item data (bytes)
 *     (ino, INODE_ITEM, 0)                          160: generation transid size nbytes . nlink uid gid mode rdev flags seq times
 *     (ino, INODE_REF, parent)                      10 + name for each name in that directory: index, name_len, name
 *     (ino, DIR_ITEM, hash of the name)             30 + name for each name with the hash: location key, transid, lengths, type
 *     (ino, DIR_INDEX, index)                       30 + name, as DIR_ITEM: the order of getdents
 *     (ino, EXTENT_DATA, file offset)               53: generation ram_bytes ... type disk_bytenr disk_num_bytes offset num_bytes
 *                                                   or 21 + the target of a symbolic link (type inline)
 *     (ORPHAN, ORPHAN_ITEM, ino)                    0: an inode without a name that a crash may leave
 *     (EXTENT_CSUM, EXTENT_CSUM, bytenr)            4 for each block of one data extent: crc32c
 *     (bytenr, EXTENT_ITEM, len)                    24: refs generation flags
 *     (tree, ROOT_ITEM, generation it was made in)  439: inode generation root_dirid bytenr ... level ...; see ROOT_*
 *
 * Interface: the constants; accessors are loads and stores at them.
 * Invariants:
 *   [cl-1] a block's checksum covers bytes 32 to 4095; keys in a block ascend; item data is packed from the end, in order.
 *   [cl-2] a hole has no EXTENT_DATA item; a data extent is at most MAX_EXTENT_BLOCKS blocks and has one EXTENT_CSUM item.
 * Locks: none.
 * Why not METADATA_ITEMs: the references of tree blocks are what a walk over the inner nodes counts, and mount makes that walk
 * (extent-tree.ts names the places where btrfs's items would be written).
 */

export const CLUSTER_SHIFT: u32 = 12;
export const NODE_SIZE: u32 = 4096;
/** Sectors (512 bytes) of a cluster. */
export const CLUSTER_SECTORS: u32 = 8;

/* The superblock. */
export const SUPER_CLUSTER: u32 = 16;
export const SUPER_MIRROR_CLUSTER: u32 = 16384;
export const SB_CSUM: u32 = 0;
export const SB_FSID: u32 = 32;
export const SB_BYTENR: u32 = 48;
export const SB_MAGIC: u32 = 64;
export const SB_GENERATION: u32 = 72;
export const SB_ROOT: u32 = 80;
export const SB_TOTAL_BYTES: u32 = 112;
export const SB_BYTES_USED: u32 = 120;
export const SB_ROOT_DIR: u32 = 128;
export const SB_SECTORSIZE: u32 = 144;
export const SB_NODESIZE: u32 = 148;
export const SB_ROOT_LEVEL: u32 = 198;
/** "COWFS_v1" in memory order. */
export const COWFS_MAGIC: u64 = 0x3176_5f53_4657_4f43;

/* The header of a tree block. */
export const BH_CSUM: u32 = 0;
export const BH_FSID: u32 = 32;
export const BH_BYTENR: u32 = 48;
export const BH_FLAGS: u32 = 56;
export const BH_GENERATION: u32 = 80;
export const BH_OWNER: u32 = 88;
export const BH_NRITEMS: u32 = 96;
export const BH_LEVEL: u32 = 100;
export const HEADER_BYTES: u32 = 101;
/** The first byte that a block's checksum covers. */
export const CSUM_BYTES: u32 = 32;

/* Keys, items, pointers. */
export const KEY_OBJECTID: u32 = 0;
export const KEY_TYPE: u32 = 8;
export const KEY_OFFSET: u32 = 9;
export const KEY_BYTES: u32 = 17;
export const ITEM_OFFSET: u32 = 17;
export const ITEM_SIZE: u32 = 21;
export const ITEM_BYTES: u32 = 25;
export const PTR_BLOCK: u32 = 17;
export const PTR_GENERATION: u32 = 25;
export const PTR_BYTES: u32 = 33;

/** What items and their data share in a leaf. */
export const LEAF_BYTES: u32 = NODE_SIZE - HEADER_BYTES;
export const NODE_PTRS: u32 = LEAF_BYTES / PTR_BYTES;
/** No item with its header is larger, so that a full leaf always splits into two of which the new item fits one. */
export const MAX_ITEM_BYTES: u32 = LEAF_BYTES / 2;
/** More levels than 2^32 items can need. */
export const MAX_LEVEL: u32 = 8;

/* Object ids. */
export const ROOT_TREE_OBJECTID: u64 = 1;
export const EXTENT_TREE_OBJECTID: u64 = 2;
export const FS_TREE_OBJECTID: u64 = 5;
export const CSUM_TREE_OBJECTID: u64 = 7;
/** Inode numbers and snapshots start here; the root directory is the first. */
export const FIRST_FREE_OBJECTID: u64 = 256;
export const LAST_FREE_OBJECTID: u64 = 0xffff_ffff_ffff_ff00;
export const ORPHAN_OBJECTID: u64 = 0xffff_ffff_ffff_fffb;
export const EXTENT_CSUM_OBJECTID: u64 = 0xffff_ffff_ffff_fff6;

/* Item types. */
export const INODE_ITEM_KEY: u8 = 1;
export const INODE_REF_KEY: u8 = 12;
export const ORPHAN_ITEM_KEY: u8 = 48;
export const DIR_ITEM_KEY: u8 = 84;
export const DIR_INDEX_KEY: u8 = 96;
export const EXTENT_DATA_KEY: u8 = 108;
export const EXTENT_CSUM_KEY: u8 = 128;
export const ROOT_ITEM_KEY: u8 = 132;
export const EXTENT_ITEM_KEY: u8 = 168;

/* INODE_ITEM. */
export const II_GENERATION: u32 = 0;
export const II_TRANSID: u32 = 8;
export const II_SIZE: u32 = 16;
export const II_NBYTES: u32 = 24;
export const II_NLINK: u32 = 40;
export const II_MODE: u32 = 52;
export const II_ATIME: u32 = 112;
export const II_CTIME: u32 = 124;
export const II_MTIME: u32 = 136;
export const II_OTIME: u32 = 148;
export const INODE_ITEM_BYTES: u32 = 160;

/* INODE_REF, one name. */
export const IR_INDEX: u32 = 0;
export const IR_NAME_LEN: u32 = 8;
export const IR_NAME: u32 = 10;

/* DIR_ITEM and DIR_INDEX, one name; the location's key is at 0. */
export const DI_TRANSID: u32 = 17;
export const DI_DATA_LEN: u32 = 25;
export const DI_NAME_LEN: u32 = 27;
export const DI_TYPE: u32 = 29;
export const DI_NAME: u32 = 30;
export const FT_REG_FILE: u8 = 1;
export const FT_DIR: u8 = 2;
export const FT_SYMLINK: u8 = 7;
/** The first index of a directory's entries: btrfs leaves 0 and 1 to "." and "..". */
export const DIR_START_INDEX: u64 = 2;

/* EXTENT_DATA. */
export const ED_GENERATION: u32 = 0;
export const ED_RAM_BYTES: u32 = 8;
export const ED_TYPE: u32 = 20;
export const ED_INLINE_DATA: u32 = 21;
export const ED_DISK_BYTENR: u32 = 21;
export const ED_DISK_BYTES: u32 = 29;
export const ED_OFFSET: u32 = 37;
export const ED_BYTES: u32 = 45;
export const EXTENT_DATA_BYTES: u32 = 53;
export const EXTENT_INLINE: u8 = 0;
export const EXTENT_REG: u8 = 1;
export const EXTENT_PREALLOC: u8 = 2;

/* EXTENT_ITEM. */
export const EI_REFS: u32 = 0;
export const EI_GENERATION: u32 = 8;
export const EI_FLAGS: u32 = 16;
export const EXTENT_ITEM_BYTES: u32 = 24;
export const EXTENT_FLAG_DATA: u64 = 1;

/* ROOT_ITEM: an INODE_ITEM first. What cowfs needs beyond btrfs's fields lies in their reserved tail. */
export const ROOT_GENERATION: u32 = 160;
export const ROOT_DIRID: u32 = 168;
export const ROOT_BYTENR: u32 = 176;
export const ROOT_BYTES_USED: u32 = 192;
export const ROOT_LAST_SNAPSHOT: u32 = 200;
export const ROOT_FLAGS: u32 = 208;
export const ROOT_REFS: u32 = 216;
export const ROOT_LEVEL: u32 = 238;
/** Bytes of all items of the tree, headers included: what bounds the number of its blocks (reserve.ts). */
export const ROOT_ITEM_SUM: u32 = 375;
export const ROOT_ITEM_BYTES: u32 = 439;
export const ROOT_SUBVOL_RDONLY: u64 = 1;

/** A data extent is one bio, one EXTENT_DATA item when it is written, one EXTENT_ITEM, one EXTENT_CSUM item. */
export const MAX_EXTENT_BLOCKS: u32 = 128;
export const MAX_EXTENT_PAGES: u32 = 32;
/** Longest target of a symbolic link: an inline extent is one item. */
export const MAX_SYMLINK: u32 = 1536;

/** -1, 0, 1: the key at `at` against (objectid, type, offset). */
export function keyCompare(at: usize, objectid: u64, type: u8, offset: u64): i32 {
  const a = load<u64>(at, KEY_OBJECTID);
  if (a != objectid) return a < objectid ? -1 : 1;
  const t = load<u8>(at, KEY_TYPE);
  if (t != type) return t < type ? -1 : 1;
  const o = load<u64>(at, KEY_OFFSET);
  if (o != offset) return o < offset ? -1 : 1;
  return 0;
}

/** The key at `a` against the key at `b`. */
export function keysCompare(a: usize, b: usize): i32 {
  return keyCompare(a, load<u64>(b, KEY_OBJECTID), load<u8>(b, KEY_TYPE), load<u64>(b, KEY_OFFSET));
}

export function keyStore(at: usize, objectid: u64, type: u8, offset: u64): void {
  store<u64>(at, objectid, KEY_OBJECTID);
  store<u8>(at, type, KEY_TYPE);
  store<u64>(at, offset, KEY_OFFSET);
}

export function nrItems(block: usize): u32 {
  return load<u32>(block, BH_NRITEMS);
}

export function setNrItems(block: usize, count: u32): void {
  store<u32>(block, count, BH_NRITEMS);
}

export function blockLevel(block: usize): u32 {
  return load<u8>(block, BH_LEVEL);
}

export function blockGeneration(block: usize): u64 {
  return load<u64>(block, BH_GENERATION);
}

/** The cluster a tree block lives in. */
export function blockCluster(block: usize): u32 {
  return <u32>(load<u64>(block, BH_BYTENR) >> CLUSTER_SHIFT);
}

/** Address of the nth item header of a leaf (its key is first). */
export function itemAt(leaf: usize, slot: u32): usize {
  return leaf + HEADER_BYTES + slot * ITEM_BYTES;
}

/** Address of the nth pointer of a node (its key is first). */
export function ptrAt(node: usize, slot: u32): usize {
  return node + HEADER_BYTES + slot * PTR_BYTES;
}

/** Address of the nth key, of a leaf or a node. */
export function keyAt(block: usize, slot: u32): usize {
  return blockLevel(block) == 0 ? itemAt(block, slot) : ptrAt(block, slot);
}

/** Address of the nth item's data. */
export function itemData(leaf: usize, slot: u32): usize {
  return leaf + HEADER_BYTES + load<u32>(itemAt(leaf, slot), ITEM_OFFSET);
}

export function itemSize(leaf: usize, slot: u32): u32 {
  return load<u32>(itemAt(leaf, slot), ITEM_SIZE);
}

export function ptrCluster(node: usize, slot: u32): u32 {
  return <u32>(load<u64>(ptrAt(node, slot), PTR_BLOCK) >> CLUSTER_SHIFT);
}

/** Where the data of the leaf's items begins, counted from byte HEADER_BYTES. */
export function dataStart(leaf: usize): u32 {
  const count = nrItems(leaf);
  return count == 0 ? LEAF_BYTES : load<u32>(itemAt(leaf, count - 1), ITEM_OFFSET);
}

/** Bytes that a leaf's items and their data take. */
export function leafFill(leaf: usize): u32 {
  return nrItems(leaf) * ITEM_BYTES + LEAF_BYTES - dataStart(leaf);
}
