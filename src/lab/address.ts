/**
 * The page's address holds the run: what is after the # says what differs from the defaults.
 *
 * Interface: FormText, FormField, FORM_DEFAULTS, hashOf, formOf, runTextOf, compareTextOf, commandOf.
 * Invariants: [addr-1] formOf(hashOf(form)) is form, for every text a field can hold.
 * Locks: none.
 * Why not JSON in the hash: people read, send and edit these by hand.
 */
import { RUN_TEXT_DEFAULTS, type RunField, type RunText, commandOfText } from "../sim/describe.js";
import { COMPARE_TEXT_DEFAULTS, type CompareText, commandOfCompare } from "../sim/describe-compare.js";

/** `do` is "run", or "compare" for several regimes side by side. */
export type FormField = RunField | "do" | "regime" | "stagger";

/** A form's fields as they stand; "" is a field that is not filled in. */
export type FormText = Record<FormField, string>;

export const FORM_DEFAULTS: FormText = {
  do: "run",
  workload: "page_fault3",
  ...RUN_TEXT_DEFAULTS,
  regime: COMPARE_TEXT_DEFAULTS.regime,
  stagger: COMPARE_TEXT_DEFAULTS.stagger,
  set: "",
  cpus: "",
  sockets: "",
  length: "",
};

const FIELDS = Object.keys(FORM_DEFAULTS) as FormField[];

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

/** Fields that may be left empty, as far as they are not. */
function optional({ set, cpus, sockets, length }: FormText): Partial<RunText> {
  return Object.fromEntries(Object.entries({ set, cpus, sockets, length }).filter(([, value]) => value.trim() !== ""));
}

/** The run in words that a form stands for. */
export function runTextOf(form: FormText): RunText {
  const { workload, tasks, mode, fs, faultLock, mkwrite, memory, seed, seeds, duration, warmup } = form;
  return { workload, tasks, mode, fs, faultLock, mkwrite, memory, seed, seeds, duration, warmup, ...optional(form) };
}

/** The comparison in words that a form stands for. Regimes may stand on lines of their own. */
export function compareTextOf(form: FormText): CompareText {
  const { workload, tasks, mode, fs, memory, seed, seeds, duration, warmup, stagger } = form;
  const regime = form.regime.replaceAll(/\s+/g, "");
  return { workload, tasks, mode, fs, regime, memory, seed, seeds, duration, warmup, stagger, ...optional(form) };
}

/** The command line that does what the form says. */
export function commandOf(form: FormText): string {
  return form.do === "compare" ? commandOfCompare(compareTextOf(form)) : commandOfText(runTextOf(form));
}
