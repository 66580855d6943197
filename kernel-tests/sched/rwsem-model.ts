/*
 * What a reader-writer semaphore does by Linux's rules, as a simulation of its own: the oracle of rwsem.test.ts.
 *
 *     a reader is let in when no writer holds and nobody waits; else it queues
 *     a writer is let in when nobody holds, queue or not, unless a hand-off is promised to another; else it queues
 *     a release that frees the lock, and a waiter that gives up, look at the first in the queue:
 *         a reader: all queued readers are let in (up to 256), over the heads of queued writers
 *         a writer: it is woken, and tries; someone may be faster
 *     a writer that is first after 4 ms of waiting is promised the lock: nobody else gets it before
 *     a killable waiter leaves when a fatal signal comes
 *
 * Interface: runModel(sections, kills, wakeNs), Section, Kill, Tenure.
 * Invariants: [model-1] every task has a CPU to itself and only waits, charges and wakes take time.
 */
const HANDOFF_NS = 4_000_000;
const BATCH = 256;

export interface Section {
  gapNs: number;
  mode: "read" | "write";
  how: "plain" | "killable" | "try";
  holdNs: number;
  /** A writer goes on as a reader for so long; 0: it does not. */
  downgradeNs: number;
}

export interface Kill {
  timeNs: number;
  task: number;
}

export interface Tenure {
  timeNs: number;
  task: number;
  what: "read" | "write" | "failed" | "downgrade" | "release";
}

interface Waiter {
  task: number;
  mode: "read" | "write";
  sinceNs: number;
  granted: boolean;
}

type Wake = "normal" | "timeout" | "signal";
/** What a task waits for: a time, or a wake with or without a time limit. */
type Pause = { forNs: number } | { sleep: "killable" | "uninterruptible"; limitNs: number };
type Body = Generator<Pause, void, Wake>;

interface Sleeper {
  body: Body;
  state: "running" | "killable" | "uninterruptible";
  /** Wakes that were meant for an earlier sleep are void. */
  sleeps: number;
  fatal: boolean;
}

export class RwsemModel {
  readonly tenures: Tenure[] = [];
  /** Two tasks acted at the same nanosecond: the order is the emulator's affair, and the case proves nothing. */
  tie = false;
  handoffs = 0;
  private readonly due: { timeNs: number; madeNs: number; run: () => void; task: number }[] = [];
  private readonly tasks: Sleeper[];
  private nowNs = 0;
  private readers = 0;
  private writer = -1;
  private handoff = -1;
  private queue: Waiter[] = [];

  constructor(
    programs: readonly (readonly Section[])[],
    kills: readonly Kill[],
    private readonly wakeNs: number,
  ) {
    this.tasks = programs.map((sections, task) => {
      return { body: this.task(task, sections), state: "running", sleeps: 0, fatal: false };
    });
    // A fresh task starts as a woken one does: its CPU idles.
    this.tasks.forEach((_, task) => this.at(wakeNs, task, () => this.step(task, "normal")));
    for (const kill of kills) this.at(kill.timeNs + wakeNs, -1, () => this.kill(kill.task));
    this.run();
  }

  private at(timeNs: number, task: number, run: () => void): void {
    const after = this.due.findIndex((d) => d.timeNs > timeNs);
    this.due.splice(after < 0 ? this.due.length : after, 0, { timeNs, madeNs: this.nowNs, run, task });
  }

  private run(): void {
    let last = -1;
    for (let next = this.due.shift(); next; next = this.due.shift()) {
      // All start at one time, readers of one batch resume at one time, and what a wake without delay starts has its order.
      const ordered = last === this.wakeNs || next.madeNs === next.timeNs || this.harmless(next.task);
      if (next.timeNs === last && !ordered) this.tie = true;
      this.nowNs = last = next.timeNs;
      next.run();
    }
  }

  private harmless(task: number): boolean {
    return task >= 0 && !this.queue.some((w) => w.task === task);
  }

  private step(task: number, wake: Wake): void {
    const sleeper = this.tasks[task]!;
    sleeper.state = "running";
    const { value: pause, done } = sleeper.body.next(wake);
    if (done) return;
    if ("forNs" in pause) {
      this.at(this.nowNs + pause.forNs, task, () => this.step(task, "normal"));
      return;
    }
    if (pause.sleep === "killable" && sleeper.fatal) {
      this.step(task, "signal");
      return;
    }
    sleeper.state = pause.sleep;
    const sleep = ++sleeper.sleeps;
    if (pause.limitNs === Infinity) return;
    this.at(this.nowNs + pause.limitNs, task, () => {
      if (sleeper.sleeps === sleep) this.wake(task, "timeout");
    });
  }

