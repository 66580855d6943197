/**
 * Values of fio's options: sizes, times, ranges, words. Units are fio's own.
 *
 *     size   4096, 4k, 1g, 0x1000     k m g t p are powers of 1024, with or without a b or an i; kib mib ... are powers of 1000;
 *                                     with kb_base=1000 the other way round: fio's words, kept for old job files
 *     time   10, 500ms, 2m            seconds unless it says us, ms, s, m, h or d
 *
 * Interface: parseFioSize, parseFioTime, parseFioInt, parseFioBool, parseFioPercent, ValueError.
 * Invariants: [fv-1] a value that fio would not read in full is an error, never a part of it.
 * Locks: none.
 * Why not sim/parse.ts: fio's units are not Faultline's, and a job file must mean what it means to fio.
 */

/** What was expected of a value; the reader adds where it stands. */
export class ValueError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ValueError";
  }
}

const PREFIXES = ["", "k", "m", "g", "t", "p"];
/** fio measures time in us; larger than this is a mistake. */
const MAX_TIME_NS = 1e18;

function unsupported(text: string): void {
  if (text.includes("${")) throw new ValueError(`"${text}": environment variables are not expanded`);
  if (text.startsWith("(")) throw new ValueError(`"${text}": expressions are not modelled; write the number`);
}

/** Bytes. */
export function parseFioSize(text: string, kbBase: number): number {
  unsupported(text);
  const match = /^(0x[0-9a-f]+|\d+)(?:([kmgtp])(ib|b|i)?|b)?$/i.exec(text);
  if (!match) throw new ValueError(`"${text}": expected bytes, such as 4096, 4k or 1g`);
  const power = PREFIXES.indexOf((match[2] ?? "").toLowerCase());
  const base = (match[3] ?? "").toLowerCase() !== "ib" ? kbBase : kbBase === 1024 ? 1000 : 1024;
  const bytes = Number(match[1]) * base ** power;
  if (bytes > Number.MAX_SAFE_INTEGER) throw new ValueError(`"${text}": too large`);
  return bytes;
}

const TIME_NS: Readonly<Record<string, number>> = {
  "": 1e9,
  s: 1e9,
  sec: 1e9,
  us: 1e3,
  usec: 1e3,
  ms: 1e6,
  msec: 1e6,
  m: 60e9,
  min: 60e9,
  h: 3600e9,
  hour: 3600e9,
  d: 86400e9,
  day: 86400e9,
};

/** Simulated ns. */
export function parseFioTime(text: string): number {
  unsupported(text);
  const match = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = TIME_NS[(match?.[2] ?? "").toLowerCase()];
  if (!match || unit === undefined) throw new ValueError(`"${text}": expected a time, such as 10, 500ms or 2m`);
  const ns = Number(match[1]) * unit;
  if (ns > MAX_TIME_NS) throw new ValueError(`"${text}": too long`);
  return ns;
}

export function parseFioInt(text: string, min: number, max: number): number {
  unsupported(text);
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) throw new ValueError(`"${text}": expected a whole number from ${min} to ${max}`);
  return value;
}

export function parseFioBool(text: string): boolean {
  if (text === "1" || text === "0") return text === "1";
  throw new ValueError(`"${text}": expected 0 or 1`);
}

export function parseFioPercent(text: string): number {
  return parseFioInt(text.replace(/%$/, ""), 0, 100);
}

/** A pair "a-b"; a value alone is both ends. */
export function parseFioRange<T>(text: string, parse: (part: string) => T): [T, T] {
  const parts = text.split("-").map((part) => part.trim());
  const [low, high] = parts;
  if (parts.length > 2 || low === undefined) throw new ValueError(`"${text}": expected one value, or a range low-high`);
  return [parse(low), parse(high ?? low)];
}
