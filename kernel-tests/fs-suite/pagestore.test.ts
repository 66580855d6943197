/*
 * pagestore, the filesystem in TypeScript, passes the tests of every filesystem; its names are in memory only.
 */
import { pagestore } from "../../src/node.js";
import { filesystemSuite } from "./suite.js";

filesystemSuite({
  name: "pagestore",
  config: { diskBlocks: 512, filesystems: [pagestore] },
  features: {
    mkfs: true,
    persistent: false,
    freeze: true,
    mkwrite: true,
    enospc: true,
    reflink: false,
    exchange: true,
    symlinks: false,
    blocks: true,
    allocate: false,
    keepSize: false,
    punchHole: true,
    zeroRange: false,
    collapseRange: false,
    insertRange: false,
  },
});
