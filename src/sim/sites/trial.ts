/**
 * One run of a workload with one site failing, or that one and all after it, and everything that must hold then.
 *
 *     restore -> arm -> steps -> disarm -> fsync each, sync, look -> exit -> unmount -> at rest? -> fsck -> mount -> look -> fsck
 *
 * Interface: SiteBench (count, trial), SiteRun, Trial, siteName.
 * Invariants:
 *   [str-1] up to the site that fails a run is the run in which none does: the n-th site is the same place each time.
 *   [str-2] a step that fails does so with what kinds.ts allows, and only once a site has failed.
 *   [str-3] at the end nothing is held that is not held after a run in which nothing failed ([mk-6]).
 * Locks: none.
 * Why not a machine each: a boot and a mkfs cost more than the run.
 */
import { errorText } from "../../host/error-text.js";
import { type Call, sys } from "../../guest/sys.js";
import { FaultSites } from "../../host/fault-sites.js";
import { type Machine, type Snapshot } from "../../host/machine.js";
import { readString } from "../../host/wasm.js";
import { type CrashRun, beforeNumber, mountedMachine, runGuest } from "../crash/machine.js";
import { shownBelow } from "../crash/shown.js";
import { MNT, type Step, StepRunner, describeStep, resultText } from "../crash/steps.js";
import { type SiteKind, allowedResults, kernelKindOf, mayAbort } from "./kinds.js";
import { SiteOracle } from "./oracle.js";
import { type AtRest, atRest, restDifferences } from "./rest.js";
import { canMake, contentBefore } from "./possible.js";

export interface SiteRun extends CrashRun {
  kind: SiteKind;
  /** The failing of sites is left out, to see that this is found. */
  deaf?: boolean;
  /** The step of this number is not made, although it is said to have been: planted likewise. */
  lost?: number;
}

/** Which sites fail: the n-th, and with `lasting` all after it. */
export interface SitePoint {
  n: number;
  lasting: boolean;
}

export interface Trial {
  point: SitePoint;
  /** Sites that failed. */
  hits: number;
  /** What each step came to, in words. */
  results: string[];
  problems: string[];
  /** The filesystem has shut down. */
  aborted: boolean;
  /** The OOM killer took the process. */
  killed: boolean;
}

/** "12": the twelfth; "12+": that and all after it. */
export function siteName({ n, lasting }: SitePoint): string {
  return `${n}${lasting ? "+" : ""}`;
}

export class SiteBench {
  private readonly machine: Machine;
  private readonly mounted: Snapshot;
  private rest: AtRest | undefined;
  /** Sites that the workload reaches when none fails. */
  readonly sites: number;
  /** The run in which none does. When something is wrong with it, nothing is to be said of others. */
  readonly clean: Trial;

  constructor(private readonly run: SiteRun) {
    this.machine = mountedMachine(run);
    this.mounted = this.machine.snapshot();
    const clean = new TrialRun(this.machine, this.run, undefined, undefined);
    clean.play();
    this.sites = clean.seen;
    this.rest = clean.rest;
    this.clean = clean.trial;
  }

  trial(point: SitePoint): Trial {
    this.machine.restore(this.mounted);
    const run = new TrialRun(this.machine, this.run, point, this.rest);
    run.play();
    return run.trial;
  }
}

const MODIFY_NOTHING: ReadonlySet<Step["do"]> = new Set([
  "read",
  "load",
  "fsync",
  "fdatasync",
  "msync",
  "sync",
  "open",
  "close",
  "map",
  "private",
  "anonymous",
]);

class TrialRun {
  readonly trial: Trial;
  rest: AtRest | undefined;
  /** Sites that were reached, when none was to fail. */
  seen = 0;
  private readonly oracle: SiteOracle;
  private readonly sites: FaultSites;
  private readonly runner = new StepRunner();
  /** Sites that failed before the last pause. */
  private pastHits = 0;
  private armed = false;
  /** The step under way, with the content that it may change. */
  private current: { step: Step; before: Uint8Array | undefined } | undefined;

  constructor(
    private readonly machine: Machine,
    private readonly run: SiteRun,
    private readonly point: SitePoint | undefined,
    private readonly restBefore: AtRest | undefined,
  ) {
    const { fs, workload, kind } = run;
    this.sites = new FaultSites(machine.kernel, kernelKindOf(kind));
    this.oracle = new SiteOracle(fs.unitBytes, fs.sizeStep);
    for (const [i, step] of (workload.before ?? []).entries()) this.oracle.begin(step, beforeNumber(i));
    this.oracle.allSynced();
    this.trial = { point: point ?? { n: 0, lasting: false }, hits: 0, results: [], problems: [], aborted: false, killed: false };
  }

