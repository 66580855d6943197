/*
 * The disk: how long a request takes, and the transfer of its data at completion.
 *
 *     issue --transfer channel (bandwidth, one at a time)--> --latency (queueDepth at a time)--> done
 *
 * Interface: diskInit, diskServiceEnd(request), diskTransfer(bio), blockImageBase, blockImageBytes, PHASE_*.
 * Invariants:
 *   [disk-1] data moves at completion, in order of completion: a write's pages are read, and a read's pages written,
 *            at the last moment at which a real device could. So a page changed under writeback shows on the disk.
 *   [disk-2] a write that fails leaves the image alone.
 * Locks: none (dispatcher only).
 * Why not copy at submission: it would hide a filesystem that lets stores through while its checksum is already taken.
 */
import { EIO } from "../lib/errno";
import { prngBelow, prngSeed } from "../lib/prng";
import { PAGE_SIZE, bootAlloc } from "../memlayout";
import { BIO_FLUSH, BIO_READ, Bio, REQ_FUA, bioVec } from "./bio";
import { INJECT_BEYOND_END, INJECT_EIO, INJECT_LOSE_FLUSH, INJECT_TORN } from "./faults";
import { DISK_BIMODAL, DiskModel, SECTORS_PER_BLOCK, SECTOR_SHIFT, SECTOR_SIZE, blockState, diskModel } from "./state";
import { LOG_DURABLE, writeLogApply, writeLogFlush } from "./write-log";

/** A request with PREFLUSH goes through both. */
export const PHASE_FLUSH: u32 = 0;
export const PHASE_DATA: u32 = 1;

/** Keeps the disk's draws apart from those of other rooms with the same seed. */
const DISK_SEED: u64 = 0x6469_736b;

/** Linear memory ends at 4 GiB: the size in bytes must not wrap. */
const DISK_MAX_BLOCKS: u32 = 0xf0000;

/** Carves the image. Returns false when memory is too small. */
export function diskInit(blocks: u32, seed: u64): bool {
  const s = blockState();
  if (blocks > DISK_MAX_BLOCKS) return false;
  s.sectors = <u64>blocks * SECTORS_PER_BLOCK;
  prngSeed(s.prng, seed ^ DISK_SEED);
  const model = diskModel();
  if (model.queueDepth == 0) diskModelDefaults(model);
  if (blocks == 0) return true;
  s.image = bootAlloc(<usize>blocks * PAGE_SIZE, PAGE_SIZE);
  return s.image != 0;
}

/** A datacentre NVMe disk with a volatile write cache. */
function diskModelDefaults(model: DiskModel): void {
  assert(model.queueDepth == 0, "the host left the model alone");
  model.queueDepth = 32;
  model.readNs = 80_000;
  model.writeNs = 20_000;
  model.flushNs = 500_000;
  model.fuaNs = 100_000;
  model.slowNs = 5_000_000;
  model.slowOneIn = 1000;
  model.bytesPerUs = 3000;
  model.maxRequestBytes = 512 * 1024;
}

function latencyNs(m: DiskModel, request: Bio): u32 {
  const s = blockState();
  if (m.kind == DISK_BIMODAL && m.slowOneIn != 0) {
    s.drawnRequests++;
    if (prngBelow(s.prng, m.slowOneIn) == 0) {
      s.slowRequests++;
      return m.slowNs;
    }
  }
  return request.op == BIO_READ ? m.readNs : m.writeNs;
}

/** When the disk, given the request's current phase at `startNs`, is done with it. */
export function diskServiceEnd(request: Bio, startNs: u64): u64 {
  const m = diskModel();
  if (request.phase == PHASE_FLUSH) return startNs + m.flushNs;
  assert(request.op != BIO_FLUSH, "[bio-3] a flush has no data");
  let sentNs = startNs;
  if (m.bytesPerUs != 0) {
    const s = blockState();
    if (s.channelFreeNs > sentNs) sentNs = s.channelFreeNs;
    sentNs += (<u64>request.requestBytes * 1000) / m.bytesPerUs;
    s.channelFreeNs = sentNs;
  }
  if ((request.flags & REQ_FUA) != 0) sentNs += m.fuaNs;
  return sentNs + latencyNs(m, request);
}

/** The disk is done with a flush, or with the flush before a write: status of the flush. */
export function diskFlushDone(bio: Bio): i32 {
  if (bio.op == BIO_FLUSH && (bio.inject & INJECT_EIO) != 0) return -EIO;
  if ((bio.inject & INJECT_LOSE_FLUSH) == 0) writeLogFlush(bio.flushSeq);
  return 0;
}

/** Moves the bio's data; returns its status. */
export function diskTransfer(bio: Bio): i32 {
  assert(bio.op != BIO_FLUSH, "[bio-3] a flush has no data");
  if ((bio.inject & (INJECT_EIO | INJECT_BEYOND_END)) != 0) return -EIO;
  const image = blockState().image;
  const flags: u32 = (bio.flags & REQ_FUA) != 0 ? LOG_DURABLE : 0;
  let reach: u32 = (bio.inject & INJECT_TORN) != 0 ? bio.tornSectors : u32.MAX_VALUE;
  let sector = bio.sector;
  for (let i: u32 = 0; i < bio.vecs; i++) {
    const vec = bioVec(bio, i);
    const sectors = vec.lenBytes >> SECTOR_SHIFT;
    if (bio.op == BIO_READ) {
      memory.copy(vec.addr, image + <usize>sector * SECTOR_SIZE, vec.lenBytes);
    } else {
      const reached = min(reach, sectors);
      writeLogApply(bio.id, sector, vec.addr, vec.lenBytes, flags, reached);
      reach -= reached;
    }
    sector += sectors;
  }
  return 0;
}

/** What reads see; the host loads an image here and then calls writeLogReset. */
export function blockImageBase(): usize {
  return blockState().image;
}

export function blockImageBytes(): u32 {
  return <u32>(blockState().sectors << SECTOR_SHIFT);
}
