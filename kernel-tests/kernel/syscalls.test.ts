/*
 * The system-call table: Linux's riscv64 numbers, ENOSYS for all others, each counted.
 *
 * Checks: [sys-1] [guest-2].
 */
import { describe, expect, it } from "vitest";
import { SYS, sys } from "../../src/node.js";
import { E, runGuest } from "../test-machine.js";

/** The kernel's own list, from Linux's include/uapi/asm-generic/unistd.h; written out here so that a slip in SYS shows. */
const LINUX: Record<string, number> = {
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
  getpid: 172,
  getppid: 173,
  getrusage: 165,
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
};

describe("numbers", () => {
  it("are Linux's", () => {
    expect(SYS).toEqual(LINUX);
  });

  it("that are in the table are carried out, all others are ENOSYS, counted and named", () => {
    runGuest(function* (t) {
      // exit ends the guest; clone needs a function for its child.
      const skipped = new Set([SYS.exit, SYS.exit_group, SYS.clone]);
      const known = new Set<number>(Object.values(SYS));
      const answered: number[] = [];
      let unknown = 0;
      for (let nr = 0; nr < 600; nr++) {
        if (skipped.has(nr as never)) continue;
        const before = t.stat("unknown_syscalls");
        const result = yield* sys.raw(nr);
        if (result === -E.NOSYS) {
          unknown++;
          expect(t.stat("unknown_syscalls")).toBe(before + 1);
          expect(t.stat("last_unknown_syscall")).toBe(nr);
        } else answered.push(nr);
      }
      expect(answered).toEqual([...known].filter((nr) => !skipped.has(nr as never)).sort((a, b) => a - b));
      expect(unknown).toBe(600 - known.size);
      return 0;
    });
  });

  it.each([-2, 0x7fff_ffff, 0xffff_ffff, 512, 511])("%i is ENOSYS", (nr) => {
    runGuest(function* () {
      expect(yield* sys.raw(nr, 1, 2, 3, 4, 5)).toBe(-E.NOSYS);
      return 0;
    });
  });

  it("every call is one enter and one exit in the trace, with its number and its result", () => {
    runGuest(function* (t) {
      const { counts } = yield* t.measure(sys.munmap(4096, 4096));
      expect(counts).toMatchObject({ syscalls: 1, "raw_syscalls:sys_enter": 1, "raw_syscalls:sys_exit": 1 });
      const [enter, exit] = t.machine
        .trace()
        .filter((event) => event.name.startsWith("raw_syscalls:"))
        .slice(-2);
      expect([enter?.a, exit?.a]).toEqual([BigInt(SYS.munmap), BigInt(SYS.munmap)]);
      expect(exit?.b).toBe(0n);
      return 0;
    });
  });
});
