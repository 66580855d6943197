/*
 * Names: create, mkdir, unlink, rmdir, link, symlink, rename, and what each refuses. Checks [nm-1] [nm-3] [nm-5] [dent-3].
 */
import { AT_SYMLINK_FOLLOW, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from "../../src/node.js";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFLNK, S_IFMT, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, make, names, readAll, rows, save, stat, text } from "./mounted.js";

const LONGEST = `${MNT}/${"n".repeat(255)}`;

/** A directory with a file in it, and an empty directory. */
function* fixture(): Call<void> {
  must(yield* sys.mkdir(`${MNT}/full`));
  yield* save(`${MNT}/full/file`, "inside");
  must(yield* sys.mkdir(`${MNT}/empty`));
  yield* save(`${MNT}/file`, "one");
  yield* save(`${MNT}/other`, "two");
}

/** After the fixture: one call and its result. */
function after(name: string, call: () => Call<unknown>, expected: unknown): Case {
  return [
    name,
    function* () {
      yield* fixture();
      return yield* call();
    },
    expected,
  ];
}

const creation: Case[] = [
  ["a new file is empty and there", () => makeAndLook(), ["f", 0, 1]],
  ["a name of 255 bytes", () => make(LONGEST), 0],
  ["a name of 256 bytes", () => make(`${LONGEST}n`), -E.NAMETOOLONG],
  ["a path of 4096 bytes", () => make(MNT + "/".repeat(4093) + "f"), -E.NAMETOOLONG],
  ["a path of 4095 bytes, most of it slashes", () => make(MNT + "/".repeat(4090) + "f"), 0],
  ["the empty path", () => sys.open("", O_RDONLY), -E.NOENT],
  after("a missing parent", () => make(`${MNT}/missing/f`), -E.NOENT),
  after("a parent that is a file", () => make(`${MNT}/file/f`), -E.NOTDIR),
  after("O_EXCL on a file that exists", () => sys.open(`${MNT}/file`, O_RDWR | O_CREAT | O_EXCL), -E.EXIST),
  after("a missing file without O_CREAT", () => sys.open(`${MNT}/missing`, O_RDONLY), -E.NOENT),
  after("a directory for writing", () => sys.open(`${MNT}/full`, O_WRONLY), -E.ISDIR),
  after("a directory with O_CREAT", () => sys.open(`${MNT}/full`, O_RDONLY | O_CREAT), -E.ISDIR),
  after("a file with O_DIRECTORY", () => sys.open(`${MNT}/file`, O_RDONLY | O_DIRECTORY), -E.NOTDIR),
  after("a file with a slash behind it", () => sys.open(`${MNT}/file/`, O_RDONLY), -E.NOTDIR),
  ["a new file with a slash behind it", () => sys.open(`${MNT}/f/`, O_RDWR | O_CREAT), -E.ISDIR],
  after("O_TRUNC empties a file", () => truncateByOpen(), 0),
  ["mkdir", () => sys.mkdir(`${MNT}/d`), 0],
  ["mkdir with a slash behind it", () => sys.mkdir(`${MNT}/d/`), 0],
  after("mkdir of a directory that exists", () => sys.mkdir(`${MNT}/full`), -E.EXIST),
  after("mkdir of a file that exists", () => sys.mkdir(`${MNT}/file`), -E.EXIST),
  after("mkdir in a file", () => sys.mkdir(`${MNT}/file/d`), -E.NOTDIR),
  after("mkdir in a missing directory", () => sys.mkdir(`${MNT}/missing/d`), -E.NOENT),
  ["mkdir of the root", () => sys.mkdir(MNT), -E.EXIST],
];

function* makeAndLook(): Call<unknown> {
  must(yield* make(`${MNT}/f`));
  const info = stat(yield* sys.stat(`${MNT}/f`));
  return [...(yield* names(MNT)), info.size, info.nlink];
}

function* truncateByOpen(): Call {
  must(yield* sys.open(`${MNT}/file`, O_RDWR | O_TRUNC));
  return stat(yield* sys.stat(`${MNT}/file`)).size;
}

