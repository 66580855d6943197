/**
 * The worker thread of sim/pool.ts: runs one point after the other on machines of its own. An entry of the build.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type PointJob, runJob } from "./outcome.js";
import type { WorkerAnswer } from "./pool.js";
import type { KernelImage } from "./run.js";

async function answer(index: number, job: PointJob): Promise<WorkerAnswer> {
  try {
    return { index, outcome: await runJob(workerData as KernelImage, job) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { index, error: { name, message } };
  }
}

parentPort?.on("message", ({ index, job }: { index: number; job: PointJob }) => {
  void answer(index, job).then((reply) => parentPort?.postMessage(reply));
});
