/**
 * `faultline mutants [names]`: kernels with one slip each, and the scenario or power failure that notices; then the healthy kernel through
 * the same.
 *
 * Interface: registerMutants.
 * Invariants: [cli-m1] exit 1 when a mutant survives that is not equivalent, or the healthy kernel does not.
 * Locks: none.
 * Why not an option of explore: explore asks whether a kernel is right; this asks whether explore would notice.
 */
import type { Command } from "commander";
import { loadKernel } from "../../node.js";
import { type MutantsDocument, isRight, mutantsJson, mutantsMarkdown, mutantsText } from "../../report/mutants-text.js";
import { type Hunt, type HuntOptions, type MutantJob, type MutantJobResult, attemptsOf, runMutantJob } from "../../sim/explore/mutate.js";
import { MUTANTS, mutantByName } from "../../sim/explore/mutants.js";
import { parseWhole } from "../../sim/parse.js";
import { runPool } from "../../sim/pool.js";
import { checkOneOf, poolOf, usage } from "../options.js";
import { Progress, checkOutput, columns, emit } from "../output.js";

const FORMATS = ["table", "json", "markdown"] as const;

interface MutantsOptions {
  budget: string;
  seed: string;
  workers?: string;
  healthy: boolean;
  output?: string;
  format: string;
}

export function registerMutants(cli: Command): void {
  const width = Math.max(...MUTANTS.map(({ name }) => name.length));
  const list = MUTANTS.map(({ name, slip }) => `  ${name.padEnd(width)}  ${slip}`).join("\n");
  cli
    .command("mutants [names...]")
    .description("put one slip into the kernel at a time, and see which scenario or crash notices, after how many schedules")
    .option("--budget <n>", "schedules and states of a disk of each mutant, at most", "20000")
    .option("--seed <n>", "seed of the walks", "1")
    .option("--workers <n>", "worker threads (default: one a core)")
    .option("--no-healthy", "do not put the healthy kernel through the same")
    .option("-o, --output <file>", "write the result there")
    .option("--format <format>", FORMATS.join(", "), "table")
    .addHelpText("after", `\nMutants (none named: all):\n${list}`)
    .action(mutantsCommand);
}

async function mutantsCommand(names: readonly string[], options: MutantsOptions): Promise<void> {
  const format = checkOneOf(options.format, "format", FORMATS);
  checkOutput(options.output);
  const chosen = usage(() => (names.length === 0 ? MUTANTS : names.map(mutantByName)));
  const hunting: HuntOptions = {
    budget: usage(() => parseWhole(options.budget, "budget", 1, 1_000_000_000)),
    seed: usage(() => parseWhole(options.seed, "seed", 0, 0xffff_ffff)),
  };
  const pool = poolOf(options.workers, "workers");
  const { module, sha256 } = await loadKernel("explore");
  const run = async (jobs: readonly MutantJob[], what: string): Promise<MutantJobResult[]> => {
    const bar = new Progress(jobs.length, what);
    const progress = (done: number): void => {
      bar.update(done);
    };
    try {
      const work = { file: "mutant-worker.js", data: module, jobs, here: (job: MutantJob) => runMutantJob(module, job) };
      return await runPool<MutantJob, MutantJobResult>(work, { ...pool, progress });
    } finally {
      bar.stop();
    }
  };
  const found = await run(
    chosen.map(({ name }) => ({ mutant: name, ...hunting })),
    "mutants",
  );
  const hunts = found.flatMap((result): Hunt[] => ("hunt" in result ? [result.hunt] : []));
  const same = options.healthy ? attemptsOf(hunts).map((attempt) => ({ attempt, ...hunting })) : [];
  const healthy = (await run(same, "attempts")).flatMap((result) => ("outcome" in result ? [result] : []));
  const document: MutantsDocument = { schema: "faultline.mutants/1", kernel_sha256: sha256, ...hunting, hunts, healthy };
  const write = {
    table: () => mutantsText(document, columns()),
    json: () => mutantsJson(document),
    markdown: () => mutantsMarkdown(document),
  };
  emit(write[format](), options.output);
  if (!isRight(document)) process.exitCode = 1;
}
