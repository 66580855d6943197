/*
 * What a filesystem fills in: the tables of operations, one set a super block. The VFS (namei, syscalls, super, mount) calls.
 *
 * Interface: InodeOperations, FileOperations, SuperOperations, DirEntry, Kstatfs, FALLOC_FL_*, RENAME_*.
 *
 * Two kinds of filesystem share the tables:
 *   in memory   lookup is null: the dentry tree is the directory, the VFS alone keeps names and link counts (ramfs).
 *   on a disk   lookup is set: the dentry tree caches the directory; every change of a name calls the filesystem first.
 *
 * Conventions:
 *   - Everything may block, unless said otherwise. Results: 0 or -errno; what is a usize is an address, 0, or ERR_PTR (lib/errno).
 *   - Names are kernel addresses, not NUL-terminated, of 1 to 255 bytes, never "." or "..", and stay put during the call.
 *   - The call is made first and writes what memory will say after it; on success the VFS changes the dentries, nlink of the
 *     inode and of the directories (nlink: a file 1 per name; a directory 2, and its parent 1 more). So a filesystem stores
 *     `inode.nlink + 1` for a link, `- 1` for an unlink, 1 or 2 for a new inode, and never changes inode.nlink itself,
 *     but for an inode that lookup brings in: it comes with the nlink that the disk says.
 *   - Times are the filesystem's to set, in memory and on the disk, with touchTimes(inode): of the directories whose names
 *     change, of the inode whose links or size change. (With a null operation the VFS does it.)
 *   - A looked-up inode is the one inode of its (super, tree, ino): ilookup first, insertInodeHash when new (inode.ts).
 *
 * Locks at a call, outermost first (the caller holds them; what is not named is not held):
 *   lookup                     namespace mutex, the directory's i_rwsem for reading
 *   create symlink link        namespace mutex, sb_writers, the directory's i_rwsem for writing
 *   unlink isEmpty rename      namespace mutex, sb_writers, i_rwsem of the directories for writing
 *   setSize fallocate          sb_writers, i_rwsem for writing; invalidate_lock is the filesystem's to take
 *   remapFileRange             sb_writers, i_rwsem of both files for writing; invalidate_locks are the filesystem's to take
 *   write                      sb_writers; i_rwsem is the operation's to take (genericFileWrite does)
 *   iterate                    the directory's i_rwsem for reading
 *   evict                      nothing, or the namespace mutex; nobody else has the inode
 *   dirtyInode                 sb_pagefaults from page_mkwrite, sb_writers from write; perhaps i_rwsem, never a page lock
 *   syncFs                     nothing, or the freeze protection of writers and page faults, owned
 *   freezeFs unfreezeFs        all freeze protection, owned
 *   mount mkfs putSuper        namespace mutex
 * Invariants: [ops-1] no operation touches user memory but read, write and ioctl, which hold no lock of the VFS but sb_writers.
 * Why not a table per inode, as Linux: one type of filesystem has one way to do each thing; the inode's mode says the rest.
 */
import { Inode } from "./inode";
import { VfsFile } from "./file";
import { SuperBlock } from "./super";

export const FALLOC_FL_KEEP_SIZE: u32 = 0x01;
export const FALLOC_FL_PUNCH_HOLE: u32 = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE: u32 = 0x08;
export const FALLOC_FL_ZERO_RANGE: u32 = 0x10;
export const FALLOC_FL_INSERT_RANGE: u32 = 0x20;

export const RENAME_NOREPLACE: u32 = 1;
export const RENAME_EXCHANGE: u32 = 2;

@unmanaged
export class InodeOperations {
  /** The inode under a name: referenced, or 0 (no entry), or ERR_PTR. Null: the dentry tree is the directory. */
  lookup: (dir: Inode, name: usize, lenBytes: u32) => usize;
  /** A new inode under the name: referenced, nlink 0, or ERR_PTR. mode says S_IFREG or S_IFDIR, and permissions. */
  create: (dir: Inode, name: usize, lenBytes: u32, mode: u32) => usize;
  /** A new symbolic link, as create; mapping.sizeBytes is targetBytes. Null: EPERM. */
  symlink: (dir: Inode, name: usize, lenBytes: u32, target: usize, targetBytes: u32) => usize;
  /** Copies the target of a symbolic link, at most lenBytes. Returns the bytes copied or -errno. */
  readlink: (inode: Inode, buffer: usize, lenBytes: u32) => i32;
  /** A second name for a file. Null: the VFS alone (in memory), else EPERM. */
  link: (inode: Inode, dir: Inode, name: usize, lenBytes: u32) => i32;
  /** The name goes, of a file or of a directory that is empty. Null: the VFS alone. */
  unlink: (dir: Inode, name: usize, lenBytes: u32, inode: Inode) => i32;
  /** 1 when the directory has no entries, 0, or -errno. Null: the VFS counts dentries. */
  isEmpty: (dir: Inode) => i32;
  /**
   * oldDir/oldName becomes newDir/newName. `replaced` is the inode that loses newName, or null; with RENAME_EXCHANGE it gets
   * oldName. A flag that is not supported: -EINVAL. Null: the VFS alone. newDir may be oldDir.
   */
  rename: (
    oldDir: Inode, oldName: usize, oldLenBytes: u32, newDir: Inode, newName: usize, newLenBytes: u32, inode: Inode,
    replaced: Inode, flags: u32,
  ) => i32;
  /**
   * The inode leaves memory: free fsPrivate. With nlink 0 the file goes too: free what it has on the disk. Its pages are
   * gone already, and it is in no hash any more. An error is the filesystem's to remember.
   */
  evict: (inode: Inode) => void;
  /** i_size becomes sizeBytes: iSizeWrite, truncatePageCache or pagecacheIsizeExtended, the disk. */
  setSize: (inode: Inode, sizeBytes: u64) => i32;
  /** fallocate(2) for FALLOC_FL_* modes; -EOPNOTSUPP for those it does not have. The range is checked. Null: -EOPNOTSUPP. */
  fallocate: (inode: Inode, mode: u32, offset: u64, lenBytes: u64) => i32;
  /** Times, size or mode changed in memory: note it for the next sync, which may need a transaction and space. */
  dirtyInode: (inode: Inode) => i32;
}

