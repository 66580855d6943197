/*
 * The command line's parts that a process test reaches badly: a terminal's progress bar, cost files, output paths.
 *
 * Checks: [cli-2], and line:column of every complaint about a cost file.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { parseCosts } from "../../src/cli/cost-file.js";
import { UsageError } from "../../src/cli/errors.js";
import { type BarStream, Progress, checkOutput } from "../../src/cli/output.js";
import { scratch } from "./faultline.js";

const dir = scratch();

/** What cli-progress takes for a terminal, and all that was written to it. */
function terminal(isTTY: boolean): { stream: BarStream; text: () => string } {
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 100,
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
  });
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  return { stream, text: () => text };
}

describe("a progress bar", () => {
  it("shows share and time left once patience is over, and cleans up", () => {
    const { stream, text } = terminal(true);
    const bar = new Progress(4, "runs", stream, 0);
    bar.update(1);
    bar.update(3.5);
    bar.stop();
    expect(text()).toMatch(/25 % of 4 runs/);
    expect(text()).toMatch(/ left/);
  });

  it("is silent when the work is short, or nobody looks", () => {
    const short = terminal(true);
    const quick = new Progress(4, "runs", short.stream, 60_000);
    quick.update(3);
    quick.stop();
    const piped = terminal(false);
    const blind = new Progress(4, "runs", piped.stream, 0);
    blind.update(3);
    blind.stop();
    expect([short.text(), piped.text()]).toEqual(["", ""]);
  });
});

describe("an output path", () => {
  it("may be new, or there already", () => {
    const path = join(dir, "there");
    writeFileSync(path, "");
    for (const good of [path, join(dir, "new"), undefined]) {
      expect(() => {
        checkOutput(good);
      }).not.toThrow();
    }
  });

  it.each([
    ["a directory", (): string => dir, /is a directory/],
    ["in no directory", (): string => join(dir, "no", "such"), /ENOENT/],
  ])("%s is a usage error", (_name, path, message) => {
    expect(() => {
      checkOutput(path());
    }).toThrow(message);
  });

  it("where only the superuser may write is a usage error to others", () => {
    const locked = join(dir, "locked");
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    const check = (): void => {
      checkOutput(join(locked, "r.json"));
    };
    if (process.getuid?.() === 0) expect(check).not.toThrow();
    else expect(check).toThrow(/EACCES/);
  });
});

const KNOWN = ["syscall", "tlb_walk", "page_zero"];

const COST_FILES: readonly [name: string, text: string, expected: Record<string, number> | RegExp][] = [
  ["nothing to override", "{}", {}],
  ["two costs", '{"syscall": 100, "tlb_walk": 0}', { syscall: 100, tlb_walk: 0 }],
  ["the largest", '{"syscall": 1000000000}', { syscall: 1e9 }],
  ["one too large", '{"syscall": 1000000001}', /^f:1:13: expected at most 1e9 ns$/],
  ["a negative one", '{"syscall": -1}', /^f:1:13: expected 0 or more ns$/],
  ["a fraction", '{\n "tlb_walk": 3,\n "syscall": 0.5\n}', /^f:3:13: expected a whole number of ns$/],
  ["a string", '{"syscall": "9"}', /^f:1:13: .*expected number/i],
  ["null", '{"syscall": null}', /^f:1:13: .*expected number/i],
  ["an object", '{"syscall": {"ns": 3}}', /^f:1:13: .*expected number/i],
  ["an unknown name", '{\n  "syscall": 1,\n  "tlbwalk": 2\n}', /^f:3:3: unknown cost "tlbwalk"\. Did you mean tlb_walk\?$/],
  ["a name twice", '{"syscall": 1,\n "syscall": 2}', /^f:2:2: Map keys must be unique/],
  ["an array", "[1, 2]", /^f:1:1: expected an object of cost names and ns$/],
  ["a number", "5", /^f:1:1: expected an object of cost names and ns$/],
  ["nothing at all", "", /^f:1:1: expected an object of cost names and ns$/],
  ["no end", '{"syscall": 1', /^f:1:\d+: /],
  ["no colon", '{"syscall" 1}', /^f:1:\d+: /],
];

describe("a cost file with", () => {
  it.each(COST_FILES)("%s", (_name, text, expected) => {
    if (!(expected instanceof RegExp)) {
      expect(parseCosts(text, "f", KNOWN)).toEqual(expected);
      return;
    }
    let error: unknown;
    try {
      parseCosts(text, "f", KNOWN);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toMatch(expected);
  });
});
