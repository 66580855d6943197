/*
 * The decode cache: code pages, each the decoded blocks of one page frame. A pool of fixed size; the oldest is taken when it is used up.
 *
 *     code page:  0 head (64 bytes) | 64 map: where the instruction at each halfword is decoded (u16, units of 16 bytes) | 4160 slots
 *
 * Interface: codeInit, checkCode, codePageOf, codeEntry, codePageFrame, dropFrame, dropAllCode, CODE_PAGE_BYTES.
 * Invariants:
 *   [code-1] a slot says what the frame held when it was decoded; the frame's end, its reuse and fence.i make it go.
 *   [code-2] a block and what it may fall into fit a code page that is empty.
 *   [code-3] where a block ends depends on the frame's bytes alone, never on what was decoded before.
 * Locks: none; between two instructions of the thread that runs.
 * Why not keep what was there when the frame is written to: RISC-V promises nothing before fence.i, and Linux flushes what it fills itself.
 */
import { PAGE_SIZE, bootAlloc } from "../../memlayout";
import { cpuRoom } from "../tlb";
import { expandCompressed } from "./compressed";
import { decode } from "./decode";
import { Op } from "./ops";
import { SLOT_BYTES, Slot } from "./slot";

const MAP_OFFSET: usize = 64;
const SLOTS_START: u32 = 64 + PAGE_SIZE;
/** One a halfword, one to end the page, some for blocks that run into others. */
const SLOTS: u32 = 2048 + 16;
export const CODE_PAGE_BYTES: u32 = SLOTS_START + SLOTS * 16;
/** Numbers of code pages are kept in a u16 a frame. */
const CODE_PAGES_MAX: u32 = 65535;

@unmanaged
export class CodePage {
  /** Linear address of the frame; 0: free. */
  frame: u32;
  /** Slots in use. */
  used: u32;
}

/** Carves the pool and the table of frames. Returns false when memory is too small. */
export function codeInit(pages: u32, memoryBytes: u32): bool {
  const room = cpuRoom();
  room.nCodePages = pages;
  if (pages == 0) return true;
  if (pages > CODE_PAGES_MAX) return false;
  room.codePages = bootAlloc(pages * CODE_PAGE_BYTES, 64);
  room.codeOfFrame = bootAlloc((memoryBytes / PAGE_SIZE) * 2, 64);
  return room.codePages != 0 && room.codeOfFrame != 0;
}

function frameSlot(frame: u32): usize {
  return cpuRoom().codeOfFrame + ((frame >> 12) << 1);
}

function codePageAt(index: u32): CodePage {
  return changetype<CodePage>(cpuRoom().codePages + index * CODE_PAGE_BYTES);
}

function clear(page: CodePage): void {
  memory.fill(changetype<usize>(page) + MAP_OFFSET, 0, PAGE_SIZE);
  page.used = 0;
}

function release(page: CodePage): void {
  if (page.frame == 0) return;
  store<u16>(frameSlot(page.frame), 0);
  page.frame = 0;
}

/** The code page of a frame, made when there is none. */
export function codePageOf(frame: u32): CodePage {
  const room = cpuRoom();
  const known = load<u16>(frameSlot(frame));
  if (known != 0) return codePageAt(known - 1);
  const index = room.codeNext;
  room.codeNext = index + 1 == room.nCodePages ? 0 : index + 1;
  const page = codePageAt(index);
  release(page);
  clear(page);
  page.frame = frame;
  store<u16>(frameSlot(frame), <u16>(index + 1));
  return page;
}

/** The frame is another's from now on, or its bytes were changed by the kernel. */
export function dropFrame(frame: u32): void {
  if (cpuRoom().nCodePages == 0) return;
  const known = load<u16>(frameSlot(frame));
  if (known != 0) release(codePageAt(known - 1));
}

