/*
 * The file system calls, one row a state and an operation: values and errnos as Linux gives them. Each row is also put to the
 * oracle, so that the oracle itself is held to Linux's words.
 *
 * Checks: [nm-1] [fd-1] [file-1] [dent-1].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_NOREPLACE,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  mem,
  sys,
} from "../../src/node.js";
import { MAX_FDS, ModelFs } from "../oracle/model-fs.js";
import { E, PAGE, TestMachine, must, runGuest } from "../test-machine.js";
import { type Answer, type FsCall, onMachine, onModel } from "./calls.js";

/** Before every row: /d/sub (empty), /d/f of 5 bytes "hello" (fd 0, read-write), /e (empty directory, fd 1). */
const SETUP: FsCall[] = [
  { op: "mkdir", path: "/d" },
  { op: "mkdir", path: "/d/sub" },
  { op: "mkdir", path: "/e" },
  { op: "open", path: "/d/f", flags: O_RDWR | O_CREAT },
  { op: "write", fd: 0, bytes: [104, 101, 108, 108, 111] },
  { op: "lseek", fd: 0, offset: 0, whence: SEEK_SET },
  { op: "open", path: "/e", flags: O_RDONLY },
];

type FsRow = readonly [name: string, calls: FsCall[], last: Answer];

const open = (path: string, flags: number): FsCall => ({ op: "open", path, flags });
const name = (op: "mkdir" | "unlink" | "rmdir", path: string): FsCall => ({ op, path });
const rename = (from: string, to: string, flags = 0): FsCall => ({ op: "rename", from, to, flags });
const on = (op: "close" | "dup" | "fsync" | "getdents" | "fstat", fd: number): FsCall => ({ op, fd });
const pwrite = (fd: number, bytes: number[], offset: number): FsCall => ({ op: "pwrite", fd, bytes, offset });
const pread = (fd: number, count: number, offset: number): FsCall => ({ op: "pread", fd, count, offset });
const seek = (fd: number, offset: number, whence = SEEK_SET): FsCall => ({ op: "lseek", fd, offset, whence });
const fallocate = (fd: number, mode: number, offset: number, length: number): FsCall => ({ op: "fallocate", fd, mode, offset, length });
const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const LONG = "n".repeat(256);

const OPEN: FsRow[] = [
  ["a file that is there", [open("/d/f", O_RDONLY)], 2],
  ["through . and ..", [open("/d/./sub/../../d/f", O_RDONLY)], 2],
  ["with slashes to spare", [open("//d///f", O_RDONLY)], 2],
  ["nothing there", [open("/d/x", O_RDONLY)], -E.NOENT],
  ["no path", [open("", O_RDONLY)], -E.NOENT],
  ["a directory that is not there", [open("/x/f", O_RDWR | O_CREAT)], -E.NOENT],
  ["a file in place of a directory", [open("/d/f/x", O_RDWR | O_CREAT)], -E.NOTDIR],
  ["a file with a slash behind it", [open("/d/f/", O_RDONLY)], -E.NOTDIR],
  ["a new file with a slash behind it", [open("/d/x/", O_RDWR | O_CREAT)], -E.ISDIR],
  ["a file to be made with a slash behind it", [open("/d/f/", O_RDWR | O_CREAT)], -E.ISDIR],
  ["O_DIRECTORY of a directory", [open("/d", O_RDONLY | O_DIRECTORY)], 2],
  ["O_DIRECTORY of a file", [open("/d/f", O_RDONLY | O_DIRECTORY)], -E.NOTDIR],
  ["O_CREAT with O_DIRECTORY", [open("/d/x", O_CREAT | O_DIRECTORY)], -E.INVAL],
  ["a directory for writing", [open("/d", O_RDWR)], -E.ISDIR],
  ["a directory with O_CREAT", [open("/d", O_RDONLY | O_CREAT)], -E.ISDIR],
  ["a directory with O_TRUNC", [open("/d", O_RDONLY | O_TRUNC)], -E.ISDIR],
  ["O_EXCL of what is there", [open("/d/f", O_RDWR | O_CREAT | O_EXCL)], -E.EXIST],
  ["O_EXCL of a directory", [open("/", O_RDWR | O_CREAT | O_EXCL)], -E.EXIST],
  ["O_EXCL of what is not", [open("/d/g", O_RDWR | O_CREAT | O_EXCL)], 2],
  ["O_TRUNC empties", [open("/d/f", O_WRONLY | O_TRUNC), on("fstat", 0)], { kind: "file", nlink: 1, size: 0 }],
  ["a component of 255", [open(`/${LONG.slice(1)}`, O_RDWR | O_CREAT)], 2],
  ["a component of 256", [open(`/${LONG}`, O_RDWR | O_CREAT)], -E.NAMETOOLONG],
  ["the lowest free number", [on("close", 0), open("/d/f", O_RDONLY)], 0],
];

