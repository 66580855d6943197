/**
 * Linux's system calls for scripted guests: `const at = yield* sys.mmap(0, len, PROT_READ, MAP_SHARED, fd, 0)`.
 *
 * Every call returns Linux's value, or -errno; `must` turns the latter into an exception of the guest. Addresses and lengths
 * are numbers, or bigints where 64 bits matter. A string or byte array goes through the task's operation buffer, which is
 * memory of the kernel's: passing it faults nothing in. A number in its place is an address of the guest's own memory.
 */
import type { GuestContext, GuestFn, GuestGenerator, Op, OpResult } from "../host/guests.js";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VM,
  FICLONERANGE,
  OP,
  SIGCHLD,
  SNAP_CREATE,
  SYS,
  errnoName,
} from "./constants.js";

/** A guest's operation: `yield*` it for its value. */
export type Call<T = number> = Generator<Op, T, OpResult>;
/** An address or length. */
export type Word = number | bigint;

/** Bytes that one operation carries: the size of the operation buffer. */
export const OP_BUFFER_BYTES = 4096;
const encoder = new TextEncoder();

/** A system call of a guest failed where the guest could not go on. */
export class GuestError extends Error {
  constructor(
    readonly call: string,
    readonly errno: number,
  ) {
    super(`${call}: ${errnoName(errno)}`);
    this.name = "GuestError";
  }
}

/** Passes a result on; throws GuestError when it is -errno. */
export function must(value: number, call = "system call"): number {
  if (value < 0 && value > -4096) throw new GuestError(call, -value);
  return value;
}

function* call(nr: number, ...args: Word[]): Call {
  return (yield { nr, args }).ret;
}

function cString(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}

/** A call whose argument `index` is the operation buffer, filled with `data`. */
function* withBuffer(nr: number, args: Word[], index: number, data?: Uint8Array, readBack = 0): Call<OpResult> {
  const op: Op = { nr, args, bufferArgs: [index], readBack };
  if (data) op.data = data;
  return yield op;
}

function* transfer(nr: number, fd: number, source: Word | Uint8Array, count: number, pos: Word[]): Call {
  if (!(source instanceof Uint8Array)) return yield* call(nr, fd, source, count, ...pos);
  let done = 0;
  while (done < source.length || done === 0) {
    const chunk = source.subarray(done, done + OP_BUFFER_BYTES);
    const at = pos.length > 0 ? [Number(pos[0]) + done] : [];
    const { ret } = yield* withBuffer(nr, [fd, 0, chunk.length, ...at], 1, chunk);
    if (ret < 0) return done > 0 ? done : ret;
    done += ret;
    if (ret < chunk.length || chunk.length === 0) break;
  }
  return done;
}

function* fetch(nr: number, fd: number, count: number, pos: number | undefined): Call<Uint8Array | number> {
  const parts: Uint8Array[] = [];
  let done = 0;
  // A read of nothing asks the kernel as well: the number may be bad.
  do {
    const want = Math.min(OP_BUFFER_BYTES, count - done);
    const at = pos === undefined ? [] : [pos + done];
    const { ret, data } = yield* withBuffer(nr, [fd, 0, want, ...at], 1, undefined, want);
    if (ret < 0) return done > 0 ? join(parts, done) : ret;
    if (data) parts.push(data.subarray(0, ret));
    done += ret;
    if (ret < want) break;
  } while (done < count);
  return join(parts, done);
}

function join(parts: Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A range of a process's memory: struct iovec. */
export interface IoVec {
  base: Word;
  /** Bytes. */
  len: Word;
}

/** The iovecs travel in the operation buffer: 256 of both kinds together. */
function* processVm(nr: number, pid: number, local: readonly IoVec[], remote: readonly IoVec[], flags: number): Call {
  const data = new Uint8Array(16 * (local.length + remote.length));
  const view = new DataView(data.buffer);
  [...local, ...remote].forEach(({ base, len }, i) => {
    view.setBigUint64(16 * i, BigInt.asUintN(64, BigInt(base)), true);
    view.setBigUint64(16 * i + 8, BigInt.asUintN(64, BigInt(len)), true);
  });
  return (yield { nr, args: [pid, 0, local.length, 16 * local.length, remote.length, flags], bufferArgs: [1, 3], data }).ret;
}

/** A directory entry as getdents64 gives it. */
export interface DirectoryEntry {
  ino: number;
  type: "directory" | "file" | "symlink";
  name: string;
}

/** DT_* of linux_dirent64. */
const ENTRY_TYPES: Readonly<Record<number, DirectoryEntry["type"]>> = { 4: "directory", 8: "file", 10: "symlink" };

function decodeEntries(data: Uint8Array, length: number): DirectoryEntry[] {
  const view = new DataView(data.buffer, data.byteOffset, length);
  const entries: DirectoryEntry[] = [];
  for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
    let end = at + 19;
    while (data[end] !== 0) end++;
    const type = ENTRY_TYPES[data[at + 18] ?? 0] ?? "file";
    entries.push({ ino: view.getUint32(at, true), type, name: new TextDecoder().decode(data.subarray(at + 19, end)) });
  }
  return entries;
}

