/**
 * Filesystems written in TypeScript: a definition of generators whose steps the kernel carries out.
 *
 *   kernel: ->page_mkwrite ... -> hostCall -> generator of the definition -> yields a step -> kernel does it -> next(result) ...
 *
 * Interface: ScriptedFilesystem (what an author writes), FsFile and FsPage (what its generators work with), HostCalls (the engine).
 * Invariants:
 *   [hfs-1] a generator is a function of its arguments and of the results of its steps: no clock, no Math.random, no variable
 *           that outlives the call. Blocks, reservations and maps are the kernel's to keep; so a snapshot has the filesystem.
 *   [hfs-2] calls of one task nest; the innermost is answered first (assembly/fs/scripted/call.ts).
 * Locks: those that a generator takes by its steps; page_mkwrite alone returns with the page locked.
 * Why not plain functions and callbacks: a step may sleep for milliseconds of simulated time, and other tasks run meanwhile.
 */
import { type KernelExports } from "./wasm.js";

/** One thing the kernel is asked to do. */
export interface FsStep {
  step: number;
  args: readonly [number, number, number];
}

/** A generator of steps: `yield*` it for its result. */
export type FsCall<T = number> = Generator<FsStep, T, number>;

/** Results of pageMkwrite (Linux's VM_FAULT_*). */
export const VM_FAULT_OOM = 0x1;
export const VM_FAULT_SIGBUS = 0x2;
export const VM_FAULT_NOPAGE = 0x100;
export const VM_FAULT_LOCKED = 0x200;

const STEP = {
  lockPage: 1,
  unlockPage: 2,
  pageInFile: 3,
  waitWriteback: 4,
  dirtyPage: 5,
  zeroPage: 6,
  readPage: 7,
  writePage: 8,
  reserve: 9,
  release: 10,
  pageReserve: 11,
  pageAlloc: 12,
  freeBlock: 13,
  mapGet: 14,
  mapSet: 15,
  mapNext: 16,
  sleep: 17,
  startPagefault: 18,
  endPagefault: 19,
  updateTime: 20,
  lockInvalidate: 21,
  unlockInvalidate: 22,
  size: 23,
  flushDisk: 24,
  writeDirty: 25,
  pageDirty: 26,
  pagePromised: 27,
} as const;

/** A regular file of the filesystem. */
export class FsFile {
  constructor(protected readonly inode: number) {}

  protected *do(step: number, a = 0, b = 0): FsCall {
    return yield { step, args: [this.inode, a, b] };
  }

  /** i_size, bytes. */
  size = (): FsCall => this.do(STEP.size);
  /** Promises `blocks` blocks to the caller: 0, or -ENOSPC. Release them, or make one the page's (FsPage.claim). */
  reserve = (blocks = 1): FsCall => this.do(STEP.reserve, 0, blocks);
  release = (blocks = 1): FsCall => this.do(STEP.release, 0, blocks);
  /** The block of a page offset, or -1. */
  block = (pgoff: number): FsCall => this.do(STEP.mapGet, 0, pgoff);
  /** Sets the block of a page offset; -1 makes a hole. 0 or -ENOMEM. */
  setBlock = (pgoff: number, block: number): FsCall => this.do(STEP.mapSet, block, pgoff);
  /** The first page offset from `pgoff` on that has a block, or -1. */
  nextBlock = (pgoff: number): FsCall => this.do(STEP.mapNext, 0, pgoff);
  freeBlock = (block: number): FsCall => this.do(STEP.freeBlock, 0, block);
  /** Sleeps, ns of simulated time. */
  sleep = (ns: number): FsCall => this.do(STEP.sleep, 0, ns);
  /** Freeze protection of a page fault: waits while the filesystem is frozen. */
  startPagefault = (): FsCall => this.do(STEP.startPagefault);
  endPagefault = (): FsCall => this.do(STEP.endPagefault);
  updateTime = (): FsCall => this.do(STEP.updateTime);
  /** mapping->invalidate_lock, shared: keeps truncate and hole punch out. */
  lockInvalidate = (): FsCall => this.do(STEP.lockInvalidate);
  unlockInvalidate = (): FsCall => this.do(STEP.unlockInvalidate);
  /** Flushes the disk's cache: 0 or -EIO. */
  flushDisk = (): FsCall => this.do(STEP.flushDisk);
  /** Writes the filesystem's dirty pages; no page lock may be held. */
  writeDirty = (): FsCall => this.do(STEP.writeDirty);
}

