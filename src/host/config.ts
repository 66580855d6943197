/**
 * What a user decides about a machine, and how that becomes the kernel's boot configuration.
 */

import type { DiskModel } from "./disk.js";
import type { ScriptedFilesystem } from "./scripted-fs.js";

export interface MachineConfig {
  /** Emulated CPUs, 1 to 128. Default 1. */
  cpus?: number;
  /** Sockets the CPUs are spread over in equal blocks. Default 4 from four CPUs on, else 1. */
  sockets?: number;
  /** Guest memory in bytes: page frames for guests, page tables and page cache. Default 64 MiB, at least 256 KiB. */
  memoryBytes?: number;
  /** Seed of every random choice, 0 to 2^53 - 1. Default 1. */
  seed?: number;
  /** Task table size. Default 2 per CPU and 64 more. */
  maxTasks?: number;
  /** TLB entries per CPU, a power of two. */
  tlbEntries?: number;
  /** Trace ring capacity in events, a power of two. */
  traceEvents?: number;
  /**
   * Whether events go into the ring; counters always run. Default true: it costs 2 % of a fault's host time, and a panic
   * shows the last events. Off is another machine to the state hash: even dead locals in saved frames hold ring addresses.
   */
  trace?: boolean;
  /** Who answers free choices: time and FIFO, a seeded walk, a script; "explore" is for sim/explore and its kernel. Default "default". */
  choices?: ChoicePolicy;
  /** Entries of the choice log and script. */
  choiceLog?: number;
  /** How a fault is locked. Default "linux-4.19". */
  faultLock?: FaultLockRegime;
  /** How page_mkwrite is called, for filesystems that take part. Default "generic_page_mkwrite". */
  mkwrite?: MkwriteRegime;
  /** Defects of bacik-v3 that are on: bit n-1 for Dn. Default D2 to D6, as posted. */
  bacikDefects?: number;
  /** Filesystems written in TypeScript, four at most: mount finds them by name. */
  filesystems?: readonly ScriptedFilesystem[];
  /** Disk size in 4 KiB blocks; 0: no disk. Default 0. */
  diskBlocks?: number;
  /** How long the disk takes, in whatever differs from an NVMe-like one. */
  disk?: DiskModel;
  /** Time slice, ns. Default 3 ms. */
  sliceNs?: number;
  /** How far a CPU may run ahead of the others on cache lines that are its own, ns. Default 8000; 0 is exact order. */
  skewNs?: number;
  /** Readahead window, pages. Default 32. */
  raPages?: number;
  /** Fault-around window, pages; 1 turns it off. Default 16. */
  faultAroundPages?: number;
  /** Fill freed frames with poison and check it. Default false. */
  pagePoison?: boolean;
  /** Histograms for what guests measure (guest/mem.ts: record). Default 4. */
  recorders?: number;
  /** A slip that the kernel is to make (assembly/lib/mutant.ts); the explorer's build alone can. Default none. */
  mutant?: string;
  /** Pages of decoded instructions that a machine keeps for programs (exec), 0: it runs none. Default 0; 37 KiB each. */
  codePages?: number;
  /** Costs to override, ns by name. */
  costs?: Readonly<Record<string, number>>;
}

/** Index is the kernel's number (assembly/mm/state.ts). */
export const FAULT_LOCK_REGIMES = ["linux-4.19", "linux-5.1", "linux-6.7"] as const;
export type FaultLockRegime = (typeof FAULT_LOCK_REGIMES)[number];

/** Index is the kernel's number (assembly/mm/mkwrite.ts). */
export const MKWRITE_REGIMES = ["generic_page_mkwrite", "bacik-v3", "generic_page_mkwrite_nommapsem", "kara", "completed"] as const;
export type MkwriteRegime = (typeof MKWRITE_REGIMES)[number];

/** Index is the kernel's number (assembly/sched/choice.ts). */
export const CHOICE_POLICIES = ["default", "random", "script", "explore"] as const;
export type ChoicePolicy = (typeof CHOICE_POLICIES)[number];