  play(): void {
    try {
      this.steps();
      this.machine.check();
      this.unmountAndLook();
    } catch (error) {
      this.problem(errorText(error));
    }
    if (this.point && this.trial.hits === 0) this.problem("the site was not reached");
  }

  private problem(text: string): void {
    this.trial.problems.push(text);
  }

  private where(): { fs: string; aborted: boolean } {
    return { fs: this.run.fs.name, aborted: this.trial.aborted };
  }

  /* Arming. */

  private arm(): void {
    this.armed = true;
    if (!this.point || this.run.deaf === true) this.sites.countOnly();
    else this.sites.fail(this.point.n, this.point.lasting);
  }

  private disarm(): void {
    if (!this.armed) return;
    this.armed = false;
    this.seen += this.sites.seen;
    this.trial.hits += this.sites.hits;
    this.sites.off();
  }

  /** Looks at something without a failure, then goes on failing if this one lasts. */
  private *quietly<T>(call: () => Call<T>): Call<T> {
    const was = this.armed;
    this.disarm();
    const value = yield* call();
    if (was && this.point?.lasting === true && this.trial.hits > 0) {
      this.armed = true;
      this.sites.fail(1, true);
    }
    return value;
  }

  private get hits(): number {
    return this.trial.hits + (this.armed ? this.sites.hits : 0);
  }

  /* Steps. */

  private steps(): void {
    try {
      runGuest(this.machine, () => this.live());
      return;
    } catch (error) {
      if (!(error instanceof Error) || error.message !== "the guest was killed") throw error;
    } finally {
      this.disarm();
    }
    this.trial.killed = true;
    this.trial.results.push("SIGKILL");
    const step = this.current?.step;
    if (!step || !allowedResults(this.run.kind, step.do, this.where()).includes("SIGKILL")) {
      this.problem(`${step ? describeStep(step) : "the end"}: the process was killed`);
    }
    runGuest(this.machine, () => this.afterKill());
  }

  private *live(): Call<void> {
    this.arm();
    for (const [i, step] of this.run.workload.steps.entries()) {
      if (canMake(step, this.oracle, this.runner)) yield* this.make(step, i);
      else this.trial.results.push("skipped");
    }
    this.disarm();
    for (const path of this.runner.open) yield* this.finalFsync(this.runner, path);
    yield* this.settledLook();
  }

  private *make(step: Step, number: number): Call<void> {
    const { oracle, runner } = this;
    this.current = { step, before: contentBefore(step, oracle) };
    const size = "path" in step && oracle.exists(step.path) ? oracle.contentOf(step.path).length : 0;
    oracle.begin(step, number);
    const result = number === this.run.lost && this.point ? 0 : yield* runner.run(step, number);
    const text = resultText(result);
    this.trial.results.push(text);
    if (result >= 0) {
      if (step.do === "read" || step.do === "load") this.compareFound(step.path, step.at, result);
      // A snapshot does not tell of data that the disk refused: whoever has the file open hears of it.
      if (step.do === "snapshot" && this.hits > 0) oracle.toldOfAny();
      oracle.done(step);
      return;
    }
    // A fault behind the end of a file that an earlier failure left short.
    const beyond = text === "SIGBUS" && "at" in step && step.at + step.length > Math.ceil(size / 4096) * 4096;
    yield* this.failed(step, text, beyond);
  }

  private *failed(step: Step, text: string, beyond: boolean): Call<void> {
    const { kind } = this.run;
    const [oracle, { before }] = [this.oracle, this.current ?? { before: undefined }];
    if (this.hits === 0) this.problem(`${describeStep(step)}: ${text} before anything failed`);
    if ((step.do === "fsync" || step.do === "fdatasync" || step.do === "msync") && oracle.exists(step.path)) oracle.told(step.path);
    if (!this.trial.aborted && mayAbort(kind)) this.trial.aborted = yield* this.quietly(() => hasAborted());
    if (!beyond && !allowedResults(kind, step.do, this.where()).includes(text)) {
      this.problem(`${describeStep(step)}: ${text}, which ${kind} does not allow it`);
    }
    if (step.do === "sync") oracle.toldOfAny();
    if (this.trial.aborted) oracle.undo(step, text === "short" ? undefined : before, text === "EROFS");
    else if (!MODIFY_NOTHING.has(step.do)) yield* this.quietly(() => this.settle(step, before));
  }

  private *settle(step: Step, before: Uint8Array | undefined): Call<void> {
    const shown = yield* shownBelow(MNT);
    this.trial.problems.push(...this.oracle.settle(step, before, shown).map((text) => `${describeStep(step)} failed, and ${text}`));
  }

