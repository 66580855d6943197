/**
 * The built command line, run as a user runs it.
 */
import { execFile } from "node:child_process";

const CLI = new URL("../../build/dist/cli/main.js", import.meta.url).pathname;

export interface Done {
  code: number;
  stdout: string;
  stderr: string;
}

export function faultline(...args: string[]): Promise<Done> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", COLUMNS: "200" };
    execFile(process.execPath, [CLI, ...args], { env, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}
