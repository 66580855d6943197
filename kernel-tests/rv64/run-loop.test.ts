/*
 * The run loop in the built kernels: the pass that switches stacks must have left it, and all that it calls, alone.
 *
 * Laws: [run-1] [prog-2].
 * An assert or an indirect call below the loop is enough to break it, and costs four fifths of the speed.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../source";

const SECTION = { code: 10, custom: 0 } as const;
const FUNCTION_NAMES = 1;

/** Reads a module's bytes: LEB128 numbers, names, spans. */
class Reader {
  constructor(
    readonly bytes: Uint8Array,
    public at = 0,
  ) {}
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }
  span(length: number): Uint8Array {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  text(): string {
    return new TextDecoder().decode(this.span(this.number()));
  }
}

/** Names of a module's functions by index, from its name section. */
function functionNames(custom: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  const reader = new Reader(custom);
  if (reader.text() !== "name") return names;
  while (reader.at < custom.length) {
    const kind = reader.number();
    const part = new Reader(reader.span(reader.number()));
    if (kind !== FUNCTION_NAMES) continue;
    for (let n = part.number(); n > 0; n--) {
      const index = part.number();
      names.set(index, part.text());
    }
  }
  return names;
}

/** Bodies of a module's functions by name. */
function bodies(module: Uint8Array): Map<string, Uint8Array> {
  const reader = new Reader(module, 8);
  let code: Uint8Array[] = [];
  let names = new Map<number, string>();
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(module as BufferSource)).filter((i) => i.kind === "function").length;
  while (reader.at < module.length) {
    const id = reader.number();
    const section = new Reader(reader.span(reader.number()));
    if (id === SECTION.code) code = Array.from({ length: section.number() }, () => section.span(section.number()));
    else if (id === SECTION.custom) names = new Map([...names, ...functionNames(section.bytes)]);
  }
  return new Map(code.map((body, i) => [names.get(i + imports) ?? `function ${i}`, body]));
}

/** Whether a body starts with what the pass puts there: is the state 2, rewinding? (global.get n, i32.const 2, i32.eq) */
function isInstrumented(body: Uint8Array): boolean {
  return body.some((byte, i) => byte === 0x23 && body[i + 2] === 0x41 && body[i + 3] === 2 && body[i + 4] === 0x46);
}

describe.each(["faultline.wasm", "faultline.checked.wasm"])("[run-1] in %s", (file) => {
  const functions = bodies(readFileSync(join(ROOT, "build", file)));

  it("no function of the run loop can be unwound", () => {
    const loop = [...functions].filter(([name]) => name.startsWith("assembly/cpu/rv64/") && !name.includes("/check"));
    expect(loop.map(([name]) => name)).toContain("assembly/cpu/rv64/run/rv64Run");
    const ofBoot = ["assembly/cpu/rv64/code-page/codeInit"];
    expect(loop.filter(([name, body]) => !ofBoot.includes(name) && isInstrumented(body)).map(([name]) => name)).toEqual([]);
  });

  it("what blocks can be, so that the test would see it", () => {
    expect(isInstrumented(functions.get("assembly/kernel/program/programEntry")!)).toBe(true);
  });
});
