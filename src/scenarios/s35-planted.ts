/**
 * S35, S36: filesystems in TypeScript with a page_mkwrite that says RETRY with the lock held, as exfat's does, and with one that calls
 * another filesystem's.
 */
import { pagestore } from "../fs/pagestore.js";
import { type ScriptedFilesystem, VM_FAULT_SIGBUS } from "../host/scripted-fs.js";
import { lastReference } from "./s05-last-reference.js";
import { twoStores } from "./s23-two-stores.js";
import type { AnyScenario, Cell } from "./scenario.js";
import { PAGE, mappedFile, runs } from "./steps.js";

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

/** S23's race, and the page is mapped before it. */
export const retryLocked: AnyScenario = {
  ...twoStores,
  id: "S35",
  name: "retry-locked",
  title: "a page_mkwrite that says RETRY with the lock held is caught by the check of the fault's code against its lock",
  applies: (cell) => onPagestore(cell) && cell.mkwrite === "generic_page_mkwrite",
  config: { filesystems: [retrystore] },
  setup: (cell) => mappedOn(cell, "retrystore"),
  defect: () => ({ id: "S35", panics: ["[mk-4] a fault's code"] }),
  mark: (end) => runs(end) > 1,
};

/** S5's race. */
export const stacked: AnyScenario = {
  ...lastReference,
  id: "S36",
  name: "stacked",
  title: "unlink, close and munmap against a store through two page_mkwrites: the file that is pinned is the one that is used",
  applies: onPagestore,
  config: { filesystems: [stackedstore] },
  setup: (cell) => mappedOn(cell, "stackedstore"),
};
