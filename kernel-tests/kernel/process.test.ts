/*
 * Processes: exit codes and wait statuses, wait4, kill, threads, clone's flags.
 *
 * Checks: [proc-1] [proc-2] [mk-6].
 */
import { describe, expect, it } from "vitest";
import {
  CLONE_FILES,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VM,
  O_CREAT,
  O_RDWR,
  SIGKILL,
  SIGSEGV,
  WNOHANG,
  barrier,
  compute,
  mem,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, type Row, TestMachine, anon, must, runGuest, table } from "../test-machine.js";

/** Forks a child and waits for it: its wait status. */
function* statusOf(child: () => Call<unknown>): Call {
  const pid = must(
    yield* sys.fork(function* () {
      yield* child();
    }),
  );
  const waited = yield* sys.wait(pid);
  expect(waited.pid).toBe(pid);
  return waited.status;
}

function status(name: string, child: () => Call<unknown>, expected: number): Row {
  return [name, () => statusOf(child), expected];
}

table("wait statuses", [
  status(
    "a guest that returns",
    function* () {
      yield* sys.getpid();
    },
    0,
  ),
  status("exit_group(3)", () => sys.exitGroup(3), 3 << 8),
  status("exit(4) of the only thread", () => sys.exit(4), 4 << 8),
  status("exit codes have 8 bits", () => sys.exitGroup(0x1ff), 0xff << 8),
  status("a bad store", () => mem.touch(0, 1, { write: true }), SIGSEGV),
  status(
    "its own SIGKILL",
    function* () {
      yield* sys.kill(yield* sys.getpid(), SIGKILL);
    },
    SIGKILL,
  ),
  status(
    "SIGTERM: no scripted guest has a handler",
    function* () {
      yield* sys.kill(yield* sys.getpid(), 15);
    },
    15,
  ),
  status(
    "exit(3) of the leader, exit(5) of its thread: the leader's",
    function* () {
      must(
        yield* sys.thread(function* () {
          yield* compute(50_000);
          yield* sys.exit(5);
        }),
      );
      yield* sys.exit(3);
    },
    3 << 8,
  ),
  status(
    "exit_group(6) of a thread ends the leader",
    function* () {
      must(
        yield* sys.thread(function* () {
          yield* sys.exitGroup(6);
        }),
      );
      yield* sys.nanosleep(1e15);
    },
    6 << 8,
  ),
  status(
    "a thread's bad store ends the process",
    function* () {
      must(
        yield* sys.thread(function* () {
          yield* mem.touch(8, 1);
        }),
      );
      yield* sys.nanosleep(1e15);
    },
    SIGSEGV,
  ),
  status(
    "what ends a process first is its status",
    function* () {
      const pid = yield* sys.getpid();
      must(
        yield* sys.thread(function* () {
          yield* sys.kill(pid, 10);
          yield* sys.kill(pid, 12);
        }),
      );
      yield* sys.nanosleep(1e15);
    },
    10,
  ),
]);

