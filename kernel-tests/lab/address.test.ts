/*
 * A run in words: the address holds every form ([addr-1]), and the command line that the page shows is the run that it makes.
 */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import { FORM_DEFAULTS, type FormText, formOf, hashOf, textOf } from "../../src/lab/address.js";
import { type RunField, commandOfText, sweepOfText } from "../../src/sim/describe.js";
import { ParseError } from "../../src/sim/parse.js";
import { holds } from "../property.js";

const FIELDS = Object.keys(FORM_DEFAULTS) as RunField[];
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
  expect(commandOfText(textOf(FORM_DEFAULTS))).toBe("faultline run page_fault3");
  expect(sweepOfText(textOf(FORM_DEFAULTS)).tasks).toEqual([1, 2, 4]);
});

it("a shell reads the command back word by word", () => {
  const words = fc.record({ tasks: fc.string(), memory: fc.string() });
  holds(words, 25, ({ tasks, memory }) => {
    const command = commandOfText(textOf({ ...FORM_DEFAULTS, tasks: `x${tasks}`, memory: `y${memory}` }));
    const echoed = execFileSync("sh", ["-c", `printf '%s\\0' ${command}`], { encoding: "utf8" });
    expect(echoed.split("\0").slice(0, -1)).toEqual(["faultline", "run", "page_fault3", "-t", `x${tasks}`, "--memory", `y${memory}`]);
  });
});

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
] as const)("[desc-2] a bad %s is named", (name, value) => {
  const form = { ...FORM_DEFAULTS, [name]: value };
  let error: unknown;
  try {
    sweepOfText(textOf(form));
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(ParseError);
  expect((error as ParseError).field).toBe(name);
});
