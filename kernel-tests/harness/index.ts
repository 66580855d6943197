/*
 * The test harness: a module of the lower rooms with flat exports; nothing but exports.
 *
 * Interface: every function and constant of the rooms by its own name, and one part per room for what needs a machine around it.
 * Invariants: [har-1] a part boots only the rooms it tests and those below.
 * Locks: none.
 * Why not the kernel's ABI: it is for hosts; a test wants the inside of a room, and rooms tested without those above.
 */
export * from "../../assembly/config";
export * from "../../assembly/memlayout";
export * from "../../assembly/lib/bitmap";
export * from "../../assembly/lib/crc32c";
export * from "../../assembly/lib/errno";
export * from "../../assembly/lib/fault-sites";
export * from "../../assembly/lib/histogram";
export * from "../../assembly/lib/interval-tree";
export * from "../../assembly/lib/list";
export * from "../../assembly/lib/prng";
export * from "../../assembly/lib/slab";
export * from "../../assembly/lib/trace";
export * from "../../assembly/lib/xarray";
export * from "../../assembly/tracepoints";
export * from "../../assembly/sched/cache-line";
export * from "../../assembly/sched/choice";
export * from "../../assembly/sched/core";
export * from "../../assembly/sched/cost";
export * from "../../assembly/sched/cpu-tree";
export * from "../../assembly/sched/event";
export * from "../../assembly/sched/lock-class";
export * from "../../assembly/sched/lockdep";
export * from "../../assembly/sched/lock-wait";
export * from "../../assembly/sched/state";
export * from "../../assembly/sched/switch";
export * from "../../assembly/sched/task";
export * from "../../assembly/cpu/access";
export * from "../../assembly/cpu/touch";
export * from "../../assembly/cpu/mmu";
export * from "../../assembly/cpu/pte";
export * from "../../assembly/cpu/tlb";
export * from "../../assembly/sched/rwsem";
export * from "./block";
export * from "./events";
export * from "./machine";
export * from "./mmu";
export * from "./program";
