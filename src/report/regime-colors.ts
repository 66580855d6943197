/**
 * The colours of regimes, in charts and in their legends.
 *
 * Interface: regimeColors.
 * Invariants: [cc-1] a regime has one colour in all charts of a comparison.
 * Locks: none.
 * Why not in compare-charts.ts: a legend needs no plotting library, and the page loads that only with the first chart.
 */
import type { CompareResult } from "../sim/compare.js";

/** Told apart by people who see colours differently, on white and on black. */
const COLORS = ["#4269d0", "#d97706", "#c2413b", "#0d9488", "#3f9142", "#b5539c", "#8b6f47", "#7c5cd6", "#5f6b7a"];

export function regimeColors(result: CompareResult): { domain: string[]; range: string[] } {
  return { domain: result.regimes, range: result.regimes.map((_, i) => COLORS[i % COLORS.length] ?? "currentColor") };
}
