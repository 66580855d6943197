/*
 * The lib room under test: an instance with nothing booted and memory of the test's own from BASE on.
 *
 * Interface: LibRoom: call, u32/u64 access, alloc, slab.
 * Invariants: [lr-1] alloc gives zeroed, 64-byte aligned memory that nothing else uses.
 */
import { type Harness, loadHarness } from "../host-harness";

const BASE = 0x20000;
const NULL_NAME = 0;
/** assembly/lib/fault-sites.ts. */
const SITE_SLAB = 1;

export class LibRoom {
  readonly harness: Harness = loadHarness({ bytes: 4 << 20 });
  readonly view = new DataView(this.harness.memory.buffer);
  private next = BASE;

  call(name: string, ...args: (number | bigint)[]): number {
    return this.harness.call(name, ...args);
  }

  alloc(lenBytes: number): number {
    const at = this.next;
    this.next += (lenBytes + 63) & ~63;
    return at;
  }

  get(at: number): number {
    return this.view.getUint32(at, true);
  }

  set(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  bytes(at: number, lenBytes: number): Uint8Array {
    return new Uint8Array(this.harness.memory.buffer, at, lenBytes);
  }

  /** Opens the slab arena with room for so many bytes. */
  slab(lenBytes: number): number {
    const base = this.alloc(lenBytes);
    this.call("slabInit", base, lenBytes);
    return base;
  }

  /** A cache of objects of that size. */
  cache(objBytes: number): number {
    const at = this.alloc(32);
    this.call("kmemCacheInit", at, objBytes, NULL_NAME);
    return at;
  }

  /** The nth allocation from now fails. */
  failSlabAfter(n: number): void {
    this.call("siteArm", SITE_SLAB, n, 1);
  }
}