const removal: Case[] = [
  after("unlink", () => thenNames(sys.unlink(`${MNT}/file`)), [0, "empty", "full", "other"]),
  after("unlink of a missing name", () => sys.unlink(`${MNT}/missing`), -E.NOENT),
  after("unlink of a directory", () => sys.unlink(`${MNT}/empty`), -E.ISDIR),
  after("unlink below a file", () => sys.unlink(`${MNT}/file/f`), -E.NOTDIR),
  after("rmdir", () => thenNames(sys.rmdir(`${MNT}/empty`)), [0, "file", "full", "other"]),
  after("rmdir of a directory with entries", () => sys.rmdir(`${MNT}/full`), -E.NOTEMPTY),
  after("rmdir of a directory that was emptied", () => emptyAndRemove(), 0),
  after("rmdir of a file", () => sys.rmdir(`${MNT}/file`), -E.NOTDIR),
  after("rmdir of a missing name", () => sys.rmdir(`${MNT}/missing`), -E.NOENT),
  after("rmdir of dot", () => sys.rmdir(`${MNT}/empty/.`), -E.INVAL),
  after("rmdir of dot dot", () => sys.rmdir(`${MNT}/empty/..`), -E.NOTEMPTY),
  ["rmdir of the mount point", () => sys.rmdir(MNT), -E.BUSY],
  after("a directory's links are 2 and one for each directory in it", () => linksOfDirectories(), [4, 3, 3]),
];

function* thenNames(call: Call): Call<unknown> {
  return [yield* call, ...(yield* names(MNT))];
}

function* emptyAndRemove(): Call {
  must(yield* sys.unlink(`${MNT}/full/file`));
  return yield* sys.rmdir(`${MNT}/full`);
}

function* linksOfDirectories(): Call<unknown> {
  const before = stat(yield* sys.stat(MNT)).nlink;
  must(yield* sys.rmdir(`${MNT}/empty`));
  const after = stat(yield* sys.stat(MNT)).nlink;
  must(yield* sys.mkdir(`${MNT}/full/d`));
  return [before, after, stat(yield* sys.stat(`${MNT}/full`)).nlink];
}

const linking: Case[] = [
  after("a second name shows the same inode", () => linkAndLook(), ["one!", 2, true, 1, "one!"]),
  after("of a directory", () => sys.link(`${MNT}/full`, `${MNT}/l`), -E.PERM),
  after("to a name that exists", () => sys.link(`${MNT}/file`, `${MNT}/other`), -E.EXIST),
  after("of a missing name", () => sys.link(`${MNT}/missing`, `${MNT}/l`), -E.NOENT),
  after("into a missing directory", () => sys.link(`${MNT}/file`, `${MNT}/missing/l`), -E.NOENT),
  after("into another filesystem", () => sys.link(`${MNT}/file`, "/tmp/l"), -E.XDEV),
];

function* linkAndLook(): Call<unknown> {
  must(yield* sys.link(`${MNT}/file`, `${MNT}/full/second`));
  yield* save(`${MNT}/full/second`, "one!");
  const content = text(yield* readAll(`${MNT}/file`));
  const first = stat(yield* sys.stat(`${MNT}/file`));
  const second = stat(yield* sys.stat(`${MNT}/full/second`));
  must(yield* sys.unlink(`${MNT}/file`));
  const left = stat(yield* sys.stat(`${MNT}/full/second`)).nlink;
  return [content, first.nlink, first.ino === second.ino, left, text(yield* readAll(`${MNT}/full/second`))];
}

function* linkOfLink(flags: number): Call<boolean> {
  must(yield* sys.symlink("file", `${MNT}/s`));
  must(yield* sys.link(`${MNT}/s`, `${MNT}/l`, flags));
  return (stat(yield* sys.lstat(`${MNT}/l`)).mode & S_IFMT) === S_IFLNK;
}

/** The symbolic link /mnt/s to `target`, then a call. */
function viaLink(name: string, target: string, call: () => Call<unknown>, expected: unknown): Case {
  return after(
    name,
    function* () {
      must(yield* sys.symlink(target, `${MNT}/s`));
      return yield* call();
    },
    expected,
  );
}

const linkedLinks: Case[] = [
  after("of a symbolic link itself", () => linkOfLink(0), true),
  after("of what a symbolic link shows", () => linkOfLink(AT_SYMLINK_FOLLOW), false),
];

const read = function* (path: string): Call<string> {
  return text(yield* readAll(path));
};

