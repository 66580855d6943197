/**
 * Cost files: a JSON object of cost names and ns. Errors carry file, line and column.
 */
import { readFileSync } from "node:fs";
import { LineCounter, isMap, isScalar, parseDocument } from "yaml";
import { z } from "zod";
import { errorText } from "../host/error-text.js";
import { UsageError, suggestion } from "./errors.js";

const costSchema = z.number().int("expected a whole number of ns").min(0, "expected 0 or more ns").max(1e9, "expected at most 1e9 ns");

/** Costs from the object itself or from a file that holds it. Throws UsageError "file:line:column: what was expected". */
export function readCosts(pathOrObject: string, known: readonly string[]): Record<string, number> {
  if (pathOrObject.trimStart().startsWith("{")) return parseCosts(pathOrObject, "--costs", known);
  const path = pathOrObject;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${path}: ${errorText(error)}`);
  }
  return parseCosts(text, path, known);
}

export function parseCosts(text: string, path: string, known: readonly string[]): Record<string, number> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, schema: "json", strict: true, uniqueKeys: true });
  const fail: (offset: number, message: string) => never = (offset, message) => {
    const { line, col } = lines.linePos(offset);
    throw new UsageError(`${path}:${Math.max(1, line)}:${Math.max(1, col)}: ${message}`);
  };
  const broken = document.errors[0];
  if (broken) return fail(broken.pos[0], (broken.message.split("\n")[0] ?? "malformed JSON").replace(/ at line \d+.*$/, ""));
  const root = document.contents;
  if (!isMap(root)) return fail(root?.range[0] ?? 0, "expected an object of cost names and ns");
  const costs: Record<string, number> = {};
  for (const { key, value } of root.items) {
    const name = isScalar(key) ? String(key.value) : "";
    const keyAt = isScalar(key) ? key.range[0] : 0;
    if (!known.includes(name)) fail(keyAt, `unknown cost "${name}".${suggestion(name, known)}`);
    const checked = costSchema.safeParse(isScalar(value) ? value.value : value);
    if (!checked.success) fail(value?.range[0] ?? keyAt, checked.error.issues[0]?.message ?? "expected a number");
    else costs[name] = checked.data;
  }
  return costs;
}
