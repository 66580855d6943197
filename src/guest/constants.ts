/**
 * Linux's numbers for guests: system calls (riscv64), flags (asm-generic), errnos, signals.
 */

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x1;
export const MAP_PRIVATE = 0x2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_LOCKED = 0x2000;
export const MAP_POPULATE = 0x8000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;

export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4;
export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const FALLOC_FL_INSERT_RANGE = 0x20;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const FICLONE = 0x40049409;
export const FICLONERANGE = 0x4020940d;
/** BTRFS_IOC_SNAP_CREATE. */
export const SNAP_CREATE = 0x50009401;
export const FIFREEZE = 0xc0045877;
export const FITHAW = 0xc0045878;
/** XFS_IOC_GOINGDOWN: a forced shutdown. */
export const FS_IOC_SHUTDOWN = 0x8004587d;
export const WNOHANG = 1;
export const RUSAGE_SELF = 0;
export const RUSAGE_THREAD = 1;

export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_THREAD = 0x10000;

export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGCHLD = 17;

/** System call numbers of riscv64. */
export const SYS = {
  dup: 23,
  dup3: 24,
  ioctl: 29,
  mkdirat: 34,
  unlinkat: 35,
  symlinkat: 36,
  linkat: 37,
  umount2: 39,
  mount: 40,
  statfs: 43,
  fstatfs: 44,
  truncate: 45,
  ftruncate: 46,
  fallocate: 47,
  fchmod: 52,
  fchmodat: 53,
  openat: 56,
  close: 57,
  getdents64: 61,
  lseek: 62,
  read: 63,
  write: 64,
  pread64: 67,
  pwrite64: 68,
  readlinkat: 78,
  newfstatat: 79,
  fstat: 80,
  sync: 81,
  fsync: 82,
  fdatasync: 83,
  utimensat: 88,
  exit: 93,
  exit_group: 94,
  nanosleep: 101,
  sched_setaffinity: 122,
  sched_yield: 124,
  kill: 129,
  tgkill: 131,
  getrusage: 165,
  getpid: 172,
  getppid: 173,
  gettid: 178,
  brk: 214,
  munmap: 215,
  mremap: 216,
  clone: 220,
  mmap: 222,
  swapon: 224,
  swapoff: 225,
  mprotect: 226,
  msync: 227,
  mlock: 228,
  munlock: 229,
  mlockall: 230,
  munlockall: 231,
  mincore: 232,
  madvise: 233,
  wait4: 260,
  syncfs: 267,
  process_vm_readv: 270,
  process_vm_writev: 271,
  renameat2: 276,
  copy_file_range: 285,
} as const;

/** Pseudo operations (assembly/kernel/mailbox.ts). */
export const OP = {
  nop: 0x10000,
  touch: 0x10001,
  store: 0x10002,
  load: 0x10003,
  touchRandom: 0x10004,
  compute: 0x10005,
  gettime: 0x10006,
  procRead: 0x10007,
  barrier: 0x10008,
  record: 0x10009,
  io: 0x1000a,
  mkfs: 0x1000b,
  fsck: 0x1000c,
  procMemRead: 0x1000d,
  procMemWrite: 0x1000e,
} as const;

/** Op.flags: a fault's signal is a result. */
export const OP_FLAG_CATCH = 1;

export const ENOSPC = 28;
export const EOPNOTSUPP = 95;

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  24: "EMFILE",
  25: "ENOTTY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  31: "EMLINK",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  110: "ETIMEDOUT",
};

/** Linux's name of an errno (positive or negative). */
export function errnoName(errno: number): string {
  return ERRNO_NAMES[Math.abs(errno)] ?? `errno ${Math.abs(errno)}`;
}