const MOVE: FsRow[] = [
  [
    "read moves the position",
    [
      { op: "read", fd: 0, count: 2 },
      { op: "read", fd: 0, count: 9 },
    ],
    "bytes 108,108,111",
  ],
  ["read at the end", [seek(0, 5), { op: "read", fd: 0, count: 9 }], "bytes "],
  ["read far beyond the end", [pread(0, 9, 2 ** 40)], "bytes "],
  ["read of a directory", [{ op: "read", fd: 1, count: 9 }], -E.ISDIR],
  ["read of what is not open", [{ op: "read", fd: 77, count: 9 }], -E.BADF],
  ["read of a file opened for writing", [open("/d/f", O_WRONLY), { op: "read", fd: 2, count: 1 }], -E.BADF],
  ["write to a file opened for reading", [open("/d/f", O_RDONLY), { op: "write", fd: 2, bytes: [1] }], -E.BADF],
  ["write of nothing", [{ op: "write", fd: 0, bytes: [] }], 0],
  ["write moves the position", [{ op: "write", fd: 0, bytes: [1, 2] }, seek(0, 0, SEEK_CUR)], 2],
  ["pwrite does not", [pwrite(0, [1, 2], 3), seek(0, 0, SEEK_CUR)], 0],
  ["pread does not", [pread(0, 4, 1), seek(0, 0, SEEK_CUR)], 0],
  ["pread before the start", [pread(0, 4, -1)], -E.INVAL],
  ["pwrite before the start", [pwrite(0, [1], -1)], -E.INVAL],
  ["pwrite behind the end leaves zeros", [pwrite(0, [9], 8), pread(0, 9, 3)], "bytes 108,111,0,0,0,9"],
  ["pwrite over a page's end", [pwrite(0, [1, 2, 3, 4], PAGE - 2), pread(0, 6, PAGE - 3)], "bytes 0,1,2,3,4"],
  ["O_APPEND writes at the end", [open("/d/f", O_RDWR | O_APPEND), { op: "write", fd: 2, bytes: [7] }, seek(2, 0, SEEK_CUR)], 6],
  ["O_APPEND and pwrite: at the end, as in Linux", [open("/d/f", O_RDWR | O_APPEND), pwrite(2, [7], 0), pread(0, 9, 4)], "bytes 111,7"],
  ["seek behind the end and write", [seek(0, 7), { op: "write", fd: 0, bytes: [1] }, on("fstat", 0)], { kind: "file", nlink: 1, size: 8 }],
  ["seek from the end", [seek(0, -2, SEEK_END)], 3],
  ["seek before the start", [seek(0, -1)], -E.INVAL],
  ["seek before the start from the end", [seek(0, -6, SEEK_END)], -E.INVAL],
  ["seek with a whence that does not exist", [seek(0, 0, 9)], -E.INVAL],
  ["seek of what is not open", [seek(99, 0)], -E.BADF],
  ["dup shares the position", [on("dup", 0), { op: "read", fd: 2, count: 3 }, seek(0, 0, SEEK_CUR)], 3],
  ["dup survives its original", [on("dup", 0), on("close", 0), { op: "read", fd: 2, count: 1 }], "bytes 104"],
  ["dup of what is not open", [on("dup", 9)], -E.BADF],
  ["close twice", [on("close", 0), on("close", 0)], -E.BADF],
  ["close of a number too large", [on("close", 1e9)], -E.BADF],
];

