/**
 * From what strace and perf write to a trace: `strace -f -ttt -y` gives the calls, `perf script` of page faults the loads and stores.
 *
 *     12345 1700000000.123456 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED, 3</tmp/db>, 0) = 0x7f0000000000
 *     12345/12346 2023-11-14 22:13:20.123460000 25356.8: exceptions:page_fault_user: address=0x7f0000000010 ip=... error_code=0x7
 *
 * Interface: importStrace, Imported.
 * Invariants: [ts-1] what is written parses and is ordered: events that build on what was not recorded are left out and counted.
 * Locks: none.
 * Why not strace's own output as the format: it has no loads and stores, and a text that people edit should be one line an event.
 */
import { LOWEST_ADDRESS } from "./parse.js";

const PAGE = 4096;
const PF_WRITE = 2;

export interface Imported {
  text: string;
  events: number;
  /** What was left out, and how often. */
  left: Map<string, number>;
}

interface Call {
  timeNs: number;
  pid: number;
  name: string;
  args: string[];
  result: number;
}

interface Fault {
  timeNs: number;
  pid: number;
  tid: number;
  address: number;
  write: boolean;
}

interface KnownFile {
  id: number;
  name: string;
  /** Bytes before the first event, and now. */
  initialBytes: number;
  bytes: number;
  /** Truncated or made by the trace: what it had before does not matter. */
  emptied: boolean;
}

/** An address space: whose threads, what is mapped, where its files stand. */
interface Space {
  pid: number;
  mapped: { start: number; end: number }[];
  offsets: Map<number, number>;
}

/** ns of "1700000000.123456" after `startNs`, exactly: doubles do not hold ns since 1970. */
function timeOf(text: string): bigint {
  const [seconds = "0", fraction = ""] = text.split(".");
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0").slice(0, 9));
}

/** Arguments at the top level of brackets and quotes. */
function argumentsOf(text: string): string[] {
  const args: string[] = [];
  let depth = 0;
  let quoted = false;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i] ?? "";
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if ("([{".includes(c) || (c === "<" && /\w</.test(text.slice(i - 1, i + 1)))) depth++;
    else if (")]}".includes(c) || (c === ">" && !"-=".includes(text[i - 1] ?? ""))) depth--;
    else if (c === "," && depth === 0) {
      args.push(text.slice(at, i).trim());
      at = i + 1;
    }
  }
  const last = text.slice(at).trim();
  return last === "" ? args : [...args, last];
}

function callOf(pid: number, timeNs: number, text: string): Call | undefined {
  const match = /^(\w+)\((.*)\)\s+= (0x[0-9a-f]+|-?\d+)/.exec(text);
  if (!match) return undefined;
  const [, name = "", args = "", result = "-1"] = match;
  return { timeNs, pid, name, args: argumentsOf(args), result: Number(result) };
}

/** "3</tmp/db>": the number, and the path of a file that a trace can have. */
function fdOf(text: string | undefined): { fd: number; path?: string } {
  const match = /^(-?\d+)(?:<(.*)>)?/.exec(text ?? "");
  const fd = Number(match?.[1] ?? NaN);
  const path = match?.[2]?.replace(/>?\(deleted\)$/, "").replace(/<.*$/, "");
  return path?.startsWith("/") === true && !/^\/(dev|proc|sys)\//.test(path) ? { fd, path } : { fd };
}

function protOf(text = ""): string {
  const letters = [/PROT_READ/, /PROT_WRITE/, /PROT_EXEC/].map((flag, i) => (flag.test(text) ? "rwx".charAt(i) : ""));
  return letters.join("") || "none";
}

class Importer {
  private readonly files = new Map<string, KnownFile>();
  private readonly spaces = new Map<number, Space>();
  /** The process of a thread. */
  private readonly processes = new Map<number, number>();
  private readonly lines: string[] = [];
  private readonly left = new Map<string, number>();
  private now = { timeNs: 0, thread: "" };

  private leave(why: string): void {
    this.left.set(why, (this.left.get(why) ?? 0) + 1);
  }

  private spaceOf(tid: number): Space {
    const pid = this.processes.get(tid) ?? tid;
    const space = this.spaces.get(pid) ?? { pid, mapped: [], offsets: new Map() };
    this.spaces.set(pid, space);
    return space;
  }

  private emit(...words: (string | number)[]): void {
    const { timeNs, thread } = this.now;
    const seconds = `${Math.floor(timeNs / 1e9)}.${String(timeNs % 1e9).padStart(9, "0")}`;
    this.lines.push([seconds, thread, ...words].join(" "));
  }

  private file(path: string): KnownFile {
    const known = this.files.get(path);
    if (known) return known;
    const file = { id: this.files.size + 1, name: path, initialBytes: 0, bytes: 0, emptied: false };
    this.files.set(path, file);
    return file;
  }

  /** The recorded program found bytes up to `end`: the file had them, if nobody here wrote them. */
  private found(file: KnownFile, end: number): void {
    if (end <= file.bytes) return;
    if (!file.emptied) file.initialBytes = Math.max(file.initialBytes, end);
    file.bytes = end;
  }

