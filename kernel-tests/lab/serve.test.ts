/*
 * The static server: right types, nothing outside its directory ([serve-1], [serve-2]), clear refusals.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, serve } from "../../src/build/serve.js";

let directory: string;
let server: Server;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "faultline-serve-"));
  const root = join(directory, "site");
  mkdirSync(join(root, "sub"), { recursive: true });
  writeFileSync(join(directory, "secret"), "secret");
  writeFileSync(join(directory, "site-not"), "secret");
  writeFileSync(join(root, ".hidden"), "secret");
  symlinkSync(join(directory, "secret"), join(root, "link"));
  for (const name of ["index.html", "a.js", "a.css", "a.svg", "a.wasm", "a.js.map", "a.bin", "sub/index.html"]) {
    writeFileSync(join(root, name), name);
  }
  server = await serve(root, 0);
});
afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

/** A request as it stands: clients that normalise paths would hide what is tested. */
function raw(target: string, method = "GET"): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () =>
      socket.write(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    );
    let text = "";
    socket.on("data", (data) => (text += data.toString("latin1")));
    socket.on("end", () => resolve({ status: Number(text.split(" ")[1]), text }));
    socket.on("error", reject);
  });
}

it.each([
  ["/", "text/html; charset=utf-8"],
  ["/sub/", "text/html; charset=utf-8"],
  ["/a.js", "text/javascript; charset=utf-8"],
  ["/a.css", "text/css; charset=utf-8"],
  ["/a.svg", "image/svg+xml"],
  ["/a.wasm", "application/wasm"],
  ["/a.js.map", "application/json"],
  ["/a.bin", "application/octet-stream"],
  ["/a.js?v=1", "text/javascript; charset=utf-8"],
])("[serve-2] %s is %s", async (path, type) => {
  const response = await fetch(new URL(path, server.url));
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe(type);
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
});

describe("[serve-1] nothing outside the directory", () => {
  it.each([
    "/../secret",
    "/%2e%2e/secret",
    "/..%2fsecret",
    "/sub/../../secret",
    "/sub/%2e%2e/%2e%2e/secret",
    "/..\\secret",
    "/%5c..%5csecret",
    "/../site-not",
    "//secret",
    "/link",
    "/.hidden",
    "/a.js%00.html",
    "/%",
    "secret",
    "http://x/../secret",
    "/nothing",
    "/sub",
  ])("%s", async (target) => {
    const { status, text } = await raw(target);
    expect([400, 403, 404]).toContain(status);
    expect(text).not.toContain("secret");
  });
});

it("answers HEAD without a body and refuses what is no question", async () => {
  const head = await raw("/a.js", "HEAD");
  expect(head.status).toBe(200);
  expect(head.text.split("\r\n\r\n")[1]).toBe("");
  expect((await raw("/a.js", "POST")).status).toBe(405);
});

it("a port that is taken is an error, not a hang", async () => {
  await expect(serve(directory, Number(new URL(server.url).port))).rejects.toMatchObject({ code: "EADDRINUSE" });
});
