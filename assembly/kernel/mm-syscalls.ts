/*
 * The system calls of memory: arguments to mm's functions.
 *
 * Interface: sysMmap, sysMunmap ... each (six u64) => value or -errno.
 * Invariants: [msys-1] the file of an mmap is referenced until its VMA holds it.
 * Locks: none here.
 * Why not in mm: mmap takes a file number, and those are the fs room's.
 */
import { EBADF, EINVAL, ENOMEM } from "../lib/errno";
import { fileForMmap } from "../fs/syscalls";
import { File, putFile } from "../mm/address-space";
import { doMadvise } from "../mm/madvise";
import { doMincore, doMsync } from "../mm/mincore";
import { doMlock, doMlockall, doMunlock, doMunlockall } from "../mm/mlock";
import { MAP_ANONYMOUS } from "../mm/mman";
import { doBrk, doMmap, doMunmap, sharedAnonymousFile, wantsSharedAnonymous } from "../mm/mmap";
import { currentMm } from "../mm/mm-struct";
import { doMprotect } from "../mm/mprotect";
import { doMremap } from "../mm/mremap";

export function sysMmap(address: u64, lenBytes: u64, prot: u64, flags: u64, fd: u64, offset: u64): i64 {
  if ((offset & 0xfff) != 0 || (prot | flags) >> 32 != 0) return -EINVAL;
  const f = <u32>flags;
  let file = changetype<File>(0);
  if ((f & MAP_ANONYMOUS) == 0) {
    file = fileForMmap(fd);
    if (changetype<usize>(file) == 0) return -EBADF;
  } else if (wantsSharedAnonymous(f)) {
    if (lenBytes == 0) return -EINVAL;
    if (lenBytes > (<u64>1 << 43)) return -ENOMEM;
    file = sharedAnonymousFile(lenBytes);
    if (changetype<usize>(file) == 0) return -ENOMEM;
    offset = 0;
  }
  const result = doMmap(currentMm(), address, lenBytes, <u32>prot, f, file, offset >> 12);
  if (changetype<usize>(file) != 0) putFile(file);
  return result;
}

export function sysMunmap(address: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doMunmap(currentMm(), address, lenBytes);
}

export function sysMprotect(address: u64, lenBytes: u64, prot: u64, a3: u64, a4: u64, a5: u64): i64 {
  return prot >> 32 != 0 ? -EINVAL : doMprotect(currentMm(), address, lenBytes, <u32>prot);
}

export function sysMremap(oldAddress: u64, oldLen: u64, newLen: u64, flags: u64, newAddress: u64, a5: u64): i64 {
  return flags >> 32 != 0 ? -EINVAL : doMremap(currentMm(), oldAddress, oldLen, newLen, <u32>flags, newAddress);
}

export function sysMadvise(address: u64, lenBytes: u64, advice: u64, a3: u64, a4: u64, a5: u64): i64 {
  return advice >> 32 != 0 ? -EINVAL : doMadvise(currentMm(), address, lenBytes, <u32>advice);
}

export function sysMsync(address: u64, lenBytes: u64, flags: u64, a3: u64, a4: u64, a5: u64): i64 {
  return flags >> 32 != 0 ? -EINVAL : doMsync(currentMm(), address, lenBytes, <u32>flags);
}

export function sysMlock(address: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doMlock(currentMm(), address, lenBytes);
}

export function sysMunlock(address: u64, lenBytes: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doMunlock(currentMm(), address, lenBytes);
}

export function sysMlockall(flags: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return flags >> 32 != 0 ? -EINVAL : doMlockall(currentMm(), <u32>flags);
}

export function sysMunlockall(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doMunlockall(currentMm());
}

export function sysMincore(address: u64, lenBytes: u64, vector: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doMincore(currentMm(), address, lenBytes, vector);
}

export function sysBrk(address: u64, a1: u64, a2: u64, a3: u64, a4: u64, a5: u64): i64 {
  return doBrk(currentMm(), address);
}