  private wake(task: number, wake: Wake): void {
    const sleeper = this.tasks[task]!;
    if (sleeper.state === "running") return;
    sleeper.state = "running";
    sleeper.sleeps++;
    this.at(this.nowNs + this.wakeNs, task, () => this.step(task, wake));
  }

  private kill(task: number): void {
    const sleeper = this.tasks[task]!;
    sleeper.fatal = true;
    if (sleeper.state === "killable") this.wake(task, "signal");
  }

  private note(task: number, what: Tenure["what"]): void {
    this.tenures.push({ timeNs: this.nowNs, task, what });
  }

  private *task(task: number, sections: readonly Section[]): Body {
    for (const section of sections) {
      yield { forNs: section.gapNs };
      const got = yield* section.mode === "read" ? this.read(task, section.how) : this.write(task, section.how);
      this.note(task, got ? section.mode : "failed");
      if (!got) continue;
      yield { forNs: section.holdNs };
      if (section.mode === "write" && section.downgradeNs !== 0) {
        this.note(task, "downgrade");
        this.writer = -1;
        this.readers = 1;
        if (this.queue[0]?.mode === "read") this.lookAtFirst();
        yield { forNs: section.downgradeNs };
      }
      this.note(task, "release");
      if (this.writer === task) this.writer = -1;
      else this.readers--;
      if (this.readers === 0) this.lookAtFirst();
    }
  }

  private leave(waiter: Waiter): void {
    this.queue = this.queue.filter((w) => w !== waiter);
    if (this.handoff === waiter.task) this.handoff = -1;
  }

  private *read(task: number, how: Section["how"]): Generator<Pause, boolean, Wake> {
    if (this.writer < 0 && this.queue.length === 0) {
      this.readers++;
      return true;
    }
    if (how === "try") return false;
    const me: Waiter = { task, mode: "read", sinceNs: this.nowNs, granted: false };
    this.queue.push(me);
    if (this.queue[0] === me) this.lookAtFirst();
    const isWaiting = (): boolean => !me.granted;
    while (isWaiting()) {
      const wake = yield { sleep: how === "killable" ? "killable" : "uninterruptible", limitNs: Infinity };
      if (isWaiting() && wake === "signal") {
        this.leave(me);
        this.lookAtFirst();
        return false;
      }
    }
    return true;
  }

  private mayWrite(task: number): boolean {
    return this.readers === 0 && this.writer < 0 && (this.handoff < 0 || this.handoff === task);
  }

  private *write(task: number, how: Section["how"]): Generator<Pause, boolean, Wake> {
    if (this.mayWrite(task)) {
      this.writer = task;
      return true;
    }
    if (how === "try") return false;
    const me: Waiter = { task, mode: "write", sinceNs: this.nowNs, granted: false };
    this.queue.push(me);
    while (!this.mayWrite(task)) {
      const waited = this.nowNs - me.sinceNs;
      if (waited >= HANDOFF_NS && this.queue[0] === me) this.promise(task);
      const limitNs = waited >= HANDOFF_NS ? Infinity : HANDOFF_NS - waited;
      const wake = yield { sleep: how === "killable" ? "killable" : "uninterruptible", limitNs };
      if (wake === "signal") {
        this.leave(me);
        this.lookAtFirst();
        return false;
      }
    }
    this.leave(me);
    this.writer = task;
    return true;
  }

  private promise(task: number): void {
    if (this.handoff >= 0) return;
    this.handoff = task;
    this.handoffs++;
  }

  private lookAtFirst(): void {
    const first = this.queue[0];
    if (!first) return;
    const late = this.nowNs - first.sinceNs >= HANDOFF_NS;
    if (first.mode === "write") {
      if (late) this.promise(first.task);
      if (this.readers === 0 && this.writer < 0) this.wake(first.task, "normal");
    } else if (this.writer >= 0) {
      if (late) this.promise(first.task);
    } else {
      for (const waiter of this.queue.filter((w) => w.mode === "read").slice(0, BATCH)) {
        this.leave(waiter);
        waiter.granted = true;
        this.readers++;
        this.wake(waiter.task, "normal");
      }
    }
  }
}
