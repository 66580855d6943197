/*
 * The page in a browser: it loads without an error, runs what Node runs to the same state ([dt-1]), can be stopped, says
 * what is wrong with bad input, lives through a kernel panic, and can be used by everybody.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KernelImage, type RunResult, loadKernel, runPoint, runSweep } from "../../src/node.js";
import { lockRows, runHeader, runRows, waitRows } from "../../src/report/rows.js";
import { compareFooter, compareHeader, compareSections } from "../../src/report/compare-rows.js";
import { type CompareResult, compareJobs, compareResult } from "../../src/sim/compare.js";
import { sweepOfText } from "../../src/sim/describe.js";
import { compareOfText } from "../../src/sim/describe-compare.js";
import { type PointOutcome, runJob } from "../../src/sim/outcome.js";
import { descriptionOf } from "../../src/sim/run.js";
import { commandOf, compareTextOf, formOf, runTextOf } from "../../src/lab/address.js";
import { LabPage, brokenKernel, closeLab, openLab } from "./browser.js";

let kernel: KernelImage;
beforeAll(async () => {
  await openLab();
  kernel = await loadKernel();
});
afterAll(closeLab);

const SMALL = "#workload=page_fault3&tasks=1&memory=16M&duration=1ms&warmup=200us";

/** What Node makes of the run that an address holds. */
function inNode(hash: string): Promise<RunResult[]> {
  return runSweep(kernel, sweepOfText(runTextOf(formOf(hash).form)));
}

/** Rows without their last column: host time is this run's alone. */
function simulated(cells: readonly (readonly string[])[]): string[][] {
  return cells.map((row) => row.slice(0, -1));
}

describe("the page", () => {
  it("loads in silence, needs no SharedArrayBuffer, asks nobody else", async () => {
    const lab = await LabPage.open();
    expect(await lab.page.evaluate(() => [globalThis.crossOriginIsolated, "SharedArrayBuffer" in globalThis])).toEqual([false, false]);
    expect(await lab.text(".status")).toBe("Ready.");
    expect(await lab.text("footer")).toContain(kernel.sha256.slice(0, 12));
    await lab.close();
  });

  it.each([
    "#workload=page_fault3&tasks=1,2,4&memory=32M&duration=2ms&seeds=2",
    "#workload=mixed&tasks=3&mode=processes&memory=16M&duration=1ms&cpus=2&faultLock=linux-5.1&seed=7",
  ])("[dt-1] ends in the same state as Node: %s", async (hash) => {
    const lab = await LabPage.open(hash);
    expect(await lab.run()).toBe("done");
    const results = await inNode(hash);
    const first = results[0]!;
    const hashes = await lab.page.locator(".hashes code").allInnerTexts();
    expect(hashes).toEqual(results.map((r) => r.state_sha256));
    expect(await lab.text(".run-title")).toBe(runHeader(first));
    const { header, rows } = runRows(results);
    expect(simulated(await lab.cells("throughput"))).toEqual(simulated([header, ...rows]));
    const last = results.at(-1)!;
    expect((await lab.cells("locks")).slice(1)).toEqual(lockRows(last).rows);
    expect((await lab.cells("waits")).slice(1)).toEqual(waitRows(last).rows);
    await expect.poll(() => lab.page.locator(".chart-figure svg").count()).toBe(1);
    await lab.close();
  });

  it("saves results that replay", async () => {
    const lab = await LabPage.open(SMALL);
    await lab.run();
    const [download] = await Promise.all([lab.page.waitForEvent("download"), lab.page.getByRole("button", { name: "Save JSON" }).click()]);
    expect(download.suggestedFilename()).toBe("page_fault3-threads.json");
    const [saved] = JSON.parse(readFileSync(await download.path(), "utf8")) as RunResult[];
    const again = await runPoint(kernel, descriptionOf(saved!));
    expect(again.state_sha256).toBe(saved!.state_sha256);
    await lab.close();
  });

  it("cancels, keeps what is done, and runs again", async () => {
    const lab = await LabPage.open("#workload=page_fault3&tasks=1,64&memory=64M&duration=2s&warmup=100us");
    await lab.page.getByRole("button", { name: "Run", exact: true }).click();
    // The run says how far it is, though it is one call in its worker.
    const share = lab.page.locator("progress");
    await expect.poll(() => share.evaluate((p) => (p as HTMLProgressElement).value)).toBeGreaterThan(0);
    await lab.page.getByRole("button", { name: "Cancel" }).click();
    expect(await lab.ended()).toBe("cancelled");
    expect(await lab.text(".status")).toMatch(/^Cancelled after [01] of 2 runs\.$/);
    await lab.page.getByLabel("Numbers of tasks").fill("1");
    await lab.page.getByLabel("Duration").fill("1ms");
    expect(await lab.run()).toBe("done");
    expect((await lab.cells("throughput")).length).toBe(2);
    await lab.close();
  });
});