const SIZE: FsRow[] = [
  ["ftruncate up", [{ op: "ftruncate", fd: 0, length: 7 }, pread(0, 9, 4)], "bytes 111,0,0"],
  [
    "ftruncate down and up: zeros",
    [{ op: "ftruncate", fd: 0, length: 1 }, { op: "ftruncate", fd: 0, length: 3 }, pread(0, 9, 0)],
    "bytes 104,0,0",
  ],
  ["ftruncate keeps the position", [seek(0, 5), { op: "ftruncate", fd: 0, length: 0 }, seek(0, 0, SEEK_CUR)], 5],
  ["ftruncate of a file opened for reading", [open("/d/f", O_RDONLY), { op: "ftruncate", fd: 2, length: 0 }], -E.INVAL],
  ["ftruncate of a directory", [{ op: "ftruncate", fd: 1, length: 0 }], -E.INVAL],
  ["ftruncate of what is not open", [{ op: "ftruncate", fd: 9, length: 0 }], -E.BADF],
  ["ftruncate below zero", [{ op: "ftruncate", fd: 0, length: -1 }], -E.INVAL],
  ["fallocate grows", [fallocate(0, 0, 4, 6), on("fstat", 0)], { kind: "file", nlink: 1, size: 10 }],
  ["fallocate keeps data", [fallocate(0, 0, 0, 9), pread(0, 9, 0)], "bytes 104,101,108,108,111,0,0,0,0"],
  ["fallocate with KEEP_SIZE", [fallocate(0, FALLOC_FL_KEEP_SIZE, 0, 3 * PAGE), on("fstat", 0)], { kind: "file", nlink: 1, size: 5 }],
  ["punch inside", [fallocate(0, PUNCH, 1, 3), pread(0, 9, 0)], "bytes 104,0,0,0,111"],
  ["punch behind the end", [fallocate(0, PUNCH, 100, 3 * PAGE), on("fstat", 0)], { kind: "file", nlink: 1, size: 5 }],
  ["punch without KEEP_SIZE", [fallocate(0, FALLOC_FL_PUNCH_HOLE, 0, 1)], -E.OPNOTSUPP],
  ["fallocate with a mode that does not exist", [fallocate(0, 0x100, 0, 1)], -E.OPNOTSUPP],
  ["fallocate of length 0", [fallocate(0, 0, 0, 0)], -E.INVAL],
  ["fallocate before the start", [fallocate(0, 0, -1, 5)], -E.INVAL],
  ["fallocate of a file opened for reading", [open("/d/f", O_RDONLY), fallocate(2, 0, 0, 1)], -E.BADF],
  ["fallocate of a directory", [fallocate(1, 0, 0, 1)], -E.BADF],
  ["fallocate of what is not open", [fallocate(9, 0, 0, 0)], -E.BADF],
  ["fsync of a file", [on("fsync", 0)], 0],
  ["fsync of a directory", [on("fsync", 1)], 0],
  ["fsync of what is not open", [on("fsync", 9)], -E.BADF],
];

const NAMES: FsRow[] = [
  ["mkdir of a new one", [name("mkdir", "/d/new"), open("/d", O_RDONLY), on("getdents", 2)], "f file; new directory; sub directory"],
  ["mkdir with a slash behind it", [name("mkdir", "/d/new/")], 0],
  ["mkdir of what is there", [name("mkdir", "/d/f")], -E.EXIST],
  ["mkdir of /", [name("mkdir", "/")], -E.EXIST],
  ["mkdir of .", [name("mkdir", "/d/.")], -E.EXIST],
  ["mkdir of ..", [name("mkdir", "/d/..")], -E.EXIST],
  ["mkdir in nothing", [name("mkdir", "/x/y")], -E.NOENT],
  ["mkdir in a file", [name("mkdir", "/d/f/y")], -E.NOTDIR],
  ["unlink of a file that is open: its data stays", [name("unlink", "/d/f"), pread(0, 9, 0)], "bytes 104,101,108,108,111"],
  ["unlink of a file that is open: no link", [name("unlink", "/d/f"), on("fstat", 0)], { kind: "file", nlink: 0, size: 5 }],
  ["unlink, then the name is free", [name("unlink", "/d/f"), open("/d/f", O_RDWR | O_CREAT | O_EXCL)], 2],
  ["unlink of a directory", [name("unlink", "/d/sub")], -E.ISDIR],
  ["unlink of a directory with a slash", [name("unlink", "/d/sub/")], -E.ISDIR],
  ["unlink of a file with a slash", [name("unlink", "/d/f/")], -E.NOTDIR],
  ["unlink of /", [name("unlink", "/")], -E.ISDIR],
  ["unlink of ..", [name("unlink", "/d/..")], -E.ISDIR],
  ["unlink of nothing", [name("unlink", "/d/x")], -E.NOENT],
  ["rmdir of an empty one", [name("rmdir", "/d/sub")], 0],
  ["rmdir of one that is open", [name("rmdir", "/e"), on("fstat", 1)], { kind: "directory", nlink: 0, size: -1 }],
  ["getdents of a removed directory", [name("rmdir", "/e"), on("getdents", 1)], -E.NOENT],
  ["rmdir of one with entries", [name("rmdir", "/d")], -E.NOTEMPTY],
  ["rmdir of a file", [name("rmdir", "/d/f")], -E.NOTDIR],
  ["rmdir of .", [name("rmdir", "/d/sub/.")], -E.INVAL],
  ["rmdir of ..", [name("rmdir", "/d/sub/..")], -E.NOTEMPTY],
  ["rmdir of /", [name("rmdir", "/")], -E.BUSY],
  ["rmdir of nothing", [name("rmdir", "/x")], -E.NOENT],
  ["getdents of a file", [on("getdents", 0)], -E.NOTDIR],
  ["getdents of what is not open", [on("getdents", 9)], -E.BADF],
  ["links of a directory count its directories", [open("/d", O_RDONLY), on("fstat", 2)], { kind: "directory", nlink: 3, size: -1 }],
];