  private compareFound(path: string, at: number, length: number): void {
    if (this.trial.aborted) return;
    const expected = this.oracle.contentOf(path).subarray(at, at + length);
    const found = this.runner.found;
    // Memory behind the end of the file shows zeros.
    for (let i = 0; i < found.length; i++) {
      if (found[i] === (expected[i] ?? 0)) continue;
      this.problem(`[mk-7] ${path} at ${at + i} shows ${found[i] ?? 0}, not ${expected[i] ?? 0}`);
      return;
    }
  }

  /* The end. */

  /** What is told to whoever has the file open, or opens it now. */
  private *finalFsync(runner: StepRunner, path: string): Call<void> {
    const step: Step = { do: "fsync", path };
    const result = yield* runner.run(step, 0);
    if (result >= 0) {
      if (this.oracle.exists(path)) this.oracle.done(step);
      return;
    }
    const text = resultText(result);
    if (this.oracle.exists(path)) this.oracle.told(path);
    this.trial.aborted ||= yield* hasAborted();
    if (this.hits === 0 || !allowedResults(this.run.kind, "fsync", this.where()).includes(text)) {
      this.problem(`the fsync of ${path} at the end: ${text}`);
    }
  }

  private *settledLook(): Call<void> {
    // A sync tells what nobody has heard yet; the next one has nothing to say.
    yield* syncAll();
    const synced = yield* syncAll();
    this.trial.aborted ||= yield* hasAborted();
    if (this.trial.aborted) {
      if (!mayAbort(this.run.kind)) this.problem("the filesystem has shut down");
      return;
    }
    if (synced < 0) this.problem(`nothing fails any more, and sync says ${resultText(synced)}`);
    else this.oracle.allSynced();
    const shown = yield* shownBelow(MNT);
    this.trial.problems.push(...this.oracle.shownDifferences(shown).map((text) => `at the end: ${text}`));
  }

  /** The process died in a step; another one looks at what it left. */
  private *afterKill(): Call<void> {
    const { current, oracle } = this;
    this.trial.aborted = yield* hasAborted();
    if (current && this.trial.aborted) oracle.undo(current.step, current.before, false);
    else if (current) yield* this.settle(current.step, current.before);
    const runner = new StepRunner();
    for (const path of oracle.files()) {
      const fd = yield* runner.run({ do: "open", path }, 0);
      if (fd < 0) this.problem(`${path} cannot be opened: ${resultText(fd)}`);
      else yield* this.finalFsync(runner, path);
    }
    yield* this.settledLook();
  }

  /** Unmounts, and looks at what is left in memory and on the disk. */
  private unmountAndLook(): void {
    const { machine, trial, oracle } = this;
    const { fs } = this.run;
    const unmounted = runGuest(machine, () => sys.umount(MNT));
    // The last sync of a filesystem that has shut down says so.
    if (unmounted !== 0 && !(trial.aborted && resultText(unmounted) === "EIO")) this.problem(`umount: ${resultText(unmounted)}`);
    machine.check();
    this.rest = atRest(machine);
    if (this.restBefore) trial.problems.push(...restDifferences(this.restBefore, this.rest));
    if (fs.volatile === true) return;
    this.fsck("after the unmount");
    const shown = runGuest(machine, function* () {
      const mounted = yield* sys.mount(fs.type, MNT, fs.mount);
      if (mounted !== 0) throw new Error(`mount again: ${resultText(mounted)}`);
      return yield* shownBelow(MNT);
    });
    trial.problems.push(...oracle.differences(shown).map((text) => `on the disk: ${text}`));
    if (!trial.aborted) trial.problems.push(...oracle.shownDifferences(shown).map((text) => `mounted again: ${text}`));
    const again = runGuest(machine, () => sys.umount(MNT));
    if (again !== 0) this.problem(`second umount: ${resultText(again)}`);
    this.fsck("at the end");
  }

  private fsck(when: string): void {
    const { machine } = this;
    const law = runGuest(machine, () => sys.fsck(this.run.fs.type));
    if (law === 0) return;
    this.problem(
      `fsck ${when}: ${law < 0 ? resultText(law) : `law ${law}, ${readString(machine.memory, machine.kernel.fsckLawName(law))}`}`,
    );
  }
}

function* syncAll(): Call {
  return yield* new StepRunner().run({ do: "sync" }, 0);
}

const PROBE = `${MNT}/.probe`;

/** Whether the filesystem has shut down: nothing can be created any more. */
function* hasAborted(): Call<boolean> {
  const made = yield* sys.mkdir(PROBE);
  if (made === 0) yield* sys.rmdir(PROBE);
  return ["EIO", "EROFS"].includes(resultText(made));
}
