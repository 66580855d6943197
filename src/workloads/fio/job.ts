/**
 * fio's jobs: what a job file asks for, job by job, with the options that Faultline models.
 *
 * Interface: FioJob, FioJobFile, parseJobFile, FIO_OPTION_NAMES.
 * Invariants:
 *   [fio-1] an option that is not modelled is named in a warning with its place; a bad value is an error with its place.
 *   [fio-2] [global] sections are defaults of the jobs behind them, a job's own options come last.
 * Locks: none.
 * Why not fio's whole table: 200 options of which a fault path sees twenty.
 */
import { suggestion } from "../../sim/suggest.js";
import { FioError, type FioWarning, type IniOption, type Place, parseIni } from "./ini.js";
import { ValueError, parseFioBool, parseFioInt, parseFioPercent, parseFioRange, parseFioSize, parseFioTime } from "./values.js";

export type Engine = "mmap" | "sync" | "psync";
export type Distribution = { kind: "random" } | { kind: "zipf"; theta: number } | { kind: "pareto"; h: number };

/** One [section], as parsed. Sizes in bytes, times in ns of simulated time. */
export interface FioJob {
  name: string;
  at: Place;
  ioengine: Engine;
  random: boolean;
  /** Share of reads, per cent: 100 and 0 for jobs that only read or only write. */
  readPercent: number;
  sizeBytes: number;
  /** Bytes to move in all; 0: as many as `size`. */
  ioSizeBytes: number;
  offsetBytes: number;
  /** Smallest and largest block, reads and writes. */
  readBlock: [number, number];
  writeBlock: [number, number];
  numjobs: number;
  thread: boolean;
  /** Writes between two syncs, 0: none. */
  fsync: number;
  fdatasync: number;
  runtimeNs: number;
  timeBased: boolean;
  distribution: Distribution;
  randseed: number;
  norandommap: boolean;
  filename: string | undefined;
  directory: string | undefined;
  groupReporting: boolean;
  newGroup: boolean;
  stonewall: boolean;
  rampNs: number;
  startDelayNs: [number, number];
  loops: number;
  endFsync: boolean;
  /** As written: what random and readPercent come from. */
  rw: string;
  rwmixread: number | undefined;
  kbBase: number;
}

export interface FioJobFile {
  name: string;
  jobs: FioJob[];
  warnings: FioWarning[];
  /** As written, for the report: of [global], and of each job by its place in the file. */
  globalOptions: Record<string, string>;
  jobOptions: Record<string, string>[];
}

const RW: Readonly<Record<string, { random: boolean; readPercent: number | undefined }>> = {
  read: { random: false, readPercent: 100 },
  write: { random: false, readPercent: 0 },
  rw: { random: false, readPercent: undefined },
  readwrite: { random: false, readPercent: undefined },
  randread: { random: true, readPercent: 100 },
  randwrite: { random: true, readPercent: 0 },
  randrw: { random: true, readPercent: undefined },
};
const ENGINES: readonly Engine[] = ["mmap", "sync", "psync"];
const MAX_JOBS = 128;
const MAX_SEED = 2 ** 32 - 1;

function draft(): FioJob {
  return {
    name: "",
    at: { line: 1, column: 1 },
    ioengine: "psync",
    random: false,
    readPercent: 100,
    sizeBytes: 0,
    ioSizeBytes: 0,
    offsetBytes: 0,
    readBlock: [4096, 4096],
    writeBlock: [4096, 4096],
    numjobs: 1,
    thread: false,
    fsync: 0,
    fdatasync: 0,
    runtimeNs: 0,
    timeBased: false,
    distribution: { kind: "random" },
    randseed: 0,
    norandommap: false,
    filename: undefined,
    directory: undefined,
    groupReporting: false,
    newGroup: false,
    stonewall: false,
    rampNs: 0,
    startDelayNs: [0, 0],
    loops: 1,
    endFsync: false,
    kbBase: 1024,
    rw: "read",
    rwmixread: undefined,
  };
}

/** Reads one value into the draft; returns a warning's text when only a part of it is modelled. */
type Apply = (job: FioJob, value: string) => string | undefined;

/** An option of which every value that can be read is modelled. */
function put(read: (job: FioJob, value: string) => unknown): Apply {
  return (job, value) => {
    read(job, value);
    return undefined;
  };
}

function word<T extends string>(value: string, allowed: readonly T[], what: string): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw new ValueError(`"${value}": expected ${what}.${suggestion(value, allowed)}`);
  return found;
}

