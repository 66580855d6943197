/**
 * The life of one store: a machine of one CPU and 4 MiB, one process, one page of a file, every trace event, and the page
 * table entry before and after each step.
 *
 * Interface: storeLife(kernel, options) -> StoreLife; StoreLifeOptions, FIRST_ACCESSES.
 * Invariants: [life-1] nothing is told that the machine did not do: events come from its trace, bits from its page tables.
 * Locks: none.
 * Why not a drawing: what a reader sees here is the run; when the kernel changes, so does the story.
 */
import type { FaultLockRegime, MkwriteRegime } from "../host/config.js";
import { Machine } from "../host/machine.js";
import type { PageTableStep } from "../host/page-table.js";
import type { TraceEvent } from "../host/trace.js";
import { MAP_SHARED, MS_SYNC, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE } from "../guest/constants.js";
import { mem, now } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { filesystemByName } from "../sim/filesystems.js";
import type { KernelImage } from "../sim/run.js";

export const FIRST_ACCESSES = ["store", "load"] as const;

export interface StoreLifeOptions {
  /** What touches the page first. */
  first: (typeof FIRST_ACCESSES)[number];
  /** Filesystem of the file (sim/filesystems.ts). */
  fs: string;
  faultLock: FaultLockRegime;
  /** How page_mkwrite is called; shows on a filesystem that has one. */
  mkwrite: MkwriteRegime;
}

/** One thing the guest did, and what the machine did about it. */
export interface LifeStep {
  /** The guest's statement, as C would have it. */
  statement: string;
  /** Simulated time that it took, ns. */
  ns: number;
  events: TraceEvent[];
  /** The walk to the page's entry before and after. */
  before: PageTableStep[];
  after: PageTableStep[];
}

export interface StoreLife {
  pid: number;
  /** Address of the page. */
  address: number;
  steps: LifeStep[];
  /** /proc/PID/smaps of the mapping at the end. */
  smaps: string;
}

const LEN_BYTES = 16384;
const MEMORY_BYTES = 4 << 20;
/** Trace events that the story can hold. */
const TRACE_EVENTS = 4096;

interface Statement {
  text: string;
  /** Whether it is part of the story, or what must be there first. */
  told: boolean;
  call: () => Call<unknown>;
}

/** The guest's statements. The address is known once mmap has returned. */
function statements(options: StoreLifeOptions, path: string, page: { address: number }): Statement[] {
  let fd = -1;
  const store = (value: number): Statement => ({
    text: `p[0] = ${value};`,
    told: true,
    call: () => mem.touch(page.address, 1, { write: true, value }),
  });
  const load: Statement = { text: "x = p[0];", told: true, call: () => mem.touch(page.address, 1) };
  return [
    {
      text: `fd = open("${path}", O_RDWR | O_CREAT);`,
      told: false,
      *call() {
        fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
      },
    },
    { text: "ftruncate(fd, 16384);", told: false, call: () => sys.ftruncate(fd, LEN_BYTES) },
    {
      text: "p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);",
      told: true,
      *call() {
        page.address = must(yield* sys.mmap(0, LEN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), "mmap");
      },
    },
    ...(options.first === "load" ? [load] : []),
    store(42),
    store(43),
    { text: "msync(p, 4096, MS_SYNC);", told: true, call: () => sys.msync(page.address, 4096, MS_SYNC) },
    store(44),
  ];
}

/** The machine as the host sees it between two statements. */
interface Look {
  events: TraceEvent[];
  walk: PageTableStep[];
}

/** A machine with the filesystem on it, and nobody left who put it there. */
function machineFor(kernel: KernelImage, { fs: name, faultLock, mkwrite }: StoreLifeOptions): Machine {
  const fs = filesystemByName(name);
  const machine = Machine.createSync(kernel.module, {
    cpus: 1,
    memoryBytes: MEMORY_BYTES,
    seed: 1,
    traceEvents: TRACE_EVENTS,
    faultLock,
    mkwrite,
    ...fs.machine?.(LEN_BYTES),
    ...(fs.definition ? { filesystems: [fs.definition] } : {}),
  });
  if (fs.setup) {
    machine.spawn(function* () {
      yield* fs.setup?.() ?? [];
    });
    machine.run({ stopWhen: () => machine.guestCount === 0 });
  }
  return machine;
}

/** Runs the story on a machine of its own. */
export function storeLife(kernel: KernelImage, options: StoreLifeOptions): StoreLife {
  const machine = machineFor(kernel, options);
  const page = { address: 0 };
  const list = statements(options, `${filesystemByName(options.fs).directory}/file`, page);
  /** The CPU's clock before the first statement and after each. */
  const times: number[] = [];
  let finished = 0;
  const pid = machine.spawn(function* () {
    times.push(yield* now());
    for (const statement of list) {
      yield* statement.call();
      finished++;
      // The host looks here, between two operations.
      times.push(yield* now());
    }
    finished++;
    for (;;) yield* sys.nanosleep(1e18);
  });
  const look = (): Look => ({ events: machine.trace(), walk: page.address === 0 ? [] : machine.pageTable(pid, page.address) });
  const looks = [look()];
  for (let done = 1; done <= list.length + 1; done++) {
    machine.run({ stopWhen: () => finished >= done });
    looks.push(look());
  }
  const steps = list.flatMap(({ text, told }, i) => {
    const [before, after] = [looks[i], looks[i + 1]];
    if (!told || !before || !after) return [];
    const events = after.events.slice(before.events.length);
    return [{ statement: text, ns: (times[i + 1] ?? 0) - (times[i] ?? 0), events, before: before.walk, after: after.walk }];
  });
  return { pid, address: page.address, steps, smaps: machine.inspect("smaps", pid) };
}
