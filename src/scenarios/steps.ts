/**
 * The steps that scenarios are made of: a filesystem at /mnt, a file that is mapped shared, stores and what they came to, and reading
 * back what the file holds.
 *
 * Interface: makeAndMount, makeFile, Mapped, mappedFile, storeByte, outcomeOf, nameOf, byteOf, bytesOf, remount, drop, durable, frozen,
 *            withMkwrite, cached, dropping, overlapped, inWindow, inFileWindow, dirtied, cleanings, runs.
 * Invariants:
 *   [stp-1] `durable` unmounts: [mk-6] is asserted there, of every reservation and pin. A filesystem without a disk is synced only.
 *   [stp-2] a store is "ok" or the name of its signal; a call's result is its value or the name of its errno.
 * Locks: none.
 * Why not asserts here: what is wrong shows in the ending, beside what was right in the same schedule.
 */
import { FIFREEZE, FITHAW, MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, SIGBUS, SIGSEGV, errnoName } from "../guest/constants.js";
import { type TouchResult, mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import type { Cell } from "./scenario.js";

export const PAGE = 4096;
export const RW = PROT_READ | PROT_WRITE;
export const MNT = "/mnt";

/** The cell's filesystem, empty, at /mnt. */
export function* makeAndMount({ fs }: Cell, options = fs.mount): Call<void> {
  must(yield* sys.mkdir(MNT), "mkdir");
  if (fs.mkfs !== undefined) must(yield* sys.mkfs(fs.type, fs.mkfs), "mkfs");
  must(yield* sys.mount(fs.type, MNT, options), "mount");
}

/** A file of holes. Returns its descriptor. */
export function* makeFile(path: string, lenBytes: number): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, lenBytes), "ftruncate");
  return fd;
}

export function* mapShared(fd: number, pages: number, pgoff = 0): Call {
  return must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, fd, pgoff * PAGE), "mmap");
}

/** /mnt/f, open and mapped from its first byte on. */
export interface Mapped {
  fd: number;
  at: number;
  lenBytes: number;
}

export interface FileOptions {
  lenBytes: number;
  /** Bytes of the mapping. Default: the file's. */
  mapBytes?: number;
  /** Whether each page has been loaded from, so that it has a read-only PTE. Default true. */
  loaded?: boolean;
  /** Mount options. Default: the filesystem's. */
  mount?: string;
}

/** Makes and mounts the filesystem, and maps a file of it. */
export function* mappedFile(cell: Cell, options: FileOptions): Call<Mapped> {
  yield* makeAndMount(cell, options.mount);
  const fd = yield* makeFile(`${MNT}/f`, options.lenBytes);
  const lenBytes = options.mapBytes ?? options.lenBytes;
  const at = must(yield* sys.mmap(0, lenBytes, RW, MAP_SHARED, fd), "mmap");
  if (options.loaded !== false) yield* mem.touch(at, lenBytes);
  return { fd, at, lenBytes };
}

const SIGNALS: Readonly<Record<number, string>> = { [SIGBUS]: "SIGBUS", [SIGSEGV]: "SIGSEGV" };

/** "ok", or the signal of an access that failed. */
export function outcomeOf(result: TouchResult): string {
  return result.signal === 0 ? "ok" : (SIGNALS[result.signal] ?? `signal ${result.signal}`);
}

/** Stores one byte. "ok", or its signal. */
export function* storeByte(address: number, value: number): Call<string> {
  return outcomeOf(yield* mem.tryTouch(address, 1, { write: true, value }));
}

/** Loads one byte's page in. "ok", or its signal. */
export function* loadByte(address: number): Call<string> {
  return outcomeOf(yield* mem.tryTouch(address, 1));
}

/** A result: the value, or the name of the errno. */
export function nameOf(result: number): string {
  return result < 0 ? errnoName(result) : String(result);
}

/** A byte of a file: its value, "eof" beyond the end, or an errno's name. */
export function* byteOf(fd: number, offset: number): Call<string> {
  const data = yield* sys.pread(fd, 1, offset);
  if (typeof data === "number") return errnoName(data);
  return data.length === 0 ? "eof" : String(data[0]);
}

