/*
 * Text into the kernel's buffer: what /proc files and reports are made of.
 *
 * Interface: textBegin, textString, textDec, textHex, textPadDec, textLine, textLength.
 * Invariants: [text-1] nothing is written beyond the buffer; what does not fit is left out.
 * Locks: none; a text is made without sleeping in between, or is made anew.
 * Why not format in the host: a guest that reads /proc/PID/maps needs the bytes inside.
 */
import { kernelState } from "./state";

export function textBegin(): void {
  kernelState().textLength = 0;
}

export function textByte(byte: u32): void {
  const k = kernelState();
  if (k.textLength < k.textBytes) store<u8>(k.text + k.textLength++, <u8>byte);
}

/** A static string, ASCII. */
export function textString(s: string): void {
  const at = changetype<usize>(s);
  const n = <u32>s.length;
  for (let i: u32 = 0; i < n; i++) textByte(load<u16>(at + (i << 1)));
}

/** Decimal, right-aligned to at least `width`. */
export function textDec(value: u64, width: u32 = 0): void {
  let digits: u32 = 1;
  let scale: u64 = 1;
  while (digits < 20 && value / scale >= 10) {
    scale *= 10;
    digits++;
  }
  for (let i = digits; i < width; i++) textByte(0x20);
  while (scale != 0) {
    textByte(0x30 + <u32>((value / scale) % 10));
    scale /= 10;
  }
}

/** Hexadecimal, zero-filled to at least `width`. */
export function textHex(value: u64, width: u32): void {
  let digits: u32 = 1;
  while (digits < 16 && value >> (digits << 2) != 0) digits++;
  if (digits < width) digits = width;
  for (let i = digits; i != 0; i--) {
    const nibble = <u32>(value >> ((i - 1) << 2)) & 15;
    textByte(nibble < 10 ? 0x30 + nibble : 0x57 + nibble);
  }
}

/** "name: value unit" as /proc/meminfo has it. */
export function textField(name: string, value: u64, unit: string): void {
  textString(name);
  textByte(0x3a);
  for (let i = <u32>name.length; i < 15; i++) textByte(0x20);
  textDec(value, 9);
  textString(unit);
  textByte(10);
}
