/**
 * Text that equal values share: what configurations are compared and hashed by.
 *
 * Interface: canonicalJson.
 * Invariants: [json-1] equal values have equal text, whatever order their keys were set in; undefined is as absent.
 * Locks: none.
 * Why not JSON.stringify alone: it keeps the order of keys.
 */

/** JSON with sorted keys: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