describe("a comparison", () => {
  const HASH =
    "#do=compare&workload=page_fault3&tasks=1,4&memory=16M&length=64K&duration=500us&warmup=100us&seeds=3&regime=linux-4.19,linux-6.7";

  async function inNode(): Promise<CompareResult> {
    const description = compareOfText(compareTextOf(formOf(HASH).form));
    const outcomes: PointOutcome[] = [];
    for (const job of compareJobs(description)) outcomes.push(await runJob(kernel, job));
    return compareResult(description, outcomes);
  }

  it("[dt-1] is the one that Node makes: tables, charts, states, file", async () => {
    const lab = await LabPage.open(HASH);
    expect(await lab.run("Compare")).toBe("done");
    const wanted = await inNode();
    expect(await lab.text(".run-title")).toBe(compareHeader(wanted));
    for (const [i, { title, header, rows }] of compareSections(wanted).entries()) {
      expect(await lab.text(`#compare-${i}-caption`)).toBe(title);
      expect(await lab.cells(`compare-${i}`), title).toEqual([header, ...rows]);
    }
    expect(await lab.page.locator(".figures > .note .origin").allTextContents()).toEqual(compareFooter(wanted).slice(0, -1));
    const charts = lab.page.locator(".chart-figure svg[role=img]");
    await expect.poll(() => charts.count()).toBe(3);
    // A chart of nothing would be there as well: each has marks.
    for (const chart of await charts.all()) expect(await chart.locator("path, rect").count()).toBeGreaterThan(1);
    const save = lab.page.getByRole("button", { name: "Save JSON" });
    const [download] = await Promise.all([lab.page.waitForEvent("download"), save.click()]);
    expect(JSON.parse(readFileSync(await download.path(), "utf8"))).toEqual(JSON.parse(JSON.stringify(wanted)));
    await lab.close();
  });

  it("has defaults of its own, and the command to paste", async () => {
    const lab = await LabPage.open();
    await lab.page.getByLabel("compare regimes").check();
    expect(await lab.page.getByLabel("Seeds", { exact: true }).inputValue()).toBe("5");
    expect(await lab.text(".command code")).toBe("faultline compare page_fault3");
    await lab.page.getByRole("textbox", { name: "Regimes" }).fill("linux-4.19+bacik-v2");
    expect(await lab.run("Compare")).toBe("failed");
    expect(await lab.text("#regime-error")).toContain("Did you mean bacik-v3?");
    await lab.page.getByLabel("run", { exact: true }).check();
    expect(await lab.text(".command code")).toBe("faultline run page_fault3");
    await lab.close();
  });
});

describe("bad input", () => {
  /** Field, what is typed, what is said. */
  const FIELDS: readonly [string, string, RegExp][] = [
    ["Numbers of tasks", "1-", /tasks "1-": expected counts and ranges/],
    ["Numbers of tasks", "129", /expected a whole number from 1 to 128/],
    ["Memory", "lots", /size "lots": expected a number with a unit/],
    ["Duration", "10", /duration "10": expected a number with a unit/],
    ["Seeds", "0", /expected a whole number from 1/],
    ["CPUs", "x", /cpus "x": expected a whole number/],
    ["Sockets", "0", /sockets "0": expected a whole number/],
  ];
  it("is named where it stands, and the field has the focus", async () => {
    const lab = await LabPage.open(SMALL);
    for (const [label, typed, said] of FIELDS) {
      const field = lab.page.getByLabel(label, { exact: true });
      const before = await field.inputValue();
      // The last one is folded away until it is wrong.
      await field.evaluate((input, value) => {
        (input as HTMLInputElement).value = value;
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }, typed);
      expect(await lab.run(), label).toBe("failed");
      expect(await lab.text(".field-error")).toMatch(said);
      expect(await field.getAttribute("aria-invalid")).toBe("true");
      expect(await field.evaluate((element) => element === document.activeElement)).toBe(true);
      await field.fill(before);
    }
    expect(await lab.run()).toBe("done");
    expect(await lab.page.locator('[aria-invalid="true"]').count()).toBe(0);
    await lab.close();
  });

  it("from the address is shown, and no word of it is lost silently", async () => {
    const lab = await LabPage.open("#workload=page_fault9&colour=red");
    expect(await lab.text(".run-form .field-error")).toContain("colour");
    expect(await lab.run()).toBe("failed");
    expect(await lab.text("#workload-error")).toContain('unknown workload "page_fault9". Did you mean page_fault1?');
    await lab.close();
  });

  it("that only the machine can refuse comes with the command to paste", async () => {
    const hash = "#workload=page_fault3&tasks=64&memory=1M&length=128M";
    const lab = await LabPage.open(hash);
    expect(await lab.run()).toBe("failed");
    expect(await lab.text(".failure")).toContain(commandOf(formOf(hash).form));
    await lab.close();
  });
});

