/**
 * Numbers as people read them; every number carries its unit.
 */

/** 1528340 -> "1.53 M". */
export function formatCount(value: number): string {
  const units: [number, string][] = [
    [1e9, " G"],
    [1e6, " M"],
    [1e3, " k"],
  ];
  for (const [scale, unit] of units) if (Math.abs(value) >= scale) return `${(value / scale).toPrecision(3)}${unit}`;
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

/** 1234 -> "1.23 us". */
export function formatNs(ns: number): string {
  const units: [number, string][] = [
    [1e9, " s"],
    [1e6, " ms"],
    [1e3, " us"],
  ];
  for (const [scale, unit] of units) if (ns >= scale) return `${(ns / scale).toPrecision(3)}${unit}`;
  return `${Math.round(ns)} ns`;
}

export function formatBytes(bytes: number): string {
  const units: [number, string][] = [
    [2 ** 30, " GiB"],
    [2 ** 20, " MiB"],
    [2 ** 10, " KiB"],
  ];
  for (const [scale, unit] of units) if (bytes >= scale) return `${+(bytes / scale).toPrecision(3)}${unit}`;
  return `${bytes} B`;
}

/** How many times less: "95 times less", "4.7 times less". For whole units: what is below 1 counts as 1. */
export function formatTimesLess(before: number, after: number): string {
  const ratio = before / Math.max(after, 1);
  return `${ratio >= 10 ? Math.round(ratio) : ratio.toFixed(1)} times less`;
}

/** Rows as aligned columns: the first left, the others right. */
export function alignColumns(rows: readonly (readonly string[])[], gap = 2): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join(" ".repeat(gap))
      .trimEnd();
  return rows.map(line).join("\n");
}

/** A table too wide for the terminal is shown as records, a line a field. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], columns: number): string {
  const text = alignColumns([header, ...rows]);
  const widest = Math.max(...text.split("\n").map((line) => line.length));
  if (widest <= columns) return text;
  return rows.map((row) => alignColumns(row.map((cell, i) => [header[i] ?? "", cell]))).join("\n\n");
}
