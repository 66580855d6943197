/*
 * Character devices of machines that run programs: the console, null, zero, urandom, as inodes of the root's ramfs in /dev.
 *
 *     console ring:  written (u64) grows for ever; byte n is at n % CONSOLE_RING. The writer waits for the host after each half of the
 *                    ring, so the host, which only reads, never misses a byte, and where it looks makes no difference ([core-4]).
 *
 * Interface: devicesInit, deviceTransfer, isDevice, consoleRing, consoleWritten, randomU64, fillUser, CONSOLE_RING, STREAM_*.
 * Invariants:
 *   [dev-1] standard output and standard error are two streams with a ring each.
 *   [dev-2] what a read of the console gives is a function of how many bytes were read before.
 * Locks: f_pos_lock of the open file.
 * Why not write through the host at once: every write would leave the module.
 */
import { EFAULT, EIO, ENOMEM } from "../lib/errno";
import { prngSeed, prngU64 } from "../lib/prng";
import { bootConfig } from "../config";
import { PAGE_SIZE, bootAlloc } from "../memlayout";
import { waitForHost } from "../sched/core";
import { currentTask } from "../sched/state";
import { copyFromUser, copyToUser } from "../mm/uaccess";
import { Dentry, dentryAlloc, dentryLink, isNullDentry } from "./dentry";
import { Inode, S_IFMT, inodeAlloc, iput, isNullInode } from "./inode";
import { CALL_CONSOLE_FLUSH, CALL_CONSOLE_READ, HostCall } from "./scripted/call";
import { scratchAllocLong, scratchFree } from "./scratch";
import { fsState } from "./state";

export const S_IFCHR: u32 = 0x2000;
export const CONSOLE_RING: u32 = 65536;
const HALF_RING: u32 = CONSOLE_RING / 2;

/** Inode.fsPrivate of a device. STREAM_OUT and STREAM_ERR are the console, the second one writing to standard error. */
export const STREAM_OUT: u32 = 1;
export const STREAM_ERR: u32 = 2;
const DEVICE_NULL: u32 = 3;
const DEVICE_ZERO: u32 = 4;
const DEVICE_RANDOM: u32 = 5;

@unmanaged
export class Consoles {
  writtenOut: u64;
  writtenErr: u64;
  bytesRead: u64;
  /** Generator of /dev/urandom and getrandom(2). */
  random: u64;
  ringOut: usize;
  ringErr: usize;
}

function consoles(): Consoles {
  return changetype<Consoles>(fsState().consoles);
}

export function isDevice(inode: Inode): bool {
  return (inode.mode & S_IFMT) == S_IFCHR;
}

/** The ring of a stream, 0 on a machine without programs; and how many bytes were ever written to it. */
export function consoleRing(stream: u32): usize {
  if (fsState().consoles == 0) return 0;
  return stream == STREAM_ERR ? consoles().ringErr : consoles().ringOut;
}

export function consoleWritten(stream: u32): u64 {
  if (fsState().consoles == 0) return 0;
  return stream == STREAM_ERR ? consoles().writtenErr : consoles().writtenOut;
}

export function randomU64(): u64 {
  return prngU64(changetype<usize>(consoles()) + offsetof<Consoles>("random"));
}

/** Asks the host; suspends the task meanwhile. Returns its answer. */
function askHost(kind: u32, buffer: usize, lenBytes: u32, position: u64): i64 {
  const call = changetype<HostCall>(currentTask().hostCall);
  call.kind = kind;
  call.arg0 = buffer;
  call.arg1 = lenBytes;
  call.arg2 = position;
  waitForHost();
  return changetype<HostCall>(currentTask().hostCall).result;
}

function consoleWrite(stream: u32, user: u64, count: u32): i64 {
  assert(stream == STREAM_OUT || stream == STREAM_ERR, "[dev-1] the console has two streams");
  let done: u32 = 0;
  while (done < count) {
    const written = consoleWritten(stream);
    const room = HALF_RING - <u32>(written % HALF_RING);
    const n = count - done < room ? count - done : room;
    const at = consoleRing(stream) + <u32>(written % CONSOLE_RING);
    if (copyFromUser(at, user + done, n) != 0) return done != 0 ? <i64>done : -EFAULT;
    if (stream == STREAM_ERR) consoles().writtenErr += n;
    else consoles().writtenOut += n;
    done += n;
    assert(done <= count, "a write takes no more than it was given");
    if (n == room) askHost(CALL_CONSOLE_FLUSH, 0, 0, 0);
  }
  return done;
}

