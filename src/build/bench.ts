/*
 * npm run bench: what the emulator costs in host time, beside this computer's own kernel, in one run.
 *
 *   npm run bench -- [--rounds 7] [--sample 250] [--only faults,switching,exploring,scaling,copies] [--native faults.c]
 *                    [--format json] [-o file]
 *
 * Interface: the command.
 * Invariants: [bench-5] what has no baseline here (no compiler, no source, no tmpfs) is said, and the rest is measured.
 * Locks: none.
 * Why not a command of the package: it needs a compiler, a second build of the kernel and a quiet machine.
 */
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { errorText } from "../host/error-text.js";
import { UsageError } from "../cli/errors.js";
import { checkOneOf, usage } from "../cli/options.js";
import { Progress, checkOutput, emit } from "../cli/output.js";
import { loadKernel } from "../node.js";
import { parseWhole } from "../sim/parse.js";
import { type KernelImage, VERSION } from "../sim/run.js";
import * as emulated from "./bench/emulated.js";
import { nativeBaseline } from "./bench/native.js";
import { BENCH_SCHEMA, type BenchResult, type ScalePoint, type Section, benchText, figure } from "./bench/result.js";
import { type Step, inRounds, ratios } from "./bench/rounds.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const PARTS = ["faults", "switching", "exploring", "scaling", "copies"] as const;
type Part = (typeof PARTS)[number];

interface Plan {
  kernel: KernelImage;
  rounds: number;
  sampleMs: number;
  native: string;
  tick: () => void;
}

const { MIB } = emulated;
/** As much as faults.c maps by default. */
const LENGTH_MIB = 64;
/** Of all tasks together. */
const WORKING_SET = 128 * MIB;
const SCALE_TASKS = [1, 2, 8, 32, 128];
const MODES = ["processes", "threads"] as const;
const NATIVE = "native kernel, tmpfs";
const RAMFS = "page_fault3, ramfs";
const COWFS = "page_fault3, cowfs, generic_page_mkwrite_nommapsem";

/** The main job beside the native one. */
async function faults({ kernel, rounds, sampleMs, native: source, tick }: Plan): Promise<Section> {
  const one = { workload: "page_fault3", tasks: 1, mode: "processes", lenBytes: LENGTH_MIB * MIB } as const;
  const ramfs = { memoryBytes: 4 * LENGTH_MIB * MIB };
  // The files stay below the share of memory at which the flusher wakes: faults are measured, not the disk.
  const cowfs = { memoryBytes: 16 * LENGTH_MIB * MIB, mkwrite: "generic_page_mkwrite_nommapsem" } as const;
  const steps: Step[] = [
    { name: RAMFS, sample: emulated.faultSampler(kernel, { ...one, config: ramfs }, sampleMs) },
    { name: COWFS, sample: emulated.faultSampler(kernel, { ...one, fs: "cowfs", config: cowfs }, sampleMs) },
  ];
  const native = nativeBaseline(source, sampleMs / 1e3, LENGTH_MIB);
  if (!("missing" in native)) steps.unshift({ name: NATIVE, sample: native.sample });
  const samples = await inRounds(rounds, steps, tick);
  const title = "Page faults, 1 task, in host time";
  const figures = [...samples].map(([name, values]) => figure(name, "per s", values));
  if ("missing" in native) return { title, figures, notes: [`No ratio to this computer's own kernel: ${native.missing}.`] };
  native.close();
  const toNative = (name: string): number[] => ratios(samples.get(name) ?? [], samples.get(NATIVE) ?? []);
  figures.push(figure(`${RAMFS}: ratio to native`, "ratio", toNative(RAMFS), { at: 0.5, should: "reach" }));
  figures.push(figure(`${COWFS}: ratio to native`, "ratio", toNative(COWFS), { at: 0.25, should: "reach" }));
  return { title, figures, notes: [`native: ${native.command}`] };
}

/** The emulator's own parts. */
async function switching({ kernel, rounds, sampleMs, tick }: Plan): Promise<Section> {
  const steps: Step[] = [
    { name: "block and resume", sample: emulated.switchSampler(kernel, 400_000) },
    { name: "snapshot and restore of 2 MiB", sample: emulated.snapshotSampler(kernel, 200) },
    { name: "restore", sample: emulated.restoreSampler(kernel, 200) },
    { name: "MMU hits", sample: emulated.mmuSampler(kernel, 10_000_000) },
  ];
  const plain = join(root, "build", "faultline.plain.wasm");
  const hasPlain = existsSync(plain);
  if (hasPlain) {
    const without = new WebAssembly.Module(readFileSync(plain));
    steps.push({ name: "with", sample: emulated.plainSampler(kernel.module, 16 * MIB, sampleMs) });
    steps.push({ name: "without", sample: emulated.plainSampler(without, 16 * MIB, sampleMs) });
  }
  const samples = await inRounds(rounds, steps, tick);
  const of = (name: string): number[] => samples.get(name) ?? [];
  const figures = [
    figure("block and resume", "ns", of("block and resume")),
    figure("snapshot and restore of 2 MiB", "us", of("snapshot and restore of 2 MiB")),
    figure("restore of 2 MiB alone", "us", of("restore")),
    figure("MMU hits", "per s", of("MMU hits")),
  ];
  if (hasPlain) {
    figures.push(figure("page_fault3 that never blocks", "per s", of("with")));
    figures.push(figure("the same, kernel built without Asyncify", "per s", of("without")));
    figures.push(figure("host time with Asyncify, to without", "ratio", ratios(of("without"), of("with"))));
  }
  return { title: "The emulator", figures, notes: hasPlain ? [] : ["No kernel without Asyncify to compare with: build.ts --only plain."] };
}

