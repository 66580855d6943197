/**
 * A filesystem of the user's, as something to explore: a JavaScript module that exports a ScriptedFilesystem.
 *
 * Interface: ownFilesystem(path), scenarioFsOf(filesystem).
 * Invariants: [own-1] a worker that imports the same file gets the same filesystem.
 * Locks: none.
 * Why not pass the object: generators do not cross to a worker; a path does.
 */
import { errorText } from "../../host/error-text.js";
import type { ScriptedFilesystem } from "../../host/scripted-fs.js";
import type { ScenarioFs } from "../../scenarios/filesystems.js";
import { ParseError } from "../parse.js";

function isFilesystem(value: unknown): value is ScriptedFilesystem {
  return typeof value === "object" && value !== null && "name" in value && "pageMkwrite" in value;
}

/** What scenarios need to know of a filesystem in TypeScript. */
export function scenarioFsOf(filesystem: ScriptedFilesystem): ScenarioFs {
  const { name } = filesystem;
  const config = { filesystems: [filesystem], diskBlocks: 64 };
  return { name, type: name, mkfs: undefined, mount: "", blockBytes: 4096, has: ["mkwrite"], config };
}

/** Imports a module (a URL) and takes the filesystem that it exports. Throws ParseError. */
export async function ownFilesystem(url: string): Promise<ScenarioFs> {
  let exported: Record<string, unknown>;
  try {
    exported = (await import(url)) as Record<string, unknown>;
  } catch (error) {
    throw new ParseError(`filesystem ${url}: ${errorText(error)}`);
  }
  const found = [exported.default, ...Object.values(exported)].find(isFilesystem);
  if (found) return scenarioFsOf(found);
  throw new ParseError(`filesystem ${url}: exports none; expected an object with name, pageMkwrite and the rest of ScriptedFilesystem`);
}
