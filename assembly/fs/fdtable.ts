/*
 * File descriptors: a table per process, shared by its threads.
 *
 *     files_struct:  refcount | count | MAX_FDS entries (file address or 0)
 *
 * Interface: filesAlloc, filesGet, filesPut, filesDup, fdGet, fdsFull, fdInstall, fdReplace, fdClose, checkFiles.
 * Invariants: [fd-1] an entry holds one reference of its file; the lowest free number is given out.
 * Locks: none; an operation on the table is one emulated step (closing a file comes after).
 * Why not grow the table: a limit that a guest can hit is EMFILE, as RLIMIT_NOFILE is.
 */
import { EBADF, EMFILE } from "../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { MAX_FDS } from "../config";
import { getFile } from "../mm/address-space";
import { VfsFile, fput } from "./file";
import { CACHE_FILES, fsState } from "./state";

const HEAD: u32 = 16;
export const FILES_BYTES: u32 = HEAD + MAX_FDS * 4;

@unmanaged
class FilesStruct {
  refcount: u32;
  count: u32;
  pad0: u32;
  pad1: u32;
}

function slotAt(files: usize, fd: u32): usize {
  return files + HEAD + (fd << 2);
}

/** An empty table. 0 on ENOMEM. */
export function filesAlloc(): usize {
  const files = kmemCacheAlloc(fsState().cache(CACHE_FILES));
  if (files == 0) return 0;
  changetype<FilesStruct>(files).refcount = 1;
  fsState().nrFilesStructs++;
  return files;
}

export function filesGet(files: usize): void {
  assert(changetype<FilesStruct>(files).refcount != 0, "a table in use is shared");
  changetype<FilesStruct>(files).refcount++;
}

/** Drops a user; the last one closes every file. */
export function filesPut(files: usize): void {
  const f = changetype<FilesStruct>(files);
  assert(f.refcount != 0, "a table is given up as often as taken");
  if (--f.refcount != 0) return;
  for (let fd: u32 = 0; fd < MAX_FDS; fd++) {
    if (load<u32>(slotAt(files, fd)) != 0) fdCloseIn(files, fd);
  }
  assert(f.count == 0, "[fd-1] a table counts its files");
  fsState().nrFilesStructs--;
  kmemCacheFree(fsState().cache(CACHE_FILES), files);
}

/** fork's copy: the same open files. 0 on ENOMEM. */
export function filesDup(files: usize): usize {
  const copy = filesAlloc();
  if (copy == 0) return 0;
  for (let fd: u32 = 0; fd < MAX_FDS; fd++) {
    const file = load<u32>(slotAt(files, fd));
    if (file == 0) continue;
    getFile(changetype<VfsFile>(<usize>file));
    store<u32>(slotAt(copy, fd), file);
  }
  changetype<FilesStruct>(copy).count = changetype<FilesStruct>(files).count;
  return copy;
}

/** The file behind a number, without a reference, or null (EBADF). */
export function fdGet(files: usize, fd: u64): VfsFile {
  if (fd >= MAX_FDS) return changetype<VfsFile>(0);
  return changetype<VfsFile>(<usize>load<u32>(slotAt(files, <u32>fd)));
}

/** True when every number is taken: asked before a file is made or truncated for nothing. */
export function fdsFull(files: usize): bool {
  return changetype<FilesStruct>(files).count == MAX_FDS;
}

/** Puts a file at the lowest free number, handing over the caller's reference. Returns the number or -EMFILE. */
export function fdInstall(files: usize, file: VfsFile): i32 {
  for (let fd: u32 = 0; fd < MAX_FDS; fd++) {
    if (load<u32>(slotAt(files, fd)) != 0) continue;
    store<u32>(slotAt(files, fd), <u32>changetype<usize>(file));
    changetype<FilesStruct>(files).count++;
    return fd;
  }
  return -EMFILE;
}

/** Puts a file at a number, handing over the caller's reference; what was there is closed. May sleep. */
export function fdReplace(files: usize, fd: u32, file: VfsFile): void {
  assert(fd < MAX_FDS, "[fd-1] a number of the table");
  const old = changetype<VfsFile>(<usize>load<u32>(slotAt(files, fd)));
  store<u32>(slotAt(files, fd), <u32>changetype<usize>(file));
  if (changetype<usize>(old) != 0) fput(old);
  else changetype<FilesStruct>(files).count++;
}

function fdCloseIn(files: usize, fd: u32): void {
  const file = changetype<VfsFile>(<usize>load<u32>(slotAt(files, fd)));
  store<u32>(slotAt(files, fd), 0);
  changetype<FilesStruct>(files).count--;
  fput(file);
}

/** Returns 0 or -EBADF. */
export function fdClose(files: usize, fd: u64): i32 {
  if (changetype<usize>(fdGet(files, fd)) == 0) return -EBADF;
  fdCloseIn(files, <u32>fd);
  return 0;
}

/** [fd-1] */
export function checkFiles(files: usize): void {
  let used: u32 = 0;
  for (let fd: u32 = 0; fd < MAX_FDS; fd++) {
    const file = load<u32>(slotAt(files, fd));
    if (file == 0) continue;
    used++;
    assert(changetype<VfsFile>(<usize>file).refcount != 0, "[fd-1] an entry holds a reference");
  }
  assert(used == changetype<FilesStruct>(files).count, "[fd-1] a table counts its files");
}
