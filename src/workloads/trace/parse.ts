/**
 * Recorded traces, as text: what a program did to its mappings and files, by thread, with times (docs/trace-format.md).
 *
 *     faultline-trace 1
 *     file ID SIZE NAME                     before the first event
 *     SECONDS PID[.TID] OP ARGUMENTS        times never go back; # begins a comment
 *
 * Interface: parseTrace, Trace, TraceFile, TraceEvent, TraceOp, OPS, TraceError, LOWEST_ADDRESS.
 * Invariants: [tp-1] whatever is wrong with a line is said with file, line and column; a trace that is returned means something.
 * Locks: none.
 * Why not JSON lines: people read, cut and write traces by hand.
 */

/** Addresses below are the replay's own. */
export const LOWEST_ADDRESS = 0x10_0000;
/** User addresses of Sv48, as of x86-64. */
const HIGHEST_ADDRESS = 2 ** 47;
const MAX_FILE_BYTES = 2 ** 40;
const PAGE = 4096;

/** A trace that means nothing: "file:line:column: what was expected". */
export class TraceError extends Error {
  constructor(file: string, line: number, column: number, message: string) {
    super(`${file}:${line}:${column}: ${message}`);
    this.name = "TraceError";
  }
}

/** Kinds of arguments, in the order of the line. */
type Argument = "address" | "page" | "bytes" | "size" | "offset" | "prot" | "sharing" | "file" | "sync" | "advice";

/** What each operation takes. mmap may go on with FILE and OFFSET. */
export const OPS = {
  mmap: ["page", "bytes", "prot", "sharing"],
  munmap: ["page", "bytes"],
  mprotect: ["page", "bytes", "prot"],
  madvise: ["page", "bytes", "advice"],
  load: ["address", "bytes"],
  store: ["address", "bytes"],
  msync: ["page", "bytes", "sync"],
  read: ["file", "offset", "bytes"],
  write: ["file", "offset", "bytes"],
  truncate: ["file", "size"],
  fsync: ["file"],
  fdatasync: ["file"],
} as const satisfies Record<string, readonly Argument[]>;
export type TraceOp = keyof typeof OPS;

const NAMES: Readonly<Record<Argument, string>> = {
  address: "ADDRESS",
  page: "ADDRESS",
  bytes: "BYTES",
  size: "SIZE",
  offset: "OFFSET",
  prot: "PROT",
  sharing: "shared|private",
  file: "FILE",
  sync: "sync|async",
  advice: "dontneed|willneed",
};

export interface TraceFile {
  id: number;
  /** Bytes that it has before the first event. */
  sizeBytes: number;
  name: string;
}

export interface TraceEvent {
  line: number;
  /** From the start of the trace. */
  timeNs: number;
  /** Place of its thread in Trace.threads. */
  thread: number;
  op: TraceOp;
  /** Of memory; 0 where the operation is on a file. */
  address: number;
  bytes: number;
  /** Letters of r, w, x; "" for none. */
  prot: string;
  shared: boolean;
  /** Place of the file in Trace.files, -1 for none. */
  file: number;
  offset: number;
  sync: boolean;
  dontneed: boolean;
}

export interface TraceThread {
  pid: number;
  tid: number;
}

export interface Trace {
  name: string;
  files: TraceFile[];
  threads: TraceThread[];
  /** In the order of the text, which is that of time. */
  events: TraceEvent[];
}

interface Word {
  text: string;
  column: number;
}

