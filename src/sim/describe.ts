/**
 * Runs as users write them: the text of options, of a form, of a page's address; and the sweep that it stands for.
 *
 * Interface: RunText, RUN_TEXT_DEFAULTS, MODES, FILESYSTEMS, sweepOfText, checkWorkload, oneOf, suggestion, commandOfText.
 * Invariants: [desc-1] equal texts make equal sweeps, on the command line and in the page.
 *             [desc-2] a text that makes no sweep is a ParseError that names its field.
 * Locks: none.
 * Why not in the CLI: the page takes the same words, and a shared run must mean the same in both.
 */
import { FAULT_LOCK_REGIMES, type FaultLockRegime, type MachineConfig } from "../host/config.js";
import { type Mode, WORKLOADS, workloadByName } from "../workloads/index.js";
import { ParseError, parseDuration, parseSize, parseTasks, parseWhole } from "./parse.js";
import type { SweepDescription } from "./sweep.js";

/** A run in words. */
export interface RunText {
  workload: string;
  tasks: string;
  mode: string;
  fs: string;
  faultLock: string;
  cpus?: string;
  sockets?: string;
  memory: string;
  length?: string;
  seed: string;
  seeds: string;
  duration: string;
  warmup: string;
}

export type RunField = keyof RunText;

export const MODES: readonly Mode[] = ["threads", "processes"];
export const FILESYSTEMS = ["ramfs"] as const;

/** What a user who says nothing gets. */
export const RUN_TEXT_DEFAULTS = {
  tasks: "1,2,4",
  mode: "threads",
  fs: "ramfs",
  faultLock: "linux-4.19",
  memory: "256M",
  seed: "1",
  seeds: "1",
  duration: "10ms",
  warmup: "1ms",
} as const satisfies Omit<RunText, "workload">;

/** Edit distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** " Did you mean x?" for a near miss, else "". */
export function suggestion(word: string, known: readonly string[]): string {
  const ranked = known.map((name) => ({ name, d: distance(word, name) })).sort((a, b) => a.d - b.d);
  const best = ranked[0];
  return best && best.d <= Math.max(2, word.length / 3) ? ` Did you mean ${best.name}?` : "";
}

/** The workload's name, checked. */
export function checkWorkload(name: string): string {
  if (workloadByName(name)) return name;
  const names = WORKLOADS.map((w) => w.name);
  throw new ParseError(`unknown workload "${name}".${suggestion(name, names)}\nThe workloads: ${names.join(", ")}`);
}

/** One of the words allowed. */
export function oneOf<T extends string>(value: string, what: string, allowed: readonly T[]): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw new ParseError(`${what} "${value}": expected one of ${allowed.join(", ")}.${suggestion(value, allowed)}`);
  return found;
}

/** Reads a field; its ParseError carries the field's name. */
function field<T>(name: RunField, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ParseError) error.field ??= name;
    throw error;
  }
}

function machineOf(t: RunText): MachineConfig {
  const config: MachineConfig = {
    memoryBytes: field("memory", () => parseSize(t.memory)),
    faultLock: field("faultLock", () => oneOf<FaultLockRegime>(t.faultLock, "fault lock", FAULT_LOCK_REGIMES)),
  };
  const { cpus, sockets } = t;
  if (cpus !== undefined) config.cpus = field("cpus", () => parseWhole(cpus, "cpus", 1, 128));
  if (sockets !== undefined) config.sockets = field("sockets", () => parseWhole(sockets, "sockets", 1, 128));
  return config;
}

/** The sweep that a text stands for. Throws ParseError with its field. */
export function sweepOfText(t: RunText): SweepDescription {
  field("workload", () => checkWorkload(t.workload));
  field("fs", () => oneOf(t.fs, "filesystem", FILESYSTEMS));
  const first = field("seed", () => parseWhole(t.seed, "seed", 0, Number.MAX_SAFE_INTEGER));
  const count = field("seeds", () => parseWhole(t.seeds, "seeds", 1, 10_000));
  const sweep: SweepDescription = {
    workload: t.workload,
    tasks: field("tasks", () => parseTasks(t.tasks)),
    mode: field("mode", () => oneOf<Mode>(t.mode, "mode", MODES)),
    seeds: Array.from({ length: count }, (_, i) => first + i),
    warmupNs: field("warmup", () => parseDuration(t.warmup)),
    durationNs: field("duration", () => parseDuration(t.duration)),
    config: machineOf(t),
  };
  const { length } = t;
  if (length !== undefined) sweep.lenBytes = field("length", () => parseSize(length));
  return sweep;
}

const FLAGS: readonly [Exclude<RunField, "workload">, string][] = [
  ["tasks", "-t"],
  ["mode", "--mode"],
  ["fs", "--fs"],
  ["faultLock", "--fault-lock"],
  ["cpus", "--cpus"],
  ["sockets", "--sockets"],
  ["memory", "--memory"],
  ["length", "--length"],
  ["seed", "--seed"],
  ["seeds", "--seeds"],
  ["duration", "--duration"],
  ["warmup", "--warmup"],
];

/** A word as a POSIX shell reads it back. */
function quoted(word: string): string {
  return /^[\w.,:/=+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command line of a text; what has its default value is left out. */
export function commandOfText(t: RunText): string {
  const parts = ["faultline run", quoted(t.workload)];
  const defaults: Partial<Record<RunField, string>> = RUN_TEXT_DEFAULTS;
  for (const [name, flag] of FLAGS) {
    const value = t[name];
    if (value !== undefined && value !== defaults[name]) parts.push(flag, quoted(value));
  }
  return parts.join(" ");
}
