/**
 * The page's address holds the run: what is after the # says what differs from the defaults.
 *
 * Interface: FormText, FORM_DEFAULTS, hashOf, formOf, textOf.
 * Invariants: [addr-1] formOf(hashOf(form)) is form, for every text a field can hold.
 * Locks: none.
 * Why not JSON in the hash: people read, send and edit these by hand.
 */
import { RUN_TEXT_DEFAULTS, type RunField, type RunText } from "../sim/describe.js";

/** A form's fields as they stand; "" is a field that is not filled in. */
export type FormText = Record<RunField, string>;

export const FORM_DEFAULTS: FormText = { workload: "page_fault3", ...RUN_TEXT_DEFAULTS, set: "", cpus: "", sockets: "", length: "" };

const FIELDS = Object.keys(FORM_DEFAULTS) as RunField[];

/** "#workload=page_fault3&tasks=1-16": the workload, and every field that is not at its default. */
export function hashOf(form: FormText): string {
  const words = new URLSearchParams();
  for (const name of FIELDS) if (name === "workload" || form[name] !== FORM_DEFAULTS[name]) words.set(name, form[name]);
  return `#${words.toString().replaceAll("%2C", ",")}`;
}

/** The form of a hash, and the words in it that no field takes. */
export function formOf(hash: string): { form: FormText; unknown: string[] } {
  const form = { ...FORM_DEFAULTS };
  const unknown: string[] = [];
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const field = FIELDS.find((f) => f === name);
    if (field) form[field] = value;
    else unknown.push(name);
  }
  return { form, unknown };
}

/** The run in words that a form stands for: an optional field that is not filled in is left out. */
export function textOf(form: FormText): RunText {
  const { set, cpus, sockets, length, ...text } = form;
  const filled = Object.entries({ set, cpus, sockets, length }).filter(([, value]) => value.trim() !== "");
  return { ...text, ...Object.fromEntries(filled) };
}
