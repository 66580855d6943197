/*
 * CRC-32C (Castagnoli), reflected, table-driven.
 *
 * Interface: crc32cInit(tableAddr), crc32c(tableAddr, crc, addr, lenBytes), CRC32C_TABLE_BYTES.
 * Invariants: [crc-1] crc32c of "123456789" from 0 is 0xe3069283.
 * Locks: none; the table is immutable after boot.
 * Why not slicing by eight: a checksum per 4 KiB block is not on the fault path.
 */
export const CRC32C_TABLE_BYTES: u32 = 1024;
const POLYNOMIAL: u32 = 0x82f6_3b78;

export function crc32cInit(table: usize): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit: u32 = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    store<u32>(table + (byte << 2), crc);
  }
}

/** Continues `crc` (0 to begin) over lenBytes at addr. */
export function crc32c(table: usize, crc: u32, addr: usize, lenBytes: u32): u32 {
  let state = ~crc;
  for (let i: u32 = 0; i < lenBytes; i++) {
    state = (state >> 8) ^ load<u32>(table + (((state ^ load<u8>(addr + i)) & 0xff) << 2));
  }
  return ~state;
}
