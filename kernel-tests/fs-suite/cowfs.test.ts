/*
 * cowfs passes the tests of every filesystem, with blocks of a page.
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

filesystemSuite({ name: "cowfs", mkfsOptions: "blocksize=4096", config: { diskBlocks: 2048 }, features });
