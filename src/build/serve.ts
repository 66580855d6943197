/**
 * A static server for the page: files of build/lab on 127.0.0.1, and nothing else.
 *
 *   tsx src/build/serve.ts [--port 8137]
 *
 * Interface: serve(directory, port) -> { url, close }.
 * Invariants: [serve-1] no path, however written, reaches a file outside the directory.
 *             [serve-2] every file has its MIME type: a browser compiles wasm and starts module workers only then.
 * Locks: none.
 * Why not a package: it is forty lines, and the page needs no more.
 */
import { errorText } from "../host/error-text.js";
import { createReadStream, existsSync, realpathSync, statSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, relative, isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";

export const DEFAULT_PORT = 8137;

const MIME: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".map": "application/json",
  ".wasm": "application/wasm",
};

/** The file that a request names, or the status that refuses it. */
function fileOf(root: string, target: string): string | 400 | 403 | 404 {
  let path: string;
  try {
    // Not through URL: it would fold ".." away before it can be refused.
    path = decodeURIComponent(target.split(/[?#]/, 1)[0] ?? "");
  } catch {
    return 400;
  }
  if (!path.startsWith("/") || path.includes("\0") || path.includes("\\")) return 400;
  if (path.split("/").some((part) => part.startsWith("."))) return 403;
  const file = join(root, path.endsWith("/") ? `${path}index.html` : path);
  if (!existsSync(file) || !statSync(file).isFile()) return 404;
  const inside = relative(root, realpathSync(file));
  return inside.startsWith("..") || isAbsolute(inside) ? 403 : file;
}

function answer(root: string, request: IncomingMessage, response: ServerResponse): void {
  const allowed = request.method === "GET" || request.method === "HEAD";
  const file = allowed ? fileOf(root, request.url ?? "") : 405;
  if (typeof file === "number") {
    response.writeHead(file, { "content-type": "text/plain; charset=utf-8" }).end(`${file}\n`);
    return;
  }
  response.writeHead(200, {
    "content-type": MIME[extname(file)] ?? "application/octet-stream",
    "content-length": statSync(file).size,
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
  });
  if (request.method === "HEAD") response.end();
  else createReadStream(file).pipe(response);
}

export interface Server {
  url: string;
  close: () => Promise<void>;
}

/** Serves a directory on 127.0.0.1; port 0 is any free one. Rejects when the port is taken. */
export function serve(directory: string, port: number): Promise<Server> {
  const root = realpathSync(directory);
  const server = createServer((request, response) => answer(root, request, response));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const { port: got } = server.address() as AddressInfo;
      const close = (): Promise<void> =>
        new Promise((done) => {
          server.close(() => done());
          server.closeAllConnections();
        });
      resolve({ url: `http://127.0.0.1:${got}/`, close });
    });
  });
}

function portOf(args: readonly string[]): number {
  const at = args.findIndex((arg) => arg === "--port" || arg.startsWith("--port="));
  if (at < 0) return DEFAULT_PORT;
  const text = args[at]?.split("=")[1] ?? args[at + 1] ?? "";
  const port = Number(text);
  if (text === "" || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(`--port "${text}": expected a whole number from 0 to 65535`);
  }
  return port;
}

async function main(): Promise<void> {
  const directory = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "build", "lab");
  if (!existsSync(join(directory, "index.html"))) throw new Error("the page is not built: npm run lab builds and serves it");
  const port = portOf(process.argv.slice(2));
  const { url } = await serve(directory, port).catch((error: unknown) => {
    const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw taken ? new Error(`port ${port} is taken: npm run lab -- --port ${port + 1}`) : error;
  });
  process.stdout.write(`${url}\n`);
  process.stderr.write("the lab is served until Ctrl-C\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    process.stderr.write(`${errorText(error)}\n`);
    process.exitCode = 1;
  });
}