/** [code-2] No code page holds more slots than it has; its frame knows it. Not for the run loop. */
export function checkCode(): void {
  const room = cpuRoom();
  for (let i: u32 = 0; i < room.nCodePages; i++) {
    const page = codePageAt(i);
    assert(page.used <= SLOTS, "[code-2] a block fits its code page");
    if (page.frame != 0) assert(load<u16>(frameSlot(page.frame)) == <u16>(i + 1), "[code-1] a frame knows its code page");
  }
}

/** fence.i of any thread. */
export function dropAllCode(): void {
  const room = cpuRoom();
  for (let i: u32 = 0; i < room.nCodePages; i++) release(codePageAt(i));
}

/** Where the instruction at `offset` is decoded. */
export function codeEntry(page: CodePage, offset: u32): usize {
  const at = load<u16>(changetype<usize>(page) + MAP_OFFSET + offset);
  if (at != 0) return changetype<usize>(page) + (<usize>at << 4);
  return decodeBlock(page, offset);
}

/** Decodes from `offset` to the next unconditional transfer, or to the end of the page. Returns the first slot. */
function decodeBlock(page: CodePage, offset: u32): usize {
  if (page.used + (PAGE_SIZE - offset) / 2 + 2 > SLOTS) clear(page);
  const map = changetype<usize>(page) + MAP_OFFSET;
  const first = changetype<usize>(page) + SLOTS_START + <usize>page.used * SLOT_BYTES;
  let ip = first;
  let at = offset;
  while (true) {
    const known: u32 = at < PAGE_SIZE ? load<u16>(map + at) : 0;
    if (known != 0) {
      const target = changetype<usize>(page) + (<usize>known << 4);
      Slot.fill(ip, Op.GOTO, 0, 0, 0, 0, at, <i32>(target - ip));
      Slot.setCount(ip, Slot.count(target));
      break;
    }
    if (at >= PAGE_SIZE) {
      Slot.fill(ip, Op.PAGE_END, 0, 0, 0, 0, at, <i32>at);
      break;
    }
    store<u16>(map + at, <u16>((ip - changetype<usize>(page)) >> 4));
    at += decodeAt(ip, page.frame, at);
    if (endsBlock(Slot.op(ip))) break;
    ip += SLOT_BYTES;
  }
  page.used += <u32>((ip - first) / SLOT_BYTES) + 1;
  countBack(first, ip);
  return first;
}

/** One instruction of a frame into a slot. Returns its length. */
function decodeAt(ip: usize, frame: u32, at: u32): u32 {
  const low: u32 = load<u16>(<usize>frame + at);
  if ((low & 3) != 3) {
    const insn = expandCompressed(low);
    if (insn == 0) Slot.fill(ip, Op.ILLEGAL, 0, 0, 0, 2, at, <i32>low);
    else decode(ip, insn, 2, at);
    return 2;
  }
  if (at == PAGE_SIZE - 2) Slot.fill(ip, Op.CROSS, 0, 0, 0, 4, at, <i32>low);
  else decode(ip, load<u32>(<usize>frame + at), 4, at);
  return 4;
}

/** What comes behind it is not run into. */
function endsBlock(op: i32): bool {
  if (op >= Op.FENCE_I && op <= Op.ILLEGAL) return true;
  return op == Op.J || op == Op.JAL || op == Op.JR || op == Op.JALR || op == Op.CROSS;
}

function isConditional(op: i32): bool {
  return op >= Op.BEQ && op <= Op.BGEU;
}

/** Each slot's count of instructions to the end of its block. */
function countBack(first: usize, last: usize): void {
  if (Slot.op(last) != Op.GOTO && Slot.op(last) != Op.PAGE_END) Slot.setCount(last, 1);
  let ip = last;
  while (ip != first) {
    const behind = Slot.count(ip);
    ip -= SLOT_BYTES;
    Slot.setCount(ip, isConditional(Slot.op(ip)) ? 1 : behind + 1);
  }
}
