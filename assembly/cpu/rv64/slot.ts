/*
 * A decoded instruction: 16 bytes. This, the register file of context.ts and Op are what a translator of hot blocks builds on.
 *
 *     0 op (u16) | 2 rd * 8 | 3 rs1 * 8 | 4 rs2 * 8 | 5 length in bytes | 6 offset in the page (u16) | 8 imm (i32) |
 *     12 instructions from here to the end of the block, this one included (u16) | 14 extra (u16): rm, rs3 and the like
 *
 * Interface: Slot, SLOT_BYTES.
 * Invariants: [slot-1] a block ends with a transfer of control, taken or not, or with the page; slots of a block follow each other.
 * Locks: none.
 * Why not one slot a halfword: the next slot would be a load away, and that chain is what bounds an interpreter.
 */
export const SLOT_BYTES: usize = 16;

export class Slot {
  @inline static op(ip: usize): i32 {
    return load<u16>(ip);
  }
  /** Byte offsets into the register file. */
  @inline static rd(ip: usize): usize {
    return load<u8>(ip, 2);
  }
  @inline static rs1(ip: usize): usize {
    return load<u8>(ip, 3);
  }
  @inline static rs2(ip: usize): usize {
    return load<u8>(ip, 4);
  }
  @inline static lenBytes(ip: usize): u32 {
    return load<u8>(ip, 5);
  }
  @inline static offset(ip: usize): u32 {
    return load<u16>(ip, 6);
  }
  @inline static imm(ip: usize): i64 {
    return <i64>load<i32>(ip, 8);
  }
  @inline static imm32(ip: usize): i32 {
    return load<i32>(ip, 8);
  }
  @inline static count(ip: usize): i32 {
    return load<u16>(ip, 12);
  }
  @inline static extra(ip: usize): u32 {
    return load<u16>(ip, 14);
  }
  @inline static setOp(ip: usize, op: i32): void {
    store<u16>(ip, <u16>op);
  }
  @inline static setImm(ip: usize, imm: i32): void {
    store<i32>(ip, imm, 8);
  }
  @inline static setCount(ip: usize, count: u32): void {
    store<u16>(ip, <u16>count, 12);
  }
  @inline static setExtra(ip: usize, extra: u32): void {
    store<u16>(ip, <u16>extra, 14);
  }
  /** Everything but count and extra, which become 0. */
  @inline static fill(ip: usize, op: i32, rd: u32, rs1: u32, rs2: u32, lenBytes: u32, offset: u32, imm: i32): void {
    store<u32>(ip, <u32>op | ((rd << 3) << 16) | ((rs1 << 3) << 24));
    store<u32>(ip, (rs2 << 3) | (lenBytes << 8) | (offset << 16), 4);
    store<i32>(ip, imm, 8);
    store<u32>(ip, 0, 12);
  }
}
