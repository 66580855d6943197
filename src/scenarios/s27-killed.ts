/**
 * S27, R2: a fatal signal while a fault waits without its lock: the task goes, and what the fault held is given back.
 */
import { O_RDWR, SIGKILL } from "../guest/constants.js";
import { type Call, must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, process } from "./scenario.js";
import {
  MNT,
  type Mapped,
  PAGE,
  byteOf,
  cached,
  drop,
  dropping,
  inWindow,
  loadByte,
  mapShared,
  mappedFile,
  nameOf,
  remount,
  storeByte,
  withMkwrite,
} from "./steps.js";

export const killed = defineScenario<Mapped, { store: string; kill: string }, string>({
  id: "S27",
  name: "killed",
  title: "SIGKILL against a store: it is made or not, and nothing of the fault is left",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: process(({ at }) => storeByte(at, 5)),
    kill: process(function* (_file, _cell, tids) {
      return nameOf(yield* sys.kill(tids["store"] ?? 0, SIGKILL));
    }),
  },
  *after(file) {
    const byte = yield* byteOf(file.fd, 0);
    yield* drop(file);
    must(yield* sys.unlink(`${MNT}/f`), "unlink");
    return `file ${byte}, umount ${nameOf(yield* sys.umount(MNT))}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store ?? "killed"}, kill ${outcomes.kill}, ${after}`,
  allowed: () =>
    ["ok, kill 0, file 5", "ok, kill ESRCH, file 5", "killed, kill 0, file 0", "killed, kill 0, file 5"].map(
      (end) => `store ${end}, umount 0`,
    ),
  // Killed after the callback ran and before the store was made.
  mark: (end) => inWindow(end, end.outcomes.store === undefined && end.after?.startsWith("file 0") === true) || killedUnderLock(end),
});

function killedUnderLock(end: { cell: Cell; outcomes: { store?: string }; moved: (name: string) => number }): boolean {
  const fault = cached(end.cell) ? "mkwrite_runs" : "exceptions:page_fault_user";
  return !dropping(end.cell) && end.outcomes.store === undefined && end.moved(fault) > 0;
}

/** /mnt/f of one page, on the disk, mapped, and not in the page cache. */
export function* coldFile(cell: Parameters<typeof mappedFile>[0], lenBytes = PAGE): Call<Mapped> {
  const file = yield* mappedFile(cell, { lenBytes });
  for (let at = 0; at < lenBytes; at += PAGE) must(yield* sys.pwrite(file.fd, Uint8Array.of(1), at), "pwrite");
  yield* drop(file);
  yield* remount(cell);
  const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR), "open");
  return { fd, at: yield* mapShared(fd, lenBytes / PAGE), lenBytes };
}

export const killedReader = defineScenario<Mapped, { load: string; kill: string }, string>({
  id: "R2",
  name: "killed-reader",
  title: "SIGKILL against a load that waits for the disk: the file is not left pinned",
  applies: (cell) => cached(cell) && cell.fs.has.includes("disk") && cell.mkwrite === "generic_page_mkwrite",
  setup: (cell) => coldFile(cell),
  tasks: {
    load: process(({ at }) => loadByte(at)),
    kill: process(function* (_file, _cell, tids) {
      return nameOf(yield* sys.kill(tids["load"] ?? 0, SIGKILL));
    }),
  },
  *after(file) {
    yield* drop(file);
    return nameOf(yield* sys.umount(MNT));
  },
  ending: ({ outcomes, after }) => `load ${outcomes.load ?? "killed"}, kill ${outcomes.kill}, umount ${after}`,
  allowed: () => ["ok, kill 0", "ok, kill ESRCH", "killed, kill 0"].map((end) => `load ${end}, umount 0`),
  mark: (end) => end.outcomes.load === undefined && end.moved("exceptions:page_fault_user") > 0,
});
