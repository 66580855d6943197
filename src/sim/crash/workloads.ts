/**
 * The crash workloads: each a short life of a few files, with the promises that an fsync or msync makes on the way.
 *
 * Interface: CRASH_WORKLOADS, CRASH_WORKLOAD_NAMES, crashWorkloadByName; short forms of steps.
 * Invariants: [cwl-1] each makes at least one promise and changes something after the last one.
 * Locks: none.
 * Why not one long workload: a failure says more when little has happened, and the space of subsets stays small.
 */
import { ParseError } from "../parse.js";
import { suggestion } from "../suggest.js";
import type { CrashWorkload, Step } from "./steps.js";

const PAGE = 4096;

export const write = (path: string, at: number, length: number): Step => ({ do: "write", path, at, length });
export const store = (path: string, at: number, length: number): Step => ({ do: "store", path, at, length });
export const msync = (path: string, at: number, length: number): Step => ({ do: "msync", path, at, length });
export const truncate = (path: string, size: number): Step => ({ do: "truncate", path, size });
export const create = (path: string): Step => ({ do: "create", path });
export const open = (path: string): Step => ({ do: "open", path });
export const fsync = (path: string): Step => ({ do: "fsync", path });
const unlink = (path: string): Step => ({ do: "unlink", path });
const rename = (from: string, to: string): Step => ({ do: "rename", from, to });
export const SYNC: Step = { do: "sync" };

export const CRASH_WORKLOADS: readonly CrashWorkload[] = [
  {
    name: "write-fsync",
    summary: "files written, synced, overwritten in part, synced again",
    steps: [
      create("a"),
      write("a", 0, 3 * PAGE),
      fsync("a"),
      write("a", 1000, PAGE),
      create("b"),
      write("b", 0, 700),
      write("a", 3 * PAGE - 10, 100),
      { do: "fdatasync", path: "a" },
      write("b", 300, 2 * PAGE),
      fsync("b"),
      write("a", 0, 5 * PAGE),
    ],
  },
  {
    name: "mmap-msync",
    summary: "stores through a shared mapping, msync of the whole and of a part",
    before: [create("f"), write("f", 0, 5 * PAGE), truncate("f", 6 * PAGE)],
    steps: [
      open("f"),
      { do: "map", path: "f", size: 6 * PAGE },
      store("f", 500, 300),
      store("f", 3000, 1500),
      msync("f", 0, 2 * PAGE),
      store("f", 700, 50),
      store("f", 5 * PAGE + 100, 1000),
      store("f", 2 * PAGE, PAGE),
      msync("f", 2 * PAGE, 2 * PAGE),
      store("f", 100, 5 * PAGE),
      fsync("f"),
      store("f", 3 * PAGE + 9, 4000),
    ],
  },
  {
    name: "rename-over",
    summary: "a file replaced by a synced new one, twice: always one of them, whole",
    before: [create("conf"), write("conf", 0, PAGE + 300)],
    steps: [
      create("new"),
      write("new", 0, 2 * PAGE + 5),
      fsync("new"),
      rename("new", "conf"),
      fsync(""),
      { do: "close", path: "conf" },
      create("new"),
      write("new", 0, 900),
      fsync("new"),
      rename("new", "conf"),
      { do: "link", from: "conf", to: "old" },
      fsync("conf"),
      unlink("old"),
    ],
  },
  {
    name: "truncate-extend",
    summary: "cut inside a block, grown again, a store behind the cut",
    before: [create("f"), write("f", 0, 4 * PAGE)],
    steps: [
      open("f"),
      truncate("f", PAGE + 77),
      truncate("f", 3 * PAGE),
      fsync("f"),
      { do: "map", path: "f", size: 3 * PAGE },
      store("f", PAGE + 60, 300),
      truncate("f", PAGE + 10),
      fsync("f"),
      truncate("f", 2 * PAGE + 600),
      store("f", 2 * PAGE, 500),
      msync("f", 2 * PAGE, PAGE),
      truncate("f", 0),
      write("f", 0, 3000),
    ],
  },
  {
    name: "holes",
    summary: "holes punched into synced data, ranges allocated, stores into both",
    needs: ["allocate"],
    before: [create("f"), write("f", 0, 5 * PAGE)],
    steps: [
      open("f"),
      { do: "punch", path: "f", at: PAGE, length: 2 * PAGE },
      fsync("f"),
      { do: "map", path: "f", size: 5 * PAGE },
      store("f", PAGE + 600, 1000),
      { do: "punch", path: "f", at: 100, length: 2 * PAGE },
      fsync("f"),
      { do: "allocate", path: "f", at: 4 * PAGE, length: 3 * PAGE },
      write("f", 5 * PAGE + 30, 2000),
      fsync("f"),
      store("f", 2 * PAGE, 200),
      { do: "punch", path: "f", at: 3 * PAGE, length: 3 * PAGE },
    ],
  },
  {
    name: "names",
    summary: "directories, links, renames and unlinks, and a sync of each kind",
    needs: ["symlink"],
    steps: [
      { do: "mkdir", path: "d" },
      create("d/a"),
      fsync("d/a"),
      { do: "link", from: "d/a", to: "b" },
      rename("d/a", "d/c"),
      { do: "symlink", path: "l", target: "d/c" },
      fsync("d"),
      write("d/c", 0, 2 * PAGE),
      unlink("b"),
      SYNC,
      create("e"),
      { do: "mkdir", path: "d/sub" },
      rename("d/sub", "sub"),
      fsync(""),
      unlink("d/c"),
      { do: "close", path: "d/c" },
      unlink("l"),
      { do: "rmdir", path: "sub" },
      fsync("d"),
      unlink("e"),
    ],
  },
  {
    name: "clone",
    summary: "a reflink, and stores to either side",
    needs: ["clone"],
    before: [create("f"), write("f", 0, 4 * PAGE)],
    steps: [
      open("f"),
      create("g"),
      write("f", PAGE, 900),
      { do: "clone", from: "f", to: "g", length: 4 * PAGE },
      fsync("g"),
      write("f", 0, 2 * PAGE),
      { do: "map", path: "g", size: 4 * PAGE },
      store("g", PAGE + 100, 5000),
      msync("g", PAGE, 2 * PAGE),
      fsync("f"),
      truncate("f", 500),
      store("g", 0, 100),
    ],
  },
  {
    name: "snapshot",
    summary: "snapshots between stores and unlinks: each as it was, for ever",
    needs: ["snapshot"],
    before: [create("f"), write("f", 0, 2 * PAGE)],
    steps: [
      open("f"),
      { do: "map", path: "f", size: 2 * PAGE },
      store("f", 10, 3000),
      { do: "snapshot", name: "snap0" },
      store("f", PAGE - 100, 200),
      create("g"),
      write("g", 0, 1500),
      fsync("g"),
      { do: "snapshot", name: "snap1" },
      unlink("g"),
      write("f", 0, PAGE),
      SYNC,
      truncate("f", 100),
    ],
  },
];

export const CRASH_WORKLOAD_NAMES: readonly string[] = CRASH_WORKLOADS.map(({ name }) => name);

/** The workload of that name. Throws ParseError. */
export function crashWorkloadByName(name: string, among: readonly CrashWorkload[] = CRASH_WORKLOADS): CrashWorkload {
  const found = among.find((workload) => workload.name === name);
  if (found) return found;
  const names = among.map((workload) => workload.name);
  throw new ParseError(`crash workload "${name}": expected all, or ${names.join(", ")}.${suggestion(name, names)}`);
}
