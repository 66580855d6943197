/*
 * iomapfs passes the tests of every filesystem, with blocks as large as a page and smaller, and with DAX.
 *
 * Checks: [na-1] [di-1] [di-2] [xt-1] [ps-1] [ps-2] [mk-1] [mk-6] [mk-8] through suite.ts.
 */
import { IN_PLACE_FEATURES } from "../fs-suite/in-place.js";
import { filesystemSuite } from "../fs-suite/suite.js";

const features = { ...IN_PLACE_FEATURES, reflink: true };
const disk = { diskBlocks: 512 };

filesystemSuite({ name: "iomapfs", mkfsOptions: "blocksize=4096", config: disk, features });
filesystemSuite({ name: "iomapfs", mkfsOptions: "blocksize=4096", mountOptions: "dax", config: disk, features: IN_PLACE_FEATURES });
filesystemSuite({ name: "iomapfs", mkfsOptions: "blocksize=1024", config: disk, features });
filesystemSuite({ name: "iomapfs", mkfsOptions: "blocksize=512", config: disk, features });
