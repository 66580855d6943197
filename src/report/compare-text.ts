/**
 * A comparison on the terminal, as CSV, as power-of-two histograms; and what a baseline check found.
 *
 * Interface: compareTable, compareCsv, compareHistograms, baselineText.
 * Invariants: [ct-1] CSV has one line a run, every value raw: ns, per second, per cent.
 * Locks: none.
 * Why not medians in the CSV: who wants other statistics needs the values.
 */
import type { BaselineReport, Change } from "../sim/baseline.js";
import type { CompareResult, PointKey } from "../sim/compare.js";
import { type Section, compareFooter, compareHeader, compareSections, formatInterval } from "./compare-rows.js";
import { alignColumns } from "./format.js";
import { powerOfTwoText } from "./power-of-two.js";

export function compareTable(result: CompareResult, columns: number): string {
  const parts = [compareHeader(result)];
  for (const section of compareSections(result)) parts.push(sectionText(section, columns));
  parts.push(compareFooter(result).join("\n"));
  return parts.join("\n\n");
}

/** Aligned columns, or, where they do not fit, a paragraph a point. */
function sectionText({ title, header, rows }: Section, columns: number): string {
  const text = alignColumns([header, ...rows]);
  if (text.split("\n").every((line) => line.length <= columns)) return `${title}\n${text}`;
  const names = header.slice(1);
  const width = Math.max(...names.map((name) => name.length));
  const paragraphs = rows.map(([label, ...cells]) =>
    [label?.replaceAll(/ {2,}/g, "  "), ...cells.map((cell, i) => `  ${(names[i] ?? "").padEnd(width)}  ${cell}`)].join("\n"),
  );
  return [title, ...paragraphs].join("\n");
}

function csvCell(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One line a run: fs, case, regime, tasks, seed, path, then every metric, empty where the run has none. */
export function compareCsv(result: CompareResult): string {
  const metrics = Object.keys(result.metrics);
  const lines = [["fs", "case", "regime", "tasks", "seed", "path", ...metrics].join(",")];
  for (const p of result.points) {
    result.seeds.forEach((seed, i) => {
      const values = metrics.map((name) => p.metrics[name]?.values[i]);
      const cells = [
        p.fs,
        p.case,
        p.regime,
        String(p.tasks),
        String(seed),
        p.path,
        ...values.map((v) => (v === undefined ? "" : String(v))),
      ];
      lines.push(cells.map(csvCell).join(","));
    });
  }
  return lines.join("\n");
}

function pointName(p: PointKey): string {
  return [p.fs, p.case, `${p.tasks} tasks`, p.regime].filter((word) => word !== "").join(", ");
}

/** Every distribution of every point, all seeds together, as bpftrace prints its hist(). */
export function compareHistograms(result: CompareResult): string {
  return result.points
    .map((p) => {
      const { fault, read_wait, write_wait, recorded } = p.histograms;
      const all = { fault_ns: fault, mmap_sem_read_wait_ns: read_wait, mmap_sem_write_wait_ns: write_wait, ...recorded };
      return [`# ${pointName(p)}`, ...Object.entries(all).map(([name, h]) => powerOfTwoText(name, h))].join("\n");
    })
    .join("\n\n");
}

function changeLine(result: CompareResult, change: Change): string {
  const metric = result.metrics[change.metric];
  const unit = metric?.unit ?? "count";
  const sign = change.percent > 0 ? "+" : "";
  const [before, after] = [formatInterval(change.before, unit), formatInterval(change.after, unit)];
  return `  ${pointName(change.point)}: ${metric?.label ?? change.metric} ${before} -> ${after} (${sign}${change.percent.toFixed(1)} %)`;
}

/** What has changed since the baseline, worst first. */
export function baselineText(result: CompareResult, report: BaselineReport, thresholdPercent: number): string {
  const bySize = (a: Change, b: Change): number => Math.abs(b.percent) - Math.abs(a.percent);
  const lines = [`baseline: ${report.compared} points compared, threshold ${thresholdPercent} %`];
  const list = (title: string, changes: readonly Change[]): void => {
    if (changes.length === 0) return;
    lines.push(`${title}:`, ...[...changes].sort(bySize).map((change) => changeLine(result, change)));
  };
  list("regressions", report.regressions);
  list("improvements", report.improvements);
  if (report.missing.length > 0) lines.push("in the baseline only:", ...report.missing.map((p) => `  ${pointName(p)}`));
  if (report.added.length > 0) lines.push("not in the baseline:", ...report.added.map((p) => `  ${pointName(p)}`));
  if (report.regressions.length + report.improvements.length === 0) lines.push("no change beyond threshold and interval");
  return lines.join("\n");
}
