/*
 * The mutants by name: the kernel's numbers, the host's table and the places of the slips are one list; and a build that is not the
 * explorer's has none of it.
 *
 * Checks: [mut-1] [mtb-1].
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { kernelBytes } from "../../src/node.js";
import { mutantNames } from "../../src/host/boot.js";
import { Machine } from "../../src/host/machine.js";
import { MUTANTS, mutantByName } from "../../src/sim/explore/mutants.js";
import { ROOT, sources } from "../source";

function machineOf(bytes: Uint8Array, mutant?: string): Machine {
  const module = new WebAssembly.Module(bytes as BufferSource);
  return Machine.createSync(module, { memoryBytes: 1 << 20, ...(mutant === undefined ? {} : { mutant }) });
}

const explore = readFileSync(join(ROOT, "build/faultline.explore.wasm"));

describe("mutants", () => {
  it("are the same list for the kernel and for the host", () => {
    const { kernel, memory } = machineOf(explore);
    expect(mutantNames(kernel, memory)).toEqual(["healthy", ...MUTANTS.map(({ name }) => name)]);
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });

  it("are made where the table says, each behind MUTANTS", () => {
    const files = sources("assembly").filter(({ path }) => path !== "assembly/lib/mutant.ts");
    for (const { name, file } of MUTANTS) {
      const asked = `mutant(M_${name.toUpperCase().replaceAll("-", "_")})`;
      const users = files.filter(({ text }) => text.includes(asked)).map(({ path }) => path);
      expect(users, name).toContain(`assembly/${file}`);
    }
    const bare = files.flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, i) => (line.includes("mutant(M_") && !line.includes("MUTANTS") ? [`${path}:${i + 1}`] : [])),
    );
    // cleanedUnseen: asked for behind MUTANTS by its only caller.
    expect(bare.map((place) => place.split(":")[0])).toEqual(["assembly/mm/nommapsem.ts"]);
  });

  it("cite a law that the kernel knows", () => {
    const text = sources("assembly")
      .map((source) => source.text)
      .join("\n");
    expect(MUTANTS.filter(({ law }) => !text.includes(`[${law}]`)).map(({ name, law }) => `${name}: [${law}]`)).toEqual([]);
  });

  it("are selected by name, and stay for the machine's life", () => {
    expect(machineOf(explore, "stash-range").kernel.mutantReached()).toBe(0);
    expect(() => machineOf(explore, "stash-rang")).toThrow("mutant is stash-rang; the mutants are stash-mapping,");
    expect(() => mutantByName("stash-rang")).toThrow("stash-range");
  });

  it.each([false, true])("are in no other build (checked: %s)", (checked) => {
    const bytes = kernelBytes(checked);
    const { kernel, memory } = machineOf(bytes);
    expect(mutantNames(kernel, memory)).toEqual([]);
    expect(kernel.mutantSelect(1)).toBe(0);
    expect(() => machineOf(bytes, "stash-range")).toThrow("only the explorer's build of the kernel has mutants");
    expect(Buffer.from(bytes).toString("latin1")).not.toContain("s\0t\0a\0s\0h\0-\0r\0a\0n\0g\0e");
  });
});
