/**
 * Options of workloads: `--set key=value`, checked against the workload's own table.
 *
 * Interface: WorkloadOption, Options, optionValues, numberOption, textOption, optionHelp.
 * Invariants: [wo-1] a context holds a value for every option of its workload, of the kind that the table says.
 * Locks: none.
 * Why not zod: a table of kinds is also the help text, and its errors name the option.
 */
import { ParseError, parseDuration, parseSize, parseWhole } from "../sim/parse.js";
import { suggestion } from "../sim/suggest.js";

/** A number (counts, bytes, ns, per cent) or one of the words of a choice. */
export type OptionValue = number | string;
export type Options = Readonly<Record<string, OptionValue>>;

export interface WorkloadOption {
  name: string;
  summary: string;
  kind: "count" | "size" | "duration" | "percent" | "choice";
  /** As the user would write it. */
  default: string;
  /** Words of a choice. */
  choices?: readonly string[];
  /** Bounds of a count. */
  min?: number;
  max?: number;
}

function parseValue(option: WorkloadOption, text: string): OptionValue {
  switch (option.kind) {
    case "count":
      return parseWhole(text, option.name, option.min ?? 0, option.max ?? 1_000_000);
    case "size":
      return parseSize(text);
    case "duration":
      return parseDuration(text);
    case "percent": {
      const value = Number(/^(\d+(?:\.\d+)?)\s*%?$/.exec(text.trim())?.[1] ?? NaN);
      if (!(value >= 0 && value <= 100)) throw new ParseError(`${option.name} "${text}": expected per cent from 0 to 100`);
      return value;
    }
    default: {
      const choices = option.choices ?? [];
      if (choices.includes(text)) return text;
      throw new ParseError(`${option.name} "${text}": expected one of ${choices.join(", ")}.${suggestion(text, choices)}`);
    }
  }
}

/** Values of every option: what was set ("key=value"), and the defaults. Throws ParseError. */
export function optionValues(workload: string, table: readonly WorkloadOption[], set: readonly string[]): Options {
  const values: Record<string, OptionValue> = {};
  for (const option of table) values[option.name] = parseValue(option, option.default);
  for (const entry of set) {
    const equals = entry.indexOf("=");
    const name = equals < 0 ? entry : entry.slice(0, equals);
    const option = table.find((o) => o.name === name);
    if (equals < 0) throw new ParseError(`--set ${entry}: expected key=value`);
    if (!option) {
      const names = table.map((o) => o.name);
      const known = names.length === 0 ? "it has none" : `they are ${names.join(", ")}`;
      throw new ParseError(`--set ${entry}: ${workload} has no option "${name}"; ${known}.${suggestion(name, names)}`);
    }
    values[name] = parseValue(option, entry.slice(equals + 1));
  }
  return values;
}

/** The value of an option that is a number. */
export function numberOption(options: Options, name: string): number {
  const value = options[name];
  if (typeof value !== "number") throw new Error(`option ${name} is no number`);
  return value;
}

/** The value of an option that is a word. */
export function textOption(options: Options, name: string): string {
  const value = options[name];
  if (typeof value !== "string") throw new Error(`option ${name} is no word`);
  return value;
}

/** One line an option. */
export function optionHelp(table: readonly WorkloadOption[]): string[] {
  return table.map((o) => `${o.name}=${o.default}  ${o.summary}${o.choices ? ` (${o.choices.join(", ")})` : ""}`);
}
