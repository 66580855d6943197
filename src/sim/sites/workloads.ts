/**
 * The workloads of the sweep: the crash workloads, and what a crash has nothing to say about: faults that read, memory of a process's
 * own, children.
 *
 * Interface: SITE_WORKLOADS, SITE_WORKLOAD_NAMES.
 * Invariants: [swl-1] each ends in a sync: the writeback of all that it did is among its sites.
 * Locks: none.
 * Why not these for crashes as well: they would make the same states again.
 */
import type { CrashWorkload, Step } from "../crash/steps.js";
import { CRASH_WORKLOADS, SYNC, create, fsync, msync, open, store, truncate, write } from "../crash/workloads.js";

const PAGE = 4096;

const load = (path: string, at: number, length: number): Step => ({ do: "load", path, at, length });
const read = (path: string, at: number, length: number): Step => ({ do: "read", path, at, length });
const fork = (path: string, at: number, length: number): Step => ({ do: "fork", path, at, length });

const OWN: readonly CrashWorkload[] = [
  {
    name: "faults",
    summary: "loads and stores through a mapping: of cold pages, of holes, of preallocated blocks; page_mkwrite on each",
    needs: ["allocate"],
    before: [create("f"), write("f", 0, 6 * PAGE), { do: "punch", path: "f", at: 4 * PAGE, length: PAGE }],
    steps: [
      open("f"),
      { do: "map", path: "f", size: 8 * PAGE },
      load("f", 100, 200),
      store("f", 600, 100),
      store("f", 3 * PAGE + 10, 50),
      load("f", 4 * PAGE, 500),
      store("f", 4 * PAGE + 900, 300),
      { do: "allocate", path: "f", at: 6 * PAGE, length: 2 * PAGE },
      load("f", 6 * PAGE + 5, 20),
      store("f", 7 * PAGE - 8, 16),
      msync("f", 0, 8 * PAGE),
      store("f", 700, 30),
      fsync("f"),
      load("f", 5 * PAGE, 4000),
      read("f", 2 * PAGE, 3 * PAGE),
      truncate("f", 5 * PAGE + 50),
      store("f", 5 * PAGE + 10, 20),
    ],
  },
  {
    name: "memory",
    summary: "memory of a process's own beside a file's: anonymous, private, and a child that stores through both",
    before: [create("f"), write("f", 0, 4 * PAGE)],
    steps: [
      open("f"),
      { do: "anonymous", size: 6 * PAGE },
      { do: "map", path: "f", size: 4 * PAGE },
      { do: "private", path: "f", size: 3 * PAGE },
      store("f", 50, 500),
      fork("f", PAGE + 20, 700),
      load("f", PAGE, PAGE),
      fsync("f"),
      fork("f", 2 * PAGE - 10, 20),
      read("f", 0, 4 * PAGE),
      { do: "close", path: "f" },
    ],
  },
  {
    name: "writes",
    summary: "write(2) into the middle of cold blocks, over a hole, behind the end; read back",
    before: [create("f"), write("f", 0, 5 * PAGE), truncate("f", 9 * PAGE)],
    steps: [
      open("f"),
      write("f", 300, 400),
      write("f", 2 * PAGE + 100, 2 * PAGE),
      read("f", 0, 5 * PAGE),
      write("f", 7 * PAGE + 9, 100),
      fsync("f"),
      write("f", 10 * PAGE, 1000),
      truncate("f", 10 * PAGE + 20),
      create("g"),
      write("g", 10, 3 * PAGE),
      read("f", 6 * PAGE, 5 * PAGE),
      fsync("g"),
    ],
  },
];

export const SITE_WORKLOADS: readonly CrashWorkload[] = [...CRASH_WORKLOADS, ...OWN].map((workload) => ({
  ...workload,
  steps: [...workload.steps, SYNC],
}));

export const SITE_WORKLOAD_NAMES: readonly string[] = SITE_WORKLOADS.map(({ name }) => name);