function blockSize(value: string, kbBase: number): number {
  const bytes = parseFioSize(value, kbBase);
  if (bytes < 1 || bytes > 8 * 2 ** 20 - 1) throw new ValueError(`"${value}": expected a block of 1 byte to 8m - 1`);
  return bytes;
}

/** "4k", or reads and writes apart: "4k,8k". A third part is of trims, which no job here makes. */
function blocks(job: FioJob, value: string, parse: (part: string) => [number, number]): void {
  const parts = value.split(",").map((part) => part.trim());
  if (parts.length > 3) throw new ValueError(`"${value}": expected at most read, write and trim sizes`);
  const [read, write] = parts;
  const first = parse(read === undefined || read === "" ? "4k" : read);
  job.readBlock = first;
  job.writeBlock = write === undefined || write === "" ? first : parse(write);
  for (const [low, high] of [job.readBlock, job.writeBlock]) {
    if (low > high) throw new ValueError(`"${value}": the range runs backwards`);
  }
}

function distribution(value: string): { distribution: Distribution; warning?: string } {
  const [kind = "", parameter] = value.split(":").map((part) => part.trim());
  switch (word(kind, ["random", "zipf", "pareto", "normal", "zoned", "zoned_abs"], "random, zipf:theta or pareto:h")) {
    case "random":
      return { distribution: { kind: "random" } };
    case "zipf": {
      const theta = parameter === undefined ? 1.1 : Number(parameter);
      if (!(theta > 0 && theta <= 100)) throw new ValueError(`"${value}": expected zipf:theta with theta above 0`);
      return { distribution: { kind: "zipf", theta } };
    }
    case "pareto": {
      const h = parameter === undefined ? 0.2 : Number(parameter);
      if (!(h > 0 && h < 1)) throw new ValueError(`"${value}": expected pareto:h with h between 0 and 1`);
      return { distribution: { kind: "pareto", h } };
    }
    default:
      return { distribution: { kind: "random" }, warning: `random_distribution=${kind} is not modelled: the job draws uniformly` };
  }
}

const SIZE = put((job, value) => {
  if (value.endsWith("%")) throw new ValueError(`"${value}": shares of a device are not modelled; write bytes`);
  job.sizeBytes = parseFioSize(value, job.kbBase);
  if (job.sizeBytes === 0) throw new ValueError(`"${value}": expected a size above 0`);
});

const OPTIONS: Readonly<Record<string, Apply>> = {
  ioengine: put((job, value) => (job.ioengine = word(value, ENGINES, "mmap, sync or psync: other engines are not modelled"))),
  rw: put((job, value) => (job.rw = word(value, Object.keys(RW), "read, write, randread, randwrite, rw or randrw"))),
  size: SIZE,
  io_size: put((job, value) => (job.ioSizeBytes = parseFioSize(value, job.kbBase))),
  offset: put((job, value) => (job.offsetBytes = parseFioSize(value, job.kbBase))),
  bs: put((job, value) =>
    blocks(job, value, (part) => {
      const bytes = blockSize(part, job.kbBase);
      return [bytes, bytes];
    }),
  ),
  bsrange: put((job, value) => blocks(job, value, (part) => parseFioRange(part, (end) => blockSize(end, job.kbBase)))),
  numjobs: put((job, value) => (job.numjobs = parseFioInt(value, 1, MAX_JOBS))),
  thread: put((job, value) => (job.thread = parseFioBool(value))),
  fsync: put((job, value) => (job.fsync = parseFioInt(value, 0, 1e9))),
  fdatasync: put((job, value) => (job.fdatasync = parseFioInt(value, 0, 1e9))),
  end_fsync: put((job, value) => (job.endFsync = parseFioBool(value))),
  runtime: put((job, value) => (job.runtimeNs = parseFioTime(value))),
  time_based: put((job, value) => (job.timeBased = parseFioBool(value))),
  random_distribution: (job, value) => {
    const parsed = distribution(value);
    job.distribution = parsed.distribution;
    return parsed.warning;
  },
  randseed: put((job, value) => (job.randseed = parseFioInt(value, 0, MAX_SEED))),
  rwmixread: put((job, value) => (job.rwmixread = parseFioPercent(value))),
  rwmixwrite: put((job, value) => (job.rwmixread = 100 - parseFioPercent(value))),
  norandommap: put((job, value) => (job.norandommap = parseFioBool(value))),
  filename: (job, value) => {
    if (value.includes(":")) throw new ValueError(`"${value}": several files to a job are not modelled`);
    job.filename = value;
  },
  directory: put((job, value) => (job.directory = value)),
  group_reporting: put((job, value) => (job.groupReporting = parseFioBool(value))),
  new_group: put((job, value) => (job.newGroup = parseFioBool(value))),
  stonewall: put((job, value) => (job.stonewall = parseFioBool(value))),
  ramp_time: put((job, value) => (job.rampNs = parseFioTime(value))),
  startdelay: put((job, value) => (job.startDelayNs = parseFioRange(value, parseFioTime))),
  loops: put((job, value) => (job.loops = parseFioInt(value, 1, 1e6))),
  name: put((job, value) => (job.name = value)),
  kb_base: put((job, value) => (job.kbBase = Number(word(value, ["1024", "1000"], "1024 or 1000")))),
  description: () => undefined,
};