/** Several of them: "5,0". */
export function* bytesOf(fd: number, offsets: readonly number[]): Call<string> {
  const found: string[] = [];
  for (const offset of offsets) found.push(yield* byteOf(fd, offset));
  return found.join(",");
}

/** Lets the mapping and the descriptor go. */
export function* drop({ fd, at, lenBytes }: Mapped): Call<void> {
  must(yield* sys.munmap(at, lenBytes), "munmap");
  must(yield* sys.close(fd), "close");
}

/** Umount, which asserts that nothing is promised to anybody, and on a disk mount again. */
export function* remount({ fs }: Cell): Call<void> {
  must(yield* sys.umount(MNT), "umount");
  must(yield* sys.mount(fs.type, MNT, fs.mount), "mount");
}

/** Bytes of /mnt/f as the disk has them, read after another mount; without a disk, after a sync. Mapping and descriptor are gone then. */
export function* durable(cell: Cell, file: Mapped, offsets: readonly number[], path = `${MNT}/f`): Call<string> {
  if (!cell.fs.has.includes("disk")) {
    must(yield* sys.sync(), "sync");
    return yield* bytesOf(file.fd, offsets);
  }
  yield* drop(file);
  yield* remount(cell);
  const fd = must(yield* sys.open(path, O_RDWR), "open");
  const found = yield* bytesOf(fd, offsets);
  must(yield* sys.close(fd), "close");
  return found;
}

/** Freezes the filesystem, does something, thaws it. Returns "0 <what came of it> 0". */
export function* frozen(fd: number, meanwhile: () => Call<string>): Call<string> {
  const froze = yield* sys.ioctl(fd, FIFREEZE);
  if (froze < 0) return nameOf(froze);
  const seen = yield* meanwhile();
  return `0 ${seen} ${nameOf(yield* sys.ioctl(fd, FITHAW))}`;
}

export function withMkwrite({ fs }: Cell): boolean {
  return fs.has.includes("mkwrite");
}

/** Pages in a page cache, and a page_mkwrite. */
export function cached(cell: Cell): boolean {
  return withMkwrite(cell) && !cell.fs.has.includes("dax");
}

/** Whether page_mkwrite runs without the fault lock: DAX keeps it under every regime. */
export function dropping(cell: Cell): boolean {
  return cell.mkwrite !== "generic_page_mkwrite" && cached(cell);
}

/** What a mark looks at. */
export interface Moved {
  cell: Cell;
  moved: (name: string) => number;
}

/** A callback ran, and somebody had to wait for somebody else. */
export function overlapped({ moved }: Moved): boolean {
  return moved("mkwrite_runs") > 0 && moved("lock:contention_begin") + moved("faultline:page_lock_wait") > 0;
}

/**
 * The window of a store whose page_mkwrite runs without the fault lock was entered: `proof` is what only a race in it leaves behind.
 * Where the lock is kept there is no such window, and the race is that somebody waits for it.
 */
export function inWindow(end: Moved, proof: boolean): boolean {
  return dropping(end.cell) ? end.moved("mkwrite_unlocked_attempts") > 0 && proof : overlapped(end);
}

/**
 * As inWindow, where what happens in the meantime leaves the address space alone: `completed` then gets its lock back and goes on with
 * the page locked, so that the race is that somebody waits for the page.
 */
export function inFileWindow(end: Moved, proof: boolean): boolean {
  return end.cell.mkwrite === "completed" ? overlapped(end) : inWindow(end, proof);
}

/** Pages that became dirty: the callback's work shows even where the store went elsewhere. */
export function dirtied({ moved }: Moved): number {
  return moved("writeback:writeback_dirty_page");
}

/** Times that writeback was begun: by the flusher too, whose time may come early. */
export function cleanings({ moved }: Moved): number {
  return moved("writeback:writeback_start");
}

/** Runs of page_mkwrite: two for one store mean that the first run's page was not taken. */
export function runs({ moved }: Moved): number {
  return moved("mkwrite_runs");
}
