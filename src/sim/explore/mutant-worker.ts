/**
 * The worker thread of `faultline mutants`: hunts one mutant, or puts the healthy kernel through one attempt. An entry of the build.
 */
import { parentPort, workerData } from "node:worker_threads";
import { serveJobs } from "../pool.js";
import { type MutantJob, runMutantJob } from "./mutate.js";

serveJobs(parentPort, (job) => runMutantJob(workerData as WebAssembly.Module, job as MutantJob));
