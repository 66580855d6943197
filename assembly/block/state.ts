/*
 * The block room's kilobyte: queue and statistics, the disk's latency model, fault injection.
 *
 *     +0x000 BlockState   +0x200 DiskModel (host fills in)   +0x280 DiskFaults (host fills in)   +0x300 bio cache
 *
 * Interface: BlockState/blockState(), DiskModel/diskModel(), DiskFaults/diskFaults(), bioCache(), SECTOR_*.
 * Invariants:
 *   [blk-1] inFlight is the length of the in-flight list, pending that of the queue; both count requests, not bios.
 *   [blk-2] the host writes DiskModel and DiskFaults only while the machine stands; a change holds from the next issue.
 * Locks: none; a submitter passes a syncPoint first, completions run in the dispatcher.
 * Why not a device per struct: the machine has one disk.
 */
import { ListHead } from "../lib/list";
import { KmemCache } from "../lib/slab";
import { BLOCK_STATE } from "../memlayout";

export const SECTOR_SHIFT: u32 = 9;
export const SECTOR_SIZE: u32 = 512;
export const SECTOR_MASK: u32 = 511;
/** Sectors of a 4 KiB block, the unit of config.diskBlocks. */
export const SECTORS_PER_BLOCK: u32 = 8;

/** Latency is the same every time. */
export const DISK_FIXED: u32 = 0;
/** One request in slowOneIn takes slowNs. */
export const DISK_BIMODAL: u32 = 1;

/** Counters of one operation, the fields of /proc/diskstats; 40 bytes. */
@unmanaged
export class DiskOpStats {
  /** Bios completed, with or without error. */
  ios: u64;
  /** Bios that joined another bio's request. */
  merges: u64;
  bytes: u64;
  /** Time from submission to completion, summed over bios. */
  ticksNs: u64;
  errors: u64;
}

@unmanaged
export class BlockState {
  /** prng of the bimodal model, 16 bytes. */
  prng0: u64;
  prng1: u64;
  /** Size of the disk. */
  sectors: u64;
  /** The transfer channel is busy until then. */
  channelFreeNs: u64;
  /** Write log (write-log.ts): entries oldestSeq <= seq < nextSeq are not known to be durable. */
  oldestSeq: u64;
  nextSeq: u64;
  /** Entries that the full log retired as durable. */
  logOverflows: u64;
  /** Time during which something was in flight, and the sum of (requests in flight or pending x time). */
  ioTicksNs: u64;
  queueTicksNs: u64;
  /** Last time at which the two sums above were brought up to date. */
  statStampNs: u64;
  image: usize;
  logHeads: usize;
  logData: usize;
  logCapacity: u32;
  /** Requests waiting for a slot: FIFO of head bios. */
  pendNext: u32;
  pendPrev: u32;
  /** Requests that the disk works on, in order of issue. */
  flyNext: u32;
  flyPrev: u32;
  pending: u32;
  inFlight: u32;
  /** Most requests that were ever in flight. */
  maxInFlight: u32;
  /** Bios allocated and not freed. */
  liveBios: u32;
  /** Number of the next bio submitted. */
  nextBioId: u32;
  /** Requests that the model made slow, of those it drew for. */
  slowRequests: u32;
  drawnRequests: u32;
  pad0: u32;
  /** DiskOpStats, indexed by op: read, write, flush. */
  stat00: u64;
  stat01: u64;
  stat02: u64;
  stat03: u64;
  stat04: u64;
  stat10: u64;
  stat11: u64;
  stat12: u64;
  stat13: u64;
  stat14: u64;
  stat20: u64;
  stat21: u64;
  stat22: u64;
  stat23: u64;
  stat24: u64;

  get pendingList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockState>("pendNext"));
  }
  get inFlightList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<BlockState>("flyNext"));
  }
  get prng(): usize {
    return changetype<usize>(this) + offsetof<BlockState>("prng0");
  }
}

/** What the disk is like. queueDepth 0 at boot: the host left it alone, and blockInit fills in an NVMe-like disk. */
@unmanaged
export class DiskModel {
  /** DISK_FIXED or DISK_BIMODAL. */
  kind: u32;
  /** Requests that the disk works on at a time. */
  queueDepth: u32;
  readNs: u32;
  writeNs: u32;
  flushNs: u32;
  /** Added to a write that is FUA. */
  fuaNs: u32;
  /** Bimodal: latency of a slow read or write, and how rare it is (0: never). */
  slowNs: u32;
  slowOneIn: u32;
  /** Transfers share one channel of this bandwidth; 0: transfers take no time. */
  bytesPerUs: u32;
  /** A request grows by merging up to this; 0: no merging. */
  maxRequestBytes: u32;
  /** Exploring policies may complete any request due within this time of the earliest. 0: only ties. */
  reorderNs: u32;
  /** Entries (4 KiB each) of the write log, read at boot. 0: a quarter of the disk's blocks, within 64 to 2048. */
  logEntries: u32;
}

/** Faults to inject. A countdown of n hits the n-th bio submitted from now (1: the next) and then stands at 0: off. */
@unmanaged
export class DiskFaults {
  eioReadNth: u32;
  eioWriteNth: u32;
  eioFlushNth: u32;
  /** Bios that touch these sectors fail, while eioSectors is not 0: reads (bit 0), writes (bit 1). */
  eioRangeOps: u32;
  eioFirstSector: u32;
  eioSectors: u32;
  /** Of the n-th write only the first tornSectors survive a crash before a flush. */
  tornNth: u32;
  tornSectors: u32;
  /** From the n-th flush on, loseFlushes flushes report success and do nothing. */
  loseFlushNth: u32;
  loseFlushes: u32;
  /** How often each hit. */
  hitsEioRead: u32;
  hitsEioWrite: u32;
  hitsEioFlush: u32;
  hitsEioRange: u32;
  hitsTorn: u32;
  hitsLostFlush: u32;
}

export const DISK_MODEL: usize = BLOCK_STATE + 0x200;
export const DISK_FAULTS: usize = BLOCK_STATE + 0x280;
export const BIO_CACHE: usize = BLOCK_STATE + 0x300;

export function blockState(): BlockState {
  return changetype<BlockState>(BLOCK_STATE);
}

export function diskModel(): DiskModel {
  return changetype<DiskModel>(DISK_MODEL);
}

export function diskFaults(): DiskFaults {
  return changetype<DiskFaults>(DISK_FAULTS);
}

export function bioCache(): KmemCache {
  return changetype<KmemCache>(BIO_CACHE);
}

/** Counters of READ, WRITE or FLUSH (bio.ts). */
export function diskOpStats(op: u32): DiskOpStats {
  assert(op <= 2, "the operation has counters");
  return changetype<DiskOpStats>(BLOCK_STATE + offsetof<BlockState>("stat00") + <usize>op * offsetof<DiskOpStats>());
}
