/*
 * ELF files made of bytes, for tests of what exec takes and refuses.
 *
 * Interface: elfOf(code, options), CODE_AT.
 */
const HEADER = 64;
const PHDR = 56;
/** Where the code is mapped, and its offset in the file. */
export const CODE_AT = 0x10000;

export interface ElfOptions {
  machine?: number;
  type?: number;
  /** Segments instead of the one that holds the code: file offset, address, bytes in the file, bytes in memory, flags. */
  segments?: readonly (readonly [offset: number, address: bigint, fileBytes: bigint, memBytes: bigint, flags: number])[];
  entry?: bigint;
}

/** An executable whose code is the bytes given, in one segment that may be read, written and executed. */
export function elfOf(code: Uint8Array, options: ElfOptions = {}): Uint8Array {
  const { machine = 243, type = 2, entry = BigInt(CODE_AT + 0x1000) } = options;
  const segments = options.segments ?? [[0x1000, BigInt(CODE_AT + 0x1000), BigInt(code.length), BigInt(code.length + 65536), 7] as const];
  const bytes = new Uint8Array(0x1000 + code.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, entry, true);
  view.setBigUint64(32, BigInt(HEADER), true);
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PHDR, true);
  view.setUint16(56, segments.length, true);
  segments.forEach(([offset, address, fileBytes, memBytes, flags], i) => {
    const at = HEADER + PHDR * i;
    view.setUint32(at, 1, true);
    view.setUint32(at + 4, flags, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, address, true);
    view.setBigUint64(at + 32, fileBytes, true);
    view.setBigUint64(at + 40, memBytes, true);
    view.setBigUint64(at + 48, 4096n, true);
  });
  bytes.set(code, 0x1000);
  return bytes;
}