function wordsOf(line: string): Word[] {
  const code = /^[^#]*/.exec(line)?.[0] ?? "";
  return [...code.matchAll(/\S+/g)].map((match) => ({ text: match[0], column: match.index + 1 }));
}

class Reader {
  readonly trace: Trace;
  private line = 0;
  private lastNs = 0;

  constructor(name: string) {
    this.trace = { name, files: [], threads: [], events: [] };
  }

  fail(column: number, message: string): never {
    throw new TraceError(this.trace.name, this.line, column, message);
  }

  read(text: string): Trace {
    let begun = false;
    for (const line of text.split(/\r?\n/)) {
      this.line++;
      const words = wordsOf(line);
      const [first] = words;
      if (!first) continue;
      if (!begun) {
        if (words.map((word) => word.text).join(" ") !== "faultline-trace 1") this.fail(first.column, 'expected "faultline-trace 1"');
        begun = true;
      } else if (first.text === "file") this.file(words, line);
      else this.event(words);
    }
    if (!begun) this.fail(1, 'expected "faultline-trace 1"');
    if (this.trace.events.length === 0) this.fail(1, "the trace has no event");
    return this.trace;
  }

  /** A whole number, decimal or 0x. */
  private whole(word: Word, what: string, max: number, min = 0): number {
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(word.text) ? Number(word.text) : NaN;
    if (!(value >= min && value <= max)) this.fail(word.column, `${what} "${word.text}": expected a whole number from ${min} to ${max}`);
    return value;
  }

  private file(words: readonly Word[], line: string): void {
    const [first, id, size, name] = words;
    if (this.trace.events.length > 0) this.fail(first?.column ?? 1, "files stand before the first event");
    if (!id || !size || !name) return this.fail((words[words.length - 1]?.column ?? 1) + 1, "expected: file ID SIZE NAME");
    const number = this.whole(id, "file", 2 ** 31);
    if (this.trace.files.some((file) => file.id === number)) this.fail(id.column, `file ${number} is there already`);
    const sizeBytes = this.whole(size, "size", MAX_FILE_BYTES);
    // A name is the rest of the line, blanks and # included.
    this.trace.files.push({ id: number, sizeBytes, name: line.slice(name.column - 1).trimEnd() });
  }

  private time(word: Word): number {
    const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(word.text);
    if (!match) return this.fail(word.column, `time "${word.text}": expected seconds, such as 0.000125`);
    const timeNs = Number(match[1]) * 1e9 + Number((match[2] ?? "").padEnd(9, "0"));
    if (timeNs < this.lastNs) this.fail(word.column, `time ${word.text} is before that of the line above`);
    this.lastNs = timeNs;
    return timeNs;
  }

  private thread(word: Word): number {
    const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(word.text);
    if (!match) return this.fail(word.column, `thread "${word.text}": expected PID or PID.TID`);
    const pid = Number(match[1]);
    const tid = Number(match[2] ?? match[1]);
    const { threads } = this.trace;
    const found = threads.findIndex((thread) => thread.pid === pid && thread.tid === tid);
    return found >= 0 ? found : threads.push({ pid, tid }) - 1;
  }

  private event(words: readonly Word[]): void {
    const [time, thread, op, ...rest] = words;
    if (!time || !thread || !op) return this.fail(words[0]?.column ?? 1, "expected: SECONDS PID[.TID] OPERATION ARGUMENTS");
    const timeNs = this.time(time);
    const who = this.thread(thread);
    const name = op.text;
    const isOp = (text: string): text is TraceOp => Object.hasOwn(OPS, text);
    if (!isOp(name)) return this.fail(op.column, `operation "${name}": expected one of ${Object.keys(OPS).join(", ")}`);
    const event: TraceEvent = {
      ...{ line: this.line, timeNs, thread: who, op: name, address: 0, bytes: 0, prot: "", shared: false },
      ...{ file: -1, offset: 0, sync: false, dontneed: false },
    };
    const args: Argument[] = [...OPS[name]];
    if (name === "mmap" && rest.length > args.length) args.push("file", "offset");
    args.forEach((kind, i) => {
      const word = rest[i];
      const last = rest[rest.length - 1] ?? op;
      if (!word) return this.fail(last.column + last.text.length, `expected: ${name} ${args.map((a) => NAMES[a]).join(" ")}`);
      this.argument(event, kind, word);
    });
    const more = rest[args.length];
    if (more) this.fail(more.column, `"${more.text}": ${name} takes ${args.map((a) => NAMES[a]).join(" ")}`);
    if (event.address + event.bytes > HIGHEST_ADDRESS) this.fail(rest[1]?.column ?? 1, "the range ends beyond 2^47");
    this.trace.events.push(event);
  }

  private oneOf(word: Word, allowed: readonly string[]): string {
    if (!allowed.includes(word.text)) this.fail(word.column, `"${word.text}": expected ${allowed.join(" or ")}`);
    return word.text;
  }

  private argument(event: TraceEvent, kind: Argument, word: Word): void {
    switch (kind) {
      case "address":
      case "page":
        event.address = this.whole(word, "address", HIGHEST_ADDRESS, LOWEST_ADDRESS);
        if (kind === "page" && event.address % PAGE !== 0) this.fail(word.column, `address ${word.text} is not that of a page`);
        return;
      case "bytes":
        event.bytes = this.whole(word, "bytes", MAX_FILE_BYTES, 1);
        return;
      case "size":
        event.bytes = this.whole(word, "size", MAX_FILE_BYTES);
        return;
      case "offset":
        event.offset = this.whole(word, "offset", MAX_FILE_BYTES);
        if (event.op === "mmap" && event.offset % PAGE !== 0) this.fail(word.column, `offset ${word.text} is not that of a page`);
        return;
      case "prot":
        if (!/^(none|r?w?x?)$/.test(word.text)) this.fail(word.column, `"${word.text}": expected none, or letters of rwx`);
        event.prot = word.text === "none" ? "" : word.text;
        return;
      case "sharing":
        event.shared = this.oneOf(word, ["shared", "private"]) === "shared";
        return;
      case "sync":
        event.sync = this.oneOf(word, ["sync", "async"]) === "sync";
        return;
      case "advice":
        event.dontneed = this.oneOf(word, ["dontneed", "willneed"]) === "dontneed";
        return;
      case "file": {
        const id = this.whole(word, "file", 2 ** 31);
        event.file = this.trace.files.findIndex((file) => file.id === id);
        if (event.file < 0) this.fail(word.column, `file ${id}: no such file above`);
      }
    }
  }
}

/** Reads a trace. Throws TraceError. */
export function parseTrace(text: string, name: string): Trace {
  return new Reader(name).read(text);
}