table("wait4", [
  [
    "no children",
    function* () {
      return yield* sys.wait();
    },
    { pid: -E.CHILD, status: 0 },
  ],
  [
    "somebody else's pid",
    function* () {
      return yield* sys.wait(999);
    },
    { pid: -E.CHILD, status: 0 },
  ],
  [
    "options that do not exist",
    function* () {
      return yield* sys.wait(-1, 0x100);
    },
    { pid: -E.INVAL, status: 0 },
  ],
  [
    "WNOHANG while the child lives, then once it is gone",
    function* () {
      const pid = must(
        yield* sys.fork(function* () {
          yield* sys.nanosleep(1e6);
        }),
      );
      const early = yield* sys.wait(pid, WNOHANG);
      yield* sys.nanosleep(2e6);
      const late = yield* sys.wait(pid, WNOHANG);
      return [early.pid, late.pid === pid, (yield* sys.wait(pid)).pid];
    },
    [0, true, -E.CHILD],
  ],
  [
    "the status goes to user memory; a bad pointer is EFAULT and the child is gone all the same",
    function* () {
      const at = yield* anon(PAGE);
      const first = must(
        yield* sys.fork(function* () {
          yield* sys.exitGroup(7);
        }),
      );
      const good = yield* sys.raw(260, first, at + 8, 0, 0);
      const second = must(
        yield* sys.fork(function* () {
          yield* sys.exitGroup(8);
        }),
      );
      const bad = yield* sys.raw(260, second, 4096, 0, 0);
      return [good === first, (yield* mem.load(at + 8, 4)).toString(), bad, (yield* sys.wait(second)).pid];
    },
    [true, "0,7,0,0", -E.FAULT, -E.CHILD],
  ],
  [
    "any child: each once",
    function* () {
      const pids = [];
      for (let i = 0; i < 3; i++) {
        pids.push(
          must(
            yield* sys.fork(function* () {
              yield* sys.exitGroup(i);
            }),
          ),
        );
      }
      const statuses = yield* waitAll();
      return pids.map((pid) => (statuses.get(pid) ?? -1) >> 8);
    },
    [0, 1, 2],
  ],
  [
    "several threads of the parent wait: each child is collected once",
    function* () {
      const collected: number[] = [];
      const pids = [];
      for (let i = 0; i < 3; i++) {
        pids.push(
          must(
            yield* sys.fork(function* () {
              yield* sys.nanosleep(1e5);
            }),
          ),
        );
      }
      for (let i = 0; i < 2; i++) {
        must(
          yield* sys.thread(function* () {
            collected.push((yield* sys.wait()).pid);
            yield* barrier(0, 3);
          }),
        );
      }
      collected.push((yield* sys.wait()).pid);
      yield* barrier(0, 3);
      return collected.sort((a, b) => a - b).join() === pids.join();
    },
    true,
  ],
]);

table("kill and tgkill", [
  ["nobody", () => sys.kill(999, SIGKILL), -E.SRCH],
  [
    "a signal that does not exist",
    function* () {
      return yield* sys.kill(yield* sys.getpid(), 65);
    },
    -E.INVAL,
  ],
  [
    "signal 0 asks whether it is there",
    function* () {
      return yield* sys.kill(yield* sys.getpid(), 0);
    },
    0,
  ],
  [
    "tgkill of a thread of another process",
    function* (_t, ctx) {
      return yield* sys.tgkill(ctx.pid + 1, ctx.tid, SIGKILL);
    },
    -E.SRCH,
  ],
  [
    "a zombie that nobody has waited for",
    function* () {
      const pid = must(
        yield* sys.fork(function* () {
          yield* sys.exitGroup(0);
        }),
      );
      yield* sys.nanosleep(1e6);
      return [yield* sys.kill(pid, SIGKILL), (yield* sys.wait(pid)).status];
    },
    [-E.SRCH, 0],
  ],
  ...(["sleeping", "computing", "waiting for a child", "at a barrier"] as const).map((what): Row => [
    `a process that is ${what}`,
    function* () {
      const pid = must(
        yield* sys.fork(function* () {
          if (what === "sleeping") yield* sys.nanosleep(1e15);
          if (what === "computing") yield* compute(1e12);
          if (what === "at a barrier") yield* barrier(3, 2);
          if (what === "waiting for a child") {
            must(
              yield* sys.fork(function* () {
                yield* sys.nanosleep(1e6);
              }),
            );
            yield* sys.wait();
          }
        }),
      );
      yield* sys.nanosleep(1e5);
      must(yield* sys.kill(pid, SIGKILL));
      return (yield* sys.wait(pid)).status;
    },
    SIGKILL,
  ]),
]);

table("clone's flags", [
  [
    "unknown",
    () =>
      sys.clone(function* () {
        yield* sys.getpid();
      }, 0x8000_0000),
    -E.INVAL,
  ],
  [
    "THREAD without SIGHAND",
    () =>
      sys.clone(function* () {
        yield* sys.getpid();
      }, CLONE_THREAD | CLONE_VM),
    -E.INVAL,
  ],
  [
    "SIGHAND without VM",
    () =>
      sys.clone(function* () {
        yield* sys.getpid();
      }, CLONE_SIGHAND),
    -E.INVAL,
  ],
  [
    "VM alone: a process that shares memory but not files",
    function* () {
      const at = yield* anon(PAGE);
      must(yield* sys.open("/f", O_RDWR | O_CREAT));
      const pid = must(
        yield* sys.clone(function* () {
          yield* mem.touch(at, 1, { write: true, value: 9 });
          must(yield* sys.close(0));
        }, CLONE_VM),
      );
      yield* sys.wait(pid);
      return [(yield* mem.load(at, 1)).toString(), yield* sys.close(0)];
    },
    ["9", 0],
  ],
  [
    "FILES alone: a process that shares files but not memory",
    function* () {
      const at = yield* anon(PAGE);
      must(yield* sys.open("/f", O_RDWR | O_CREAT));
      const pid = must(
        yield* sys.clone(function* () {
          yield* mem.touch(at, 1, { write: true, value: 9 });
          must(yield* sys.close(0));
        }, CLONE_FILES),
      );
      yield* sys.wait(pid);
      return [(yield* mem.load(at, 1)).toString(), yield* sys.close(0)];
    },
    ["0", -E.BADF],
  ],
]);

