/*
 * execve(2): the running task becomes another program.
 *
 *     open, read the head -> copy argv and envp -> (point of no return) new mm -> map segments, interpreter, stack -> registers
 *
 *     stack, from the top:  16 random bytes | strings: argv, envp, the path | auxv | envp | argv | argc  <- sp, 16-byte aligned
 *
 * Interface: sysExecve, STACK_TOP, STACK_BYTES.
 * Invariants:
 *   [exec-1] an error before the point of no return leaves the caller as it was; one behind it ends in SIGSEGV, as in Linux.
 *   [exec-2] what exec took is given back on every way out: the file, scratch pages, strings.
 * Locks: none of its own.
 * Why not build the stack in frames and map them, as Linux does: copies into the new address space take the fault path that is there.
 */
import { E2BIG, EACCES, EAGAIN, EFAULT, ENOEXEC, ENOMEM, isErr, ptrErr } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { Rv64Context, contextInit } from "../cpu/rv64/context";
import { randomU64 } from "../fs/devices";
import { O_RDONLY, VfsFile, fileOpen, fput } from "../fs/file";
import { Inode, isRegular } from "../fs/inode";
import { AT_FDCWD, WALK_FOLLOW } from "../fs/namei";
import { PathName, scratchAllocLong, scratchFree } from "../fs/scratch";
import { inodeAtPath, inodeAtName, putPathInode } from "../fs/stat-syscalls";
import { fileIsNull } from "../fs/syscalls";
import { File } from "../mm/address-space";
import { mmPut } from "../mm/exit";
import { mmCreate } from "../mm/fork";
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "../mm/mman";
import { doMmap } from "../mm/mmap";
import { MmStruct, currentMm, isNullMm } from "../mm/mm-struct";
import { GFP_ZERO, allocPage } from "../mm/page-alloc";
import { isNullPage, pageAddress } from "../mm/page";
import { switchMm } from "../mm/tlbflush";
import { copyFromUser, copyToUser, strncpyFromUser } from "../mm/uaccess";
import { C_FORK_BASE, chargeCost } from "../sched/cost";
import { currentTask } from "../sched/state";
import { Elf, interpreterAt, mapElf, readElf } from "./elf";
import { killProcess, processOf } from "./process";
import { programEntry } from "./program";

export const STACK_TOP: u64 = 0x7fff_ffff_f000;
/** RLIMIT_STACK's usual 8 MiB, mapped as a whole: what lies below is not mapped. */
export const STACK_BYTES: u64 = 0x80_0000;
const SIGSEGV: u32 = 11;
/** Linux takes a quarter of the stack; no program of the tests comes near. */
const STRING_PAGES: u32 = 64;
const AUX_PAIRS: u32 = 17;
const HWCAP_RV64GC: u64 = (1 << 8) | (1 << 12) | 1 | (1 << 5) | (1 << 3) | (1 << 2);
const RANDOM_BYTES: u64 = 16;

/** linux_binprm: one scratch page. */
@unmanaged
class Binprm {
  /** The program and its interpreter (Elf, 64 bytes each). */
  elf0: u64; elf1: u64; elf2: u64; elf3: u64; elf4: u64; elf5: u64; elf6: u64; elf7: u64;
  itp0: u64; itp1: u64; itp2: u64; itp3: u64; itp4: u64; itp5: u64; itp6: u64; itp7: u64;
  word: u64;
  file: VfsFile;
  interpreterFile: VfsFile;
  argc: u32;
  envc: u32;
  stringBytes: u32;
  /** A scratch page for the string that is copied. */
  line: usize;
  /** STRING_PAGES addresses follow. */
  pages0: u32;

  get elf(): Elf {
    return changetype<Elf>(changetype<usize>(this));
  }
  get interpreter(): Elf {
    return changetype<Elf>(changetype<usize>(this) + offsetof<Binprm>("itp0"));
  }
  get pages(): usize {
    return changetype<usize>(this) + offsetof<Binprm>("pages0");
  }
  get wordAt(): usize {
    return changetype<usize>(this) + offsetof<Binprm>("word");
  }
}

