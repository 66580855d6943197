/*
 * The host's calls, each a line or two: what index.ts exports.
 *
 * Interface: see index.ts.
 * Invariants: [abi-1] numbers in, numbers out; times are f64 ns (exact to 2^53).
 * Locks: none.
 * Why not inside the rooms: a room's functions take structs; the host has only addresses.
 */
import { histField as field, histPercentile as percentile } from "../lib/histogram";
import { SITE_PAGE, SITE_SLAB, siteArm, siteHits, siteSeen } from "../lib/fault-sites";
import { mutantName as nameOfMutant, mutantReached as reachedMutant, mutantSelect as selectMutant } from "../lib/mutant";
import { slabObjects } from "../lib/slab";
import { traceCount as count, traceState } from "../lib/trace";
import { BOOT_CONFIG, COST_TABLE, PAGE_SHIFT, SCRIPTED_FS } from "../memlayout";
import { TP_COUNT, tracepointName as tpName } from "../tracepoints";
import { BLOCK_FSCK_BASE, blockFsckLaw } from "../fs/block/fsck-state";
import { fsckLaw } from "../fs/cowfs/fsck";
import { blockImageBase as imageBase, blockImageBytes as imageBytes } from "../block/disk";
import { Bio, bioVec } from "../block/bio";
import { inFlightNext } from "../block/request-queue";
import { DISK_FAULTS, DISK_MODEL, blockState } from "../block/state";
import { blockLogBase as logBase, blockLogCapacity as logCapacity, blockLogData as logData, writeLogReset } from "../block/write-log";
import { faultLockName as regimeName } from "../mm/fault-lock";
import { mkwriteName as regimeOfMkwrite } from "../mm/mkwrite";
import { MmStruct } from "../mm/mm-struct";
import { mmState } from "../mm/state";
import { choiceState } from "../sched/choice";
import { dispatch, hostAnswered as answered } from "../sched/core";
import { COST_COUNT, costName as nameOfCost } from "../sched/cost";
import { LC_COUNT, lockClassName as className } from "../sched/lock-class";
import { LockStat, lockStat, lockdepState } from "../sched/lockdep";
import { lockWaitHistogram as waitHistogram } from "../sched/lock-wait";
import { TASK_ZOMBIE, Task, isNullTask, sched } from "../sched/state";
import { guestExitSeen, guestResume as resume, taskById, taskReap } from "../sched/task";
import { checkMachine as check } from "./check";
import { guestEntry, opBuffer as bufferOf, unpark as wakeParked } from "./guest";
import { recorderAt } from "./io-batch";
import { CONSOLE_RING, consoleRing as ringOf, consoleWritten as writtenTo } from "../fs/devices";
import { unknownCalls as unknownCallsOf } from "./system-call";
import { procText, taskOfPid } from "./procfs";
import { spawnProcess as spawn } from "./process";
import { kernelState } from "./state";

function text(s: string): u32 {
  return <u32>changetype<usize>(s);
}

export function configPtr(): u32 {
  return <u32>BOOT_CONFIG;
}

export function costTablePtr(): u32 {
  return <u32>COST_TABLE;
}

export function costCount(): u32 {
  return COST_COUNT;
}

export function costName(id: u32): u32 {
  return text(nameOfCost(id));
}

export function lockClassName(id: u32): u32 {
  return text(id < LC_COUNT ? className(id) : "");
}

export function tracepointName(id: u32): u32 {
  return text(id < TP_COUNT ? tpName(id) : "");
}

export function faultLockName(id: u32): u32 {
  return text(regimeName(id));
}

export function mkwriteName(id: u32): u32 {
  return text(regimeOfMkwrite(id));
}

/** A new process whose first operation is a NOP. Returns its tid or -errno. */
export function spawnProcess(pinnedCpu: i32): i32 {
  return spawn(guestEntry, pinnedCpu);
}

/** Runs until untilNs of simulated time. Returns RUN_*. */
export function run(untilNs: f64): u32 {
  return dispatch(untilNs >= 9.2e18 ? u64.MAX_VALUE - 1 : <u64>untilNs);
}

export function guestTask(): u32 {
  return <u32>changetype<usize>(sched().guestTask);
}

