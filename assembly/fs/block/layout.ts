/*
 * What iomapfs and jbdfs write on the disk: one format, two magic numbers. Blocks of 512 to 4096 bytes, little-endian.
 *
 *     block 0     journal      orphans   bitmap    refcounts        inode bitmap   inode table    data and extent nodes
 *     | super | log ring | 4 KiB of inos | 1 bit/block | u16/block (iomapfs) | 1 bit/inode | 256 bytes each | ...          |
 *
 *     superblock       0      8        12        16 journal  24 orphans  32 bitmap  40 refcounts  48 inode bitmap  56 inode table
 *                      |magic |blockSz |nrBlocks |start,blocks pairs ...                          |start,blocks    |start|nrInodes|
 *                      64 dataStart | 68 flags | 72 crc32c of the 72 bytes before
 *     inode, 256 bytes 0    4     8    16    24    32    40    44         48         52      56        60    62    64
 *                      |mode|nlink|size|atime|mtime|ctime|flags|generation|treeBlocks|extents|dataBlocks|level|count| root: 16 entries
 *     extent, 12 bytes 0          4          8                            or, in an index node:   0          4     8
 *                      |fileBlock |diskBlock |len, bit 31: unwritten |                            |fileBlock |child|0|
 *     extent node      0     4     6     8   12                      16
 *                      |magic|level|count|ino|0                      |entries ...
 *     directory block  0   4      6        7    8           records follow each other by recLen and fill the block; ino 0: free
 *                      |ino|recLen|nameLen |type|name ...
 *     journal super    0     4    8        12         16            sequence and place of the oldest transaction in the ring
 *                      |magic|type|sequence|ring place|crc32c of the 16 bytes before
 *     descriptor       0     4    8        12    16 ... 32          a transaction: descriptor, copies of the blocks, commit block
 *                      |magic|type|sequence|count|zero |block numbers
 *     commit           0     4    8        12    16
 *                      |magic|type|sequence|count|crc32c of descriptor and copies
 *
 * Interface: the constants, Geometry's fields in BlockFs (state.ts).
 * Invariants:
 *   [bl-1] extents of a file ascend, do not overlap, and lie in the data area; a hole has no extent.
 *   [bl-2] each block of the data area is free in the bitmap, or belongs to one extent node or to 1 + refcount extents of files.
 *   [bl-3] a file's blocks beyond its size are unwritten, or an orphan's whose truncation goes on at mount.
 * Locks: none.
 * Why not two formats: what is compared is how page faults, writeback and transactions meet, not how bytes lie.
 */

export const BLOCKFS_MIN_BLOCK: u32 = 512;
export const BLOCKFS_MAX_BLOCK: u32 = 4096;
/** "IOMAPFS1" and "JBDFS__1" in memory order. */
export const IOMAPFS_MAGIC: u64 = 0x3153_4650_414d_4f49;
export const JBDFS_MAGIC: u64 = 0x315f_5f53_4644_424a;

export const SB_MAGIC: u32 = 0;
export const SB_BLOCK_SIZE: u32 = 8;
export const SB_NR_BLOCKS: u32 = 12;
export const SB_JOURNAL: u32 = 16;
export const SB_ORPHANS: u32 = 24;
export const SB_BITMAP: u32 = 32;
export const SB_REFCOUNTS: u32 = 40;
export const SB_INODE_BITMAP: u32 = 48;
export const SB_INODE_TABLE: u32 = 56;
export const SB_NR_INODES: u32 = 60;
export const SB_DATA_START: u32 = 64;
export const SB_FLAGS: u32 = 68;
export const SB_CRC: u32 = 72;
/** SB_FLAGS: a refcount may be above zero. */
export const SBF_SHARED: u32 = 1;

export const DINODE_BYTES: u32 = 256;
export const DI_MODE: u32 = 0;
export const DI_NLINK: u32 = 4;
export const DI_SIZE: u32 = 8;
export const DI_ATIME: u32 = 16;
export const DI_MTIME: u32 = 24;
export const DI_CTIME: u32 = 32;
export const DI_FLAGS: u32 = 40;
export const DI_GENERATION: u32 = 44;
export const DI_TREE_BLOCKS: u32 = 48;
export const DI_EXTENTS: u32 = 52;
export const DI_DATA_BLOCKS: u32 = 56;
export const DI_LEVEL: u32 = 60;
export const DI_COUNT: u32 = 62;
export const DI_ROOT: u32 = 64;
export const ROOT_BYTES: u32 = 192;
/** DI_FLAGS: the root holds the target of a symbolic link. */
export const DIF_INLINE: u32 = 1;
export const ROOT_INO: u32 = 1;

export const ENTRY_BYTES: u32 = 12;
export const ROOT_ENTRIES: u32 = ROOT_BYTES / ENTRY_BYTES;
export const EN_KEY: u32 = 0;
export const EN_BLOCK: u32 = 4;
export const EN_LEN: u32 = 8;
export const EXTENT_UNWRITTEN: u32 = 0x8000_0000;
/** Longest extent: results pack a length into 30 bits. */
export const EXTENT_MAX_LEN: u32 = 0x3fff_ffff;

export const NODE_MAGIC: u32 = 0x444f_4e45;
export const ND_MAGIC: u32 = 0;
export const ND_LEVEL: u32 = 4;
export const ND_COUNT: u32 = 6;
export const ND_INO: u32 = 8;
export const NODE_HEADER: u32 = 16;
/** Root, and nodes below it: more than 2^32 blocks can need. */
export const MAX_LEVEL: u32 = 4;

export const DE_INO: u32 = 0;
export const DE_REC_LEN: u32 = 4;
export const DE_NAME_LEN: u32 = 6;
export const DE_TYPE: u32 = 7;
export const DE_NAME: u32 = 8;

export const JOURNAL_MAGIC: u32 = 0x4c52_4e4a;
export const JH_MAGIC: u32 = 0;
export const JH_TYPE: u32 = 4;
export const JH_SEQUENCE: u32 = 8;
export const JH_COUNT: u32 = 12;
export const JH_CRC: u32 = 16;
export const JOURNAL_HEADER: u32 = 32;
export const JT_SUPER: u32 = 1;
export const JT_DESCRIPTOR: u32 = 2;
export const JT_COMMIT: u32 = 3;

/** Orphan slots: u32 inode numbers in one page's worth of blocks. */
export const ORPHAN_BYTES: u32 = 4096;
export const ORPHAN_SLOTS: u32 = ORPHAN_BYTES / 4;

/** Entries of an extent node. */
export function nodeCapacity(blockSize: u32): u32 {
  return (blockSize - NODE_HEADER) / ENTRY_BYTES;
}

/** Bytes of a directory record with a name of that length. */
export function recordBytes(nameLength: u32): u32 {
  return (DE_NAME + nameLength + 3) & ~3;
}
