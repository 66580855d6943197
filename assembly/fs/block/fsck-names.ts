/*
 * fsck's look at names: the records of directories, what they name, and the link counts that follow.
 *
 * Interface: checkDirectory(f) for the inode at f.record, checkLinks(f).
 * Invariants: laws 46 to 49 of fsck-state.ts.
 * Locks: as fsck.ts.
 * Why not compare every two names of a directory: a hash seen before is rare, and only then the names are compared.
 */
import { ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { crc32c } from "../../lib/crc32c";
import { xaLoad, xaStore } from "../../lib/xarray";
import { S_IFDIR, S_IFMT } from "../inode";
import { fileTypeOf } from "./dir";
import { fsckLookup, fsckRecord } from "./fsck-inodes";
import {
  BLOCK_FSCK_LINKS, BLOCK_FSCK_NAMES, BLOCK_FSCK_REACH, BLOCK_FSCK_RECORDS, BlockFsck, F_DIR, F_TABLE, F_TARGET, F_TWIN, fsckEmpty,
  fsckRead,
} from "./fsck-state";
import { DE_INO, DE_NAME, DE_NAME_LEN, DE_REC_LEN, DE_TYPE, DI_MODE, DI_NLINK, DI_SIZE, ROOT_INO, recordBytes } from "./layout";
import { blockFsState } from "./state";

/** Length of the record at an offset of a block, 0 when it is none ([di-1]). */
function recordLength(f: BlockFsck, data: usize, at: u32): u32 {
  const length: u32 = load<u16>(data + at, DE_REC_LEN);
  const used = load<u32>(data + at, DE_INO) == 0 ? DE_NAME : recordBytes(load<u8>(data + at, DE_NAME_LEN));
  return length < used || (length & 3) != 0 || at + length > f.fs.blockSize ? 0 : length;
}

/** The nth block of the directory at f.record, in a frame; or ERR_PTR. */
function dirBlock(f: BlockFsck, frame: u32, block: u32): usize {
  const disk = fsckLookup(f, block);
  if (disk < 0) return <usize>disk;
  assert(disk != 0, "[di-3] the tree maps every block of a directory");
  return fsckRead(f, frame, <u32>disk);
}

/** All records of the directory at f.record. */
export function checkDirectory(f: BlockFsck): i32 {
  const blocks = <u32>(load<u64>(f.record, DI_SIZE) >> f.fs.blockShift);
  fsckEmpty(f, f.hashes);
  for (let block: u32 = 0; block < blocks; block++) {
    const data = dirBlock(f, F_DIR, block);
    if (isErr(data)) return ptrErr(data);
    for (let at: u32 = 0; at < f.fs.blockSize;) {
      f.place = f.ino;
      const length = recordLength(f, data, at);
      if (length == 0) return BLOCK_FSCK_RECORDS;
      const law = load<u32>(data + at, DE_INO) != 0 ? checkName(f, data + at, (block << f.fs.blockShift) + at) : 0;
      if (law != 0) return law;
      at += length;
    }
  }
  return 0;
}

/** A used record, `offset` bytes into the directory. */
function checkName(f: BlockFsck, record: usize, offset: u32): i32 {
  const lenBytes: u32 = load<u8>(record, DE_NAME_LEN);
  assert(load<u32>(record, DE_INO) != 0, "[di-1] a used record names an inode");
  if (lenBytes == 0) return BLOCK_FSCK_RECORDS;
  for (let i: u32 = 0; i < lenBytes; i++) {
    const c = load<u8>(record + DE_NAME + i);
    if (c == 0 || c == 0x2f) return BLOCK_FSCK_RECORDS;
  }
  const hash = crc32c(blockFsState().crcTable, 0, record + DE_NAME, lenBytes);
  if (xaLoad(f.hashes, hash) != 0) {
    const twin = hasTwin(f, record, lenBytes, offset);
    if (twin != 0) return twin;
  } else if (xaStore(f.hashes, hash, 1) != 0) return -ENOMEM;
  f.names++;
  const ino = load<u32>(record, DE_INO);
  if (ino > f.fs.nrInodes) return BLOCK_FSCK_NAMES;
  const target = fsckRecord(f, F_TARGET, ino);
  if (isErr(target)) return ptrErr(target);
  const mode = load<u32>(target, DI_MODE);
  if (mode == 0 || fileTypeOf(mode) != load<u8>(record, DE_TYPE)) return BLOCK_FSCK_NAMES;
  if ((mode & S_IFMT) != S_IFDIR) return xaStore(f.links, ino, xaLoad(f.links, ino) + 1) != 0 ? -ENOMEM : 0;
  f.place = ino;
  if (ino == ROOT_INO || xaLoad(f.parents, ino) != 0) return BLOCK_FSCK_REACH;
  if (xaStore(f.parents, ino, f.ino) != 0 || xaStore(f.links, f.ino, xaLoad(f.links, f.ino) + 1) != 0) return -ENOMEM;
  return 0;
}

/** A record before this one has its name: law 46; else 0, or -errno. */
function hasTwin(f: BlockFsck, record: usize, lenBytes: u32, offset: u32): i32 {
  for (let from: u32 = 0; from < offset; from += f.fs.blockSize) {
    const data = dirBlock(f, F_TWIN, from >> f.fs.blockShift);
    if (isErr(data)) return ptrErr(data);
    for (let at: u32 = 0; at < f.fs.blockSize && from + at < offset; at += load<u16>(data + at, DE_REC_LEN)) {
      const other = data + at;
      if (load<u32>(other, DE_INO) == 0 || <u32>load<u8>(other, DE_NAME_LEN) != lenBytes) continue;
      if (memory.compare(other + DE_NAME, record + DE_NAME, lenBytes) == 0) return BLOCK_FSCK_RECORDS;
    }
  }
  return 0;
}

/** Every inode's link count against the names that were found; every directory hangs below the root. */
export function checkLinks(f: BlockFsck): i32 {
  for (let ino: u32 = 1; ino <= f.fs.nrInodes; ino++) {
    const record = fsckRecord(f, F_TABLE, ino);
    if (isErr(record)) return ptrErr(record);
    const mode = load<u32>(record, DI_MODE);
    if (mode == 0) continue;
    f.place = ino;
    const isDir = (mode & S_IFMT) == S_IFDIR;
    const hasName = ino == ROOT_INO || xaLoad(f.parents, ino) != 0;
    const found = <u32>xaLoad(f.links, ino);
    const nlink = load<u32>(record, DI_NLINK);
    if (isDir && !hasName && nlink != 0) return BLOCK_FSCK_REACH;
    if (nlink != (!isDir ? found : hasName ? found + 2 : 0)) return BLOCK_FSCK_LINKS;
    if (nlink == 0 && xaLoad(f.orphans, ino) == 0) return BLOCK_FSCK_LINKS;
    if (isDir && nlink != 0 && !isReached(f, ino)) return BLOCK_FSCK_REACH;
  }
  return 0;
}

/** The root is above the directory. */
function isReached(f: BlockFsck, ino: u32): bool {
  let at = ino;
  for (let depth: u32 = 0; depth <= f.fs.nrInodes && at != 0; depth++) {
    if (at == ROOT_INO) return true;
    at = <u32>xaLoad(f.parents, at);
  }
  return false;
}
