/*
 * cowfs as the tests of every filesystem see it.
 *
 * Interface: cowfsSuite(blockSize).
 * Invariants: none of its own.
 * Why not one file for all block sizes: test files run side by side.
 */
import { type Features, filesystemSuite } from "./suite.js";

const features: Features = {
  mkfs: true,
  persistent: true,
  freeze: true,
  mkwrite: true,
  enospc: true,
  reflink: true,
  symlinks: true,
  exchange: true,
  blocks: false,
  allocate: true,
  keepSize: false,
  punchHole: true,
  zeroRange: false,
  collapseRange: false,
  insertRange: false,
};

export function cowfsSuite(blockSize: number): void {
  filesystemSuite({ name: "cowfs", mkfsOptions: `blocksize=${blockSize}`, config: { diskBlocks: 2048 }, features });
}
