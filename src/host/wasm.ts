/**
 * The kernel's module and its exports: the only file that knows how the kernel is instantiated.
 */
import { instantiateSync } from "@assemblyscript/loader";

/** Everything assembly/index.ts exports. Numbers only; times are f64 ns. */
export interface KernelExports {
  configDefaults: (memoryBytes: number, frames: number, cpus: number) => void;
  minimumBytes: () => number;
  boot: () => number;
  configPtr: () => number;
  configFieldName: (i: number) => number;
  configFieldOffset: (i: number) => number;
  taskFieldName: (i: number) => number;
  taskFieldOffset: (i: number) => number;
  costTablePtr: () => number;
  costCount: () => number;
  costName: (i: number) => number;
  spawnProcess: (pinnedCpu: number) => number;
  run: (untilNs: number) => number;
  guestTask: () => number;
  currentTaskPtr: () => number;
  guestResume: (task: number) => void;
  hostAnswered: (task: number) => void;
  unpark: (tid: number) => number;
  exploreInit: (log: number, limit: number, script: number) => void;
  exploreBegin: (mode: number, seed: number, param: number, length: number) => void;
  explorePoints: () => number;
  explorePruned: () => number;
  footprintsInit: (runs: number, versions: number, limit: number, histories: number, seen: number, seenWords: number) => void;
  footprintsBegin: (run: number, limit: number, stamps: number, steps: number) => void;
  footprintsLength: () => number;
  noteLoad: (at: number) => void;
  noteStore: (at: number) => void;
  noteRead: (at: number, lenBytes: number) => void;
  noteWrite: (at: number, lenBytes: number) => void;
  scriptedFsTable: () => number;
  guestExited: (task: number) => void;
  opBuffer: (task: number) => number;
  nowNs: () => number;
  usedBytes: () => number;
  hashPrepare: () => void;
  statName: (i: number) => number;
  statValue: (i: number) => number;
  statsReset: () => void;
  lockClassName: (i: number) => number;
  lockStatField: (classId: number, mode: number, field: number) => number;
  lockdepClass: (i: number) => number;
  faultHistogram: () => number;
  lockWaitHistogram: (classId: number, mode: number) => number;
  recorderHistogram: (id: number) => number;
  histPercentile: (at: number, p: number) => number;
  histField: (at: number, field: number) => number;
  tracePtr: () => number;
  traceCapacity: () => number;
  traceSeq: () => number;
  traceCount: (id: number) => number;
  traceEnable: (on: number) => void;
  tracepointName: (id: number) => number;
  faultLockName: (id: number) => number;
  mkwriteName: (id: number) => number;
  choiceLogPtr: () => number;
  diskModelPtr: () => number;
  diskFaultsPtr: () => number;
  choiceLogMade: () => number;
  choiceScriptPtr: () => number;
  choiceScriptSet: (length: number) => void;
  inspect: (kind: number, pid: number) => number;
  inspectPtr: () => number;
  pageTableRoot: (pid: number) => number;
  checkMachine: () => void;
  failPageAfter: (n: number) => void;
  failSlabAfter: (n: number) => void;
  siteFail: (kind: number, first: number, count: number) => void;
  siteCount: (kind: number, which: number) => number;
  slabObjectsOf: (nameId: number) => number;
  blockImageBase: () => number;
  blockImageBytes: () => number;
  blockLogBase: () => number;
  blockLogCapacity: () => number;
  blockLogData: () => number;
  blockLogSeq: (which: number) => number;
  blockLogReset: () => void;
  blockInFlightNext: (bio: number) => number;
  blockBioField: (bio: number, field: number) => number;
  fsckLawName: (n: number) => number;
  mutantName: (id: number) => number;
  mutantReached: () => number;
  mutantSelect: (id: number) => number;
  consoleRing: (stream: number) => number;
  consoleRingBytes: () => number;
  consoleWritten: (stream: number) => number;
  unknownCalls: (nr: number) => number;
  benchSwitch: (pairs: number) => number;
  benchMmuHits: (count: number) => number;
}

/** What the kernel says when a law is broken: text, file, line and column of the assert. */
export class KernelAbort extends Error {
  constructor(
    readonly law: string,
    readonly place: string,
  ) {
    super(`${law} (${place})`);
    this.name = "KernelAbort";
  }
}

/** Reads a static AssemblyScript string (UTF-16, byte length in front of it). Address 0 is the empty string. */
export function readString(memory: WebAssembly.Memory, at: number): string {
  if (at === 0) return "";
  const lenBytes = new DataView(memory.buffer).getUint32(at - 4, true);
  return String.fromCharCode(...new Uint16Array(memory.buffer, at, lenBytes >> 1));
}

/** Bytes, a fetch Response, or a compiled module. */
export type KernelSource = BufferSource | Response | Promise<Response> | WebAssembly.Module;

/** Compiles the kernel from whatever the caller has. */
export async function compileKernel(source: KernelSource): Promise<WebAssembly.Module> {
  const ready = await source;
  if (ready instanceof WebAssembly.Module) return ready;
  if (typeof Response !== "undefined" && ready instanceof Response) {
    if (!ready.ok) throw new Error(`kernel.wasm: HTTP ${ready.status} ${ready.statusText}`);
    return WebAssembly.compile(await ready.arrayBuffer());
  }
  return WebAssembly.compile(ready as BufferSource);
}

/** Instantiates the kernel on a memory of its own. */
export function instantiateKernel(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelExports {
  const abort = (message: number, file: number, line: number, column: number): never => {
    throw new KernelAbort(readString(memory, message), `${readString(memory, file)}:${line}:${column}`);
  };
  const cannotBlock = (): never => {
    throw new Error("this kernel is built without Asyncify: it cannot switch stacks");
  };
  // Imports of that build alone, which measures what the pass costs where nothing blocks.
  const asyncify = { start_unwind: cannotBlock, stop_unwind: cannotBlock, start_rewind: cannotBlock, stop_rewind: cannotBlock };
  const { instance } = instantiateSync(module, { env: { memory, abort }, asyncify });
  // The loader's wrapped exports cost 6 ns a call more than these.
  return instance.exports as unknown as KernelExports;
}
