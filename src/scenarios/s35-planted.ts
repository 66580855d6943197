/**
 * S35, S36: filesystems in TypeScript with a page_mkwrite that says RETRY with the lock held, as exfat's does, and with one that calls
 * another filesystem's.
 */
import { pagestore } from "../fs/pagestore.js";
import { type ScriptedFilesystem, VM_FAULT_SIGBUS } from "../host/scripted-fs.js";
import { must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, bytesOf, inWindow, mappedFile, nameOf, runs, storeByte } from "./steps.js";

const VM_FAULT_RETRY = 0x400;

/** exfat_page_mkwrite: somebody else is at the inode, so RETRY, with the fault lock held. Here: the page is dirty already. */
const retrystore: ScriptedFilesystem = {
  ...pagestore,
  name: "retrystore",
  *pageMkwrite(page) {
    yield* page.lock();
    const busy = (yield* page.isDirty()) !== 0;
    yield* page.unlock();
    return busy ? VM_FAULT_RETRY : yield* pagestore.pageMkwrite(page);
  },
};

/** A filesystem on top of another: its own freeze protection and times, then the lower page_mkwrite with the same vmf.file. */
const stackedstore: ScriptedFilesystem = {
  ...pagestore,
  name: "stackedstore",
  *pageMkwrite(page) {
    yield* page.startPagefault();
    yield* page.updateTime();
    yield* page.endPagefault();
    const result = yield* pagestore.pageMkwrite(page);
    return result === 0 ? VM_FAULT_SIGBUS : result;
  },
};

/** They are pagestores: run where it is. */
function onPagestore({ fs }: Cell): boolean {
  return fs.name === "pagestore";
}

function* mappedOn(cell: Cell, type: string) {
  return yield* mappedFile({ ...cell, fs: { ...cell.fs, type } }, { lenBytes: PAGE });
}

export const retryLocked = defineScenario<Mapped, { first: string; second: string }, string>({
  id: "S35",
  name: "retry-locked",
  title: "a page_mkwrite that says RETRY with the lock held is caught by the check of the fault's code against its lock",
  applies: (cell) => onPagestore(cell) && cell.mkwrite === "generic_page_mkwrite",
  config: { filesystems: [retrystore] },
  setup: (cell) => mappedOn(cell, "retrystore"),
  tasks: {
    first: thread(({ at }) => storeByte(at, 5)),
    second: thread(({ at }) => storeByte(at + 1, 6)),
  },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `stores ${outcomes.first} ${outcomes.second}, file ${after}`,
  allowed: () => ["stores ok ok, file 5,6"],
  defect: () => ({ id: "S35", panics: ["[mk-4] a fault's code"] }),
  mark: (end) => runs(end) > 1,
});

export const stacked = defineScenario<Mapped, { store: string; drop: string }, string>({
  id: "S36",
  name: "stacked",
  title: "unlink, close and munmap against a store through two page_mkwrites: the file that is pinned is the one that is used",
  applies: onPagestore,
  config: { filesystems: [stackedstore] },
  setup: (cell) => mappedOn(cell, "stackedstore"),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    drop: thread(function* ({ at, fd }) {
      must(yield* sys.unlink(`${MNT}/f`), "unlink");
      must(yield* sys.close(fd), "close");
      return nameOf(yield* sys.munmap(at, PAGE));
    }),
  },
  *after() {
    return nameOf(yield* sys.umount(MNT));
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, munmap ${outcomes.drop}, umount ${after}`,
  allowed: () => ["store ok, munmap 0, umount 0", "store SIGSEGV, munmap 0, umount 0"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV"),
});