describe("ids", () => {
  it("threads share a pid and have tids; children know their parent; an orphan has none", () => {
    runGuest(function* (_t, ctx) {
      expect([yield* sys.getpid(), yield* sys.gettid()]).toEqual([ctx.pid, ctx.tid]);
      const ids: number[] = [];
      must(
        yield* sys.thread(function* (thread) {
          ids.push(yield* sys.getpid(), yield* sys.gettid());
          expect(thread.pid).toBe(ctx.pid);
          yield* barrier(0, 2);
        }),
      );
      yield* barrier(0, 2);
      expect(ids[0]).toBe(ctx.pid);
      expect(ids[1]).not.toBe(ctx.tid);
      const parents: number[] = [];
      const pid = must(
        yield* sys.fork(function* () {
          parents.push(yield* sys.getppid());
          must(
            yield* sys.fork(function* () {
              yield* sys.nanosleep(1e6);
              parents.push(yield* sys.getppid());
              yield* barrier(1, 2);
            }),
          );
        }),
      );
      yield* sys.wait(pid);
      yield* barrier(1, 2);
      expect(parents).toEqual([ctx.pid, 0]);
      return 0;
    });
  });

  it("a full task table is EAGAIN to fork and to thread, and an error to the host", () => {
    const t = new TestMachine({ maxTasks: 4 });
    t.runOne(function* () {
      for (let i = 0; i < 3; i++) {
        must(
          yield* sys.fork(function* () {
            yield* sys.nanosleep(1e6);
          }),
        );
      }
      expect(
        yield* sys.fork(function* () {
          yield* sys.getpid();
        }),
      ).toBe(-E.AGAIN);
      expect(
        yield* sys.thread(function* () {
          yield* sys.getpid();
        }),
      ).toBe(-E.AGAIN);
      expect(() =>
        t.machine.spawn(function* () {
          yield* sys.getpid();
        }),
      ).toThrow("errno 11");
      yield* waitAll();
      expect(
        must(
          yield* sys.fork(function* () {
            yield* sys.getpid();
          }),
        ),
      ).toBeGreaterThan(0);
      return 0;
    });
    t.finish();
  });
});

describe("time", () => {
  it("a sleep of more seconds than a clock can count does not return early", () => {
    const t = new TestMachine();
    const sleeper = t.spawn(function* () {
      const at = yield* anon(PAGE);
      // 2^34 s times 10^9 wraps a u64 to 1.7 s.
      yield* mem.store(at, new Uint8Array(BigInt64Array.of(2n ** 34n, 0n).buffer));
      return yield* sys.raw(101, at, 0);
    });
    t.spawn(function* () {
      yield* sys.nanosleep(10e9);
      yield* sys.kill(sleeper.pid, SIGKILL);
    });
    t.run();
    t.finish();
    expect(sleeper.done).toBe(false);
  });

  it.each([
    ["negative seconds", -1n, 0n],
    ["negative nanoseconds", 0n, -1n],
    ["a second of nanoseconds", 0n, 1_000_000_000n],
  ])("%s: EINVAL", (_name, seconds, ns) => {
    runGuest(function* () {
      const at = yield* anon(PAGE);
      yield* mem.store(at, new Uint8Array(BigInt64Array.of(seconds, ns).buffer));
      expect(yield* sys.raw(101, at, 0)).toBe(-E.INVAL);
      expect(yield* sys.raw(101, 16, 0)).toBe(-E.FAULT);
      return 0;
    });
  });
});
