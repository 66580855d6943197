/**
 * Which blocks a job touches, in which order, and which of them are stores: fio's sequence of IOs as a pure function of the job.
 *
 *     sequential   reads and writes each have a place of their own; both go back to the start at the end of the file
 *     random       with a map: every block once before any twice; without: each draw on its own
 *
 * Interface: ioSequence(job, seed): an endless sequence of IoEntry.
 * Invariants: [off-1] an entry lies in [offset, offset + size) and is aligned to the smallest block of its direction.
 *             [off-2] with a random map and one block size, as many IOs as the file has blocks touch each once.
 * Locks: none.
 * Why not drawn in the guest: a sequence can be tested against theory without a machine.
 */
import type { IoEntry } from "../../guest/io.js";
import type { FioJob } from "./job.js";
import { type Rng, Shuffle, paretoBlock, rngOf, seedOf, zipfRanks } from "./random.js";

type NextBlock = () => number;

/** Blocks of [0, n) in a random job's order. */
function blockOrder(job: FioJob, n: number, seed: number, rng: Rng): NextBlock {
  switch (job.distribution.kind) {
    case "zipf": {
      const rank = zipfRanks(n, job.distribution.theta);
      // Ranks are spread over the file, as fio does: hot blocks are not neighbours.
      const spread = new Shuffle(n, seedOf(seed, 3));
      return () => spread.at(rank(rng) - 1);
    }
    case "pareto": {
      const block = paretoBlock(n, job.distribution.h);
      const spread = new Shuffle(n, seedOf(seed, 3));
      return () => spread.at(block(rng));
    }
    default:
      return job.norandommap ? () => rng.below(n) : withMap(n, seed);
  }
}

/** Every block once, then once more in another order, and so on. */
function withMap(n: number, seed: number): NextBlock {
  let round = 0;
  let place = 0;
  let order = new Shuffle(n, seedOf(seed, 4, round));
  return () => {
    if (place === n) {
      place = 0;
      order = new Shuffle(n, seedOf(seed, 4, ++round));
    }
    return order.at(place++);
  };
}

/** A length in the direction's range, a multiple of its smallest block, cut off at the end of the file. */
function lengthOf([low, high]: readonly [number, number], rng: Rng, room: number): number {
  if (low === high) return Math.min(low, room);
  const steps = Math.floor(high / low);
  return Math.min(low * (1 + rng.below(steps)), high, room);
}

/** Where the next IO of a direction begins, bytes from the job's own start. */
interface Places {
  next(write: boolean): number;
  /** The IO there had this length. */
  moved(write: boolean, lenBytes: number): void;
}

function randomPlaces(job: FioJob, seed: number, rng: Rng): Places {
  // A direction that the job never takes may have a block larger than the file.
  const blocksOf = (bytes: number): number => Math.max(1, Math.floor(job.sizeBytes / bytes));
  const reads = blockOrder(job, blocksOf(job.readBlock[0]), seed, rng);
  // Blocks of one size are shared out between both directions: a map that covers the file covers it once.
  const same = job.readBlock[0] === job.writeBlock[0];
  const writes = same ? reads : blockOrder(job, blocksOf(job.writeBlock[0]), seedOf(seed, 5), rng);
  return { next: (write) => (write ? writes() * job.writeBlock[0] : reads() * job.readBlock[0]), moved: () => undefined };
}

function sequentialPlaces(job: FioJob): Places {
  const at = { read: 0, write: 0 };
  const way = (write: boolean): "read" | "write" => (write ? "write" : "read");
  return {
    next(write) {
      const block = write ? job.writeBlock[0] : job.readBlock[0];
      if (at[way(write)] + block > job.sizeBytes) at[way(write)] = 0;
      return at[way(write)];
    },
    moved(write, lenBytes) {
      at[way(write)] += lenBytes;
    },
  };
}

/** The IOs of one clone of a job. */
export function* ioSequence(job: FioJob, seed: number): Generator<IoEntry, never> {
  const rng = rngOf(seedOf(seed, 1));
  const direction = rngOf(seedOf(seed, 2));
  const places = job.random ? randomPlaces(job, seed, rng) : sequentialPlaces(job);
  for (;;) {
    const write = job.readPercent < 100 && (job.readPercent === 0 || direction.below(100) >= job.readPercent);
    const at = places.next(write);
    const lenBytes = lengthOf(write ? job.writeBlock : job.readBlock, rng, job.sizeBytes - at);
    places.moved(write, lenBytes);
    yield { offset: job.offsetBytes + at, lenBytes, write };
  }
}
