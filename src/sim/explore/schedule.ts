/**
 * Schedules: what decides an order of steps, the log of one that was run, and both as text.
 *
 *   schedule = script | random | pct
 *   script   = "default" | deviation {"," deviation}        deviation = point ":" candidate       "17:2,40:e"
 *
 * Interface: Schedule, Deviation, EVENT, MODE, ScheduleLog, scriptText, parseScript.
 * Invariants:
 *   [sch-1] parseScript(scriptText(s)) is s.
 *   [sch-2] the deviations of a log, as a script, give the same log ([ex-1] of assembly/sched/explore.ts).
 * Locks: none.
 * Why not the list of all answers: a race is one or two switches at the wrong place; the rest is noise to its reader.
 */
import { ParseError } from "../parse.js";

/** The earliest event, as a candidate. */
export const EVENT = 31;
/** ExplorePoint.current: the task that ran last cannot go on. */
export const NOBODY = 0xff;

/** The kernel's numbers (assembly/sched/explore.ts). */
export const MODE = { script: 0, random: 1, pct: 2, quiet: 3 } as const;

/** At a point, not the candidate that would run by default: the running task, else the lowest CPU, else the earliest event. */
export interface Deviation {
  point: number;
  /** A CPU, or EVENT. */
  name: number;
}

export type Script = readonly Deviation[];

export type Schedule =
  | { kind: "script"; script: Script }
  /** A seeded walk that leaves the running task at one point in `oneIn`. */
  | { kind: "random"; seed: number; oneIn: number }
  /** Probabilistic concurrency testing: random priorities; at `changes` of the first `steps` points the running task falls behind. */
  | { kind: "pct"; seed: number; changes: number; steps: number };

export const POINT_BYTES = 24;

/** A view of the log in the kernel's memory: good until the next schedule. */
export class ScheduleLog {
  private readonly u32: Uint32Array;
  private readonly u8: Uint8Array;
  length = 0;
  /** Where footprints are in memory, bytes, and how many words of them. */
  footprints = 0;
  footprintEnd = 0;

  constructor(
    memory: WebAssembly.Memory,
    private readonly at: number,
  ) {
    this.u32 = new Uint32Array(memory.buffer);
    this.u8 = new Uint8Array(memory.buffer);
  }

  mask(i: number): number {
    return this.u32[(this.at + i * POINT_BYTES) >> 2] ?? 0;
  }
  current(i: number): number {
    return this.u8[this.at + i * POINT_BYTES + 4] ?? NOBODY;
  }
  answer(i: number): number {
    return this.u8[this.at + i * POINT_BYTES + 5] ?? NOBODY;
  }
  byDefault(i: number): number {
    return this.u8[this.at + i * POINT_BYTES + 6] ?? NOBODY;
  }

  timeNs(i: number): number {
    const at = (this.at + i * POINT_BYTES) >> 2;
    return (this.u32[at + 2] ?? 0) + (this.u32[at + 3] ?? 0) * 2 ** 32;
  }

  /** What the step behind a point has touched: granule << 1 | written. Empty where steps are not recorded. */
  footprint(i: number): Uint32Array {
    const begin = this.u32[(this.at + i * POINT_BYTES + 16) >> 2] ?? 0;
    const end = i + 1 < this.length ? (this.u32[(this.at + (i + 1) * POINT_BYTES + 16) >> 2] ?? 0) : this.footprintEnd;
    return this.u32.slice(this.footprints / 4 + begin, this.footprints / 4 + end);
  }

  /** What differs from the default order. */
  deviations(): Deviation[] {
    const found: Deviation[] = [];
    for (let i = 0; i < this.length; i++) {
      const name = this.answer(i);
      if (name !== this.byDefault(i)) found.push({ point: i, name });
    }
    return found;
  }
}

/** How many of a script's deviations take the CPU from a task that could go on, by a log of it. */
export function preemptions(log: ScheduleLog): number {
  let count = 0;
  for (let i = 0; i < log.length; i++) if (log.current(i) !== NOBODY && log.answer(i) !== log.byDefault(i)) count++;
  return count;
}

export function scriptText(script: Script): string {
  if (script.length === 0) return "default";
  return script.map(({ point, name }) => `${point}:${name === EVENT ? "e" : name}`).join(",");
}

/** Throws ParseError for a text that is no script. */
export function parseScript(text: string): Script {
  if (text === "default") return [];
  const script = text.split(",").map((part) => {
    const [, point, name] = /^(\d{1,7}):(\d{1,2}|e)$/.exec(part.trim()) ?? [];
    if (point === undefined || name === undefined) {
      throw new ParseError(`schedule "${text}": "${part}": expected point:cpu or point:e, as in 17:2,40:e, or "default"`);
    }
    return { point: Number(point), name: name === "e" ? EVENT : Number(name) };
  });
  for (let i = 1; i < script.length; i++) {
    if ((script[i - 1]?.point ?? 0) >= (script[i]?.point ?? 0)) throw new ParseError(`schedule "${text}": points must rise`);
  }
  return script;
}