/** The explorer: what bounds it is the restore, and the run itself. */
async function exploring({ rounds, sampleMs, tick }: Plan): Promise<Section> {
  const { schedules, restore } = emulated.exploreSamplers(await loadKernel("explore"), sampleMs);
  const steps: Step[] = [
    { name: "schedules", sample: schedules },
    { name: "restore", sample: restore },
  ];
  const samples = await inRounds(rounds, steps, tick);
  const rate = figure("truncate against mkwrite (S6), dfs", "per s", samples.get("schedules") ?? [], { at: 10_000, should: "reach" });
  const each = figure("restore, of each schedule", "us", samples.get("restore") ?? []);
  return { title: "The explorer, one core", figures: [rate, each], notes: [] };
}

/** Deterministic: one run each. */
function copies({ kernel }: Plan): Section {
  const figures = ["page_fault1", "page_fault2", "page_fault3"].flatMap((workload) => {
    const { copied, zeroed } = emulated.copiedPerFault(kernel, { workload, tasks: 1, mode: "processes", config: {} });
    return [figure(`${workload}: copied`, "bytes", [copied]), figure(`${workload}: zeroed`, "bytes", [zeroed])];
  });
  return { title: "Memory that the kernel copies and zeroes, a simulated fault", figures, notes: [] };
}

/** Host time a fault, from 1 task to 128. Every point is a machine of its own; a sample goes on where its last one ended. */
async function scaling({ kernel, rounds, sampleMs, tick }: Plan): Promise<ScalePoint[]> {
  const points = MODES.flatMap((mode) => SCALE_TASKS.map((tasks) => ({ mode, tasks, name: `${mode} ${tasks}` })));
  const steps = points.map(({ mode, tasks, name }) => {
    const config = { cpus: tasks, memoryBytes: 1.5 * WORKING_SET };
    const sample = emulated.faultSampler(kernel, { workload: "page_fault3", tasks, mode, lenBytes: WORKING_SET / tasks, config }, sampleMs);
    return { name, sample: () => 1e9 / sample() };
  });
  const samples = await inRounds(rounds, steps, tick);
  return points.map(({ mode, tasks, name }) => {
    const own = samples.get(name) ?? [];
    const toOne = ratios(own, samples.get(`${mode} 1`) ?? []);
    const bar = tasks === 1 ? undefined : ({ at: 2, should: "stay below" } as const);
    const hostNsPerFault = figure(`${name}: host time a fault`, "ns", own);
    return { mode, tasks, hostNsPerFault, toOneTask: figure(`${name}: to 1 task`, "ratio", toOne, bar) };
  });
}

interface Options {
  rounds: string;
  sample: string;
  only: string;
  native: string;
  format: string;
  output?: string;
}

function partsOf(text: string): Part[] {
  const names = text.split(",").map((name) => checkOneOf(name, "part", PARTS));
  return PARTS.filter((part) => names.includes(part));
}

async function bench(options: Options): Promise<void> {
  const rounds = usage(() => parseWhole(options.rounds, "rounds", 1, 1000));
  const sampleMs = usage(() => parseWhole(options.sample, "sample", 1, 60_000));
  const parts = partsOf(options.only);
  const format = checkOneOf(options.format, "format", ["table", "json"]);
  checkOutput(options.output);
  const kernel = await loadKernel();
  const steps = { faults: 3, switching: 6, exploring: 2, scaling: SCALE_TASKS.length * MODES.length, copies: 0 };
  const bar = new Progress(parts.reduce((sum, part) => sum + steps[part] * (rounds + 1), 0), "samples");
  let done = 0;
  const tick = (): void => {
    bar.update(++done);
  };
  const plan: Plan = { kernel, rounds, sampleMs, native: options.native, tick };
  const result: BenchResult = {
    schema: BENCH_SCHEMA,
    version: VERSION,
    wasm_sha256: kernel.sha256,
    node: process.version,
    cpu: cpus()[0]?.model ?? "unknown",
    cpus: cpus().length,
    rounds,
    sample_ms: sampleMs,
    sections: [],
    scaling: [],
  };
  try {
    if (parts.includes("faults")) result.sections.push(await faults(plan));
    if (parts.includes("switching")) result.sections.push(await switching(plan));
    if (parts.includes("exploring")) result.sections.push(await exploring(plan));
    if (parts.includes("copies")) result.sections.push(copies(plan));
    if (parts.includes("scaling")) result.scaling = await scaling(plan);
  } finally {
    bar.stop();
  }
  emit(format === "json" ? JSON.stringify(result, undefined, 2) : benchText(result), options.output);
}

const beside = join(root, "..", "shared", "native", "faults.c");
const command = new Command("npm run bench --")
  .description("host time of the emulator, beside this computer's own kernel")
  .option("--rounds <n>", "samples of each figure", "7")
  .option("--sample <ms>", "host time of a sample, ms", "250")
  .option("--only <parts>", `some of ${PARTS.join(",")}`, PARTS.join(","))
  .option("--native <file>", "source of the native baseline", relative(process.cwd(), beside))
  .option("--format <format>", "table or json", "table")
  .option("-o, --output <file>", "write there instead of to stdout")
  .exitOverride()
  .action(bench);

try {
  await command.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) process.stderr.write(`bench: ${errorText(error)}\n`);
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : error instanceof UsageError ? 2 : 1;
}
