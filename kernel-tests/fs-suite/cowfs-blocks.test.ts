/*
 * cowfs passes the tests of every filesystem, with two and with four blocks to a page.
 */
import { cowfsSuite } from "./cowfs.js";

for (const blockSize of [1024, 2048]) cowfsSuite(blockSize);
