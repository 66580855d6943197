/**
 * Jobs run on every core of this computer: worker threads, one machine each, results in the order of the jobs. Node only.
 *
 * Interface: runPool, Work, runJobs, PoolOptions, serveJobs.
 * Invariants:
 *   [pool-1] the outcome of a list of jobs does not depend on how many workers there are.
 *   [pool-2] the error reported is that of the first job, in order, that failed among those that were run.
 * Locks: none; a worker owns its machine.
 * Why not one process a job: a compiled kernel is shared by posting it; a process would compile it again.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { type MessagePort, Worker } from "node:worker_threads";
import { type PointJob, type PointOutcome, runJob } from "./outcome.js";
import { type KernelImage, RunError } from "./run.js";

export interface PoolOptions {
  /** Worker threads; 1 runs in this thread. Default: as many as there are cores. */
  threads?: number;
  progress?: (done: number, total: number) => void;
}

/** What a worker answers (sim/worker.ts, sim/explore/worker.ts). */
export type WorkerAnswer<R> = { index: number; result: R } | { index: number; error: { name: string; message: string } };

/** Jobs, and who does them: a worker of the build, or this thread. Jobs and results are plain data. */
export interface Work<J, R> {
  /** The worker's file among the build's outputs. */
  file: string;
  /** What a worker is started with. */
  data: unknown;
  jobs: readonly J[];
  here: (job: J) => R | Promise<R>;
  /** Called with each result as it comes, in any order. */
  each?: (index: number, result: R) => void;
}

/** The built worker beside this file's bundle; undefined when running from sources. */
function workerFile(name: string): string | undefined {
  if (!import.meta.url.endsWith(".js")) return undefined;
  const candidates = [`./${name}`, `../${name}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return candidates.find((path) => existsSync(path));
}

/** Runs every job of a comparison. Throws the error of the first one that failed. */
export function runJobs(kernel: KernelImage, jobs: readonly PointJob[], options: PoolOptions = {}): Promise<PointOutcome[]> {
  return runPool({ file: "worker.js", data: kernel, jobs, here: (job) => runJob(kernel, job) }, options);
}

/** Runs every job. Throws the error of the first one that failed. */
export async function runPool<J, R>(work: Work<J, R>, options: PoolOptions = {}): Promise<R[]> {
  const threads = Math.min(options.threads ?? availableParallelism(), work.jobs.length);
  const file = threads > 1 ? workerFile(work.file) : undefined;
  return file === undefined ? runHere(work, options) : runInWorkers(file, threads, work, options);
}

async function runHere<J, R>({ jobs, here, each }: Work<J, R>, options: PoolOptions): Promise<R[]> {
  const results: R[] = [];
  for (const [index, job] of jobs.entries()) {
    const result = await here(job);
    results.push(result);
    each?.(index, result);
    options.progress?.(results.length, jobs.length);
  }
  return results;
}

async function runInWorkers<J, R>(file: string, threads: number, { data, jobs, each }: Work<J, R>, options: PoolOptions): Promise<R[]> {
  const answers: (WorkerAnswer<R> | undefined)[] = jobs.map(() => undefined);
  let next = 0;
  let done = 0;
  let failed = false;
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(file, { workerData: data });
      const give = (): void => {
        const job = failed ? undefined : jobs[next];
        if (job !== undefined) worker.postMessage({ index: next++, job });
        else void worker.terminate().then(() => resolve(), reject);
      };
      worker.on("message", (answer: WorkerAnswer<R>) => {
        answers[answer.index] = answer;
        if ("error" in answer) failed = true;
        else each?.(answer.index, answer.result);
        options.progress?.(++done, jobs.length);
        give();
      });
      worker.on("error", reject);
      give();
    });
  await Promise.all(Array.from({ length: threads }, work));
  const error = answers.find((answer) => answer !== undefined && "error" in answer);
  if (error && "error" in error) throw rebuilt(error.error);
  return answers.flatMap((answer) => (answer && "result" in answer ? [answer.result] : []));
}

/** An error as it was in the worker, as far as exit codes and messages go. */
function rebuilt({ name, message }: { name: string; message: string }): Error {
  if (name === "RunError") return new RunError(message);
  return Object.assign(new Error(message), { name });
}

/** Serves a worker thread's port: one job after the other. */
export function serveJobs(port: MessagePort | null, run: (job: unknown) => unknown): void {
  const answer = async (index: number, job: unknown): Promise<WorkerAnswer<unknown>> => {
    try {
      return { index, result: await run(job) };
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      return { index, error: { name, message } };
    }
  };
  port?.on("message", ({ index, job }: { index: number; job: unknown }) => {
    void answer(index, job).then((reply) => {
      port.postMessage(reply);
    });
  });
}