/** fio's other names of the same options. */
const ALIASES: Readonly<Record<string, string>> = {
  readwrite: "rw",
  blocksize: "bs",
  blocksize_range: "bsrange",
  io_limit: "io_size",
  fileoffset: "offset",
  wait_for_previous: "stonewall",
};

export const FIO_OPTION_NAMES: readonly string[] = [...Object.keys(OPTIONS), ...Object.keys(ALIASES)];

interface Reading {
  file: string;
  warnings: FioWarning[];
}

function apply(reading: Reading, job: FioJob, option: IniOption): void {
  const key = ALIASES[option.key] ?? option.key;
  const read = OPTIONS[key];
  if (!read) {
    const near = suggestion(option.key, FIO_OPTION_NAMES);
    reading.warnings.push({ at: option.at, message: `${option.key} is not modelled and has no effect.${near}` });
    return;
  }
  try {
    const warning = read(job, option.value);
    if (typeof warning === "string") reading.warnings.push({ at: option.valueAt, message: warning });
  } catch (error) {
    if (error instanceof ValueError) throw new FioError(reading.file, option.valueAt, `${option.key} ${error.message}`);
    throw error;
  }
}

function finished(reading: Reading, job: FioJob): FioJob {
  const fail = (message: string): never => {
    throw new FioError(reading.file, job.at, `job ${job.name}: ${message}`);
  };
  if (job.sizeBytes === 0) fail("expected size=: files of no size are not modelled");
  const rw = RW[job.rw] ?? { random: false, readPercent: 100 };
  const readPercent = rw.readPercent ?? job.rwmixread ?? 50;
  const largest = Math.max(readPercent > 0 ? job.readBlock[1] : 0, readPercent < 100 ? job.writeBlock[1] : 0);
  if (largest > job.sizeBytes) fail(`a block of ${largest} bytes is larger than its file of ${job.sizeBytes}`);
  if (job.timeBased && job.runtimeNs === 0) fail("time_based without runtime never ends");
  if (job.startDelayNs[0] > job.startDelayNs[1]) fail("startdelay runs backwards");
  return { ...job, random: rw.random, readPercent };
}

/** Reads a job file. Throws FioError. */
export function parseJobFile(text: string, file: string): FioJobFile {
  const reading: Reading = { file, warnings: [] };
  const result: FioJobFile = { name: file, jobs: [], warnings: reading.warnings, globalOptions: {}, jobOptions: [] };
  let defaults = draft();
  // [global] is read once for its warnings; each job then starts from what it set.
  for (const section of parseIni(text, file)) {
    const options = Object.fromEntries(section.options.map((o) => [ALIASES[o.key] ?? o.key, o.value]));
    if (section.name === "global") {
      const next = { ...defaults };
      for (const option of section.options) apply(reading, next, option);
      defaults = next;
      Object.assign(result.globalOptions, options);
      continue;
    }
    const job: FioJob = { ...defaults, name: section.name, at: section.at };
    for (const option of section.options) apply(reading, job, option);
    result.jobs.push(finished(reading, job));
    result.jobOptions.push(options);
  }
  if (result.jobs.length === 0) throw new FioError(file, { line: 1, column: 1 }, "expected a job: a section other than [global]");
  const clones = result.jobs.reduce((n, job) => n + job.numjobs, 0);
  const last = result.jobs[result.jobs.length - 1];
  if (clones > MAX_JOBS) throw new FioError(file, last?.at ?? { line: 1, column: 1 }, `${clones} jobs in all; ${MAX_JOBS} are the most`);
  return result;
}
