/*
 * ELF executables of riscv64: reading the head, mapping the segments of a file through the page cache.
 *
 * Interface: Elf, readElf, mapElf, readKernelBytes.
 * Invariants:
 *   [elf-1] what readElf accepts can be mapped or refused, whatever its numbers say: every sum is checked.
 *   [elf-2] bytes of a segment behind its file part read as zeros, to the end of its last page.
 * Locks: none; mapping takes mmap_sem.
 * Why not sections: an executable runs by its program headers.
 */
import { EINVAL, ENOEXEC, ENOMEM } from "../lib/errno";
import { TASK_SIZE } from "../config";
import { PAGE_SIZE } from "../memlayout";
import { fillUser } from "../fs/devices";
import { VfsFile } from "../fs/file";
import { scratchAllocLong, scratchFree } from "../fs/scratch";
import { readCachePage } from "../mm/filemap";
import { MAP_ANONYMOUS, MAP_FIXED_NOREPLACE, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "../mm/mman";
import { doMmap, doMunmap } from "../mm/mmap";
import { MmStruct, currentMm } from "../mm/mm-struct";
import { putPage } from "../mm/page-alloc";
import { isNullPage, pageAddress } from "../mm/page";
import { File } from "../mm/address-space";

const EM_RISCV: u16 = 243;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
const HEADER_BYTES: u32 = 64;
const PHDR_BYTES: u32 = 56;
/** Where position-independent executables go. */
const DYN_BASE: u64 = 0x2aaa_aaaa_a000;

/** An executable that is being loaded; `head` is a scratch page with the first page of the file. */
@unmanaged
export class Elf {
  head: usize;
  headBytes: u32;
  phnum: u32;
  phoff: u32;
  isDyn: u32;
  /** Filled by mapElf: what is added to addresses; entry; the end of the highest segment; the program headers in memory. */
  bias: u64;
  entry: u64;
  end: u64;
  phdrAddress: u64;
}

function phdr(elf: Elf, i: u32): usize {
  assert(i < elf.phnum, "[elf-1] a program header is one of the file's");
  return elf.head + elf.phoff + i * PHDR_BYTES;
}

/** Copies up to a page of a file from pos into a fresh scratch page. Returns the bytes copied or -errno. */
export function readKernelBytes(file: File, target: usize, lenBytes: u32, pos: u64): i32 {
  const size = file.mapping.sizeBytes;
  if (pos >= size) return 0;
  const inPage = PAGE_SIZE - (<u32>pos & (PAGE_SIZE - 1));
  let n = lenBytes < inPage ? lenBytes : inPage;
  if (<u64>n > size - pos) n = <u32>(size - pos);
  assert(n != 0 && n <= inPage, "a read of the head stays in one page");
  const errnoAt = scratchAllocLong();
  if (errnoAt == 0) return -ENOMEM;
  const page = readCachePage(file, <u32>(pos >> 12), errnoAt);
  const error = load<i32>(errnoAt);
  scratchFree(errnoAt);
  if (isNullPage(page)) return error;
  memory.copy(target, pageAddress(page) + (<u32>pos & (PAGE_SIZE - 1)), n);
  putPage(page);
  return n;
}

/** Reads the head of an executable into elf, whose scratch page the caller frees. Returns 0, -ENOEXEC or what reading says. */
export function readElf(elf: Elf, file: VfsFile): i32 {
  const n = readKernelBytes(file, elf.head, PAGE_SIZE, 0);
  if (n < 0) return n;
  elf.headBytes = n;
  const h = elf.head;
  if (<u32>n < HEADER_BYTES || load<u32>(h) != 0x464c_457f) return -ENOEXEC;
  // 64 bits, little-endian; version 1.
  if (load<u8>(h, 4) != 2 || load<u8>(h, 5) != 1 || load<u8>(h, 6) != 1) return -ENOEXEC;
  const type = load<u16>(h, 16);
  if ((type != ET_EXEC && type != ET_DYN) || load<u16>(h, 18) != EM_RISCV) return -ENOEXEC;
  const phoff = load<u64>(h, 32);
  const phnum: u32 = load<u16>(h, 56);
  if (load<u16>(h, 54) != PHDR_BYTES || phnum == 0) return -ENOEXEC;
  // Program headers beyond the first page are read by nobody's linker.
  if (phoff > PAGE_SIZE || phoff + <u64>phnum * PHDR_BYTES > <u64>elf.headBytes) return -ENOEXEC;
  elf.phoff = <u32>phoff;
  elf.phnum = phnum;
  elf.isDyn = type == ET_DYN ? 1 : 0;
  return checkSegments(elf);
}

/** Sums that would wrap, or leave the user half; files and addresses that are not the same within a page. */
function checkSegments(elf: Elf): i32 {
  let loads: u32 = 0;
  for (let i: u32 = 0; i < elf.phnum; i++) {
    const p = phdr(elf, i);
    if (load<u32>(p) != PT_LOAD) continue;
    loads++;
    const offset = load<u64>(p, 8);
    const address = load<u64>(p, 16);
    const fileBytes = load<u64>(p, 32);
    const memBytes = load<u64>(p, 40);
    if (fileBytes > memBytes || memBytes > TASK_SIZE || address > TASK_SIZE - memBytes) return -ENOEXEC;
    if (offset > (<u64>1 << 43) || ((offset ^ address) & 0xfff) != 0) return -ENOEXEC;
  }
  return loads != 0 ? 0 : -ENOEXEC;
}

/** The program header that names an interpreter, 0: none. */
export function interpreterAt(elf: Elf): usize {
  for (let i: u32 = 0; i < elf.phnum; i++) {
    const p = phdr(elf, i);
    if (load<u32>(p) == PT_INTERP) return p;
  }
  return 0;
}

function pageDown(address: u64): u64 {
  return address & ~0xfff;
}

function pageUp(address: u64): u64 {
  return (address + 0xfff) & ~0xfff;
}

/** Where to put a position-independent file: at its base, or for an interpreter where mmap finds room. Returns a bias or -errno. */
function chooseBias(mm: MmStruct, elf: Elf, isInterpreter: bool): i64 {
  if (elf.isDyn == 0) return 0;
  let low: u64 = u64.MAX_VALUE;
  let high: u64 = 0;
  for (let i: u32 = 0; i < elf.phnum; i++) {
    const p = phdr(elf, i);
    if (load<u32>(p) != PT_LOAD) continue;
    const address = load<u64>(p, 16);
    if (pageDown(address) < low) low = pageDown(address);
    if (pageUp(address + load<u64>(p, 40)) > high) high = pageUp(address + load<u64>(p, 40));
  }
  if (!isInterpreter) return <i64>(DYN_BASE - low);
  const at = doMmap(mm, 0, high - low, 0, MAP_PRIVATE | MAP_ANONYMOUS, changetype<File>(0), 0);
  if (at < 0) return at;
  const error = doMunmap(mm, <u64>at, high - low);
  return error != 0 ? error : at - <i64>low;
}

function protOf(flags: u32): u32 {
  return ((flags & PF_R) != 0 ? PROT_READ : 0) | ((flags & PF_W) != 0 ? PROT_WRITE : 0) | ((flags & PF_X) != 0 ? PROT_EXEC : 0);
}

/** One segment: its file part, zeros to the end of that page, and fresh memory behind. Returns 0 or -errno. */
function mapSegment(mm: MmStruct, p: usize, bias: u64, file: VfsFile): i64 {
  const address = load<u64>(p, 16) + bias;
  const offset = load<u64>(p, 8);
  const fileBytes = load<u64>(p, 32);
  const memBytes = load<u64>(p, 40);
  const prot = protOf(load<u32>(p, 4));
  const start = pageDown(address);
  const fileEnd = fileBytes == 0 ? start : pageUp(address + fileBytes);
  assert(start <= fileEnd, "[elf-1] the ends of a segment were checked");
  const flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
  if (fileBytes != 0) {
    const at = doMmap(mm, start, fileEnd - start, prot, flags, file, offset >> 12);
    if (at < 0) return at;
  }
  const end = pageUp(address + memBytes);
  if (end > fileEnd) {
    const at = doMmap(mm, fileEnd, end - fileEnd, prot, flags | MAP_ANONYMOUS, changetype<File>(0), 0);
    if (at < 0) return at;
  }
  const tail = fileEnd - (address + fileBytes);
  const isZeroed = fileBytes != 0 && memBytes > fileBytes && (prot & PROT_WRITE) != 0 && tail != 0;
  // A file that ends before its segment does faults here, as it would in the program.
  if (isZeroed && fillUser(address + fileBytes, <u32>tail, false) != <i64>tail) return -EINVAL;
  return 0;
}

/** Maps an executable into the running task's address space. Returns 0 or -errno, with parts of it mapped. */
export function mapElf(elf: Elf, file: VfsFile, isInterpreter: bool): i64 {
  const bias = chooseBias(currentMm(), elf, isInterpreter);
  if (bias < 0) return bias;
  elf.bias = <u64>bias;
  elf.entry = load<u64>(elf.head, 24) + elf.bias;
  for (let i: u32 = 0; i < elf.phnum; i++) {
    const p = phdr(elf, i);
    if (load<u32>(p) != PT_LOAD) continue;
    const error = mapSegment(currentMm(), p, elf.bias, file);
    if (error != 0) return error;
    const end = load<u64>(p, 16) + elf.bias + load<u64>(p, 40);
    if (end > elf.end) elf.end = end;
    const offset = load<u64>(p, 8);
    if (offset <= elf.phoff && elf.phoff < offset + load<u64>(p, 32)) elf.phdrAddress = load<u64>(p, 16) + elf.bias + elf.phoff - offset;
  }
  return 0;
}