/** What stat reports; times in ns of simulated time, blocks of 512 bytes. */
export interface Stat {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
}

const STAT_BYTES = 128;

function decodeStat(data: Uint8Array): Stat {
  const view = new DataView(data.buffer, data.byteOffset);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  const timeNs = (at: number): number => u64(at) * 1e9 + u64(at + 8);
  return {
    dev: u64(0),
    ino: u64(8),
    mode: view.getUint32(16, true),
    nlink: view.getUint32(20, true),
    size: u64(48),
    blksize: view.getUint32(56, true),
    blocks: u64(64),
    atimeNs: timeNs(72),
    mtimeNs: timeNs(88),
    ctimeNs: timeNs(104),
  };
}

/** What statfs reports; blocks of `bsize` bytes. */
export interface StatFs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  namelen: number;
}

const STATFS_BYTES = 120;

function decodeStatFs(data: Uint8Array): StatFs {
  const view = new DataView(data.buffer, data.byteOffset);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  return {
    type: u64(0),
    bsize: u64(8),
    blocks: u64(16),
    bfree: u64(24),
    bavail: u64(32),
    files: u64(40),
    ffree: u64(48),
    namelen: u64(64),
  };
}

/** Two strings in one operation buffer: the data, and where the second one starts. */
function twoStrings(first: string, second: string): { data: Uint8Array; second: number } {
  const a = cString(first);
  const b = cString(second);
  const data = new Uint8Array(a.length + b.length);
  data.set(a);
  data.set(b, a.length);
  return { data, second: a.length };
}

function* statAt(path: string, flags: number): Call<Stat | number> {
  const text = cString(path);
  const at = 2048;
  const op: Op = { nr: SYS.newfstatat, args: [AT_FDCWD, 0, at, flags], bufferArgs: [1, 2], data: text, readBack: at + STAT_BYTES };
  const { ret, data } = yield op;
  return ret < 0 || !data ? ret : decodeStat(data.subarray(at));
}

/** What getrusage reports. */
export interface Rusage {
  /** CPU time, to the microsecond. */
  utimeNs: number;
  minflt: number;
  majflt: number;
  /** Context switches: waited for something, was preempted. */
  nvcsw: number;
  nivcsw: number;
}

const THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