  private unmap(space: Space, start: number, end: number): void {
    space.mapped = space.mapped.flatMap((m) => {
      if (m.start >= end || m.end <= start) return [m];
      const parts = [
        { start: m.start, end: start },
        { start: end, end: m.end },
      ];
      return parts.filter((part) => part.start < part.end);
    });
  }

  private isMapped(space: Space, start: number, end: number): boolean {
    let at = start;
    for (const m of [...space.mapped].sort((a, b) => a.start - b.start)) if (m.start <= at && m.end > at) at = m.end;
    return at >= end;
  }

  private at(tid: number, timeNs: number): Space {
    const space = this.spaceOf(tid);
    this.now = { timeNs, thread: tid === space.pid ? String(tid) : `${space.pid}.${tid}` };
    return space;
  }

  fault({ timeNs, pid, tid, address, write }: Fault): void {
    if (tid !== pid) this.processes.set(tid, pid);
    const space = this.at(tid, timeNs);
    const page = Math.floor(address / PAGE) * PAGE;
    if (this.isMapped(space, page, page + PAGE)) this.emit(write ? "store" : "load", `0x${address.toString(16)}`, 1);
    else this.leave("faults outside of recorded mappings (stack, heap, image)");
  }

  call(call: Call): void {
    const space = this.at(call.pid, call.timeNs);
    if (call.result < 0) {
      this.leave("calls that failed");
      return;
    }
    if (this.memory(space, call) || this.io(space, call) || this.life(space, call)) return;
    this.leave(`calls of ${call.name}`);
  }

  /** Calls on mappings. False when it is none. */
  private memory(space: Space, { name, args, result }: Call): boolean {
    const address = Number(args[0]);
    const bytes = Number(args[1]);
    const at = `0x${address.toString(16)}`;
    const known = (): boolean => {
      if (this.isMapped(space, address, address + Math.ceil(bytes / PAGE) * PAGE)) return true;
      this.leave(`${name} outside of recorded mappings`);
      return false;
    };
    switch (name) {
      case "mmap":
        this.mmap(space, args, result);
        return true;
      case "munmap":
        this.unmap(space, address, address + Math.ceil(bytes / PAGE) * PAGE);
        this.emit("munmap", at, bytes);
        return true;
      case "mprotect":
        if (known()) this.emit("mprotect", at, bytes, protOf(args[2]));
        return true;
      case "madvise":
        if (!/MADV_(DONTNEED|WILLNEED)/.test(args[2] ?? "")) return false;
        if (known()) this.emit("madvise", at, bytes, args[2]?.includes("DONTNEED") === true ? "dontneed" : "willneed");
        return true;
      case "msync":
        if (known()) this.emit("msync", at, bytes, args[2]?.includes("MS_SYNC") === true ? "sync" : "async");
        return true;
      default:
        return false;
    }
  }

  private mmap(space: Space, args: readonly string[], address: number): void {
    const bytes = Number(args[1]);
    const flags = args[3] ?? "";
    const { path } = fdOf(args[4]);
    const anonymous = flags.includes("MAP_ANONYMOUS");
    if ((!anonymous && path === undefined) || address < LOWEST_ADDRESS) {
      this.leave("mmap of what is no file");
      return;
    }
    const end = address + Math.ceil(bytes / PAGE) * PAGE;
    this.unmap(space, address, end);
    space.mapped.push({ start: address, end });
    const words = [`0x${address.toString(16)}`, bytes, protOf(args[2]), flags.includes("MAP_SHARED") ? "shared" : "private"];
    if (anonymous || path === undefined) this.emit("mmap", ...words);
    else {
      const file = this.file(path);
      const offset = Number(args[5] ?? 0);
      this.found(file, offset + bytes);
      this.emit("mmap", ...words, file.id, offset);
    }
  }

  /** Calls on files. False when it is none. */
  private io(space: Space, { name, args, result }: Call): boolean {
    const match = /^(pread64|pwrite64|read|write|ftruncate|fsync|fdatasync)$/.exec(name);
    if (!match) return false;
    const { fd, path } = fdOf(args[0]);
    if (path === undefined) {
      this.leave(`${name} of what is no file`);
      return true;
    }
    const file = this.file(path);
    if (name === "fsync" || name === "fdatasync") this.emit(name, file.id);
    else if (name === "ftruncate") {
      const bytes = Number(args[1]);
      file.bytes = bytes;
      file.emptied ||= bytes === 0;
      this.emit("truncate", file.id, bytes);
    } else if (result > 0) {
      const positioned = name.startsWith("p");
      const offset = positioned ? Number(args[3]) : (space.offsets.get(fd) ?? 0);
      if (!positioned) space.offsets.set(fd, offset + result);
      const write = name.includes("write");
      if (write) file.bytes = Math.max(file.bytes, offset + result);
      else this.found(file, offset + result);
      this.emit(write ? "write" : "read", file.id, offset, result);
    }
    return true;
  }

