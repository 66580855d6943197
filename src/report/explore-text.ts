/**
 * Explorations as text, as a table for the docs, and as JSON; one schedule as the story of its tasks.
 *
 * Interface: exploreText, exploreMarkdown, exploreJson, outcomeOf, storyText.
 * Invariants: [ext-1] every failure ends in a command that shows it again.
 * Locks: none.
 * Why not a row a schedule: there are thousands; endings and their counts say what came of them.
 */
import { UNBOUNDED } from "../sim/explore/dfs.js";
import type { CellResult, ExploreDocument } from "../sim/explore/jobs.js";
import { replayCommand } from "../sim/explore/plan.js";
import type { StoryRow } from "../sim/explore/story.js";
import { formatCount, formatNs, table } from "./format.js";

const HEADER = ["scenario", "fs", "regime", "schedules", "covered", "endings", "outcome"];

/** One word for what came of a cell. */
export function outcomeOf({ report }: CellResult): string {
  if (report.failure) return `FAILED: ${report.failure.kind}`;
  if (report.defect) return `${report.defect.id} as known (${report.defect.seen})`;
  return "ok";
}

function covered({ report, strategy, preemptions }: CellResult): string {
  if (strategy !== "dfs") return strategy;
  if (!report.covered) return "no";
  return preemptions === UNBOUNDED ? "all" : `all, ${preemptions} preemptions`;
}

function rowOf(cell: CellResult): string[] {
  const { report } = cell;
  const endings = Object.keys(report.endings).length;
  return [
    `${cell.id} ${cell.scenario}`,
    cell.fs,
    cell.regime,
    formatCount(report.schedules),
    covered(cell),
    String(endings),
    outcomeOf(cell),
  ];
}

function failureText(cell: CellResult): string | undefined {
  const { failure } = cell.report;
  if (!failure) return undefined;
  const lines = [
    `${cell.id} ${cell.scenario} on ${cell.fs}, ${cell.regime}: ${failure.kind}`,
    `  ${failure.text.replaceAll("\n", "\n  ")}`,
  ];
  if (failure.shrunk === "") return lines.join("\n");
  lines.push(`  found by schedule ${failure.found}, shrunk to ${failure.preemptions} preemptions`);
  return [...lines, `  again: ${replayCommand(cell, failure.shrunk)}`].join("\n");
}

function totals({ cells }: ExploreDocument): string {
  const sum = (of: (cell: CellResult) => number): number => cells.reduce((total, cell) => total + of(cell), 0);
  const schedules = sum(({ report }) => report.schedules);
  const seconds = sum(({ report }) => report.seconds);
  const failed = cells.filter(({ report }) => report.failure).length;
  const all = cells.filter(({ report }) => report.covered).length;
  const rate = formatCount(Math.round(schedules / Math.max(seconds, 0.001)));
  const verdict = failed === 0 ? "none fails" : `${failed} fail`;
  const work = `${schedules} schedules in ${seconds.toFixed(1)} s of CPU time (${rate}/s)`;
  return `${cells.length} cells, ${all} covered completely; ${work}: ${verdict}`;
}

function guarantees({ cells }: ExploreDocument): string[] {
  const [first] = cells.flatMap(({ report }) => report.guarantee ?? []);
  if (!first) return [];
  const odds = `1 in ${formatCount(Math.round(1 / first.atLeast))}`;
  const of = `${first.tasks} tasks, ${first.steps} steps in the first cell`;
  return [`PCT: each schedule finds a bug of depth ${first.depth} with a probability of ${odds} at least (${of})`];
}

/** A row a cell, what failed and how to see it again, and what it comes to. */
export function exploreText(document: ExploreDocument, columns: number): string {
  const failures = document.cells.flatMap((cell) => failureText(cell) ?? []);
  return [table(HEADER, document.cells.map(rowOf), columns), ...failures, ...guarantees(document), totals(document)].join("\n\n");
}

export function exploreJson(document: ExploreDocument): string {
  return JSON.stringify(document, undefined, 1);
}

/** Cells of a scenario on a filesystem that came to the same are one row. */
export function exploreMarkdown(document: ExploreDocument): string {
  const rows = new Map<string, CellResult[]>();
  for (const cell of document.cells) {
    const key = [cell.id, cell.scenario, cell.fs, covered(cell), outcomeOf(cell).replace(/ \(\d+\)$/, "")].join("|");
    rows.set(key, [...(rows.get(key) ?? []), cell]);
  }
  const lines = [...rows.values()].map((cells) => {
    const [first] = cells;
    if (!first) return "";
    const regimes = [...new Set(cells.map(({ regime }) => shortRegime(regime)))].join(", ");
    const schedules = cells.reduce((sum, { report }) => sum + report.schedules, 0);
    const endings = [...new Set(cells.flatMap(({ report }) => Object.keys(report.endings)))].sort();
    const outcome = outcomeOf(first).replace(/ \(\d+\)$/, "");
    const fields = [`${first.id} ${first.scenario}`, first.fs, regimes, schedules, covered(first), endings.join("; "), outcome];
    return `| ${fields.join(" | ")} |`;
  });
  const head = ["| scenario | filesystem | regimes | schedules | covered | endings | outcome |", "|---|---|---|---|---|---|---|"];
  return [...head, ...lines, "", totals(document)].join("\n");
}

/** "linux-4.19+generic_page_mkwrite_nommapsem" -> "4.19+nommapsem". */
function shortRegime(regime: string): string {
  return regime.replace("linux-", "").replace("generic_page_mkwrite_nommapsem", "nommapsem").replace("generic_page_mkwrite", "locked");
}

/** One schedule as a table: a column a task, a row an event of the kernel, a line wherever somebody else took over. */
export function storyText(rows: readonly StoryRow[], tasks: readonly string[]): string {
  const widths = tasks.map((task) => Math.max(task.length, ...rows.map((row) => (row.task === task ? row.text.length : 0))));
  const line = (time: string, cells: readonly string[]): string =>
    `${time.padStart(10)}  ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd();
  const from = rows[0]?.timeNs ?? 0;
  const body = rows.map(({ timeNs, task, text }) => {
    const time = `+${formatNs(timeNs - from)}`;
    if (task === undefined) return `${time.padStart(10)}  ---- ${text}`;
    return line(
      time,
      tasks.map((one) => (one === task ? text : "")),
    );
  });
  return [line("", tasks), ...body].join("\n");
}
