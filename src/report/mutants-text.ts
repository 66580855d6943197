/**
 * What became of the mutants: as text, as the table of docs/mutants.md, as JSON.
 *
 * Interface: MutantsDocument, mutantsText, mutantsMarkdown, mutantsJson, verdictOf, isRight.
 * Invariants: [mtx-1] a mutant that was not killed, and one that is killed although it is said to be equivalent, are named as wrong.
 * Locks: none.
 * Why not one row an attempt: there are hundreds; what counts is the first that noticed.
 */
import type { Attempt, Hunt, Outcome } from "../sim/explore/mutate.js";
import { mutantByName } from "../sim/explore/mutants.js";
import { formatCount, table } from "./format.js";

export interface MutantsDocument {
  schema: "faultline.mutants/1";
  kernel_sha256: string;
  budget: number;
  seed: number;
  hunts: Hunt[];
  /** The healthy kernel, put through every attempt of the hunts. */
  healthy: { attempt: Attempt; outcome: Outcome }[];
}

/** One word for a mutant: as it should be, or not. */
export function verdictOf(hunt: Hunt): "killed" | "equivalent" | "SURVIVES" | "NOT EQUIVALENT" | "HARNESS FAILED" {
  const said = mutantByName(hunt.mutant).equivalent !== undefined;
  if (hunt.harness.length > 0) return "HARNESS FAILED";
  if (hunt.kill) return said ? "NOT EQUIVALENT" : "killed";
  return said ? "equivalent" : "SURVIVES";
}

function survivesHealthy({ outcome }: { outcome: Outcome }): boolean {
  return outcome.kill === undefined && outcome.harness === undefined;
}

/** Every mutant is killed or equivalent, and the healthy kernel survives. */
export function isRight({ hunts, healthy }: MutantsDocument): boolean {
  return hunts.every((hunt) => ["killed", "equivalent"].includes(verdictOf(hunt))) && healthy.every(survivesHealthy);
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}

function where({ kill }: Hunt): string {
  if (!kill) return "";
  const { what, name, fs, regime } = kill.attempt;
  return `${what === "crash" ? "crash " : ""}${name}, ${fs}, ${regime}`;
}

function totals({ hunts, healthy, budget }: MutantsDocument): string {
  const count = (verdict: string): number => hunts.filter((hunt) => verdictOf(hunt) === verdict).length;
  const spent = healthy.reduce((sum, { outcome }) => sum + outcome.spent, 0);
  const sick = healthy.filter((one) => !survivesHealthy(one)).length;
  const wrong = hunts.length - count("killed") - count("equivalent");
  const runs = `${formatCount(healthy.length)} attempts, ${formatCount(spent)} schedules and disks`;
  return [
    `${hunts.length} mutants: ${count("killed")} killed, ${count("equivalent")} equivalent, ${wrong} wrong`,
    `budget ${formatCount(budget)} schedules and disks each`,
    `the healthy kernel ${sick === 0 ? "survives" : `FAILS ${sick} of`} the same: ${runs}`,
  ].join("\n");
}

export function mutantsText(document: MutantsDocument, columns: number): string {
  const rows = document.hunts.map((hunt) => [
    hunt.mutant,
    verdictOf(hunt),
    where(hunt),
    hunt.kill ? formatCount(hunt.kill.after) : formatCount(hunt.spent),
    hunt.kill?.kind ?? (hunt.reached ? "made, unnoticed" : "never made"),
    hunt.kill?.shrunk ?? "",
  ]);
  const text = table(["mutant", "verdict", "by", "after", "how", "shortest"], rows, columns);
  const sick = document.healthy
    .filter((one) => !survivesHealthy(one))
    .map(({ attempt, outcome }) => {
      const what = outcome.kill ? `${outcome.kill.kind}: ${firstLine(outcome.kill.text)}` : (outcome.harness ?? "");
      return `healthy, ${attempt.name} on ${attempt.fs}, ${attempt.regime}: ${what}\n  again: ${outcome.kill?.again ?? ""}`;
    });
  const broken = document.hunts.flatMap(({ mutant, harness }) => harness.slice(0, 1).map((said) => `${mutant}: ${firstLine(said)}`));
  return [text, "", ...broken, ...sick, totals(document)].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

/** The table of the docs. */
export function mutantsMarkdown(document: MutantsDocument): string {
  const rows = document.hunts.map((hunt) => {
    const { slip, file, law, equivalent } = mutantByName(hunt.mutant);
    const { kill } = hunt;
    const how = kill ? `${kill.kind}: ${firstLine(kill.text).slice(0, 160)}` : (equivalent ?? "");
    const shortest = kill === undefined ? "" : `\`${kill.shrunk.length > 60 ? `${kill.shrunk.slice(0, 57)}...` : kill.shrunk}\``;
    const after = kill ? formatCount(kill.after) : `- (${formatCount(hunt.spent)})`;
    const fields = [`\`${hunt.mutant}\``, `${slip} (\`${file}\`)`, `[${law}]`, verdictOf(hunt), where(hunt), after, how];
    return `| ${fields.map(cell).join(" | ")} | ${shortest} |`;
  });
  const head = ["mutant", "slip", "law", "verdict", "by", "after", "how, or why equivalent", "shortest schedule or disk"];
  return [`| ${head.join(" | ")} |`, `|${" --- |".repeat(head.length)}`, ...rows, "", totals(document).replaceAll("\n", "; "), ""].join(
    "\n",
  );
}

export function mutantsJson(document: MutantsDocument): string {
  return `${JSON.stringify(document, undefined, 1)}\n`;
}