/** One entry of a directory, filled by iterate. */
@unmanaged
export class DirEntry {
  ino: u64;
  /** S_IFMT bits of the inode's mode: S_IFREG, S_IFDIR, S_IFLNK. */
  type: u32;
  nameLength: u32;
  /** 255 bytes from here on (name[256]). */
  name0: u64;

  get name(): usize {
    return changetype<usize>(this) + offsetof<DirEntry>("name0");
  }
}

export const DIR_ENTRY_BYTES: u32 = <u32>offsetof<DirEntry>("name0") + 256;

@unmanaged
export class FileOperations {
  /** read(2) from pos into user memory. Returns the bytes read or -errno. */
  read: (file: VfsFile, user: u64, count: u32, pos: u64) => i64;
  /** write(2) at pos, or at the end with O_APPEND; notes where the bytes end (noteWrittenTo). Returns the bytes written or -errno. */
  write: (file: VfsFile, user: u64, count: u32, pos: u64) => i64;
  /** Everything of the file in [startBytes, endBytes] reaches the disk, and what is needed to find it. Null: writepages. */
  fsync: (file: VfsFile, startBytes: u64, endBytes: u64, dataOnly: u32) => i32;
  /** The last reference to the open file goes. */
  release: (file: VfsFile) => void;
  /**
   * Fills `entry` with the first entry at or behind cookie pos (0: the first); "." and ".." are the VFS's. Returns the cookie
   * behind it (above pos), 0 when there is none, or -errno. An entry keeps its cookie while others come and go. Null: dentries.
   */
  iterate: (dir: Inode, pos: u64, entry: DirEntry) => i64;
  /** ioctl(2) that the VFS does not know. Null: -ENOTTY. */
  ioctl: (file: VfsFile, cmd: u32, arg: u64) => i64;
  /** Bytes of one page to and from kernel memory, for files without pages in the cache; as read and write. Null: the page cache. */
  readKernel: (file: VfsFile, target: usize, n: u32, pos: u64) => i32;
  writeKernel: (file: VfsFile, source: usize, n: u32, pos: u64) => i32;
  /**
   * FICLONERANGE: dst's range shows src's bytes, shared and copied on write. The ranges lie in src, are block-aligned (the end
   * may be src's end), do not overlap, and both files are on this super block. Returns lenBytes or -errno. Null: -EOPNOTSUPP.
   */
  remapFileRange: (src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64) => i64;
}

/** What statfs(2) says of a filesystem; blocks are of blockSize bytes. */
@unmanaged
export class Kstatfs {
  blockSize: u64;
  blocks: u64;
  blocksFree: u64;
  blocksAvailable: u64;
  files: u64;
  filesFree: u64;
}

@unmanaged
export class SuperOperations {
  /** Data is written already (or its writeback is under way): metadata goes to the disk; `wait`: and is there on return. */
  syncFs: (sb: SuperBlock, wait: u32) => i32;
  /** The last stage of a freeze: nothing may be under way or in memory only. Null: the filesystem cannot be frozen. */
  freezeFs: (sb: SuperBlock) => i32;
  unfreezeFs: (sb: SuperBlock) => i32;
  /** A forced shutdown: from now on every change fails, and nothing is written. Does not sleep. Null: -ENOTTY. */
  shutdown: (sb: SuperBlock) => void;
  statfs: (sb: SuperBlock, buffer: Kstatfs) => i32;
  /** Unmount: synced, no inode is left. Free sb.fsPrivate and what hangs on it. */
  putSuper: (sb: SuperBlock) => void;
  /** The invariant walk of what the filesystem counts, between two steps; `atRest`: no process is left. Null: it has none. */
  check: (sb: SuperBlock, atRest: bool) => void;
}
