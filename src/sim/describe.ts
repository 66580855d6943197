/**
 * Runs as users write them: the text of options, of a form, of a page's address; and the sweep that it stands for.
 *
 * Interface: RunText, RUN_TEXT_DEFAULTS, MODES, FILESYSTEMS, sweepOfText, casesOf, checkWorkload, oneOf, suggestion, commandOfText;
 *            field, quoted, commandWords, RUN_FLAGS for texts that are more than a run.
 * Invariants: [desc-1] equal texts make equal sweeps, on the command line and in the page.
 *             [desc-2] a text that makes no sweep is a ParseError that names its field.
 * Locks: none.
 * Why not in the CLI: the page takes the same words, and a shared run must mean the same in both.
 */
import { FAULT_LOCK_REGIMES, type FaultLockRegime, MKWRITE_REGIMES, type MachineConfig, type MkwriteRegime } from "../host/config.js";
import { type Mode, WORKLOADS, type Workload, type WorkloadInput, optionValues, workloadByName, workloadOf } from "../workloads/index.js";
import { FILESYSTEM_NAMES, filesystemFor } from "./filesystems.js";
import { ParseError, parseDuration, parseSize, parseTasks, parseWhole } from "./parse.js";
import { suggestion } from "./suggest.js";
import type { SweepDescription } from "./sweep.js";

export { suggestion } from "./suggest.js";

/** A run in words. */
export interface RunText {
  workload: string;
  tasks: string;
  mode: string;
  fs: string;
  faultLock: string;
  mkwrite: string;
  /** Options of the workload: "key=value", commas between. */
  set?: string;
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
export const FILESYSTEMS = FILESYSTEM_NAMES;

/** What a user who says nothing gets. */
export const RUN_TEXT_DEFAULTS = {
  tasks: "1,2,4",
  mode: "threads",
  fs: "ramfs",
  faultLock: "linux-4.19",
  mkwrite: "generic_page_mkwrite",
  memory: "256M",
  seed: "1",
  seeds: "1",
  duration: "10ms",
  warmup: "1ms",
} as const satisfies Omit<RunText, "workload">;

/** The workload's name, checked. */
export function checkWorkload(name: string): string {
  return workloadOfText(name).name;
}

function workloadOfText(name: string): Workload {
  const found = workloadByName(name);
  if (found) return found;
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
export function field<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ParseError) error.field ??= name;
    throw error;
  }
}

function measurable(duration: string): number {
  const ns = parseDuration(duration);
  if (ns === 0) throw new ParseError(`duration "${duration}": expected some time to measure, such as 10ms`);
  return ns;
}

function machineOf(t: RunText): MachineConfig {
  const config: MachineConfig = {
    memoryBytes: field("memory", () => parseSize(t.memory)),
    faultLock: field("faultLock", () => oneOf<FaultLockRegime>(t.faultLock, "fault lock", FAULT_LOCK_REGIMES)),
    mkwrite: field("mkwrite", () => oneOf<MkwriteRegime>(t.mkwrite, "mkwrite", MKWRITE_REGIMES)),
  };
  const { cpus, sockets } = t;
  if (cpus !== undefined) config.cpus = field("cpus", () => parseWhole(cpus, "cpus", 1, 128));
  if (sockets !== undefined) config.sockets = field("sockets", () => parseWhole(sockets, "sockets", 1, 128));
  return config;
}

/** Options of the workload, checked against its table. */
function setOf(t: RunText, input: WorkloadInput | undefined): string[] {
  const entries = (t.set ?? "").split(",").map((entry) => entry.trim());
  const set = entries.filter((entry) => entry !== "");
  optionValues(t.workload, workloadOf(t.workload, input)?.options ?? [], set);
  return set;
}

/** The variants of a workload that agree with what is set. One empty list for a workload without variants. */
export function casesOf(workload: string, set: readonly string[]): readonly (readonly string[])[] {
  const cases = workloadByName(workload)?.cases;
  if (!cases) return [[]];
  const keyOf = (entry: string): string => entry.slice(0, entry.indexOf("="));
  const agree = (variant: readonly string[]): boolean =>
    set.every((entry) => variant.includes(entry) || !variant.some((other) => keyOf(other) === keyOf(entry)));
  const kept = cases.filter(agree);
  return kept.length > 0 ? kept : [[]];
}

/** The sweep that a text stands for; with an input, of that file. Throws ParseError with its field. */
export function sweepOfText(t: RunText, input?: WorkloadInput): SweepDescription {
  const workload = field("workload", () => workloadOf(t.workload, input) ?? workloadOfText(t.workload));
  const first = field("seed", () => parseWhole(t.seed, "seed", 0, Number.MAX_SAFE_INTEGER));
  const count = field("seeds", () => parseWhole(t.seeds, "seeds", 1, 10_000));
  const sweep: SweepDescription = {
    workload: t.workload,
    tasks: field("tasks", () => parseTasks(t.tasks)),
    mode: field("mode", () => oneOf<Mode>(t.mode, "mode", MODES)),
    seeds: Array.from({ length: count }, (_, i) => first + i),
    warmupNs: field("warmup", () => parseDuration(t.warmup)),
    durationNs: field("duration", () => measurable(t.duration)),
    fs: field("fs", () => filesystemFor(t.fs, workload).name),
    set: field("set", () => setOf(t, input)),
    config: machineOf(t),
  };
  if (input) sweep.input = input;
  const { length } = t;
  if (length !== undefined) sweep.lenBytes = field("length", () => parseSize(length));
  return sweep;
}

/** Fields and the flags that carry them. */
export const RUN_FLAGS: readonly (readonly [Exclude<RunField, "workload">, string])[] = [
  ["tasks", "-t"],
  ["mode", "--mode"],
  ["fs", "--fs"],
  ["faultLock", "--fault-lock"],
  ["mkwrite", "--mkwrite"],
  ["set", "--set"],
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
export function quoted(word: string): string {
  return /^[\w.,:/=+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The words of a command line; what has its default value is left out. */
export function commandWords<K extends string>(
  verb: string,
  flags: readonly (readonly [K, string])[],
  text: { readonly workload: string } & Readonly<Partial<Record<K, string>>>,
  defaults: Readonly<Record<string, string>>,
): string {
  const parts = [`faultline ${verb}`, quoted(text.workload)];
  for (const [name, flag] of flags) {
    const value = text[name];
    if (value !== undefined && value !== defaults[name]) parts.push(flag, quoted(value));
  }
  return parts.join(" ");
}

/** The command line of a text. */
export function commandOfText(t: RunText): string {
  return commandWords("run", RUN_FLAGS, t, RUN_TEXT_DEFAULTS);
}
