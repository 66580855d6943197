/**
 * The page's state and what changes it.
 *
 * Interface: form, status, series, comparison, story and their kin (signals); edit, start, cancel, clearEarlier, loadKernel,
 *            tellStory.
 * Invariants: [state-1] series[0] is the latest sweep: whatever is shown as figures of a run comes from it.
 *             [state-2] the address follows the form; a change of the address changes the form.
 * Locks: none.
 * Why not state inside components: the form, the table, the plot and the address all show the same run.
 */
import { batch, computed, signal } from "@preact/signals";
import { type CompareResult, compareJobs, compareResult } from "../sim/compare.js";
import { sweepOfText } from "../sim/describe.js";
import { COMPARE_TEXT_DEFAULTS, compareOfText } from "../sim/describe-compare.js";
import type { PointJob, PointOutcome } from "../sim/outcome.js";
import { ParseError } from "../sim/parse.js";
import { pathProblem } from "../sim/path.js";
import type { RunResult } from "../sim/result.js";
import { type KernelImage, type RunDescription, kernelImage } from "../sim/run.js";
import { sweepPoints } from "../sim/sweep.js";
import { type FormField, type FormText, FORM_DEFAULTS, commandOf, compareTextOf, formOf, hashOf, runTextOf } from "./address.js";
import { Cancelled, WorkerPool, poolSize } from "./pool.js";
import type { StoreLife, StoreLifeOptions } from "./store-life.js";

/** One sweep's results, by the name that the plot gives them. */
export interface Series {
  name: string;
  workers: number;
  results: RunResult[];
}

export interface Comparison {
  result: CompareResult;
  /** Points that say nothing of their regime, and why. */
  problems: string[];
}

export interface Failure {
  /** What kind of error, for the heading. */
  title: string;
  message: string;
  command: string;
  /** The form's field that it came from. */
  field?: string;
}

export type Status =
  | { kind: "loading" }
  | { kind: "ready" }
  | { kind: "running"; done: number; total: number; share: number; doing: string; startMs: number; leftMs: number | undefined }
  | { kind: "done"; runs: number; tookMs: number }
  | { kind: "cancelled"; done: number; total: number }
  | { kind: "failed"; failure: Failure };

const TITLES: Readonly<Record<string, string>> = {
  ParseError: "This is no run",
  ConfigError: "This makes no machine",
  RunError: "The run came to an end before it was measured",
  KernelPanic: "Kernel panic",
  GuestFailure: "A guest failed",
};

/** Sweeps that stay in the plot beside the latest. */
const MAX_SERIES = 6;

const atFirst = formOf(location.hash);
export const form = signal<FormText>(atFirst.form);
export const unknownWords = signal<string[]>(atFirst.unknown);
export const status = signal<Status>({ kind: "loading" });
export const series = signal<Series[]>([]);
export const comparison = signal<Comparison | undefined>(undefined);
/** Which of the two the figures show: what was asked for last. */
export const shown = signal<"run" | "compare">("run");
export const story = signal<StoreLife | Failure | undefined>(undefined);
export const storyOptions = signal<StoreLifeOptions>({
  first: "store",
  fs: "pagestore",
  faultLock: "linux-4.19",
  mkwrite: "generic_page_mkwrite",
});
export const kernelHash = signal("");
export const comparing = computed(() => form.value.do === "compare");
export const command = computed(() => commandOf(form.value));
export const running = computed(() => status.value.kind === "running");
export const badField = computed(() => (status.value.kind === "failed" ? status.value.failure.field : undefined));

let pool: WorkerPool | undefined;

/** Changes one field, and the address with it. */
export function edit(name: FormField, value: string): void {
  const next = { ...form.value, [name]: value };
  // A run says enough with one seed, a comparison needs several, and page_mkwrite: each has its own defaults.
  if (name === "do") {
    const [from, to] = value === "compare" ? [FORM_DEFAULTS, COMPARE_TEXT_DEFAULTS] : [COMPARE_TEXT_DEFAULTS, FORM_DEFAULTS];
    if (next.seeds === from.seeds) next.seeds = to.seeds;
    if (next.fs === from.fs) next.fs = to.fs;
  }
  form.value = next;
  history.replaceState(null, "", hashOf(next));
}

window.addEventListener("hashchange", () => {
  const { form: text, unknown } = formOf(location.hash);
  batch(() => {
    form.value = text;
    unknownWords.value = unknown;
  });
});

function failureOf(error: unknown, again: string): Failure {
  if (!(error instanceof Error)) return { title: "Error", message: String(error), command: again };
  const failure: Failure = { title: TITLES[error.name] ?? "Error", message: error.message, command: again };
  if (error instanceof ParseError && error.field !== undefined) failure.field = error.field;
  return failure;
}

