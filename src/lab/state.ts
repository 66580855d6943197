/**
 * The page's state and what changes it.
 *
 * Interface: form, status, series, story and their kin (signals); edit, start, cancel, clearEarlier, loadKernel, tellStory.
 * Invariants: [state-1] series[0] is the latest sweep: whatever is shown as figures comes from it.
 *             [state-2] the address follows the form; a change of the address changes the form.
 * Locks: none.
 * Why not state inside components: the form, the table, the plot and the address all show the same run.
 */
import { batch, computed, signal } from "@preact/signals";
import { commandOfText, sweepOfText } from "../sim/describe.js";
import { ParseError } from "../sim/parse.js";
import type { RunResult } from "../sim/result.js";
import { type KernelImage, type RunDescription, kernelImage } from "../sim/run.js";
import { sweepPoints } from "../sim/sweep.js";
import { type FormText, formOf, hashOf, textOf } from "./address.js";
import { Cancelled, WorkerPool, poolSize } from "./pool.js";
import type { StoreLife, StoreLifeOptions } from "./store-life.js";

/** One sweep's results, by the name that the plot gives them. */
export interface Series {
  name: string;
  /** The command line that makes them again. */
  command: string;
  workers: number;
  results: RunResult[];
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

export const form = signal<FormText>(formOf(location.hash).form);
export const unknownWords = signal<string[]>(formOf(location.hash).unknown);
export const status = signal<Status>({ kind: "loading" });
export const series = signal<Series[]>([]);
export const story = signal<StoreLife | Failure | undefined>(undefined);
export const storyOptions = signal<StoreLifeOptions>({ first: "store", faultLock: "linux-4.19" });
export const kernelHash = signal("");
export const command = computed(() => commandOfText(textOf(form.value)));
export const running = computed(() => status.value.kind === "running");
export const badField = computed(() => (status.value.kind === "failed" ? status.value.failure.field : undefined));

let pool: WorkerPool | undefined;

/** Changes one field, and the address with it. */
export function edit(name: keyof FormText, value: string): void {
  form.value = { ...form.value, [name]: value };
  history.replaceState(null, "", hashOf(form.value));
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
  const title = TITLES[error.name] ?? (error.message.startsWith("guest ") ? "A guest failed" : "Error");
  const failure: Failure = { title, message: error.message, command: again };
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

/** Work of a run, in tasks times simulated ns: what its share of the waiting is guessed from. */
function weight(point: RunDescription): number {
  return point.tasks * ((point.warmupNs ?? 0) + (point.durationNs ?? 0));
}

function nameOf(point: RunDescription | undefined): string {
  return `${point?.tasks ?? 0} ${point?.tasks === 1 ? "task" : "tasks"}, seed ${point?.config.seed ?? 1}`;
}

/** Runs what the form says. */
export async function start(): Promise<void> {
  if (!pool || running.value) return;
  const text = textOf(form.value);
  const again = commandOfText(text);
  history.replaceState(null, "", hashOf(form.value));
  try {
    const points = sweepPoints(sweepOfText(text));
    await runPoints(pool, points, `${text.workload}, ${text.mode}`, again);
  } catch (error) {
    if (error instanceof Cancelled && status.value.kind === "running") {
      const { done, total } = status.value;
      status.value = { kind: "cancelled", done, total };
    } else if (!(error instanceof Cancelled)) status.value = { kind: "failed", failure: failureOf(error, again) };
  }
}

async function runPoints(workers: WorkerPool, points: RunDescription[], name: string, again: string): Promise<void> {
  const total = points.length;
  const all = points.reduce((sum, point) => sum + weight(point), 0);
  const startMs = performance.now();
  const results: (RunResult | undefined)[] = points.map(() => undefined);
  /** How much of each run is done, 0 to 1. */
  const shares = points.map(() => 0);
  let done = 0;
  const earlier = series.value.slice(0, MAX_SERIES - 1);
  const show = (doing: string): void => {
    const tookMs = performance.now() - startMs;
    const share = points.reduce((sum, point, i) => sum + weight(point) * (shares[i] ?? 0), 0) / all;
    const leftMs = share > 0.02 ? tookMs / share - tookMs : undefined;
    status.value = { kind: "running", done, total, share, doing, startMs, leftMs };
  };
  show("starting");
  await workers.run(points, {
    phase: (i, phase, share) => {
      shares[i] = share;
      show(`${nameOf(points[i])}: ${phase}`);
    },
    result: (i, result) => {
      done++;
      shares[i] = 1;
      results[i] = result;
      const shown: Series = { name, command: again, workers: poolSize(total), results: results.filter((r) => r !== undefined) };
      batch(() => {
        series.value = [shown, ...earlier];
        show(`${nameOf(points[i])}: done`);
      });
    },
  });
  status.value = { kind: "done", runs: total, tookMs: performance.now() - startMs };
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