const links: Case[] = [
  viaLink("readlink", "any text/at all", () => sys.readlink(`${MNT}/s`), "any text/at all"),
  viaLink("readlink cuts off", "abcdef", () => sys.readlink(`${MNT}/s`, 3), "abc"),
  viaLink("a target of 1000 bytes", "t".repeat(1000), () => sys.readlink(`${MNT}/s`), "t".repeat(1000)),
  viaLink(
    "its size is its target's",
    "abcdef",
    function* () {
      return stat(yield* sys.lstat(`${MNT}/s`)).size;
    },
    6,
  ),
  after("readlink of a file", () => sys.readlink(`${MNT}/file`), -E.INVAL),
  after("over a name that exists", () => sys.symlink("x", `${MNT}/file`), -E.EXIST),
  after("with an empty target", () => sys.symlink("", `${MNT}/s`), -E.NOENT),
  after("with a target of 4096 bytes", () => sys.symlink("t".repeat(4000) + "/".repeat(96), `${MNT}/s`), -E.NAMETOOLONG),
  viaLink("relative", "full/file", () => read(`${MNT}/s`), "inside"),
  viaLink("absolute", `${MNT}/full/file`, () => read(`${MNT}/s`), "inside"),
  viaLink("upwards", "full/../file", () => read(`${MNT}/s`), "one"),
  viaLink("out of the filesystem and back", "../mnt/full/file", () => read(`${MNT}/s`), "inside"),
  viaLink("in the middle of a path", "full", () => read(`${MNT}/s/file`), "inside"),
  viaLink("with a slash behind it", "full", () => names(`${MNT}/s/`), ["file"]),
  viaLink("dangling", "missing", () => sys.open(`${MNT}/s`, O_RDONLY), -E.NOENT),
  viaLink("dangling, with O_CREAT", "made", () => thenNames(sys.open(`${MNT}/s`, O_RDWR | O_CREAT)), [
    0,
    "empty",
    "file",
    "full",
    "made",
    "other",
    "s",
  ]),
  viaLink("dangling, with O_CREAT and O_EXCL", "made", () => sys.open(`${MNT}/s`, O_RDWR | O_CREAT | O_EXCL), -E.EXIST),
  viaLink("to itself", "s", () => sys.open(`${MNT}/s`, O_RDONLY), -E.LOOP),
  viaLink("to itself, in the middle", "s", () => sys.open(`${MNT}/s/f`, O_RDONLY), -E.LOOP),
  viaLink("O_NOFOLLOW", "file", () => sys.open(`${MNT}/s`, O_RDONLY | O_NOFOLLOW), -E.LOOP),
  viaLink("O_NOFOLLOW looks at the last component only", "full", () => sys.open(`${MNT}/s/file`, O_RDONLY | O_NOFOLLOW), 0),
  viaLink("unlink takes the link", "file", () => thenNames(sys.unlink(`${MNT}/s`)), [0, "empty", "file", "full", "other"]),
  viaLink("rmdir of a link to a directory", "empty", () => sys.rmdir(`${MNT}/s`), -E.NOTDIR),
  viaLink("rename moves the link", "file", () => renameLink(), ["r", "file", "one"]),
  ["40 links in a row", () => chain(40), 0],
  ["41 links in a row", () => chain(41), -E.LOOP],
];

function* renameLink(): Call<unknown> {
  must(yield* sys.rename(`${MNT}/s`, `${MNT}/r`));
  return ["r", yield* sys.readlink(`${MNT}/r`), yield* read(`${MNT}/r`)];
}

function* chain(length: number): Call {
  must(yield* make(`${MNT}/l0`));
  for (let i = 1; i <= length; i++) must(yield* sys.symlink(`l${i - 1}`, `${MNT}/l${i}`));
  return yield* sys.open(`${MNT}/l${length}`, O_RDONLY);
}

const mv = (from: string, to: string, flags = 0): Call => sys.rename(`${MNT}/${from}`, `${MNT}/${to}`, flags);

const renaming: Case[] = [
  after("a file to a new name", () => thenNames(mv("file", "new")), [0, "empty", "full", "new", "other"]),
  after("a file into a directory", () => moveInto(), [0, "one"]),
  after("a file over another", () => replace(), [0, "one", 1]),
  after("a directory into another: the links of the parents follow", () => moveDirectory(), [0, 3, 3, "inside"]),
  after("a directory over an empty one", () => thenNames(mv("full", "empty")), [0, "empty", "file", "other"]),
  after("a directory over one with entries", () => mv("empty", "full"), -E.NOTEMPTY),
  after("a directory over a file", () => mv("empty", "file"), -E.NOTDIR),
  after("a file over a directory", () => mv("file", "empty"), -E.ISDIR),
  after("a directory into itself", () => mv("full", "full/d"), -E.INVAL),
  after("a directory over its parent", () => parentTarget(), -E.NOTEMPTY),
  after("a file to a name with a slash behind it", () => mv("file", "new/"), -E.NOTDIR),
  after("a directory to a name with a slash behind it", () => mv("full", "new/"), 0),
  after("a missing name", () => mv("missing", "new"), -E.NOENT),
  after("into a missing directory", () => mv("file", "missing/f"), -E.NOENT),
  after("into another filesystem", () => sys.rename(`${MNT}/file`, "/tmp/f"), -E.XDEV),
  after("to its own name", () => thenNames(mv("file", "file")), [0, "empty", "file", "full", "other"]),
  after("to another name of the same file: nothing happens", () => renameToLink(), [0, "empty", "file", "full", "l", "other"]),
  after("of the mount point", () => sys.rename(MNT, "/elsewhere"), -E.BUSY),
  after("of dot", () => sys.rename(`${MNT}/full/.`, `${MNT}/new`), -E.BUSY),
  after("NOREPLACE to a new name", () => mv("file", "new", RENAME_NOREPLACE), 0),
  after("NOREPLACE over a file", () => mv("file", "other", RENAME_NOREPLACE), -E.EXIST),
  after("unknown flags", () => mv("file", "new", 0x80), -E.INVAL),
  after("NOREPLACE and EXCHANGE together", () => mv("file", "other", RENAME_NOREPLACE | RENAME_EXCHANGE), -E.INVAL),
  after("an open file that is replaced stays readable", () => replaceOpen(), "two"),
];

