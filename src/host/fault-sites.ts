/**
 * Sites of failure as a host sees them: it says which of a kind are to fail, and reads how many there were.
 *
 * Interface: FaultSites, SITE_KERNEL_KINDS, SiteKernelKind.
 * Invariants: [hsite-1] kinds stand in the order of the kernel's (assembly/lib/fault-sites.ts).
 * Locks: none; the host asks while the machine stands.
 * Why not with the disk's faults: memory and space have no disk.
 */
import type { KernelExports } from "./wasm.js";

export const SITE_KERNEL_KINDS = ["page", "slab", "space", "read", "write", "flush"] as const;
export type SiteKernelKind = (typeof SITE_KERNEL_KINDS)[number];

const ALL = 0xffff_ffff;

/** The sites of one kind in one machine. */
export class FaultSites {
  private readonly kind: number;

  constructor(
    private readonly kernel: Pick<KernelExports, "siteFail" | "siteCount">,
    kind: SiteKernelKind,
  ) {
    this.kind = SITE_KERNEL_KINDS.indexOf(kind);
  }

  /** The first-th site from now fails, and with `lasting` every one after it. */
  fail(first: number, lasting: boolean): void {
    this.kernel.siteFail(this.kind, first, lasting ? ALL : 1);
  }

  /** Sites are counted, and none fails. */
  countOnly(): void {
    this.kernel.siteFail(this.kind, ALL, 1);
  }

  off(): void {
    this.kernel.siteFail(this.kind, 0, 0);
  }

  /** Sites reached since fail or countOnly. */
  get seen(): number {
    return this.kernel.siteCount(this.kind, 0) >>> 0;
  }

  /** Those of them that failed. */
  get hits(): number {
    return this.kernel.siteCount(this.kind, 1) >>> 0;
  }
}
