/*
 * The page in Debian's Chromium: one browser and one server for a test file, a fresh page for each test.
 *
 * Interface: openLab, closeLab, LabPage, brokenKernel.
 * Invariants:
 *   [lt-1] a page that closes has logged no error, broken no policy and asked no other host: every test checks that.
 *   [lt-2] without Chromium a test fails and says how to get one; it never passes by not running.
 * Why not a driver's own browser: what ships with the distribution is what a reader installs in one command.
 */
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import binaryen from "assemblyscript/binaryen";
import { type Browser, type BrowserContextOptions, type Page, chromium } from "playwright-core";
import { expect } from "vitest";
import { type Server, serve } from "../../src/build/serve.js";

const ROOT = join(import.meta.dirname, "..", "..");
const LAB = join(ROOT, "build", "lab");
const ARGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync";

function chromiumPath(): string {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, "chromium");
    if (existsSync(path)) return path;
  }
  throw new Error("the page's tests need Chromium: apt-get update && apt-get install -y chromium");
}

let server: Server | undefined;
let browser: Browser | undefined;

/** Starts the server and the browser. Throws when the page is not built from the kernel that Node's half of a test runs. */
export async function openLab(): Promise<void> {
  const executablePath = chromiumPath();
  const kernel = join(ROOT, "build", "faultline.wasm");
  const page = join(LAB, "faultline.wasm");
  if (!existsSync(page) || !readFileSync(page).equals(readFileSync(kernel))) {
    throw new Error("the page is not built from this kernel: npx tsx src/build/build.ts --only wasm,lab");
  }
  server = await serve(LAB, 0);
  browser = await chromium.launch({ executablePath, args: ARGS.split(" ") });
}

export async function closeLab(): Promise<void> {
  await browser?.close();
  await server?.close();
}

/** A page and what went wrong in it. */
export class LabPage {
  readonly wrong: string[] = [];

  private constructor(readonly page: Page) {}

  /** Opens the page on a hash ("#tasks=1"), and waits until it can run. */
  static async open(hash = "", options: BrowserContextOptions & { kernel?: Uint8Array } = {}): Promise<LabPage> {
    if (!browser || !server) throw new Error("openLab comes first");
    const { kernel, ...context } = options;
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...context });
    const lab = new LabPage(page);
    const { url } = server;
    page.on("console", (m) =>
      m.type() === "error" || m.type() === "warning" ? lab.wrong.push(`console ${m.type()}: ${m.text()}`) : undefined,
    );
    page.on("pageerror", (error) => lab.wrong.push(`error: ${error.message}`));
    page.on("request", (r) =>
      r.url().startsWith(url) || r.url().startsWith("blob:") ? undefined : lab.wrong.push(`asked for ${r.url()}`),
    );
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} forbids ${e.blockedURI}`));
    });
    if (kernel) {
      const body = Buffer.from(kernel);
      await page.route("**/faultline.wasm", (route) => route.fulfill({ body, contentType: "application/wasm" }));
    }
    await page.goto(url + hash);
    await page.locator(".steps .step").first().waitFor();
    return lab;
  }

  /** Presses Run and waits for the end: what the status says then. */
  async run(button = "Run"): Promise<string> {
    await this.page.getByRole("button", { name: button, exact: true }).click();
    return this.ended();
  }

  /** Waits until the page is at rest again. Returns the kind of its status. */
  async ended(): Promise<string> {
    const rest = this.page.locator('.status:not([data-kind="running"])');
    await rest.waitFor();
    return (await rest.getAttribute("data-kind")) ?? "";
  }

  text(selector: string): Promise<string> {
    return this.page.locator(selector).first().innerText();
  }

  /** The cells of a table, header first. */
  cells(id: string): Promise<string[][]> {
    return this.page.locator(`#${id} tr`).evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
  }

  async close(): Promise<void> {
    await this.page.close();
    expect(this.wrong, "[lt-1] errors, policy violations and requests elsewhere").toEqual([]);
  }
}

/** The kernel with a bug: a guest that goes on after `ns` of simulated time runs into an `unreachable`. */
export function brokenKernel(ns: number): Uint8Array {
  const module = binaryen.readBinary(readFileSync(join(ROOT, "build", "faultline.wasm")));
  module.setFeatures(binaryen.Features.All);
  const target = (name: string): string => binaryen.getExportInfo(module.getExport(name)).value;
  const late = module.f64.gt(module.call(target("nowNs"), [], binaryen.f64), module.f64.const(ns));
  const resume = module.call(target("guestResume"), [module.local.get(0, binaryen.i32)], binaryen.none);
  module.addFunction("broken", binaryen.i32, binaryen.none, [], module.block(null, [module.if(late, module.unreachable()), resume]));
  module.removeExport("guestResume");
  module.addFunctionExport("broken", "guestResume");
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}