/** A page of the page cache, at its offset in the file. */
export class FsPage extends FsFile {
  constructor(
    inode: number,
    private readonly page: number,
    readonly pgoff: number,
  ) {
    super(inode);
  }

  lock = (): FsCall => this.do(STEP.lockPage, this.page);
  unlock = (): FsCall => this.do(STEP.unlockPage, this.page);
  /** 1 when the locked page still is the file's page here, below i_size. */
  inFile = (): FsCall => this.do(STEP.pageInFile, this.page);
  waitWriteback = (): FsCall => this.do(STEP.waitWriteback, this.page);
  /** The locked page becomes dirty, prepared for stores to all of it. */
  dirty = (): FsCall => this.do(STEP.dirtyPage, this.page);
  isDirty = (): FsCall => this.do(STEP.pageDirty, this.page);
  /** 1 when the locked page has a block, or one reserved: a store to it can be written. */
  promised = (): FsCall => this.do(STEP.pagePromised, this.page);
  /** Fills the locked page with zeros: a hole. */
  zero = (): FsCall => this.do(STEP.zeroPage, this.page);
  /** Reads a block into the locked page: 0 or -errno. */
  read = (block: number): FsCall => this.do(STEP.readPage, this.page, block);
  /** Starts the write of the locked page to a block, and unlocks it: 0 or -errno. */
  write = (block: number): FsCall => this.do(STEP.writePage, this.page, block);
  /** One block reserved by the caller becomes the locked page's; if the page has one already, the caller's goes back. */
  claim = (): FsCall => this.do(STEP.pageReserve, this.page);
  /** A block for the page's reservation: it always succeeds. */
  allocate = (): FsCall => this.do(STEP.pageAlloc, this.page);
}

/** What an author writes. Blocks are pages. Results are 0 or -errno, of pageMkwrite VM_FAULT_*. */
export interface ScriptedFilesystem {
  /** The type's name for mount: 1 to 31 ASCII characters. */
  name: string;
  /** The one line by which a filesystem opts in: its pageMkwrite needs no mmap_sem. */
  mkwrite?: "generic_page_mkwrite_nommapsem";
  /** Fills a locked page. */
  readPage(page: FsPage): FsCall;
  /** Writes a page, locked and cleaned by the kernel: ends in page.write, or returns -errno with the page locked. */
  writePage(page: FsPage): FsCall;
  /** A clean page is about to become writable in a shared mapping. The page is referenced, not locked. */
  pageMkwrite(page: FsPage): FsCall;
  /** write(2) to a page offset: one block is reserved for the caller on 0. No page is locked. */
  reserveWrite(file: FsFile, pgoff: number): FsCall;
  /** Truncate, hole punch, unlink: the blocks of [firstPgoff, endPgoff) go. Their pages are gone already. */
  freeRange(file: FsFile, firstPgoff: number, endPgoff: number): FsCall;
}

/** Layout of assembly/fs/scripted/call.ts's HostCall, bytes. */
export const CALL = { kind: 0, fs: 4, code: 8, depth: 12, args: 16, result: 48 } as const;
const BEGIN = 1;
const RESULT = 2;
const STEP_KIND = 3;
const RETURN = 4;
const OP = { readPage: 1, writePage: 2, pageMkwrite: 3, reserveWrite: 4, freeRange: 5 } as const;

/** Layout of the SCRIPTED_FS table (assembly/fs/scripted/scripted.ts). */
const TABLE = { entries: 4, stride: 96, nameBytes: 4, name: 8, helper: 72, nameMax: 31 } as const;

/** Writes the definitions into the kernel's table, before boot. Throws RangeError for a name or number that does not fit. */
export function writeScriptedTable(view: DataView, at: number, definitions: readonly ScriptedFilesystem[]): void {
  if (definitions.length > TABLE.entries) throw new RangeError(`a machine has room for ${TABLE.entries} filesystems in TypeScript`);
  definitions.forEach((definition, i) => {
    const { name } = definition;
    if (!/^[\x21-\x7e]+$/.test(name) || name.length > TABLE.nameMax) throw new RangeError(`"${name}" is no name for a filesystem type`);
    const entry = at + i * TABLE.stride;
    view.setUint32(entry + TABLE.nameBytes, name.length * 2, true);
    for (let k = 0; k < name.length; k++) view.setUint16(entry + TABLE.name + 2 * k, name.charCodeAt(k), true);
    view.setUint32(entry + TABLE.helper, definition.mkwrite === undefined ? 0 : 1, true);
  });
}