/** A configuration that makes no machine. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ConfigError";
  }
}

const KIB = 1024;
export const MIN_MEMORY_BYTES = 256 * KIB;
export const MAX_MEMORY_BYTES = 3 * KIB * KIB * KIB;
export const DEFAULT_MEMORY_BYTES = 64 * KIB * KIB;

function whole(name: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new ConfigError(`${name} is ${value}; it must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function powerOfTwo(name: string, value: number, min: number, max: number): number {
  whole(name, value, min, max);
  if ((value & (value - 1)) !== 0) throw new ConfigError(`${name} is ${value}; it must be a power of two`);
  return value;
}

function indexOf(name: string, value: string, names: readonly string[]): number {
  const index = names.indexOf(value);
  if (index < 0) throw new ConfigError(`${name} is ${value}; it must be one of ${names.join(", ")}`);
  return index;
}

/** Every field there is: what is none is a slip of the pen, not a wish. */
const FIELDS: Readonly<Record<keyof MachineConfig, true>> = {
  cpus: true,
  sockets: true,
  memoryBytes: true,
  seed: true,
  maxTasks: true,
  tlbEntries: true,
  traceEvents: true,
  trace: true,
  choices: true,
  choiceLog: true,
  faultLock: true,
  mkwrite: true,
  bacikDefects: true,
  filesystems: true,
  diskBlocks: true,
  disk: true,
  sliceNs: true,
  skewNs: true,
  raPages: true,
  faultAroundPages: true,
  pagePoison: true,
  recorders: true,
  mutant: true,
  codePages: true,
  costs: true,
};

/** The kernel's numbers for a configuration. Fields that are absent keep the kernel's defaults. */
export interface KernelNumbers {
  cpus: number;
  frames: number;
  seed: number;
  fields: Map<string, number>;
}

/** Checks a configuration. Throws ConfigError naming the field, its value and its range. */
export function kernelNumbers(config: MachineConfig): KernelNumbers {
  for (const name of Object.keys(config)) {
    if (!(name in FIELDS)) throw new ConfigError(`unknown configuration field "${name}"; the fields are ${Object.keys(FIELDS).join(", ")}`);
  }
  const cpus = whole("cpus", config.cpus ?? 1, 1, 128);
  const memoryBytes = whole("memoryBytes", config.memoryBytes ?? DEFAULT_MEMORY_BYTES, MIN_MEMORY_BYTES, MAX_MEMORY_BYTES);
  const fields = new Map<string, number>();
  const put = (field: string, value: number | undefined, check: (value: number) => number): void => {
    if (value !== undefined) fields.set(field, check(value));
  };
  put("sockets", config.sockets, (v) => whole("sockets", v, 1, cpus));
  put("maxTasks", config.maxTasks, (v) => whole("maxTasks", v, 1, 4096));
  put("tlbEntries", config.tlbEntries, (v) => powerOfTwo("tlbEntries", v, 16, 65536));
  put("traceEvents", config.traceEvents, (v) => powerOfTwo("traceEvents", v, 16, 1 << 22));
  put("choiceLog", config.choiceLog, (v) => whole("choiceLog", v, 0, 1 << 22));
  put("diskBlocks", config.diskBlocks, (v) => whole("diskBlocks", v, 0, 1 << 18));
  put("sliceNs", config.sliceNs, (v) => whole("sliceNs", v, 1000, 1e9));
  put("skewNs", config.skewNs, (v) => whole("skewNs", v, 0, 1e6));
  put("raPages", config.raPages, (v) => whole("raPages", v, 0, 1024));
  put("faultAroundPages", config.faultAroundPages, (v) => powerOfTwo("faultAroundPages", v, 1, 512));
  put("recorders", config.recorders, (v) => whole("recorders", v, 0, 2048));
  put("codePages", config.codePages, (v) => whole("codePages", v, 0, 65535));
  fields.set("traceOn", config.trace === false ? 0 : 1);
  if (config.pagePoison === true) fields.set("pagePoison", 1);
  fields.set("choicePolicy", indexOf("choices", config.choices ?? "default", CHOICE_POLICIES));
  fields.set("faultLock", indexOf("faultLock", config.faultLock ?? "linux-4.19", FAULT_LOCK_REGIMES));
  fields.set("mkwrite", indexOf("mkwrite", config.mkwrite ?? "generic_page_mkwrite", MKWRITE_REGIMES));
  fields.set("scriptedFs", config.filesystems?.length ?? 0);
  put("bacikDefects", config.bacikDefects, (v) => whole("bacikDefects", v, 0, 63));
  const seed = whole("seed", config.seed ?? 1, 0, Number.MAX_SAFE_INTEGER);
  return { cpus, frames: Math.floor(memoryBytes / 4096), seed, fields };
}