const RENAME: FsRow[] = [
  ["of a file to a new name", [rename("/d/f", "/e/g"), open("/e/g", O_RDONLY)], 2],
  ["of a file: the old name is gone", [rename("/d/f", "/e/g"), open("/d/f", O_RDONLY)], -E.NOENT],
  [
    "over a file: its data is the new one's",
    [open("/e/g", O_RDWR | O_CREAT), rename("/d/f", "/e/g"), open("/e/g", O_RDWR), pread(3, 9, 0)],
    "bytes 104,101,108,108,111",
  ],
  [
    "over a file that is open",
    [open("/e/g", O_RDWR | O_CREAT), rename("/d/f", "/e/g"), on("fstat", 2)],
    { kind: "file", nlink: 0, size: 0 },
  ],
  ["onto itself", [rename("/d/f", "/d/../d/f")], 0],
  ["onto itself with NOREPLACE", [rename("/d/f", "/d/f", RENAME_NOREPLACE)], -E.EXIST],
  ["with NOREPLACE over a file", [open("/e/g", O_CREAT), rename("/d/f", "/e/g", RENAME_NOREPLACE)], -E.EXIST],
  ["with NOREPLACE to a new name", [rename("/d/f", "/e/g", RENAME_NOREPLACE)], 0],
  ["with flags that do not exist", [rename("/d/f", "/e/g", 0x100)], -E.INVAL],
  ["of nothing", [rename("/d/x", "/e/g")], -E.NOENT],
  ["into nothing", [rename("/d/f", "/x/g")], -E.NOENT],
  ["into a file", [rename("/d/sub", "/d/f/g")], -E.NOTDIR],
  ["of a directory over a file", [rename("/e", "/d/f")], -E.NOTDIR],
  ["of a file over a directory", [rename("/d/f", "/e")], -E.ISDIR],
  ["of a directory over an empty one", [rename("/d", "/e"), open("/e/f", O_RDONLY)], 2],
  ["of a directory over one with entries", [rename("/e", "/d")], -E.NOTEMPTY],
  ["of a directory into itself", [rename("/d", "/d/sub/x")], -E.INVAL],
  ["of a directory onto one above it", [rename("/d/sub", "/d")], -E.NOTEMPTY],
  ["of a file onto a directory above it", [rename("/d/f", "/d")], -E.NOTEMPTY],
  ["of /", [rename("/", "/d/x")], -E.BUSY],
  ["onto ..", [rename("/d/f", "/d/..")], -E.BUSY],
  ["of .", [rename("/d/.", "/x")], -E.BUSY],
  ["of a file to a name with a slash", [rename("/d/f", "/e/g/")], -E.NOTDIR],
  ["of a directory to a name with a slash", [rename("/d/sub", "/e/g/")], 0],
  ["of a directory: .. follows", [rename("/d/sub", "/e/s"), open("/e/s/../s", O_RDONLY)], 2],
  ["of a directory: links follow", [rename("/d/sub", "/e/s"), on("fstat", 1)], { kind: "directory", nlink: 3, size: -1 }],
];

