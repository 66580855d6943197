/*
 * jbdfs passes the tests of every filesystem, with blocks as large as a page and smaller, with delalloc and without.
 *
 * Checks: [na-1] [di-1] [di-2] [xt-1] [ps-1] [ps-2] [mk-1] [mk-6] [mk-8] through suite.ts.
 */
import { IN_PLACE_FEATURES } from "../fs-suite/in-place.js";
import { filesystemSuite } from "../fs-suite/suite.js";

const features = IN_PLACE_FEATURES;
const disk = { diskBlocks: 512 };

filesystemSuite({ name: "jbdfs", mkfsOptions: "blocksize=4096", config: disk, features });
filesystemSuite({ name: "jbdfs", mkfsOptions: "blocksize=1024", config: disk, features });
filesystemSuite({ name: "jbdfs", mkfsOptions: "blocksize=1024", mountOptions: "nodelalloc", config: disk, features });