if (offsetof<Elf>() > 64) ERROR("an Elf fits its place in a Binprm");

function release(b: Binprm): void {
  assert(b.stringBytes <= STRING_PAGES * PAGE_SIZE, "[exec-2] the strings lie in the pages that are given back");
  for (let i: u32 = 0; i < STRING_PAGES; i++) {
    const page = load<u32>(b.pages + (i << 2));
    if (page != 0) scratchFree(page);
  }
  if (b.line != 0) scratchFree(b.line);
  if (b.elf.head != 0) scratchFree(b.elf.head);
  if (b.interpreter.head != 0) scratchFree(b.interpreter.head);
  if (!fileIsNull(b.file)) fput(b.file);
  if (!fileIsNull(b.interpreterFile)) fput(b.interpreterFile);
  scratchFree(changetype<usize>(b));
}

/** Opens an inode that may be executed; gives it back. A VfsFile or ERR_PTR. */
function openExecutable(found: usize): usize {
  if (isErr(found)) return found;
  const inode = changetype<Inode>(found);
  let result: usize = <usize>(<u32>-EACCES);
  if (isRegular(inode) && (inode.mode & 0x49) != 0) {
    const file = fileOpen(inode, O_RDONLY);
    result = fileIsNull(file) ? <usize>(<u32>-ENOMEM) : changetype<usize>(file);
  }
  putPathInode(inode);
  return result;
}

/** Adds the string of the scratch line to the strings. Returns 0 or -errno. */
function addString(b: Binprm, lenBytes: u32): i32 {
  assert(lenBytes <= PAGE_SIZE, "a string fits the line that it was copied to");
  let done: u32 = 0;
  while (done < lenBytes) {
    const index = b.stringBytes / PAGE_SIZE;
    if (index >= STRING_PAGES) return -E2BIG;
    const slot = b.pages + (index << 2);
    if (load<u32>(slot) == 0) {
      const page = scratchAllocLong();
      if (page == 0) return -ENOMEM;
      store<u32>(slot, <u32>page);
    }
    const inPage = b.stringBytes % PAGE_SIZE;
    const n = lenBytes - done < PAGE_SIZE - inPage ? lenBytes - done : PAGE_SIZE - inPage;
    memory.copy(<usize>load<u32>(slot) + inPage, b.line + done, n);
    b.stringBytes += n;
    done += n;
  }
  return 0;
}

/** Copies a vector of strings. Returns how many there are or -errno. */
function copyVector(b: Binprm, vector: u64): i32 {
  if (vector == 0) return 0;
  let count: i32 = 0;
  while (true) {
    if (copyFromUser(b.wordAt, vector + <u64>count * 8, 8) != 0) return -EFAULT;
    if (b.word == 0) return count;
    const length = strncpyFromUser(b.line, b.word, PAGE_SIZE);
    if (length < 0) return length == -EFAULT ? length : -E2BIG;
    const error = addString(b, <u32>length + 1);
    if (error != 0) return error;
    count++;
  }
}

/** Opens the interpreter that the program names. Returns 0 or -errno. */
function openInterpreter(b: Binprm): i32 {
  const p = interpreterAt(b.elf);
  if (p == 0) return 0;
  const offset = load<u64>(p, 8);
  const lenBytes = load<u64>(p, 32);
  if (lenBytes < 2 || lenBytes > 256 || offset > PAGE_SIZE || offset + lenBytes > <u64>b.elf.headBytes) return -ENOEXEC;
  const name = changetype<PathName>(b.line);
  name.bytes = b.elf.head + <u32>offset;
  name.lenBytes = <u32>lenBytes - 1;
  if (load<u8>(name.bytes + name.lenBytes) != 0) return -ENOEXEC;
  const opened = openExecutable(inodeAtName(AT_FDCWD, name, WALK_FOLLOW));
  if (isErr(opened)) return ptrErr(opened);
  b.interpreterFile = changetype<VfsFile>(opened);
  b.interpreter.head = scratchAllocLong();
  return b.interpreter.head == 0 ? -ENOMEM : readElf(b.interpreter, b.interpreterFile);
}