interface LiveCall {
  fs: number;
  op: number;
  args: readonly number[];
  results: number[];
  generator: FsCall | undefined;
}

/** A call under way, as a snapshot keeps it. */
export interface SavedCall {
  tid: number;
  fs: number;
  op: number;
  args: readonly number[];
  results: readonly number[];
}

/** The engine: answers the kernel's calls, and can be brought back to where a snapshot left it. */
export class HostCalls {
  private readonly stacks = new Map<number, LiveCall[]>();

  constructor(
    private readonly definitions: readonly ScriptedFilesystem[],
    private readonly view: DataView,
    private readonly kernel: KernelExports,
  ) {}

  private start(call: LiveCall): FsCall {
    const definition = this.definitions[call.fs];
    if (!definition) throw new Error(`the kernel called filesystem ${call.fs}, which nobody defined`);
    const [inode = 0, page = 0, a = 0, b = 0] = call.args;
    switch (call.op) {
      case OP.readPage:
        return definition.readPage(new FsPage(inode, page, a));
      case OP.writePage:
        return definition.writePage(new FsPage(inode, page, a));
      case OP.pageMkwrite:
        return definition.pageMkwrite(new FsPage(inode, page, a));
      case OP.reserveWrite:
        return definition.reserveWrite(new FsFile(inode), a);
      case OP.freeRange:
        return definition.freeRange(new FsFile(inode), a, b);
      default:
        throw new Error(`the kernel asked for operation ${call.op}, which no definition has`);
    }
  }

  /** Answers the call of a task; `at` is its HostCall. */
  serve(tid: number, task: number, at: number): void {
    const { view } = this;
    const stack = this.stacks.get(tid) ?? [];
    this.stacks.set(tid, stack);
    let next: IteratorResult<FsStep, number>;
    if (view.getUint32(at + CALL.kind, true) === BEGIN) {
      const args = [0, 1, 2, 3].map((i) => Number(view.getBigUint64(at + CALL.args + 8 * i, true)));
      const [fs, op] = [view.getUint32(at + CALL.fs, true), view.getUint32(at + CALL.code, true)];
      const call: LiveCall = { fs, op, args, results: [], generator: undefined };
      call.generator = this.start(call);
      stack.push(call);
      next = call.generator.next();
    } else {
      const call = stack.at(-1);
      const isResult = view.getUint32(at + CALL.kind, true) === RESULT;
      if (!call?.generator || !isResult) throw new Error(`task ${tid} answers a call that nobody made`);
      const result = Number(view.getBigInt64(at + CALL.result, true));
      call.results.push(result);
      next = call.generator.next(result);
    }
    if (next.done === true) {
      stack.pop();
      if (stack.length === 0) this.stacks.delete(tid);
      view.setUint32(at + CALL.kind, RETURN, true);
      view.setBigInt64(at + CALL.result, BigInt(next.value), true);
    } else {
      view.setUint32(at + CALL.kind, STEP_KIND, true);
      view.setUint32(at + CALL.code, next.value.step, true);
      next.value.args.forEach((arg, i) => view.setBigInt64(at + CALL.args + 8 * i, BigInt(arg), true));
    }
    this.kernel.hostAnswered(task);
  }

  /** The calls under way. */
  save(): SavedCall[] {
    return [...this.stacks].flatMap(([tid, stack]) =>
      stack.map(({ fs, op, args, results }) => ({ tid, fs, op, args, results: [...results] })),
    );
  }

  /** Brings the calls of a snapshot back: fresh generators, fed with the results they had had. */
  restore(saved: readonly SavedCall[]): void {
    this.stacks.clear();
    for (const { tid, fs, op, args, results } of saved) {
      const call: LiveCall = { fs, op, args, results: [...results], generator: undefined };
      call.generator = this.start(call);
      call.generator.next();
      for (const result of results) call.generator.next(result);
      this.stacks.set(tid, [...(this.stacks.get(tid) ?? []), call]);
    }
  }
}