describe("a kernel panic", () => {
  it("is shown with its law, place and command, and the worker lives on", async () => {
    const lab = await LabPage.open(SMALL.replace("duration=1ms", "duration=8ms"), { kernel: brokenKernel(4e6) });
    expect(await lab.run()).toBe("failed");
    const workers = lab.page.workers().length;
    expect(await lab.text(".failure h3")).toBe("Kernel panic");
    const message = await lab.text(".failure pre");
    expect(message).toMatch(/^kernel panic: trap of the module: unreachable\n {2}at /);
    expect(message).toMatch(/again: faultline run page_fault3 -t 1 .*--duration 8000000ns/);
    await lab.page.getByLabel("Duration").fill("1ms");
    expect(await lab.run()).toBe("done");
    expect(lab.page.workers().length, "no worker was made anew").toBe(workers);
    expect(await lab.page.locator(".failure").count()).toBe(0);
    await lab.close();
  });
});

describe("the address", () => {
  it("follows the form, and a reload brings the run back", async () => {
    const lab = await LabPage.open();
    await lab.page.getByLabel("Numbers of tasks").fill("2-3");
    await lab.page.getByLabel("processes").check();
    await lab.page.getByLabel("Workload", { exact: true }).selectOption("mmap1");
    expect(new URL(lab.page.url()).hash).toBe("#workload=mmap1&tasks=2-3&mode=processes");
    await lab.page.reload();
    expect(await lab.page.getByLabel("Numbers of tasks").inputValue()).toBe("2-3");
    expect(await lab.text(".command code")).toBe("faultline run mmap1 -t 2-3 --mode processes");
    await lab.page.evaluate(() => (location.hash = "#workload=fork1&tasks=5"));
    await expect.poll(() => lab.text(".command code")).toBe("faultline run fork1 -t 5");
    await lab.close();
  });
});

describe("everybody", () => {
  const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

  function unfold(lab: LabPage): Promise<void> {
    return lab.page.locator("details").evaluateAll((all) => all.forEach((details) => ((details as HTMLDetailsElement).open = true)));
  }

  async function violations(lab: LabPage): Promise<string[]> {
    await lab.page.evaluate(axeSource);
    const results = await lab.page.evaluate(() => (globalThis as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run());
    return results.violations.flatMap((v) => v.nodes.map((node) => `${v.id}: ${node.html.slice(0, 120)} ${node.failureSummary ?? ""}`));
  }

  for (const colorScheme of ["light", "dark"] as const) {
    it(`finds no barrier, ${colorScheme}`, async () => {
      const lab = await LabPage.open(SMALL.replace("tasks=1", "tasks=1,2"), { colorScheme });
      await lab.run();
      await lab.page.locator(".chart-figure svg").waitFor();
      await unfold(lab);
      expect(await violations(lab), "with results").toEqual([]);
      await lab.page.getByLabel("Memory", { exact: true }).fill("1K");
      await lab.run();
      expect(await violations(lab), "with a machine that cannot be").toEqual([]);
      await lab.page.getByLabel("Memory", { exact: true }).fill("16M");
      await lab.page.getByLabel("compare regimes").check();
      await lab.page.getByLabel("Seeds", { exact: true }).fill("2");
      expect(await lab.run("Compare")).toBe("done");
      await lab.page.locator(".chart-figure svg").first().waitFor();
      await unfold(lab);
      expect(await violations(lab), "with a comparison").toEqual([]);
      await lab.page.getByRole("textbox", { name: "Regimes" }).fill("x");
      await lab.run("Compare");
      expect(await violations(lab), "with a bad field").toEqual([]);
      await lab.close();
    });
  }

  it("on a phone sees all without scrolling sideways", async () => {
    for (const width of [360, 320]) {
      const lab = await LabPage.open(SMALL, { viewport: { width, height: 700 } });
      await lab.run();
      await lab.page.locator(".chart-figure svg").waitFor();
      await unfold(lab);
      await lab.page.getByLabel("Memory", { exact: true }).fill("1K");
      expect(await lab.run()).toBe("failed");
      expect(await lab.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      await lab.page.getByLabel("Memory", { exact: true }).fill("16M");
      await lab.page.getByLabel("compare regimes").check();
      expect(await lab.run("Compare")).toBe("done");
      await lab.page.locator(".chart-figure svg").first().waitFor();
      expect(await lab.page.evaluate(() => document.documentElement.scrollWidth), "comparison").toBeLessThanOrEqual(width);
      await lab.close();
    }
  });

  it("without a mouse fills in, runs and cancels", async () => {
    const lab = await LabPage.open("#workload=page_fault3&tasks=1&memory=16M&duration=5s");
    const { keyboard } = lab.page;
    const focused = (): Promise<string> => lab.page.evaluate(() => document.activeElement?.textContent.trim() ?? "");
    await lab.page.getByLabel("Numbers of tasks").focus();
    await keyboard.press("Control+A");
    await keyboard.type("2");
    await keyboard.press("Enter");
    await lab.page.locator('.status[data-kind="running"]').waitFor();
    for (let i = 0; i < 20 && (await focused()) !== "Cancel"; i++) await keyboard.press("Tab");
    expect(await focused()).toBe("Cancel");
    await keyboard.press("Space");
    expect(await lab.ended()).toBe("cancelled");
    // The focus stays where it was: the next key acts from here.
    expect(await focused()).toBe("Cancel");
    await lab.close();
  });
});