const MAPPED: FsRow[] = [
  ["a store is what read sees", [{ op: "mappedStore", fd: 0, offset: 1, value: 69 }, pread(0, 9, 0)], "bytes 104,69,108,108,111"],
  ["a write is what a load sees", [pwrite(0, [69], 1), { op: "mappedLoad", fd: 0, offset: 1 }], 69],
  [
    "a store behind the end is not the file's",
    [{ op: "mappedStore", fd: 0, offset: 9, value: 1 }, on("fstat", 0)],
    { kind: "file", nlink: 1, size: 5 },
  ],
  [
    "a load of the hole in a file",
    [
      { op: "ftruncate", fd: 0, length: 3 * PAGE },
      { op: "mappedLoad", fd: 0, offset: 2 * PAGE },
    ],
    0,
  ],
  ["a load beyond the last page", [{ op: "mappedLoad", fd: 0, offset: PAGE }], "SIGBUS"],
  [
    "a shared writable mapping of a file opened for reading",
    [open("/d/f", O_RDONLY), { op: "mappedStore", fd: 2, offset: 0, value: 1 }],
    -E.ACCES,
  ],
  ["a mapping of a directory", [{ op: "mappedLoad", fd: 1, offset: 0 }], -E.NODEV],
];

function rows(title: string, table: readonly FsRow[]): void {
  describe(title, () => {
    it.each(table)("%s", (_name, calls, last) => {
      const model = new ModelFs();
      const said: Answer[] = [...SETUP, ...calls].map((call) => onModel(model, call));
      if (!calls.some((call) => call.op === "rename" && call.flags > 1)) expect(said.at(-1), "the oracle").toEqual(last);
      const answer = runGuest(function* (t) {
        let seen: Answer = 0;
        for (const call of [...SETUP, ...calls]) seen = yield* onMachine(call);
        t.check();
        return seen;
      });
      expect(answer, "the machine").toEqual(last);
    });
  });
}

rows("open", OPEN);
rows("read, write, lseek, dup, close", MOVE);
rows("ftruncate, fallocate, fsync", SIZE);
rows("mkdir, unlink, rmdir, getdents", NAMES);
rows("rename", RENAME);
rows("mappings", MAPPED);

describe("limits", () => {
  it("a full table of files is EMFILE; nothing is made or truncated for it; a closed number is given out again", () => {
    runGuest(function* () {
      const fd = must(yield* sys.open("/f", O_RDWR | O_CREAT));
      must(yield* sys.write(fd, new Uint8Array(3)));
      for (let i = 1; i < MAX_FDS; i++) expect(yield* sys.dup(fd)).toBe(i);
      expect(yield* sys.dup(fd)).toBe(-E.MFILE);
      expect(yield* sys.open("/g", O_RDWR | O_CREAT)).toBe(-E.MFILE);
      expect(yield* sys.open("/f", O_RDWR | O_TRUNC)).toBe(-E.MFILE);
      const stat = yield* sys.fstat(fd);
      expect(typeof stat === "number" ? stat : stat.size).toBe(3);
      must(yield* sys.close(77));
      expect(yield* sys.open("/g", O_RDWR)).toBe(-E.NOENT);
      expect(yield* sys.dup(fd)).toBe(77);
      return 0;
    });
  });

  it("a directory of 400 names, listed over many calls while they are unlinked: none is missed, none comes twice", () => {
    const t = new TestMachine({ memoryBytes: 16 << 20 });
    t.runOne(function* () {
      must(yield* sys.mkdir("/many"));
      const made = new Set<string>();
      for (let i = 0; i < 400; i++) {
        made.add(`file-${i}`);
        must(yield* sys.close(must(yield* sys.open(`/many/file-${i}`, O_RDWR | O_CREAT))));
      }
      const fd = must(yield* sys.open("/many", O_RDONLY));
      const at = must(yield* sys.mmap(0, PAGE, 3, 0x22));
      const seen: string[] = [];
      for (;;) {
        const bytes = must(yield* sys.raw(61, fd, at, 512));
        if (bytes === 0) break;
        for (const entry of yield* entriesAt(at, bytes)) {
          if (entry.startsWith(".")) continue;
          seen.push(entry);
          must(yield* sys.unlink(`/many/${entry}`));
        }
      }
      expect(seen.length).toBe(400);
      expect(new Set(seen)).toEqual(made);
      expect(yield* sys.rmdir("/many")).toBe(0);
      return 0;
    });
    t.finish();
  });
});

/** The names in a buffer of struct linux_dirent64. */
function* entriesAt(at: number, bytes: number) {
  const data = yield* mem.load(at, bytes);
  if (typeof data === "number") throw new Error(`load: ${data}`);
  const view = new DataView(data.buffer);
  const found: string[] = [];
  for (let offset = 0; offset < bytes; offset += view.getUint16(offset + 16, true)) {
    let end = offset + 19;
    while (data[end] !== 0) end++;
    found.push(new TextDecoder().decode(data.subarray(offset + 19, end)));
  }
  return found;
}
