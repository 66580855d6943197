/**
 * What the replay of a recorded trace measured, for people and as CSV.
 *
 * Interface: replayTable, replayCsv.
 * Invariants: [rt-1] every figure is of the run's result.
 * Locks: none.
 * Why not the table of runs: a trace has no rate, it has operations that each took their time.
 */
import type { RunResult } from "../sim/result.js";
import { formatCount, formatNs, table } from "./format.js";
import { waitRows } from "./rows.js";

export function replayTable(r: RunResult, summary: string, failed: number, columns: number): string {
  const { simulated: s, config } = r;
  const regime = `${config.faultLock ?? ""}+${config.mkwrite ?? ""}`;
  const { header, rows } = waitRows(r);
  const done = `${formatCount(s.iterations)} operations, ${formatCount(s.faults)} page faults, ${failed} failed`;
  const hashes = `config ${r.config_sha256.slice(0, 12)}  wasm ${r.wasm_sha256.slice(0, 12)}`;
  const lines = [
    `${r.workload} (${summary}) on ${r.fs}, ${regime}`,
    `${formatNs(s.time_ns)} from first to last, ${done}`,
    "",
    table(header, [faultRow(r), ...rows], columns),
    "",
    `All times are simulated.  seed ${r.seed}  ${hashes}  version ${r.version}`,
    `state_sha256 ${r.state_sha256}`,
  ];
  return lines.join("\n");
}

function faultRow({ simulated: { fault_ns: f } }: RunResult): string[] {
  const times = [f.min, f.percentile["50"], f.percentile["90"], f.percentile["99"], f.percentile["99.9"], f.max, f.mean];
  return ["page fault", formatCount(f.N), ...times.map(formatNs)];
}

/** One line a run and kind of operation, times in ns. */
export function replayCsv(results: readonly RunResult[]): string {
  const lines = ["seed,what,count,min_ns,p50_ns,p90_ns,p99_ns,p99_9_ns,max_ns,mean_ns"];
  for (const { seed, simulated: s } of results) {
    const all = { fault: s.fault_ns, read_wait: s.mmap_sem_wait_ns.read, write_wait: s.mmap_sem_wait_ns.write, ...s.recorded };
    for (const [name, l] of Object.entries(all)) {
      const p = l.percentile;
      lines.push([seed, name.replace(/_ns$/, ""), l.N, l.min, p["50"], p["90"], p["99"], p["99.9"], l.max, l.mean].join(","));
    }
  }
  return lines.join("\n");
}
