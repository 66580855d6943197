/**
 * A job file's report for people, laid out as fio's own.
 *
 * Interface: fioText.
 * Invariants: [ft-1] every number is one of the JSON report's.
 * Locks: none.
 * Why not a table: who reads fio's reports knows where to look.
 */
import type { FioDirection, FioJobReport, FioLatency, FioReport } from "../sim/fio.js";
import { formatBytes, formatCount, formatNs } from "./format.js";

const SHOWN = ["1.000000", "50.000000", "90.000000", "99.000000", "99.900000", "99.990000"];

function latencyLines(name: string, latency: FioLatency): string[] {
  const { min, max, mean, stddev } = latency;
  const lines = [`    ${name}: min=${formatNs(min)}, max=${formatNs(max)}, avg=${formatNs(mean)}, stdev=${formatNs(stddev)}`];
  const cells = SHOWN.map((p) => `${Number(p).toFixed(2)}th=[${formatNs(latency.percentile?.[p] ?? 0)}]`);
  return [...lines, `    ${name} percentiles: ${cells.join(", ")}`];
}

function directionLines(name: string, d: FioDirection): string[] {
  if (d.total_ios === 0) return [];
  const rate = `IOPS=${formatCount(d.iops)}, BW=${formatBytes(d.bw_bytes)}/s (${formatBytes(d.io_bytes)} in ${formatNs(d.runtime_ns)})`;
  return [`  ${name}: ${rate}`, ...latencyLines("clat", d.clat_ns)];
}

function jobLines(job: FioJobReport): string[] {
  const lines = [`${job.jobname}: (groupid=${job.groupid}, jobs=${job.jobs}): err= 0`];
  lines.push(...directionLines("read", job.read), ...directionLines("write", job.write));
  if (job.sync.total_ios > 0) lines.push(`  sync: ${job.sync.total_ios} calls`, ...latencyLines("lat", job.sync.lat_ns));
  lines.push(`  cpu: ${formatNs(job.cpu_ns)}, ctx=${job.ctx}, majf=${job.majf}, minf=${job.minf}`);
  return lines;
}

export function fioText(report: FioReport): string {
  const { faultline: f } = report;
  const lock = `${f.config.faultLock ?? ""}+${f.config.mkwrite ?? ""}`;
  return [
    ...report.jobs.flatMap((job) => [...jobLines(job), ""]),
    `${formatCount(f.faults)} page faults in ${formatNs(f.time_ns)} on ${f.fs}, ${lock}; all times are simulated`,
    `seed ${f.seed}  config ${f.config_sha256.slice(0, 12)}  wasm ${f.wasm_sha256.slice(0, 12)}  version ${f.version}`,
    `state_sha256 ${f.state_sha256}`,
  ].join("\n");
}