export function currentTaskPtr(): u32 {
  return <u32>changetype<usize>(sched().current);
}

export function guestResume(task: u32): void {
  resume(changetype<Task>(<usize>task));
}

/** The host has carried out, or answered, what a task inside the kernel waits for. */
export function hostAnswered(task: u32): void {
  answered(changetype<Task>(<usize>task));
}

/** Wakes a parked guest. 0: there is none of that id. */
export function unpark(tid: u32): u32 {
  const task = taskById(tid);
  return !isNullTask(task) && wakeParked(task) ? 1 : 0;
}

/** Where the host writes the names of filesystems in TypeScript, before boot. */
export function scriptedFsTable(): u32 {
  return <u32>SCRIPTED_FS;
}

/** The host has dropped the guest of a zombie: its slot is free again. */
export function guestExited(task: u32): void {
  const t = changetype<Task>(<usize>task);
  assert(t.state == TASK_ZOMBIE, "only a zombie has exited");
  guestExitSeen(t);
  taskReap(t);
}

export function opBuffer(task: u32): u32 {
  return bufferOf(changetype<Task>(<usize>task));
}

export function nowNs(): f64 {
  return <f64>sched().machineNs;
}

/** Bytes of memory that may differ from zero: a snapshot is a copy of them. */
export function usedBytes(): u32 {
  return mmState().highPfn << PAGE_SHIFT;
}

export function inspect(kind: u32, pid: u32): i32 {
  return procText(kind, pid);
}

export function inspectPtr(): u32 {
  return <u32>kernelState().text;
}

/** Physical address of a process's root page table, as its satp would hold it; 0 without such a process. */
export function pageTableRoot(pid: u32): u32 {
  const task = taskOfPid(pid);
  return isNullTask(task) ? 0 : changetype<MmStruct>(task.mm).root;
}

export function checkMachine(): void {
  check();
}

/** Fields of lock_stat in the order of struct LockStat; times in ns. */
export function lockStatField(classId: u32, mode: u32, index: u32): f64 {
  assert(index < 8, "lock_stat has eight fields");
  return <f64>load<u64>(changetype<usize>(lockStat(classId, mode)) + (index << 3));
}

/** The lockdep report: 0 reported, 1 task, 2 class taken, 3 class held, 4..11 new chain, 12..19 old chain. */
export function lockdepClass(index: u32): u32 {
  const d = lockdepState();
  if (index == 0) return d.reported;
  if (index == 1) return d.taskId;
  if (index == 2) return d.takenClass;
  if (index == 3) return d.heldClass;
  if (index < 12) return <u32>(d.newChain >> ((index - 4) << 3)) & 0xff;
  return <u32>(d.oldChain >> ((index - 12) << 3)) & 0xff;
}

export function faultHistogram(): u32 {
  return <u32>mmState().faultHist;
}

/** Wait histogram of a lock class (0 read, 1 write), 0 for a class that has none. */
export function lockWaitHistogram(classId: u32, mode: u32): u32 {
  return <u32>waitHistogram(classId, mode);
}

/** Histogram of what guests recorded under a number, 0 for none. */
export function recorderHistogram(id: u32): u32 {
  return <u32>recorderAt(id);
}

export function histPercentile(at: u32, p: f64): f64 {
  return percentile(at, p);
}

export function histField(at: u32, index: u32): f64 {
  return field(at, index);
}

export function tracePtr(): u32 {
  return <u32>traceState().ring;
}

export function traceCapacity(): u32 {
  return traceState().mask + 1;
}

export function traceSeq(): f64 {
  return <f64>traceState().seq;
}

export function traceCount(id: u32): f64 {
  return id < TP_COUNT ? <f64>count(id) : 0;
}

export function traceEnable(on: u32): void {
  traceState().enabled = on;
}

/** The disk's latency model and its faults: u32 fields in the order of block/state.ts; the host writes them. */
export function diskModelPtr(): u32 {
  return <u32>DISK_MODEL;
}

export function diskFaultsPtr(): u32 {
  return <u32>DISK_FAULTS;
}

export function choiceLogPtr(): u32 {
  return <u32>choiceState().log;
}

export function choiceLogMade(): u32 {
  return choiceState().made;
}

