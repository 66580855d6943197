/*
 * The oracle of memory: what every byte of a thread's own stretch of address space must be, and what every access must come to.
 *
 *     page: unmapped | rights + anonymous (own bytes) | rights + file, shared | rights + file, private (own copy once stored to)
 *
 * Interface: MemoryModel, FileModel, PageModel, Outcome.
 * Invariants:
 *   [om-1] the model is exact for what one thread owns: its stretch, its own file, its lane of bytes in the common file.
 *   [om-2] a forked child owns the anonymous pages of its copy; files may change under it at any time.
 */
import { PROT_READ, PROT_WRITE, SIGBUS, SIGSEGV } from "../../src/node.js";
import { PAGE } from "../test-machine.js";

/** A file: whole pages, bytes behind the end kept as the page cache keeps them. */
export class FileModel {
  pages: Uint8Array;
  constructor(
    public size: number,
    /** Bytes that this thread may store to and compare: offset % lanes === lane. */
    readonly lane: number,
    readonly lanes: number,
  ) {
    this.pages = new Uint8Array(Math.ceil(size / PAGE) * PAGE);
  }

  owns(offset: number): boolean {
    return offset % this.lanes === this.lane;
  }

  resize(size: number): void {
    const pages = new Uint8Array(Math.ceil(size / PAGE) * PAGE);
    pages.set(this.pages.subarray(0, pages.length));
    if (size < this.size) pages.fill(0, size);
    this.pages = pages;
    this.size = size;
  }
}

export interface PageModel {
  prot: number;
  /** Undefined for anonymous memory. */
  file: FileModel | undefined;
  shared: boolean;
  pgoff: number;
  /** Anonymous bytes, or the private copy of a file's page. */
  own: Uint8Array | undefined;
}

/** What an access comes to: a byte, a signal, or "free" where others decide. */
export type Outcome = number | "SIGSEGV" | "SIGBUS" | "free";

export function outcomeOfSignal(signal: number): Outcome {
  if (signal === SIGSEGV) return "SIGSEGV";
  return signal === SIGBUS ? "SIGBUS" : "free";
}

export class MemoryModel {
  pages: (PageModel | undefined)[];

  constructor(count: number) {
    this.pages = Array.from({ length: count }, () => undefined);
  }

  map(first: number, count: number, prot: number, file: FileModel | undefined, shared: boolean, pgoff: number): void {
    for (let i = 0; i < count; i++) this.pages[first + i] = { prot, file, shared, pgoff: pgoff + i, own: undefined };
  }

  unmap(first: number, count: number): void {
    for (let i = 0; i < count; i++) this.pages[first + i] = undefined;
  }

  /** True when all pages of the range are mapped. */
  isMapped(first: number, count: number): boolean {
    return this.pages.slice(first, first + count).every((page) => page !== undefined);
  }

  /** mprotect: up to the first hole. Returns whether there was one. */
  protect(first: number, count: number, prot: number): boolean {
    for (let i = first; i < first + count; i++) {
      const page = this.pages[i];
      if (!page) return true;
      page.prot = prot;
    }
    return false;
  }

  /** MADV_DONTNEED: holes are skipped. Returns whether there was one. */
  dontneed(first: number, count: number): boolean {
    for (const page of this.pages.slice(first, first + count)) if (page) page.own = undefined;
    return !this.isMapped(first, count);
  }

  move(from: number, to: number, count: number): void {
    const moved = this.pages.slice(from, from + count);
    this.unmap(from, count);
    moved.forEach((page, i) => (this.pages[to + i] = page));
  }

  load(page: number, offset: number): Outcome {
    const at = this.pages[page];
    if (!at || (at.prot & (PROT_READ | PROT_WRITE)) === 0) return "SIGSEGV";
    if (!at.file) return at.own?.[offset] ?? 0;
    const inFile = at.pgoff * PAGE + offset;
    if (at.pgoff * PAGE >= at.file.pages.length) return "SIGBUS";
    if (!at.file.owns(inFile)) return "free";
    return at.own ? (at.own[offset] ?? 0) : (at.file.pages[inFile] ?? 0);
  }

  /** Carries a store out; tells the signal instead where it must fail. */
  store(page: number, offset: number, value: number): Outcome {
    const at = this.pages[page];
    if (!at || (at.prot & PROT_WRITE) === 0) return "SIGSEGV";
    if (at.file) {
      if (at.pgoff * PAGE >= at.file.pages.length) return "SIGBUS";
      if (at.shared) {
        at.file.pages[at.pgoff * PAGE + offset] = value;
        return value;
      }
      at.own ??= at.file.pages.slice(at.pgoff * PAGE, (at.pgoff + 1) * PAGE);
    }
    at.own ??= new Uint8Array(PAGE);
    at.own[offset] = value;
    return value;
  }

  /** The file ends at `size` now: private copies of pages wholly behind it are gone too. */
  truncated(file: FileModel, size: number): void {
    file.resize(size);
    for (const page of this.pages) if (page?.file === file && page.pgoff * PAGE >= file.pages.length) page.own = undefined;
  }

  /** A fork's copy: own bytes are copied, files are shared. */
  forked(): MemoryModel {
    const copy = new MemoryModel(0);
    copy.pages = this.pages.map((page) => page && { ...page, own: page.own?.slice() });
    return copy;
  }
}
