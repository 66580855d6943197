/*
 * cowfs passes the tests of every filesystem, with blocks of a page and with the smallest.
 */
import { cowfsSuite } from "./cowfs.js";

for (const blockSize of [4096, 512]) cowfsSuite(blockSize);
