/**
 * Regimes in words: every combination, defaults, stars, switches, and what is said about what is none. Law: [reg-1].
 */
import { describe, expect, test } from "vitest";
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES } from "../../src/host/config.js";
import { parseRegimes, regimeConfig, regimeName, regimeOf, usesHelper } from "../../src/sim/regimes.js";

const names = (text: string): string[] => parseRegimes(text).map(regimeName);

describe("a list of regimes", () => {
  test.each([
    ["linux-4.19+generic_page_mkwrite_nommapsem", ["linux-4.19+generic_page_mkwrite_nommapsem"]],
    ["kara+linux-6.7", ["linux-6.7+kara"]],
    ["linux-5.1", ["linux-5.1+generic_page_mkwrite"]],
    ["completed", ["linux-4.19+completed"]],
    [" linux-5.1 + kara , kara", ["linux-5.1+kara", "linux-4.19+kara"]],
    ["kara,linux-4.19+kara", ["linux-4.19+kara"]],
    ["*+kara", ["linux-4.19+kara", "linux-5.1+kara", "linux-6.7+kara"]],
    ["bacik-v3:D2:D6", ["linux-4.19+bacik-v3:D2:D6"]],
    ["bacik-v3:none", ["linux-4.19+bacik-v3:none"]],
  ])("%s", (text, expected) => {
    expect(names(text)).toEqual(expected);
  });

  test("with two stars is every combination", () => {
    expect(names("*+*")).toEqual(FAULT_LOCK_REGIMES.flatMap((lock) => MKWRITE_REGIMES.map((mkwrite) => `${lock}+${mkwrite}`)));
  });

  test.each([
    ["", 'regime "": expected fault lock + mkwrite'],
    ["linux-4.19+", "expected fault lock + mkwrite"],
    [
      "linux-4.19+generic_page_mkwrite_nomapsem",
      'unknown part "generic_page_mkwrite_nomapsem". Did you mean generic_page_mkwrite_nommapsem?',
    ],
    ["linux-4.18+kara", 'unknown part "linux-4.18". Did you mean linux-4.19?'],
    ["linux-4.19+linux-5.1", "two fault locks"],
    ["kara+completed", "two mkwrites"],
    ["linux-4.19+kara+completed", "two parts at most, found 3"],
    ["bacik-v3:D7", 'defect "D7": expected D1 to D6, or none alone'],
    ["bacik-v3:D1:none", 'defect "none"'],
    ["kara:D1", "kara has no switches"],
    ["linux-5.1:D1", "linux-5.1 has no switches"],
  ])("%s is refused", (text, message) => {
    expect(() => parseRegimes(text)).toThrow(message);
  });
});

describe("a regime", () => {
  test("keeps its name through text and configuration", () => {
    const all = parseRegimes("*+*,bacik-v3:D1,bacik-v3:none,bacik-v3:D1:D2:D3:D4:D5:D6");
    expect(all).toHaveLength(18);
    for (const regime of all) {
      expect(parseRegimes(regimeName(regime))).toEqual([regime]);
      expect(regimeOf(regimeConfig(regime))).toEqual(regime);
    }
  });

  test("asks for the helper unless page_mkwrite is to stay under the lock, whatever a defect makes of it", () => {
    const without = parseRegimes("*+*,bacik-v3:D1").filter((regime) => !usesHelper(regime));
    expect(without.map(regimeName)).toEqual([
      "linux-4.19+generic_page_mkwrite",
      "linux-5.1+generic_page_mkwrite",
      "linux-6.7+generic_page_mkwrite",
    ]);
  });
});
