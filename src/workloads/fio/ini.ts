/**
 * fio's job-file format, as text: sections, options, and where each stands.
 *
 *     ; or # and what is behind it: a comment        [name]: a section, [global]: defaults of the sections behind it
 *     key = value, or a key alone, which means 1
 *
 * Interface: parseIni, IniSection, IniOption, Place, FioError, FioWarning.
 * Invariants: [ini-1] every option knows its line and column: whatever is said of it later can name them.
 * Locks: none.
 * Why not a library for INI files: none keeps columns, and fio has repeated sections, keys without values.
 */

/** Where something stands; line and column count from 1. */
export interface Place {
  line: number;
  column: number;
}

export interface IniOption {
  key: string;
  value: string;
  /** Of the key, and of the value (of the key again where there is no value). */
  at: Place;
  valueAt: Place;
}

export interface IniSection {
  name: string;
  at: Place;
  options: IniOption[];
}

/** A job file that means nothing: "file:line:column: what was expected". */
export class FioError extends Error {
  constructor(file: string, at: Place, message: string) {
    super(`${file}:${at.line}:${at.column}: ${message}`);
    this.name = "FioError";
  }
}

/** Something in a job file that is not modelled. */
export interface FioWarning {
  at: Place;
  message: string;
}

/** The line without its comment. */
function uncommented(line: string): string {
  return /^[^;#]*/.exec(line)?.[0] ?? "";
}

function optionOf(line: string, number: number): IniOption {
  const indent = line.length - line.trimStart().length;
  const equals = line.indexOf("=");
  const at = { line: number, column: indent + 1 };
  if (equals < 0) return { key: line.trim(), value: "1", at, valueAt: at };
  const raw = line.slice(equals + 1);
  const lead = raw.length - raw.trimStart().length;
  return { key: line.slice(0, equals).trim(), value: raw.trim(), at, valueAt: { line: number, column: equals + 2 + lead } };
}

/** The sections of a job file, in its order. Throws FioError. */
export function parseIni(text: string, file: string): IniSection[] {
  const sections: IniSection[] = [];
  text.split(/\r?\n/).forEach((whole, i) => {
    const line = uncommented(whole);
    const number = i + 1;
    const trimmed = line.trim();
    if (trimmed === "") return;
    const at = { line: number, column: line.indexOf(trimmed) + 1 };
    if (trimmed.startsWith("[")) {
      const end = trimmed.indexOf("]");
      if (end < 0) throw new FioError(file, at, "expected ] at the end of a section's name");
      const name = trimmed.slice(1, end);
      if (name.trim() === "") throw new FioError(file, at, "a section needs a name");
      if (end + 1 < trimmed.length) {
        throw new FioError(file, { line: number, column: at.column + end + 1 }, "expected nothing behind a section's name");
      }
      sections.push({ name, at, options: [] });
      return;
    }
    const section = sections[sections.length - 1];
    if (!section) throw new FioError(file, at, "expected a section, such as [global] or [job1], before the first option");
    const option = optionOf(line, number);
    if (option.key === "") throw new FioError(file, at, "expected an option's name before =");
    section.options.push(option);
  });
  return sections;
}