  /** Calls that make and end files and address spaces. False when it is none. */
  private life(space: Space, call: Call): boolean {
    const { name, args, result } = call;
    switch (name) {
      case "open":
      case "openat":
      case "creat": {
        space.offsets.set(result, 0);
        const path = /<(\/.*)>/.exec(args[0] ?? "")?.[1];
        const opened = /^"(\/.*)"$/.exec(args[name === "openat" ? 1 : 0] ?? "")?.[1] ?? path;
        if (opened !== undefined && /O_TRUNC|O_EXCL/.test(args.join(" ")) && fdOf(`0<${opened}>`).path !== undefined) {
          const file = this.file(opened);
          if (file.bytes > 0) this.emit("truncate", file.id, 0);
          file.emptied = true;
          file.bytes = 0;
        }
        return true;
      }
      case "close":
        space.offsets.delete(fdOf(args[0]).fd);
        return true;
      case "lseek":
        space.offsets.set(fdOf(args[0]).fd, result);
        return true;
      case "execve":
        for (const { start, end } of space.mapped) this.emit("munmap", `0x${start.toString(16)}`, end - start);
        space.mapped = [];
        return true;
      case "clone":
      case "clone3":
      case "fork":
      case "vfork":
        if (args.join(" ").includes("CLONE_THREAD")) this.processes.set(result, space.pid);
        else this.leave("forks: a child begins with nothing mapped");
        return true;
      default:
        return false;
    }
  }

  result(head: readonly string[]): Imported {
    const files = [...this.files.values()].map((file) => `file ${file.id} ${file.initialBytes} ${file.name}`);
    const text = ["faultline-trace 1", ...head.map((line) => `# ${line}`.trimEnd()), ...files, ...this.lines, ""].join("\n");
    return { text, events: this.lines.length, left: this.left };
  }
}

/** The calls of strace's output, unfinished ones put together. */
function* callsOf(strace: string): Generator<{ time: bigint; pid: number; text: string }> {
  const unfinished = new Map<number, { time: bigint; text: string }>();
  for (const line of strace.split("\n")) {
    const match = /^(?:\[pid\s+(\d+)\]\s+|(\d+)\s+)?(\d{1,12}\.\d+)\s+(.*)$/.exec(line);
    if (!match) continue;
    const [, bracketed, bare, timeText = "0", text = ""] = match;
    const pid = Number(bracketed ?? bare ?? 1);
    const resumed = /^<\.\.\. \w+ resumed>\s*(.*)$/.exec(text);
    if (text.endsWith("<unfinished ...>")) {
      unfinished.set(pid, { time: timeOf(timeText), text: text.slice(0, -"<unfinished ...>".length).trimEnd() });
    } else if (resumed) {
      const begun = unfinished.get(pid);
      unfinished.delete(pid);
      if (begun) yield { time: begun.time, pid, text: `${begun.text}${/[,(]$/.test(begun.text) ? " " : ""}${resumed[1] ?? ""}` };
    } else yield { time: timeOf(timeText), pid, text };
  }
}

/** Wall-clock time of perf script's tod field, UTC. */
function timeOfDay(day: string, clock: string): bigint {
  const [whole = "", fraction = ""] = clock.split(".");
  return timeOf(`${Date.parse(`${day}T${whole}Z`) / 1000}.${fraction}`);
}

/** The faults of perf script's output, with their time of day. */
function* faultsOf(script: string): Generator<{ time: bigint; fault: Omit<Fault, "timeNs"> }> {
  for (const line of script.split("\n")) {
    const who = /^\s*(\d+)\/(\d+)\s+(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d+)\s/.exec(line);
    const what = /exceptions:page_fault_user:\s+address=(?:0x)?([0-9a-f]+)\b.*\berror_code=(?:0x)?([0-9a-f]+)/.exec(line);
    if (!who || !what) continue;
    const [, pid = "0", tid = "0", day = "", clock = ""] = who;
    const [, address = "0", code = "0"] = what;
    const write = (parseInt(code, 16) & PF_WRITE) !== 0;
    yield { time: timeOfDay(day, clock), fault: { pid: Number(pid), tid: Number(tid), address: parseInt(address, 16), write } };
  }
}

/** The trace of a recording. `head`: lines for its comment. */
export function importStrace(strace: string, perfScript: string, head: readonly string[]): Imported {
  const calls = [...callsOf(strace)];
  const faults = [...faultsOf(perfScript)];
  const firstCall = calls[0]?.time ?? 0n;
  const origin = calls.reduce((first, { time }) => (time < first ? time : first), firstCall);
  const importer = new Importer();
  const steps: { time: bigint; run: (timeNs: number) => void }[] = [
    ...calls.map(({ time, pid, text }) => ({
      time,
      run: (timeNs: number): void => {
        const call = callOf(pid, timeNs, text);
        if (call) importer.call(call);
      },
    })),
    ...faults.map(({ time, fault }) => ({
      time,
      run: (timeNs: number): void => {
        importer.fault({ ...fault, timeNs });
      },
    })),
  ];
  // A stable sort: of one time, calls come first.
  steps.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  for (const { time, run } of steps) if (time >= origin) run(Number(time - origin));
  return importer.result(head);
}
