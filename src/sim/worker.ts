/**
 * The worker thread of a comparison: runs one point after the other on machines of its own. An entry of the build.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type PointJob, runJob } from "./outcome.js";
import { serveJobs } from "./pool.js";
import type { KernelImage } from "./run.js";

serveJobs(parentPort, (job) => runJob(workerData as KernelImage, job as PointJob));