/** Fetches and compiles the kernel; the page can run then. */
export async function loadKernel(): Promise<void> {
  try {
    const response = await fetch(new URL("./faultline.wasm", import.meta.url));
    if (!response.ok) throw new Error(`faultline.wasm: HTTP ${response.status} ${response.statusText}`);
    const kernel: KernelImage = await kernelImage(new Uint8Array(await response.arrayBuffer()));
    pool = new WorkerPool(kernel);
    kernelHash.value = kernel.sha256;
    if (status.value.kind === "loading") status.value = { kind: "ready" };
    await tellStory(storyOptions.value);
  } catch (error) {
    status.value = { kind: "failed", failure: failureOf(error, "npm run lab") };
  }
}

/** Does what the form says. */
export async function start(): Promise<void> {
  if (!pool || running.value) return;
  const text = form.value;
  const again = commandOf(text);
  history.replaceState(null, "", hashOf(text));
  try {
    if (text.do === "compare") await compare(pool, text);
    else await sweep(pool, text);
  } catch (error) {
    if (error instanceof Cancelled && status.value.kind === "running") {
      const { done, total } = status.value;
      status.value = { kind: "cancelled", done, total };
    } else if (!(error instanceof Cancelled)) status.value = { kind: "failed", failure: failureOf(error, again) };
  }
}

/** A sweep: its figures grow with every run that is done. */
async function sweep(workers: WorkerPool, text: FormText): Promise<void> {
  const points = sweepPoints(sweepOfText(runTextOf(text)));
  const results: (RunResult | undefined)[] = points.map(() => undefined);
  const earlier = series.value.slice(0, MAX_SERIES - 1);
  const jobs = points.map((description): PointJob => ({ description }));
  await runJobs(workers, jobs, (i, { result }) => {
    results[i] = result;
    const done = results.filter((r) => r !== undefined);
    series.value = [{ name: `${text.workload}, ${text.mode}`, workers: poolSize(jobs.length), results: done }, ...earlier];
    shown.value = "run";
  });
}

/** A comparison: it says nothing until all of it is done. */
async function compare(workers: WorkerPool, text: FormText): Promise<void> {
  const description = compareOfText(compareTextOf(text));
  const outcomes = await runJobs(workers, compareJobs(description), () => undefined);
  batch(() => {
    comparison.value = {
      result: compareResult(description, outcomes),
      problems: outcomes.flatMap(({ result }) => pathProblem(result) ?? []),
    };
    shown.value = "compare";
  });
}

/** Work of a run, in tasks times simulated ns: what its share of the waiting is guessed from. */
function weight({ tasks, warmupNs = 0, durationNs = 0 }: RunDescription): number {
  return tasks * (warmupNs + durationNs);
}

function nameOf({ tasks, config }: RunDescription): string {
  return `${tasks} ${tasks === 1 ? "task" : "tasks"}, seed ${config.seed ?? 1}`;
}

/** Runs all, with the status telling how far they are. */
async function runJobs(
  workers: WorkerPool,
  jobs: readonly PointJob[],
  onOutcome: (i: number, outcome: PointOutcome) => void,
): Promise<PointOutcome[]> {
  const total = jobs.length;
  const descriptions = jobs.map((job) => job.description);
  const all = descriptions.reduce((sum, description) => sum + weight(description), 0);
  const startMs = performance.now();
  /** How much of each run is done, 0 to 1. */
  const shares = jobs.map(() => 0);
  let done = 0;
  const show = (i: number, doing: string): void => {
    const tookMs = performance.now() - startMs;
    const share = descriptions.reduce((sum, description, k) => sum + weight(description) * (shares[k] ?? 0), 0) / all;
    const leftMs = share > 0.02 ? tookMs / share - tookMs : undefined;
    const of = descriptions[i];
    status.value = { kind: "running", done, total, share, doing: `${of ? nameOf(of) : ""}: ${doing}`, startMs, leftMs };
  };
  show(0, "starting");
  const outcomes = await workers.run(jobs, {
    phase: (i, phase, share) => {
      shares[i] = share;
      show(i, phase);
    },
    outcome: (i, outcome) => {
      done++;
      shares[i] = 1;
      batch(() => {
        onOutcome(i, outcome);
        show(i, "done");
      });
    },
  });
  status.value = { kind: "done", runs: total, tookMs: performance.now() - startMs };
  return outcomes;
}

/** Stops the runs under way; what they have brought so far stays. */
export function cancel(): void {
  pool?.cancel();
}

/** Leaves only the latest sweep in the plot. */
export function clearEarlier(): void {
  series.value = series.value.slice(0, 1);
}

/** Runs the life of one store. */
export async function tellStory(options: StoreLifeOptions): Promise<void> {
  storyOptions.value = options;
  if (!pool) return;
  try {
    const told = await pool.storeLife(options);
    if (storyOptions.value === options) story.value = told;
  } catch (error) {
    story.value = failureOf(error, "npm run lab");
  }
}
