/**
 * The worker thread of the explorer: runs one cell after the other. An entry of the build.
 */
import { parentPort, workerData } from "node:worker_threads";
import { serveJobs } from "../pool.js";
import { type ExploreKernels, exploreJob } from "./jobs.js";
import { ownFilesystem } from "./own.js";
import type { ExploreJob } from "./plan.js";

/** What the worker is started with. */
export interface ExploreWorkerData extends ExploreKernels {
  /** A module of the user's that exports a filesystem. */
  filesystem?: string;
}

const { filesystem, ...kernels } = workerData as ExploreWorkerData;
const own = filesystem === undefined ? Promise.resolve([]) : ownFilesystem(filesystem).then((fs) => [fs]);

serveJobs(parentPort, async (job) => exploreJob(kernels, job as ExploreJob, await own));
