/*
 * A run in words: the address holds every form ([addr-1]), and the command line that the page shows is the run that it makes.
 */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import {
  FORM_DEFAULTS,
  type FormField,
  type FormText,
  commandOf,
  compareTextOf,
  formOf,
  hashOf,
  runTextOf,
} from "../../src/lab/address.js";
import { sweepOfText } from "../../src/sim/describe.js";
import { compareOfText } from "../../src/sim/describe-compare.js";
import { ParseError } from "../../src/sim/parse.js";
import { holds } from "../property.js";

const FIELDS = Object.keys(FORM_DEFAULTS) as FormField[];
const forms = fc.record(
  Object.fromEntries(FIELDS.map((name) => [name, fc.string({ unit: "binary", maxLength: 12 })])),
) as fc.Arbitrary<FormText>;

it("[addr-1] a form survives its address", () => {
  holds(forms, 300, (form) => {
    expect(formOf(hashOf(form))).toEqual({ form, unknown: [] });
  });
});

it("the defaults are a short address and a short command", () => {
  expect(hashOf(FORM_DEFAULTS)).toBe("#workload=page_fault3");
  expect(commandOf(FORM_DEFAULTS)).toBe("faultline run page_fault3");
  expect(commandOf({ ...FORM_DEFAULTS, do: "compare", seeds: "5", fs: "cowfs" })).toBe("faultline compare page_fault3");
  expect(sweepOfText(runTextOf(FORM_DEFAULTS)).tasks).toEqual([1, 2, 4]);
});

it("a shell reads the command back word by word", () => {
  const words = fc.record({ tasks: fc.string(), memory: fc.string() });
  holds(words, 25, ({ tasks, memory }) => {
    const command = commandOf({ ...FORM_DEFAULTS, tasks: `x${tasks}`, memory: `y${memory}` });
    const echoed = execFileSync("sh", ["-c", `printf '%s\\0' ${command}`], { encoding: "utf8" });
    expect(echoed.split("\0").slice(0, -1)).toEqual(["faultline", "run", "page_fault3", "-t", `x${tasks}`, "--memory", `y${memory}`]);
  });
});

/** The field that a form's error names. */
function badField(read: () => unknown): string | undefined {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(ParseError);
    return (error as ParseError).field;
  }
  return undefined;
}

it.each([
  ["workload", "page_fault9"],
  ["tasks", "0"],
  ["mode", "treads"],
  ["fs", "fat"],
  ["faultLock", "linux-2.4"],
  ["mkwrite", "none"],
  ["set", "nosuch=1"],
  ["cpus", "1.5"],
  ["sockets", "x"],
  ["memory", "1Q"],
  ["length", "-1"],
  ["seed", "-1"],
  ["seeds", "0"],
  ["duration", "10"],
  ["warmup", "soon"],
] as const)("[desc-2] a bad %s of a run is named", (name, value) => {
  expect(badField(() => sweepOfText(runTextOf({ ...FORM_DEFAULTS, [name]: value })))).toBe(name);
});

it.each([
  ["regime", "linux-4.19+nothing"],
  ["regime", ""],
  ["stagger", "3"],
  ["fs", "ramfs,fat"],
  ["memory", "1Q"],
] as const)("[desc-2] a bad %s of a comparison is named", (name, value) => {
  expect(badField(() => compareOfText(compareTextOf({ ...FORM_DEFAULTS, [name]: value })))).toBe(name);
});

it("regimes may stand on lines of their own", () => {
  const lines = "linux-4.19 + kara,\n linux-6.7+completed\n";
  expect(compareOfText(compareTextOf({ ...FORM_DEFAULTS, regime: lines })).regimes.length).toBe(2);
});
