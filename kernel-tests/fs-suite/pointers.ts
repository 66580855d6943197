/*
 * Bad addresses: every call that takes one says EFAULT, or counts the bytes that moved before it. Checks [ua-1] [rw-2] [scr-1].
 */
import { AT_FDCWD, FICLONERANGE, MAP_ANONYMOUS, MAP_PRIVATE, O_CREAT, O_RDWR, SYS, sys } from "../../src/node.js";
import type { Call, Word } from "../../src/guest/index.js";
import { E, PAGE, RW, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, pattern, rows, save } from "./mounted.js";

/** Below mmap_min_addr, outside of user memory, the kernel's half, and kernel memory that is not the task's buffer. */
const BAD: readonly Word[] = [8, 2 ** 47, 2n ** 63n, 0xffff_8000_0000_1000n];

/** A call with a bad address in one of its places, and good text in the operation buffer. */
function bad(name: string, nr: number, args: (address: Word, fd: number) => Word[], buffers: readonly number[] = []): Case {
  return [
    name,
    function* () {
      yield* save(`${MNT}/f`, "content");
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
      const results = new Set<number>();
      for (const address of BAD) {
        const data = new TextEncoder().encode(`${MNT}/f\0`);
        results.add((yield { nr, args: args(address, fd), bufferArgs: buffers, data }).ret);
      }
      return [...results];
    },
    [-E.FAULT],
  ];
}

const paths: Case[] = [
  bad("openat", SYS.openat, (at) => [AT_FDCWD, at, O_RDWR, 0]),
  bad("mkdirat", SYS.mkdirat, (at) => [AT_FDCWD, at, 0]),
  bad("unlinkat", SYS.unlinkat, (at) => [AT_FDCWD, at, 0]),
  bad("symlinkat, target", SYS.symlinkat, (at) => [at, AT_FDCWD, 0], [2]),
  bad("symlinkat, path", SYS.symlinkat, (at) => [0, AT_FDCWD, at], [0]),
  bad("linkat, from", SYS.linkat, (at) => [AT_FDCWD, at, AT_FDCWD, 0, 0], [3]),
  bad("linkat, to", SYS.linkat, (at) => [AT_FDCWD, 0, AT_FDCWD, at, 0], [1]),
  bad("renameat2, from", SYS.renameat2, (at) => [AT_FDCWD, at, AT_FDCWD, 0, 0], [3]),
  bad("renameat2, to", SYS.renameat2, (at) => [AT_FDCWD, 0, AT_FDCWD, at, 0], [1]),
  bad("truncate", SYS.truncate, (at) => [at, 0]),
  bad("newfstatat, path", SYS.newfstatat, (at) => [AT_FDCWD, at, 0, 0], [2]),
  bad("readlinkat, path", SYS.readlinkat, (at) => [AT_FDCWD, at, 0, 10], [2]),
  bad("statfs, path", SYS.statfs, (at) => [at, 0], [1]),
  bad("fchmodat", SYS.fchmodat, (at) => [AT_FDCWD, at, 0]),
  bad("mount, type", SYS.mount, (at) => [0, 0, at, 0, 0], [1]),
  bad("mount, target", SYS.mount, (at) => [0, at, 0, 0, 0], [2]),
  bad("umount2", SYS.umount2, (at) => [at, 0]),
];

const answers: Case[] = [
  bad("read", SYS.read, (at, fd) => [fd, at, 3]),
  bad("pread64", SYS.pread64, (at, fd) => [fd, at, 3, 0]),
  bad("write", SYS.write, (at, fd) => [fd, at, 3]),
  bad("pwrite64", SYS.pwrite64, (at, fd) => [fd, at, 3, 0]),
  bad("fstat", SYS.fstat, (at, fd) => [fd, at]),
  bad("newfstatat, buffer", SYS.newfstatat, (at) => [AT_FDCWD, 0, at, 0], [1]),
  bad("statfs, buffer", SYS.statfs, (at) => [0, at], [0]),
  bad("fstatfs", SYS.fstatfs, (at, fd) => [fd, at]),
  bad("utimensat, times", SYS.utimensat, (at) => [AT_FDCWD, 0, at, 0], [1]),
  bad("copy_file_range, in", SYS.copy_file_range, (at, fd) => [fd, at, fd, 0, 1, 0]),
  bad("copy_file_range, out", SYS.copy_file_range, (at, fd) => [fd, 0, fd, at, 1, 0]),
  bad("ioctl FICLONERANGE", SYS.ioctl, (at, fd) => [fd, FICLONERANGE, at]),
];

/** A page of memory with nothing behind it, and a file of three pages. */
function* edge(body: (fd: number, at: number) => Call<unknown>): Call<unknown> {
  yield* save(`${MNT}/f`, pattern(3 * PAGE));
  const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
  const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS));
  must(yield* sys.munmap(at + PAGE, PAGE));
  return yield* body(fd, at);
}

const edges: Case[] = [
  ["read up to the end of memory", () => edge((fd, at) => sys.preadTo(fd, at, 3 * PAGE, 0)), PAGE],
  ["read that starts inside the last page", () => edge((fd, at) => sys.preadTo(fd, at + PAGE - 10, PAGE, 0)), 10],
  ["write up to the end of memory", () => edge((fd, at) => sys.pwriteFrom(fd, at, 3 * PAGE, 0)), PAGE],
  ["write of which no byte is there", () => edge((fd, at) => sys.pwriteFrom(fd, at + PAGE, PAGE, 0)), -E.FAULT],
  [
    "getdents64",
    () =>
      edge(function* (_fd, at) {
        return yield* sys.raw(SYS.getdents64, must(yield* sys.open(MNT, 0)), at + PAGE, 4096);
      }),
    -E.FAULT,
  ],
];

export function pointerTests(spec: FilesystemSpec): void {
  rows("bad addresses of paths", spec, paths);
  rows("bad addresses of data", spec, answers);
  rows("the edge of memory", spec, edges);
}