function* moveInto(): Call<unknown> {
  const result = yield* mv("file", "empty/moved");
  return [result, yield* read(`${MNT}/empty/moved`)];
}

function* replace(): Call<unknown> {
  const result = yield* mv("file", "other");
  return [result, yield* read(`${MNT}/other`), stat(yield* sys.stat(`${MNT}/other`)).nlink];
}

function* moveDirectory(): Call<unknown> {
  const result = yield* mv("full", "empty/full");
  const [root, parent] = [stat(yield* sys.stat(MNT)), stat(yield* sys.stat(`${MNT}/empty`))];
  return [result, root.nlink, parent.nlink, yield* read(`${MNT}/empty/full/../full/file`)];
}

function* parentTarget(): Call {
  must(yield* sys.mkdir(`${MNT}/full/d`));
  return yield* mv("full/d", "full");
}

function* renameToLink(): Call<unknown> {
  must(yield* sys.link(`${MNT}/file`, `${MNT}/l`));
  return yield* thenNames(mv("file", "l"));
}

function* replaceOpen(): Call<string> {
  const fd = must(yield* sys.open(`${MNT}/other`, O_RDONLY));
  must(yield* mv("file", "other"));
  const content = yield* sys.pread(fd, 10, 0);
  return typeof content === "number" ? `errno ${-content}` : text(content);
}

const exchanging: Case[] = [
  after("two files", () => exchangeFiles(), [0, "two", "one"]),
  after("a file and a directory in different directories", () => exchangeKinds(), [0, "one", 4, 2, ["x"]]),
  after("with a missing name", () => mv("file", "missing", RENAME_EXCHANGE), -E.NOENT),
  after("a directory and one above it", () => exchangeAbove(), -E.INVAL),
];

function* exchangeFiles(): Call<unknown> {
  const result = yield* mv("file", "other", RENAME_EXCHANGE);
  return [result, yield* read(`${MNT}/file`), yield* read(`${MNT}/other`)];
}

/** full/sub (a directory with x in it) and file: the root gains a directory, full loses one. */
function* exchangeKinds(): Call<unknown> {
  must(yield* sys.rmdir(`${MNT}/empty`));
  must(yield* sys.mkdir(`${MNT}/full/sub`));
  must(yield* make(`${MNT}/full/sub/x`));
  const result = yield* mv("file", "full/sub", RENAME_EXCHANGE);
  const [root, full] = [stat(yield* sys.stat(MNT)), stat(yield* sys.stat(`${MNT}/full`))];
  return [result, yield* read(`${MNT}/full/sub`), root.nlink, full.nlink, yield* names(`${MNT}/file`)];
}

function* exchangeAbove(): Call {
  must(yield* sys.mkdir(`${MNT}/full/d`));
  return yield* mv("full/d", "full", RENAME_EXCHANGE);
}

export function nameTests(spec: FilesystemSpec): void {
  rows("create", spec, creation);
  rows("remove", spec, removal);
  rows("link", spec, linking);
  if (spec.features.symlinks) rows("symbolic links", spec, [...links, ...linkedLinks]);
  else rows("symbolic links", spec, [["are refused", () => sys.symlink("x", `${MNT}/s`), -E.PERM]]);
  rows("rename", spec, renaming);
  if (spec.features.exchange) rows("rename, EXCHANGE", spec, exchanging);
  else rows("rename, EXCHANGE", spec, [after("is refused", () => mv("file", "other", RENAME_EXCHANGE), -E.INVAL)]);
}