function consoleRead(user: u64, count: u32): i64 {
  const buffer = scratchAllocLong();
  if (buffer == 0) return -ENOMEM;
  const n = askHost(CALL_CONSOLE_READ, buffer, count < PAGE_SIZE ? count : PAGE_SIZE, consoles().bytesRead);
  assert(n <= <i64>count, "[dev-2] the host gives no more than was asked for");
  let result: i64 = n;
  if (n > 0) {
    consoles().bytesRead += <u64>n;
    if (copyToUser(user, buffer, <u32>n) != 0) result = -EFAULT;
  }
  scratchFree(buffer);
  return result;
}

/** Fills user memory with zeros or random bytes. */
export function fillUser(user: u64, count: u32, isRandom: bool): i64 {
  const buffer = scratchAllocLong();
  if (buffer == 0) return -ENOMEM;
  memory.fill(buffer, 0, PAGE_SIZE);
  let done: u32 = 0;
  let result: i64 = 0;
  while (done < count) {
    const n = count - done < PAGE_SIZE ? count - done : PAGE_SIZE;
    if (isRandom) for (let at: u32 = 0; at < n; at += 8) store<u64>(buffer + at, randomU64());
    if (copyToUser(user + done, buffer, n) != 0) {
      result = -EFAULT;
      break;
    }
    done += n;
  }
  scratchFree(buffer);
  return done != 0 ? <i64>done : result;
}

/** read(2) and write(2) on a device. */
export function deviceTransfer(inode: Inode, user: u64, count: u32, write: bool): i64 {
  const device = <u32>inode.fsPrivate;
  if (write) return device <= STREAM_ERR ? consoleWrite(device, user, count) : <i64>count;
  switch (device) {
    case DEVICE_NULL: return 0;
    case DEVICE_ZERO: return fillUser(user, count, false);
    case DEVICE_RANDOM: return fillUser(user, count, true);
    case STREAM_OUT: case STREAM_ERR: return consoleRead(user, count);
    default: return -EIO;
  }
}

function deviceInode(parent: Dentry, device: u32): Inode {
  const inode = inodeAlloc(parent.inode.sb, S_IFCHR | 0x1b6);
  if (!isNullInode(inode)) inode.fsPrivate = device;
  return inode;
}

/** Gives a device a name of up to eight bytes. */
function nameDevice(parent: Dentry, inode: Inode, text: string): bool {
  if (isNullInode(inode)) return false;
  const name = fsState().path;
  const lenBytes = <u32>text.length;
  assert(lenBytes <= 8, "a device's name is short");
  for (let i: u32 = 0; i < lenBytes; i++) store<u8>(name + i, <u8>text.charCodeAt(i));
  const dentry = dentryAlloc(name, lenBytes);
  if (isNullDentry(dentry)) return false;
  dentryLink(parent, dentry, inode);
  return true;
}

function makeDevice(parent: Dentry, device: u32, text: string): bool {
  const inode = deviceInode(parent, device);
  const ok = nameDevice(parent, inode, text);
  if (ok) iput(inode);
  return ok;
}

/** Makes the devices in /dev. Returns false when memory is too small. */
export function devicesInit(dev: Dentry): bool {
  const at = bootAlloc(offsetof<Consoles>(), 8);
  const rings = bootAlloc(CONSOLE_RING * 2, 64);
  if (at == 0 || rings == 0) return false;
  fsState().consoles = at;
  consoles().ringOut = rings;
  consoles().ringErr = rings + CONSOLE_RING;
  prngSeed(at + offsetof<Consoles>("random"), bootConfig().seed ^ 0x5eed_0fde_1ce5);
  const out = deviceInode(dev, STREAM_OUT);
  if (!nameDevice(dev, out, "console") || !nameDevice(dev, out, "tty")) return false;
  const err = deviceInode(dev, STREAM_ERR);
  if (!nameDevice(dev, err, "stderr")) return false;
  iput(out);
  iput(err);
  if (!makeDevice(dev, DEVICE_NULL, "null") || !makeDevice(dev, DEVICE_ZERO, "zero")) return false;
  return makeDevice(dev, DEVICE_RANDOM, "random") && makeDevice(dev, DEVICE_RANDOM, "urandom");
}
