/**
 * "Did you mean": the nearest of the known words.
 */

/** Edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** " Did you mean x?" for a near miss, else "". */
export function suggestion(word: string, known: readonly string[]): string {
  const ranked = known.map((name) => ({ name, d: distance(word, name) })).sort((a, b) => a.d - b.d);
  const best = ranked[0];
  return best && best.d <= Math.max(2, word.length / 3) ? ` Did you mean ${best.name}?` : "";
}