/** Everything that can fail without harm. Returns 0 or -errno. */
function prepare(b: Binprm, path: u64, argv: u64, envp: u64): i32 {
  const opened = openExecutable(inodeAtPath(AT_FDCWD, path, WALK_FOLLOW));
  if (isErr(opened)) return ptrErr(opened);
  b.file = changetype<VfsFile>(opened);
  b.elf.head = scratchAllocLong();
  b.line = scratchAllocLong();
  if (b.elf.head == 0 || b.line == 0) return -ENOMEM;
  let error = readElf(b.elf, b.file);
  if (error == 0) error = openInterpreter(b);
  if (error != 0) return error;
  const argc = copyVector(b, argv);
  if (argc < 0) return argc;
  const envc = copyVector(b, envp);
  if (envc < 0) return envc;
  b.argc = argc;
  b.envc = envc;
  const length = strncpyFromUser(b.line, path, PAGE_SIZE);
  return length < 0 ? length : addString(b, <u32>length + 1);
}

function putWord(b: Binprm, at: u64, value: u64): u64 {
  b.word = value;
  // The stack was mapped just now: a fault is out of memory, which kills.
  copyToUser(at, b.wordAt, 8);
  return at + 8;
}

/** Writes the pointers to `count` strings from byte *offset of the strings on, and a null. Returns the address behind. */
function putVector(b: Binprm, at: u64, count: u32, base: u64): u64 {
  let next = at;
  // The walk's place is kept in interpreter.headBytes, which nobody reads any more.
  let offset = b.interpreter.headBytes;
  for (let i: u32 = 0; i < count; i++) {
    next = putWord(b, next, base + offset);
    while (load<u8>(<usize>load<u32>(b.pages + ((offset / PAGE_SIZE) << 2)) + offset % PAGE_SIZE) != 0) offset++;
    offset++;
  }
  b.interpreter.headBytes = offset;
  assert(offset <= b.stringBytes, "a vector's strings lie in what was copied");
  return putWord(b, next, 0);
}

function putAux(b: Binprm, at: u64, tag: u64, value: u64): u64 {
  return putWord(b, putWord(b, at, tag), value);
}

function putAuxv(b: Binprm, from: u64, strings: u64): u64 {
  const elf = b.elf;
  let at = putAux(b, from, 3, elf.phdrAddress);
  at = putAux(b, at, 4, 56);
  at = putAux(b, at, 5, elf.phnum);
  at = putAux(b, at, 6, PAGE_SIZE);
  at = putAux(b, at, 7, fileIsNull(b.interpreterFile) ? 0 : b.interpreter.bias);
  at = putAux(b, at, 8, 0);
  at = putAux(b, at, 9, elf.entry);
  for (let id: u64 = 11; id <= 14; id++) at = putAux(b, at, id, 0);
  at = putAux(b, at, 16, HWCAP_RV64GC);
  at = putAux(b, at, 17, 100);
  at = putAux(b, at, 23, 0);
  at = putAux(b, at, 25, STACK_TOP - RANDOM_BYTES);
  // What is left of the strings is the path.
  at = putAux(b, at, 31, strings + b.interpreter.headBytes);
  return putAux(b, at, 0, 0);
}

