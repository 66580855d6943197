/*
 * What iomapfs and jbdfs, which overwrite in place, both have and have not.
 *
 * Interface: IN_PLACE_FEATURES.
 */
import type { Features } from "./mounted.js";

export const IN_PLACE_FEATURES: Features = {
  mkfs: true,
  persistent: true,
  freeze: true,
  mkwrite: true,
  enospc: true,
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
};
