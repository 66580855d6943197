/**
 * Traces run again: what is measured is what was recorded, at its time; random traces fail nowhere, under any interleaving and
 * regime, because what builds on something waits for it. On the checked kernel. Laws: [tg-1] [tg-2] [tw-1] [to-1].
 */
import { beforeAll, describe, expect, test } from "vitest";
import { loadKernel } from "../../src/node.js";
import { type KernelImage, Run } from "../../src/sim/run.js";
import type { MachineConfig } from "../../src/host/config.js";
import { TRACE_RECORDER } from "../../src/workloads/trace/guest.js";

let kernel: KernelImage;
beforeAll(async () => {
  kernel = await loadKernel(true);
});

function replayed(lines: string, set: string[] = [], config: MachineConfig = {}, fs = "ramfs"): Run {
  const input = { kind: "trace" as const, name: "t", text: `faultline-trace 1\n${lines}` };
  const run = new Run(kernel, { workload: "t", input, tasks: 1, mode: "threads", fs, set, config: { memoryBytes: 16 << 20, ...config } });
  run.warmUp();
  run.measure();
  run.machine.check();
  return run;
}

function failed(run: Run): number {
  return run.machine.recorded(TRACE_RECORDER.failed).N;
}

const SMALL = `file 1 20000 /db
0 1 mmap 0x200000 20480 rw shared 1 0
0.000010 1 store 0x200010 8192
0.000050 1 msync 0x200000 20480 sync
0.000100 1.2 load 0x204000 1
0.000110 1.2 write 1 20000 5000
0.000120 1.2 read 1 0 25000
0.000130 1.2 truncate 1 8192
0.000140 1 munmap 0x200000 20480
0.001 1 fsync 1
`;

describe("a small trace", () => {
  test.each(["ramfs", "cowfs", "pagestore"])("on %s does each operation once, at its time or later", async (fs) => {
    const run = replayed(SMALL, [], {}, fs);
    const { simulated: s } = await run.result();
    const counts = Object.entries(s.recorded).map(([name, { N }]) => [name, N]);
    expect(Object.fromEntries(counts)).toEqual({ store_ns: 1, load_ns: 1, msync_ns: 2, write_ns: 2, read_ns: 1, map_ns: 2, late_ns: 9 });
    expect(s.iterations).toBe(9);
    expect(failed(run)).toBe(0);
    expect(s.time_ns).toBeGreaterThan(1e6);
    if (fs === "cowfs") expect(s.counters.mkwrite_runs).toBeGreaterThanOrEqual(3);
  });

  test("at a fast pace waits for no clock", async () => {
    const { simulated } = await replayed(SMALL, ["pace=fast"]).result();
    expect(simulated.time_ns).toBeLessThan(5e5);
    expect(simulated.recorded.late_ns?.N).toBe(0);
  });

  test("is the same run twice", async () => {
    const hashes = [replayed(SMALL), replayed(SMALL)].map((run) => run.result());
    const [a, b] = await Promise.all(hashes);
    expect(a?.state_sha256).toBe(b?.state_sha256);
  });
});

test("memory lies at its recorded addresses, and an access beyond the file is counted and survived", () => {
  const run = replayed(`file 1 4096 /a
0 9 mmap 0x7f0000000000 8192 rw shared 1 0
0 9 store 0x7f0000000000 1
0 9 store 0x7f0000001000 1
0 9 load 0x7f0000000000 1
`);
  expect(failed(run)).toBe(1);
  expect(run.machine.recorded(TRACE_RECORDER.load).N).toBe(1);
});

test("a process ends with its last event, others go on", async () => {
  const run = replayed(`0 1 mmap 0x200000 4096 rw private
0 2 mmap 0x200000 4096 rw private
0.002 2 store 0x200000 1
`);
  expect(failed(run)).toBe(0);
  expect((await run.result()).simulated.iterations).toBe(3);
});

/** A seeded generator: Park and Miller's. */
function randomOf(seed: number): (n: number) => number {
  let state = seed * 48271 + 1;
  return (n) => {
    state = (state * 48271) % 0x7fffffff;
    return state % n;
  };
}

/** Random calls of threads in a few slots of one address space, each valid when it is its turn. */
function randomTrace(seed: number): string {
  const below = randomOf(seed);
  const slots = Array.from({ length: 6 }, () => false);
  const lines = ["file 1 65536 /a", "file 2 65536 /b"];
  for (let i = 0; i < 300; i++) {
    const slot = below(slots.length);
    const at = 0x200000 + slot * 0x10000;
    const who = `${1 + below(2)}.${10 + below(4)}`;
    // Two processes have the same threads' numbers, not the same mappings: slots of the second are odd, of the first even.
    const pid = 1 + (slot % 2);
    const thread = `${pid}.${pid}${who.slice(2)}`;
    const head = `0.${String(i * 1000).padStart(9, "0")} ${thread}`;
    const page = at + below(4) * 4096;
    if (slots[slot] !== true) {
      lines.push(`${head} mmap 0x${at.toString(16)} 16384 rw ${below(2) === 0 ? "shared" : "private"} ${1 + below(2)} ${below(4) * 4096}`);
      slots[slot] = true;
      continue;
    }
    const kind = below(12);
    if (kind < 5) lines.push(`${head} store 0x${page.toString(16)} 1`);
    else if (kind < 8) lines.push(`${head} load 0x${page.toString(16)} 1`);
    else if (kind < 9) lines.push(`${head} msync 0x${at.toString(16)} 16384 ${below(2) === 0 ? "sync" : "async"}`);
    else if (kind < 10) lines.push(`${head} madvise 0x${at.toString(16)} 16384 dontneed`);
    else {
      lines.push(`${head} munmap 0x${at.toString(16)} 16384`);
      slots[slot] = false;
    }
  }
  return `${lines.join("\n")}\n`;
}

describe("random traces of two processes with four threads each", () => {
  test.each(Array.from({ length: 8 }, (_, i) => i + 1))("seed %i fails nowhere", (seed) => {
    for (const mkwrite of ["generic_page_mkwrite", "generic_page_mkwrite_nommapsem", "completed"] as const) {
      const text = randomTrace(seed);
      const run = replayed(text, ["pace=fast"], { choices: "random", seed, mkwrite }, seed % 2 === 0 ? "cowfs" : "ramfs");
      expect(failed(run), `seed ${seed}, ${mkwrite}`).toBe(0);
      expect(run.machine.guestCount).toBe(0);
    }
  });
});
