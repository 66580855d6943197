/*
 * Contended words as cache lines: a line has an owner CPU and a time until which it is busy, so that taking a shared lock for
 * reading costs what it costs on metal: the transfer of the line from the CPU that touched it last, after those that queue.
 *
 * Interface: CacheLine, touchLine(line), lineReset.
 * Invariants: [line-1] a line is busy for one requester at a time; a later requester starts when the former is done.
 * Locks: none; a touch is atomic for the emulator.
 * Why not count only: without the wait, down_read would scale and mmap_sem's curve would be wrong (DESIGN D3).
 *
 * The price of a transfer grows with the requests outstanding (C_LINE_CONTENDER each): a home agent arbitrates among
 * requesters, and lost rounds travel over the interconnect again.
 */
import { COST_TABLE } from "../memlayout";
import { CHOICE_POLICY_EXPLORE } from "./choice";
import { C_ATOMIC_LOCAL, C_LINE_CONTENDER, C_LINE_CROSS_SOCKET, C_LINE_SAME_SOCKET } from "./cost";
import { sched } from "./state";

@unmanaged
export class CacheLine {
  busyUntilNs: u64;
  /** CPU id + 1 of the last CPU that wrote the line; 0: in nobody's cache. */
  owner: u16;
  /** Socket of the owner. */
  socket: u16;
  /** ns that the last transfer took, to estimate how many wait. */
  lastNs: u16;
  /** Touches in a row by the owner since the line last moved, up to PRIVATE_STREAK. */
  streak: u16;
}

/** A line that its owner alone has touched so often, or that nobody else ever has, counts as private (sched/core syncLine). */
export const PRIVATE_STREAK: u16 = 64;

export function lineReset(line: CacheLine): void {
  line.busyUntilNs = 0;
  line.owner = 0;
  line.socket = 0;
  line.lastNs = 0;
  line.streak = 0;
}

/** An atomic read-modify-write of the line by the running CPU: charges the clock. */
export function touchLine(line: CacheLine): void {
  const s = sched();
  const now = s.clockNs;
  // Explored orders are not timed: a line would make steps that only come near each other look as if they met.
  if (EXPLORE && s.choicePolicy == CHOICE_POLICY_EXPLORE) {
    s.clockNs = now + load<u32>(COST_TABLE + (C_ATOMIC_LOCAL << 2));
    return;
  }
  const me = <u16>(s.cpu.id + 1);
  if (line.owner == me && line.busyUntilNs <= now) {
    s.clockNs = now + load<u32>(COST_TABLE + (C_ATOMIC_LOCAL << 2));
    line.busyUntilNs = s.clockNs;
    if (line.streak < PRIVATE_STREAK) line.streak++;
    return;
  }
  transferLine(line, me, now);
}

function transferLine(line: CacheLine, me: u16, now: u64): void {
  const s = sched();
  const socket = <u16>s.cpu.socket;
  line.streak = line.owner == 0 ? PRIVATE_STREAK : 0;
  let price: u32 = load<u32>(COST_TABLE + (C_ATOMIC_LOCAL << 2));
  if (line.owner != 0 && line.owner != me) {
    const id = line.socket == socket ? C_LINE_SAME_SOCKET : C_LINE_CROSS_SOCKET;
    price += load<u32>(COST_TABLE + (id << 2));
    s.lineTransfers++;
  }
  let start = now;
  if (line.busyUntilNs > now) {
    start = line.busyUntilNs;
    const waitNs = start - now;
    // A wait beyond 32 bits is of more waiters than there are CPUs; within, the host divides twice as fast.
    let waiters: u32 = waitNs > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>waitNs / (line.lastNs == 0 ? 1 : <u32>line.lastNs);
    if (waiters > s.nCpus) waiters = s.nCpus;
    price += waiters * load<u32>(COST_TABLE + (C_LINE_CONTENDER << 2));
  }
  line.owner = me;
  line.socket = socket;
  line.lastNs = price > 0xffff ? 0xffff : <u16>price;
  s.clockNs = start + price;
  line.busyUntilNs = s.clockNs;
}
