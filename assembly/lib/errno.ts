/*
 * Linux's errno values (asm-generic, which riscv64 uses).
 *
 * Interface: E*, negated in results: -ENOMEM; errPtr, isErr, ptrErr for results that are addresses.
 * Invariants: none.
 * Locks: none.
 * Why not an enum: AssemblyScript enums are i32 anyway; constants read as Linux's do.
 */
export const EPERM: i32 = 1;
export const ENOENT: i32 = 2;
export const ESRCH: i32 = 3;
export const EINTR: i32 = 4;
export const EIO: i32 = 5;
export const ENXIO: i32 = 6;
export const E2BIG: i32 = 7;
export const ENOEXEC: i32 = 8;
export const EBADF: i32 = 9;
export const ECHILD: i32 = 10;
export const EAGAIN: i32 = 11;
export const ENOMEM: i32 = 12;
export const EACCES: i32 = 13;
export const EFAULT: i32 = 14;
export const ENOTBLK: i32 = 15;
export const EBUSY: i32 = 16;
export const EEXIST: i32 = 17;
export const EXDEV: i32 = 18;
export const ENODEV: i32 = 19;
export const ENOTDIR: i32 = 20;
export const EISDIR: i32 = 21;
export const EINVAL: i32 = 22;
export const ENFILE: i32 = 23;
export const EMFILE: i32 = 24;
export const ENOTTY: i32 = 25;
export const ETXTBSY: i32 = 26;
export const EFBIG: i32 = 27;
export const ENOSPC: i32 = 28;
export const ESPIPE: i32 = 29;
export const EROFS: i32 = 30;
export const EMLINK: i32 = 31;
export const EPIPE: i32 = 32;
export const ERANGE: i32 = 34;
export const EDEADLK: i32 = 35;
export const ENAMETOOLONG: i32 = 36;
export const ENOSYS: i32 = 38;
export const ENOTEMPTY: i32 = 39;
export const ELOOP: i32 = 40;
export const ENODATA: i32 = 61;
export const EOVERFLOW: i32 = 75;
export const EOPNOTSUPP: i32 = 95;
export const ETIMEDOUT: i32 = 110;
export const ESTALE: i32 = 116;
export const EDQUOT: i32 = 122;

/** Linux's MAX_ERRNO: an address at or above -4095 is an errno. */
const ERR_PTR_MIN: u32 = 0xffff_f001;

/** An errno (negative) in the place of an address. */
export function errPtr(errno: i32): usize {
  assert(errno < 0 && errno >= -4095, "an ERR_PTR carries an errno");
  return <usize>(<u32>errno);
}

export function isErr(pointer: usize): bool {
  return <u32>pointer >= ERR_PTR_MIN;
}

/** The errno (negative) that an ERR_PTR carries. */
export function ptrErr(pointer: usize): i32 {
  assert(isErr(pointer), "an ERR_PTR carries an errno");
  return <i32>(<u32>pointer);
}
