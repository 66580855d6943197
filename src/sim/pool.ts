/**
 * Points run on every core of this computer: worker threads, one machine each, results in the order of the points. Node only.
 *
 * Interface: runJobs, PoolOptions.
 * Invariants:
 *   [pool-1] the outcome of a list of points does not depend on how many workers there are.
 *   [pool-2] the error reported is that of the first point, in order, that failed among those that were run.
 * Locks: none; a worker owns its machine.
 * Why not one process a point: a compiled kernel is shared by posting it; a process would compile it again.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type PointJob, type PointOutcome, runJob } from "./outcome.js";
import { type KernelImage, RunError } from "./run.js";

export interface PoolOptions {
  /** Worker threads; 1 runs in this thread. Default: as many as there are cores. */
  threads?: number;
  progress?: (done: number, total: number) => void;
}

/** What the worker answers (sim/worker.ts). */
export type WorkerAnswer = { index: number; outcome: PointOutcome } | { index: number; error: { name: string; message: string } };

/** The built worker beside this file's bundle; undefined when running from sources. */
function workerFile(): string | undefined {
  if (!import.meta.url.endsWith(".js")) return undefined;
  const candidates = ["./worker.js", "../worker.js"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return candidates.find((path) => existsSync(path));
}

/** Runs every job. Throws the error of the first one that failed. */
export async function runJobs(kernel: KernelImage, jobs: readonly PointJob[], options: PoolOptions = {}): Promise<PointOutcome[]> {
  const threads = Math.min(options.threads ?? availableParallelism(), jobs.length);
  const file = threads > 1 ? workerFile() : undefined;
  return file === undefined ? runHere(kernel, jobs, options) : runInWorkers(file, threads, kernel, jobs, options);
}

async function runHere(kernel: KernelImage, jobs: readonly PointJob[], options: PoolOptions): Promise<PointOutcome[]> {
  const outcomes: PointOutcome[] = [];
  for (const job of jobs) {
    outcomes.push(await runJob(kernel, job));
    options.progress?.(outcomes.length, jobs.length);
  }
  return outcomes;
}

async function runInWorkers(
  file: string,
  threads: number,
  kernel: KernelImage,
  jobs: readonly PointJob[],
  options: PoolOptions,
): Promise<PointOutcome[]> {
  const answers: (WorkerAnswer | undefined)[] = jobs.map(() => undefined);
  let next = 0;
  let done = 0;
  let failed = false;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(file, { workerData: kernel });
      const give = (): void => {
        const job = failed ? undefined : jobs[next];
        if (job) worker.postMessage({ index: next++, job });
        else void worker.terminate().then(() => resolve(), reject);
      };
      worker.on("message", (answer: WorkerAnswer) => {
        answers[answer.index] = answer;
        failed ||= "error" in answer;
        options.progress?.(++done, jobs.length);
        give();
      });
      worker.on("error", reject);
      give();
    });
  await Promise.all(Array.from({ length: threads }, work));
  const error = answers.find((answer) => answer !== undefined && "error" in answer);
  if (error && "error" in error) throw rebuilt(error.error);
  return answers.flatMap((answer) => (answer && "outcome" in answer ? [answer.outcome] : []));
}

/** An error as it was in the worker, as far as exit codes and messages go. */
function rebuilt({ name, message }: { name: string; message: string }): Error {
  if (name === "RunError") return new RunError(message);
  return Object.assign(new Error(message), { name });
}
