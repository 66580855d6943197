/**
 * Sizes, durations and task lists as users write them.
 */

/** A value that cannot be read; the message says what was expected. */
export class ParseError extends Error {
  /** The field that it was read from, where there are several. */
  field?: string;
  constructor(message: string) {
    super(message);
    this.name = "ParseError";
  }
}

function scaled(text: string, what: string, units: Readonly<Record<string, number>>, example: string): number {
  const match = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text.trim());
  const unit = match?.[2] ?? "";
  const scale = units[unit];
  if (!match || scale === undefined) throw new ParseError(`${what} "${text}": expected a number with a unit, such as ${example}`);
  const value = Number(match[1]) * scale;
  if (!Number.isFinite(value) || value > Number.MAX_SAFE_INTEGER) throw new ParseError(`${what} "${text}" is too large`);
  return Math.round(value);
}

const SIZE_UNITS = {
  "": 1,
  B: 1,
  K: 1024,
  KiB: 1024,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
};
const TIME_UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** Bytes: "256M", "64KiB", "4096". Units are powers of 1024. */
export function parseSize(text: string): number {
  return scaled(text, "size", SIZE_UNITS, "256M");
}

/** Simulated time in ns: "10ms", "500us". A unit is required. */
export function parseDuration(text: string): number {
  return scaled(text, "duration", TIME_UNITS, "10ms");
}

/** A whole number in [min, max]. */
export function parseWhole(text: string, what: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < min || value > max) {
    throw new ParseError(`${what} "${text}": expected a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Task counts, ascending, each once: "1,2,4", "1-16", "1-4,8". 1 to 128 each. */
export function parseTasks(text: string): number[] {
  const counts = new Set<number>();
  for (const part of text.split(",")) {
    const range = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    if (!range) throw new ParseError(`tasks "${text}": expected counts and ranges, such as 1,2,4 or 1-16`);
    const first = parseWhole(range[1] ?? "", "tasks", 1, 128);
    const last = parseWhole(range[2] ?? range[1] ?? "", "tasks", 1, 128);
    if (last < first) throw new ParseError(`tasks "${part}": the range runs backwards`);
    for (let n = first; n <= last; n++) counts.add(n);
  }
  return [...counts].sort((a, b) => a - b);
}