export const sys = {
  mmap: (addr: Word, len: Word, prot: number, flags: number, fd = -1, offset: Word = 0): Call =>
    call(SYS.mmap, addr, len, prot, flags, fd, offset),
  munmap: (addr: Word, len: Word): Call => call(SYS.munmap, addr, len),
  mprotect: (addr: Word, len: Word, prot: number): Call => call(SYS.mprotect, addr, len, prot),
  mremap: (addr: Word, oldLen: Word, newLen: Word, flags: number, newAddr: Word = 0): Call =>
    call(SYS.mremap, addr, oldLen, newLen, flags, newAddr),
  madvise: (addr: Word, len: Word, advice: number): Call => call(SYS.madvise, addr, len, advice),
  msync: (addr: Word, len: Word, flags: number): Call => call(SYS.msync, addr, len, flags),
  mlock: (addr: Word, len: Word): Call => call(SYS.mlock, addr, len),
  munlock: (addr: Word, len: Word): Call => call(SYS.munlock, addr, len),
  mlockall: (flags: number): Call => call(SYS.mlockall, flags),
  munlockall: (): Call => call(SYS.munlockall),
  brk: (addr: Word): Call => call(SYS.brk, addr),
  /** One byte a page, 1 for a page in memory; -errno. At most 4096 pages. */
  *mincore(addr: Word, len: number): Call<Uint8Array | number> {
    const pages = Math.ceil(len / 4096);
    const { ret, data } = yield* withBuffer(SYS.mincore, [addr, len, 0], 2, undefined, pages);
    return ret < 0 || !data ? ret : data;
  },

  *open(path: string, flags: number, mode = 0o644): Call {
    return (yield* withBuffer(SYS.openat, [AT_FDCWD, 0, flags, mode], 1, cString(path))).ret;
  },
  close: (fd: number): Call => call(SYS.close, fd),
  /** Reads into a new array; -errno on failure. */
  read: (fd: number, count: number): Call<Uint8Array | number> => fetch(SYS.read, fd, count, undefined),
  pread: (fd: number, count: number, offset: number): Call<Uint8Array | number> => fetch(SYS.pread64, fd, count, offset),
  /** Reads into guest memory: the kernel faults the destination in. */
  readTo: (fd: number, addr: Word, count: number): Call => call(SYS.read, fd, addr, count),
  preadTo: (fd: number, addr: Word, count: number, offset: Word): Call => call(SYS.pread64, fd, addr, count, offset),
  write: (fd: number, data: Uint8Array): Call => transfer(SYS.write, fd, data, data.length, []),
  pwrite: (fd: number, data: Uint8Array, offset: number): Call => transfer(SYS.pwrite64, fd, data, data.length, [offset]),
  /** Writes from guest memory. */
  writeFrom: (fd: number, addr: Word, count: number): Call => call(SYS.write, fd, addr, count),
  pwriteFrom: (fd: number, addr: Word, count: number, offset: Word): Call => call(SYS.pwrite64, fd, addr, count, offset),
  lseek: (fd: number, offset: Word, whence: number): Call => call(SYS.lseek, fd, offset, whence),
  ftruncate: (fd: number, len: Word): Call => call(SYS.ftruncate, fd, len),
  fallocate: (fd: number, mode: number, offset: Word, len: Word): Call => call(SYS.fallocate, fd, mode, offset, len),
  fsync: (fd: number): Call => call(SYS.fsync, fd),
  fdatasync: (fd: number): Call => call(SYS.fdatasync, fd),
  dup: (fd: number): Call => call(SYS.dup, fd),
  dup3: (fd: number, newFd: number, flags = 0): Call => call(SYS.dup3, fd, newFd, flags),
  *unlink(path: string): Call {
    return (yield* withBuffer(SYS.unlinkat, [AT_FDCWD, 0, 0], 1, cString(path))).ret;
  },
  *rmdir(path: string): Call {
    return (yield* withBuffer(SYS.unlinkat, [AT_FDCWD, 0, AT_REMOVEDIR], 1, cString(path))).ret;
  },
  *mkdir(path: string, mode = 0o755): Call {
    return (yield* withBuffer(SYS.mkdirat, [AT_FDCWD, 0, mode], 1, cString(path))).ret;
  },
  *rename(from: string, to: string, flags = 0): Call {
    const { data, second } = twoStrings(from, to);
    return (yield { nr: SYS.renameat2, args: [AT_FDCWD, 0, AT_FDCWD, second, flags], bufferArgs: [1, 3], data }).ret;
  },
  *link(from: string, to: string, flags = 0): Call {
    const { data, second } = twoStrings(from, to);
    return (yield { nr: SYS.linkat, args: [AT_FDCWD, 0, AT_FDCWD, second, flags], bufferArgs: [1, 3], data }).ret;
  },
  *symlink(target: string, path: string): Call {
    const { data, second } = twoStrings(target, path);
    return (yield { nr: SYS.symlinkat, args: [0, AT_FDCWD, second], bufferArgs: [0, 2], data }).ret;
  },
  /** The target of a symbolic link; -errno on failure. */
  *readlink(path: string, count = OP_BUFFER_BYTES): Call<string | number> {
    const data = cString(path);
    // The answer goes over the path: the kernel has copied it by then.
    const op: Op = { nr: SYS.readlinkat, args: [AT_FDCWD, 0, 0, count], bufferArgs: [1, 2], data, readBack: OP_BUFFER_BYTES };
    const result = yield op;
    return result.ret < 0 || !result.data ? result.ret : new TextDecoder().decode(result.data.subarray(0, result.ret));
  },
  /** mkfs: an empty filesystem of a type on the disk, or on its part that `start=` and `blocks=` name (4 KiB blocks). */
  *mkfs(type: string, options = ""): Call {
    const { data, second } = twoStrings(type, options);
    return (yield { nr: OP.mkfs, args: [0, second], bufferArgs: [0, 1], data }).ret;
  },
  /** Checks a filesystem that is not mounted: 0 clean, else the number of the first broken law (fs/cowfs/fsck.ts), or -errno. */
  *fsck(type: string, options = ""): Call {
    const { data, second } = twoStrings(type, options);
    return (yield { nr: OP.fsck, args: [0, second], bufferArgs: [0, 1], data }).ret;
  },
  /** mount(2) of a type on a directory, with the filesystem's options. */
  *mount(type: string, path: string, options = ""): Call {
    const { data, second } = twoStrings(type, path);
    const all = new Uint8Array(data.length + options.length + 1);
    all.set(data);
    all.set(cString(options), data.length);
    return (yield { nr: SYS.mount, args: [0, second, 0, 0, data.length], bufferArgs: [1, 2, 4], data: all }).ret;
  },
  *umount(path: string, flags = 0): Call {
    return (yield* withBuffer(SYS.umount2, [0, flags], 0, cString(path))).ret;
  },
  *truncate(path: string, len: Word): Call {
    return (yield* withBuffer(SYS.truncate, [0, len], 0, cString(path))).ret;
  },
  /** Nothing of the file becomes writable through a mapping from then on. No page is ever swapped to it. */
  *swapon(path: string): Call {
    return (yield* withBuffer(SYS.swapon, [0, 0], 0, cString(path))).ret;
  },
  *swapoff(path: string): Call {
    return (yield* withBuffer(SYS.swapoff, [0], 0, cString(path))).ret;
  },
  fchmod: (fd: number, mode: number): Call => call(SYS.fchmod, fd, mode),
  *chmod(path: string, mode: number): Call {
    return (yield* withBuffer(SYS.fchmodat, [AT_FDCWD, 0, mode], 1, cString(path))).ret;
  },
  /** Sets atime and mtime, ns. */
  *utimes(path: string, atimeNs: number, mtimeNs: number): Call {
    const data = new Uint8Array(32 + path.length * 3 + 1);
    const view = new DataView(data.buffer);
    [atimeNs, mtimeNs].forEach((ns, i) => {
      view.setBigUint64(16 * i, BigInt(Math.floor(ns / 1e9)), true);
      view.setBigUint64(16 * i + 8, BigInt(ns % 1e9), true);
    });
    data.set(cString(path), 32);
    return (yield { nr: SYS.utimensat, args: [AT_FDCWD, 32, 0, 0], bufferArgs: [1, 2], data }).ret;
  },
  sync: (): Call => call(SYS.sync),
  syncfs: (fd: number): Call => call(SYS.syncfs, fd),
  ioctl: (fd: number, cmd: number, arg: Word = 0): Call => call(SYS.ioctl, fd, cmd, arg),
  /** ioctl FICLONERANGE: the target shares the source's blocks. */
  *cloneRange(source: number, sourceAt: number, len: number, target: number, targetAt: number): Call {
    const data = new Uint8Array(32);
    const view = new DataView(data.buffer);
    [source, sourceAt, len, targetAt].forEach((value, i) => view.setBigUint64(8 * i, BigInt(value), true));
    return (yield* withBuffer(SYS.ioctl, [target, FICLONERANGE, 0], 2, data)).ret;
  },
  /** ioctl BTRFS_IOC_SNAP_CREATE: a read-only snapshot of the whole filesystem, as an entry of the directory. */
  *snapshot(directory: number, name: string): Call {
    const text = cString(name);
    const data = new Uint8Array(Math.max(8 + 256, 8 + text.length));
    data.set(text, 8);
    return (yield* withBuffer(SYS.ioctl, [directory, SNAP_CREATE, 0], 2, data)).ret;
  },
  /** Copies from one file to the other at given offsets. */
  *copyFileRange(source: number, sourceAt: number, target: number, targetAt: number, len: number): Call {
    const data = new Uint8Array(16);
    const view = new DataView(data.buffer);
    view.setBigUint64(0, BigInt(sourceAt), true);
    view.setBigUint64(8, BigInt(targetAt), true);
    return (yield { nr: SYS.copy_file_range, args: [source, 0, target, 8, len, 0], bufferArgs: [1, 3], data }).ret;
  },
  /** All entries from the position on, "." and ".." included; -errno on failure. */
  *getdents(fd: number): Call<DirectoryEntry[] | number> {
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const { ret, data } = yield* withBuffer(SYS.getdents64, [fd, 0, OP_BUFFER_BYTES], 1, undefined, OP_BUFFER_BYTES);
      if (ret < 0) return ret;
      if (ret === 0 || !data) return entries;
      entries.push(...decodeEntries(data, ret));
    }
  },
  *fstat(fd: number): Call<Stat | number> {
    const { ret, data } = yield* withBuffer(SYS.fstat, [fd, 0], 1, undefined, STAT_BYTES);
    return ret < 0 || !data ? ret : decodeStat(data);
  },
  /** stat and lstat of a path of less than 2048 bytes. */
  stat: (path: string): Call<Stat | number> => statAt(path, 0),
  lstat: (path: string): Call<Stat | number> => statAt(path, AT_SYMLINK_NOFOLLOW),
  *statfs(path: string): Call<StatFs | number> {
    const data = cString(path);
    // As readlink: the answer goes over the path.
    const result = yield { nr: SYS.statfs, args: [0, 0], bufferArgs: [0, 1], data, readBack: STATFS_BYTES };
    return result.ret < 0 || !result.data ? result.ret : decodeStatFs(result.data);
  },

  /** What the process (RUSAGE_SELF) or the thread (RUSAGE_THREAD) has used; -errno on failure. All CPU time is in utime. */
  *getrusage(who: number): Call<Rusage | number> {
    const { ret, data } = yield* withBuffer(SYS.getrusage, [who, 0], 1, undefined, 144);
    if (ret < 0 || !data) return ret;
    const view = new DataView(data.buffer, data.byteOffset);
    const at = (offset: number): number => Number(view.getBigInt64(offset, true));
    return { utimeNs: at(0) * 1e9 + at(8) * 1000, minflt: at(64), majflt: at(72), nvcsw: at(128), nivcsw: at(136) };
  },
  getpid: (): Call => call(SYS.getpid),
  getppid: (): Call => call(SYS.getppid),
  gettid: (): Call => call(SYS.gettid),
  schedYield: (): Call => call(SYS.sched_yield),
  kill: (pid: number, signal: number): Call => call(SYS.kill, pid, signal),
  tgkill: (tgid: number, tid: number, signal: number): Call => call(SYS.tgkill, tgid, tid, signal),
  *nanosleep(ns: number): Call {
    const data = new Uint8Array(16);
    const view = new DataView(data.buffer);
    view.setBigInt64(0, BigInt(Math.floor(ns / 1e9)), true);
    view.setBigInt64(8, BigInt(ns % 1e9), true);
    return (yield* withBuffer(SYS.nanosleep, [0, 0], 0, data)).ret;
  },
  /** Binds the calling thread to one CPU. */
  *pin(cpu: number): Call {
    const mask = new Uint8Array(16);
    mask[cpu >> 3] = 1 << (cpu & 7);
    return (yield* withBuffer(SYS.sched_setaffinity, [0, 16, 0], 2, mask)).ret;
  },
  /** fork: a copy of the process whose one thread runs `child`. Returns its pid. */
  *fork(child: GuestFn): Call {
    return (yield { nr: SYS.clone, args: [SIGCHLD], child }).ret;
  },
  /** clone with any flags. */
  *clone(child: GuestFn, flags: number): Call {
    return (yield { nr: SYS.clone, args: [flags], child }).ret;
  },
  /** A thread of this process, as pthread_create makes it. Returns its tid. */
  *thread(child: GuestFn): Call {
    return (yield { nr: SYS.clone, args: [THREAD], child }).ret;
  },
  /** Waits for a child (pid, or any with -1). Returns its pid and wait status, or -errno as pid. */
  *wait(pid = -1, options = 0): Call<{ pid: number; status: number }> {
    const { ret, bytes } = yield { nr: SYS.wait4, args: [pid, 0, options] };
    return { pid: ret, status: ret > 0 ? bytes : 0 };
  },
  /** Copies from the memory of process `pid` into this one's. Returns bytes, or -errno when none were copied. */
  processVmReadv: (pid: number, local: readonly IoVec[], remote: readonly IoVec[], flags = 0): Call =>
    processVm(SYS.process_vm_readv, pid, local, remote, flags),
  /** Copies from this process's memory into that of process `pid`. */
  processVmWritev: (pid: number, local: readonly IoVec[], remote: readonly IoVec[], flags = 0): Call =>
    processVm(SYS.process_vm_writev, pid, local, remote, flags),
  exit: (code: number): Call => call(SYS.exit, code),
  exitGroup: (code: number): Call => call(SYS.exit_group, code),
  /** Any system call by number: for what has no name here, and for bad input. */
  raw: (nr: number, ...args: Word[]): Call => call(nr, ...args),
};

/** Waits for every child. Returns their wait statuses by pid. */
export function* waitAll(): Call<Map<number, number>> {
  const statuses = new Map<number, number>();
  for (;;) {
    const { pid, status } = yield* sys.wait();
    if (pid < 0) return statuses;
    statuses.set(pid, status);
  }
}

export type { GuestContext, GuestFn, GuestGenerator };