/** Maps the stack and fills its top. Returns the stack pointer, or 0. */
function makeStack(b: Binprm): u64 {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const mapped = doMmap(currentMm(), STACK_TOP - STACK_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE, flags, changetype<File>(0), 0);
  if (mapped < 0) return 0;
  currentMm().stackTop = STACK_TOP;
  putWord(b, STACK_TOP - 16, randomU64());
  putWord(b, STACK_TOP - 8, randomU64());
  const strings = STACK_TOP - RANDOM_BYTES - b.stringBytes;
  for (let done: u32 = 0; done < b.stringBytes; done += PAGE_SIZE) {
    const n = b.stringBytes - done < PAGE_SIZE ? b.stringBytes - done : PAGE_SIZE;
    if (copyToUser(strings + done, load<u32>(b.pages + ((done / PAGE_SIZE) << 2)), n) != 0) return 0;
  }
  const words = 1 + (b.argc + 1) + (b.envc + 1) + AUX_PAIRS * 2;
  const sp = (strings - <u64>words * 8) & ~15;
  b.interpreter.headBytes = 0;
  let at = putWord(b, sp, b.argc);
  at = putVector(b, at, b.argc, strings);
  at = putVector(b, at, b.envc, strings);
  at = putAuxv(b, at, strings);
  assert(at == sp + <u64>words * 8, "the stack is as large as what was written to it");
  return sp;
}

/** Fills the new address space. Returns the stack pointer, or 0. */
function loadProgram(b: Binprm): u64 {
  if (mapElf(b.elf, b.file, false) != 0) return 0;
  if (!fileIsNull(b.interpreterFile) && mapElf(b.interpreter, b.interpreterFile, true) != 0) return 0;
  const brk = (b.elf.end + 0xfff) & ~0xfff;
  currentMm().brkStart = brk;
  currentMm().brk = brk;
  return makeStack(b);
}

/** The registers of a program that starts. */
function startContext(at: usize, entry: u64, sp: u64): void {
  assert((at & (PAGE_SIZE - 1)) == 0 && (sp & 15) == 0, "a thread has a frame, and its stack is aligned");
  memory.fill(at, 0, PAGE_SIZE);
  const context = changetype<Rv64Context>(at);
  contextInit(context);
  context.pc = entry;
  store<u64>(context.x + 16, sp);
}

/** The point of no return: the old address space goes, the new one comes. */
function become(b: Binprm, mm: MmStruct, regs: usize): void {
  const task = currentTask();
  const old = changetype<MmStruct>(task.mm);
  assert(mm.users == 1 && mm.mapCount == 0, "[exec-1] a program starts with nothing mapped");
  task.mm = changetype<usize>(mm);
  task.vmaCache = 0;
  switchMm(task);
  mmPut(old);
  chargeCost(C_FORK_BASE);
  const sp = loadProgram(b);
  const me = currentTask();
  startContext(regs, fileIsNull(b.interpreterFile) ? b.elf.entry : b.interpreter.entry, sp);
  me.regs = regs;
  me.entry = programEntry;
  if (sp == 0) killProcess(processOf(me), SIGSEGV);
}

/** execve(2). Returns -errno; 0 is what the new program finds, and nobody else. */
export function sysExecve(path: u64, argv: u64, envp: u64, a3: u64, a4: u64, a5: u64): i64 {
  if (processOf(currentTask()).nThreads != 1) return -EAGAIN;
  const b = changetype<Binprm>(scratchAllocLong());
  if (changetype<usize>(b) == 0) return -ENOMEM;
  memory.fill(changetype<usize>(b), 0, PAGE_SIZE);
  const error = prepare(b, path, argv, envp);
  if (error != 0) {
    release(b);
    return error;
  }
  const mm = mmCreate();
  let regs = currentTask().regs;
  if (regs == 0 && !isNullMm(mm)) {
    const page = allocPage(GFP_ZERO);
    if (!isNullPage(page)) regs = pageAddress(page);
  }
  if (isNullMm(mm) || regs == 0) {
    if (!isNullMm(mm)) mmPut(mm);
    release(b);
    return -ENOMEM;
  }
  become(b, mm, regs);
  release(b);
  return 0;
}
