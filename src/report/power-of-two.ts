/**
 * A histogram as bpftrace prints its hist(): powers of two, a count, a bar of 52 columns.
 *
 *     [512, 1K)             42 |@@@@@@@@@@@@@@@@@@                                  |
 *
 * Interface: powerOfTwoText, powerOfTwoRows.
 * Invariants: [p2-1] counts sum to the histogram's N. A bucket of the kernel's lies in one row: 32 a power of two.
 * Locks: none.
 * Why not finer rows: people who trace kernels read these at a glance.
 */
import type { Histogram } from "../host/histogram.js";

const BAR = 52;

export interface PowerRow {
  low: number;
  high: number;
  count: number;
}

/** Rows from the first to the last one that has a count. Row of 0 is [0, 1). */
export function powerOfTwoRows(h: Histogram): PowerRow[] {
  const counts = new Map<number, number>();
  for (const [edge, count] of h.buckets) {
    const power = edge === 0 ? -1 : Math.floor(Math.log2(edge));
    counts.set(power, (counts.get(power) ?? 0) + count);
  }
  if (counts.size === 0) return [];
  const powers = [...counts.keys()];
  const [first, last] = [Math.min(...powers), Math.max(...powers)];
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const power = first + i;
    return { low: power < 0 ? 0 : 2 ** power, high: power < 0 ? 1 : 2 ** (power + 1), count: counts.get(power) ?? 0 };
  });
}

/** 1024 is 1K, 1048576 is 1M: bpftrace's own words. */
function short(value: number): string {
  const units = ["", "K", "M", "G", "T"];
  let unit = 0;
  let rest = value;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${rest}${units[unit] ?? ""}`;
}

/** The text of one histogram, headed by its name. */
export function powerOfTwoText(name: string, h: Histogram): string {
  const rows = powerOfTwoRows(h);
  if (rows.length === 0) return `@${name}: no records`;
  const most = Math.max(...rows.map((row) => row.count));
  const lines = rows.map(({ low, high, count }) => {
    const bar = "@".repeat(Math.round((count / most) * BAR)).padEnd(BAR);
    return `${`[${short(low)}, ${short(high)})`.padEnd(16)} ${String(count).padStart(10)} |${bar}|`;
  });
  return [`@${name}:`, ...lines].join("\n");
}
