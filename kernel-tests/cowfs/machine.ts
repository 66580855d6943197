/*
 * Machines around one cowfs: made, filled, switched off, and its image on the next machine.
 *
 *   const { image } = withCowfs({ blockSize: 512 }, function* () { ... });       mkfs, mount, the guest, umount
 *   on(image, function* () { ... });                                            mount, the guest, umount, on a new machine
 *   expectClean(image);                                                         (fs-suite/check-image.ts)
 *
 * Interface: CowfsOptions, boot, withCowfs, on, MNT, BLOCK_SIZES, eventsOf.
 * Invariants: [cwt-1] every machine is checked as a whole at its end, with nothing left of its guests.
 * Why not fs-suite/mounted.ts: there a filesystem lives and dies on one machine.
 */
import { type TraceEvent, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Body, MIB, type TestConfig, TestMachine, must } from "../test-machine.js";

export const MNT = "/mnt";
export const BLOCK_SIZES = [512, 1024, 2048, 4096] as const;

export interface CowfsOptions {
  blockSize?: number;
  mountOptions?: string;
  config?: TestConfig;
}

/** A machine with a disk of 2 MiB (512 clusters) unless the configuration says otherwise. */
export function boot(config: TestConfig = {}, image?: Uint8Array): TestMachine {
  const blocks = image ? image.length / 4096 : 512;
  const t = new TestMachine({ cpus: 2, memoryBytes: 8 * MIB, limitNs: 200e9, diskBlocks: blocks, traceEvents: 4096, ...config });
  if (image) t.machine.disk.load(image);
  return t;
}

export interface Outcome<T> {
  value: T;
  /** After umount. */
  image: Uint8Array;
  t: TestMachine;
}

function* mounted<T>(options: string, body: Call<T>): Call<T> {
  must(yield* sys.mkdir(MNT), "mkdir /mnt");
  must(yield* sys.mount("cowfs", MNT, options), "mount");
  const value = yield* body;
  return value;
}

function finish(t: TestMachine): void {
  t.check();
  t.runOne(() => sys.umount(MNT));
  t.finish();
}

/** A fresh filesystem. */
export function withCowfs<T>({ blockSize = 4096, mountOptions = "", config = {} }: CowfsOptions, body: Body<T>): Outcome<T> {
  const t = boot(config);
  const value = t.runOne(function* (machine, ctx) {
    must(yield* sys.mkfs("cowfs", `blocksize=${blockSize}`), "mkfs");
    return yield* mounted(mountOptions, body(machine, ctx));
  });
  finish(t);
  return { value, image: t.machine.disk.save(), t };
}

/** The filesystem of an image, on a machine of its own. */
export function on<T>(image: Uint8Array, body: Body<T>, { mountOptions = "", config = {} }: CowfsOptions = {}): Outcome<T> {
  const t = boot(config, image);
  const value = t.runOne((machine, ctx) => mounted(mountOptions, body(machine, ctx)));
  finish(t);
  return { value, image: t.machine.disk.save(), t };
}

/** Events of one name, in order. */
export function eventsOf(t: TestMachine, name: string): TraceEvent[] {
  return t.machine.trace().filter((event) => event.name === name);
}

/** Where in the image the bytes are. */
export function placeOf(image: Uint8Array, bytes: Uint8Array): number {
  const at = Buffer.from(image.buffer, image.byteOffset, image.length).indexOf(bytes);
  if (at < 0) throw new Error("the bytes are not on the disk");
  return at;
}

/** The image with one byte changed. */
export function flipped(image: Uint8Array, at: number): Uint8Array {
  const copy = image.slice();
  copy[at] = (copy[at] ?? 0) ^ 0x40;
  return copy;
}
