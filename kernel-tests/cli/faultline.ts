/*
 * The command as a user runs it: a process of its own, its two streams and its exit code.
 *
 * Interface: faultline(args, options), Outcome, SMALL, scratch().
 * Invariants: [run-t1] nothing of this process's environment that changes output (CI, colours, width) reaches the command.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export const CLI = fileURLToPath(new URL("../../build/dist/cli/main.js", import.meta.url));

/** A run that takes no time to speak of. */
export const SMALL = ["--duration", "200us", "--warmup", "20us", "--memory", "16M"] as const;

export interface Outcome {
  /** Exit code; a signal's name when one ended the command. */
  code: number | string;
  stdout: string;
  stderr: string;
}

export interface Options {
  env?: Record<string, string>;
  /** Closes the command's stdout after so many bytes, as `head` does. */
  closeAfter?: number;
}

/** Runs `faultline ARGS`. */
export function faultline(args: readonly string[], { env = {}, closeAfter = Infinity }: Options = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const clean = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", ...env };
    const child = spawn(process.execPath, [CLI, ...args], { env: clean, stdio: ["ignore", "pipe", "pipe"] });
    const out = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out.stdout += text;
      if (out.stdout.length >= closeAfter) child.stdout.destroy();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (out.stderr += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      resolve({ code: code ?? signal ?? "?", ...out });
    });
  });
}

/** A directory for this test file, gone when its tests are. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "faultline-test-"));
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });
  return dir;
}