export function choiceScriptPtr(): u32 {
  return <u32>choiceState().script;
}

export function choiceScriptSet(length: u32): void {
  assert(length <= choiceState().capacity, "the script fits its buffer");
  choiceState().scriptLength = length;
  choiceState().scriptNext = 0;
}

export function blockImageBase(): u32 {
  return <u32>imageBase();
}

export function blockImageBytes(): u32 {
  return imageBytes();
}

export function blockLogBase(): u32 {
  return <u32>logBase();
}

export function blockLogCapacity(): u32 {
  return logCapacity();
}

export function blockLogData(): u32 {
  return <u32>logData();
}

/** Sequence numbers of the log: 0 the oldest entry that no flush covers, 1 the next one to be made. */
export function blockLogSeq(which: u32): f64 {
  return which == 0 ? <f64>blockState().oldestSeq : <f64>blockState().nextSeq;
}

/** The host has put an image on the disk, which stands still: it is durable. */
export function blockLogReset(): void {
  writeLogReset();
}

/** Walks the bios at the disk: 0 gives the first, 0 comes at the end. */
export function blockInFlightNext(bio: u32): u32 {
  return <u32>changetype<usize>(inFlightNext(changetype<Bio>(<usize>bio)));
}

/** A field of a bio: 0 op, 1 sector, 2 number, 3 pieces, 4 phase of its request, 5 address of the pieces (BioVec). */
export function blockBioField(at: u32, field: u32): u32 {
  const bio = changetype<Bio>(<usize>at);
  switch (field) {
    case 0: return bio.op;
    case 1: return <u32>bio.sector;
    case 2: return bio.id;
    case 3: return bio.vecs;
    case 4: return bio.requestHead.phase;
    default: return <u32>changetype<usize>(bioVec(bio, 0));
  }
}

/** What law n of a check is about. */
export function fsckLawName(n: u32): u32 {
  return text(<i32>n > BLOCK_FSCK_BASE ? blockFsckLaw(<i32>n) : fsckLaw(<i32>n));
}

/** The console: the ring of a stream (1 out, 2 err), 0 on a machine without programs; bytes ever written to it; the ring's size. */
export function consoleRing(stream: u32): u32 {
  return <u32>ringOf(stream);
}

export function consoleWritten(stream: u32): f64 {
  return <f64>writtenTo(stream);
}

export function consoleRingBytes(): u32 {
  return CONSOLE_RING;
}

/** How often programs and guests called number nr, which the kernel does not have. */
export function unknownCalls(nr: u32): u32 {
  return unknownCallsOf(nr);
}

/** The nth page allocation from now fails; 0 turns it off. */
export function failPageAfter(n: u32): void {
  siteArm(SITE_PAGE, n, 1);
}

/** The nth slab allocation from now fails; 0 turns it off. */
export function failSlabAfter(n: u32): void {
  siteArm(SITE_SLAB, n, 1);
}

/** The sites of a kind (lib/fault-sites.ts) fail from the first-th on, `count` of them; 0 turns it off. */
export function siteFail(kind: u32, first: u32, count: u32): void {
  siteArm(kind, first, count);
}

/** Sites of a kind since siteFail: reached (which 0), failed (1). */
export function siteCount(kind: u32, which: u32): u32 {
  return which == 0 ? siteSeen(kind) : siteHits(kind);
}

/** Slab objects that are allocated now, of the caches of that name. */
export function slabObjectsOf(nameId: u32): u32 {
  return slabObjects(nameId);
}

/** The host's view of lock_stat's layout, checked at compile time. */
if (offsetof<LockStat>() != 64) ERROR("lock_stat has eight u64 fields");

/** Names of the mutants from number 0, "healthy", on; none in a build without them. */
export function mutantName(id: u32): u32 {
  return text(nameOfMutant(id));
}

/** Selects a mutant; 0: none. 0 when there is no such number. */
export function mutantSelect(id: u32): u32 {
  assert(isNullTask(sched().current), "[mut-2] a mutant is selected between two steps of the machine");
  return selectMutant(id) ? 1 : 0;
}

/** 1 once the selected mutant has made its slip. */
export function mutantReached(): u32 {
  return reachedMutant() ? 1 : 0;
}
