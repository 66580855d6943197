/*
 * ramfs passes the tests of every filesystem, as far as they apply to files whose only home is memory.
 */
import { filesystemSuite } from "./suite.js";

filesystemSuite({
  name: "ramfs",
  features: {
    mkfs: false,
    persistent: false,
    freeze: false,
    mkwrite: false,
    enospc: false,
    reflink: false,
    symlinks: true,
    exchange: true,
    blocks: true,
    allocate: true,
    keepSize: true,
    punchHole: true,
    zeroRange: false,
    collapseRange: false,
    insertRange: false,
  },
});
