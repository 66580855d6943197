/**
 * What a program run has cost, in a few lines for a terminal.
 *
 * Interface: execSummary(result).
 * Invariants: [rep-x1] every figure says its unit; times are simulated.
 */
import type { ExecResult } from "../sim/exec.js";

function count(n: number, what: string): string {
  return `${n.toLocaleString("en-US")} ${what}`;
}

/** Lines that each end with a newline. */
export function execSummary(result: ExecResult): string {
  const { simulated: s, exit } = result;
  const how = exit.kind === "exited" ? `exited with ${exit.code}` : `killed by signal ${exit.signal}`;
  const ms = (s.ns / 1e6).toLocaleString("en-US", { maximumFractionDigits: 3 });
  const lines = [
    `faultline: ${result.program} ${how} after ${ms} ms of simulated time on ${result.fs}`,
    `  ${[count(s.instructions, "instructions"), count(s.syscalls, "system calls"), count(s.tlb_misses, "TLB misses")].join(", ")}`,
    `  ${count(s.faults, "page faults")}, ${count(s.maj_flt, "of them with IO")}`,
  ];
  const unknown = Object.entries(result.unknown_syscalls);
  if (unknown.length > 0) lines.push(`  unknown system calls (ENOSYS): ${unknown.map(([name, n]) => `${name} ${n}`).join(", ")}`);
  return `${lines.join("\n")}\n`;
}
