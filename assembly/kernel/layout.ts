/*
 * Layouts for the host, by name: where the fields of BootConfig and Task lie.
 *
 * Interface: configFieldName(i), configFieldOffset(i), taskFieldName(i), taskFieldOffset(i).
 * Invariants: [lay-1] every field a host uses is here; a host never counts offsets by itself.
 * Locks: none.
 * Why not a generated header: the compiler knows offsets; asking it needs no build step.
 */
import { BootConfig } from "../config";
import { TASK_HOST_CALL_OFFSET, TASK_OP_OFFSET, Task } from "../sched/state";

export function configFieldName(i: u32): string {
  switch (i) {
    case 0: return "seed";
    case 1: return "cpus";
    case 2: return "sockets";
    case 3: return "frames";
    case 4: return "memoryBytes";
    case 5: return "maxTasks";
    case 6: return "saveAreaBytes";
    case 7: return "tlbEntries";
    case 8: return "arenaBytes";
    case 9: return "traceEvents";
    case 10: return "traceOn";
    case 11: return "choicePolicy";
    case 12: return "choiceLog";
    case 13: return "faultLock";
    case 14: return "mkwrite";
    case 15: return "diskBlocks";
    case 16: return "sliceNs";
    case 17: return "raPages";
    case 18: return "faultAroundPages";
    case 19: return "pagePoison";
    case 20: return "skewNs";
    case 21: return "bacikDefects";
    case 22: return "scriptedFs";
    case 23: return "recorders";
    case 24: return "codePages";
    default: return "";
  }
}

export function configFieldOffset(i: u32): u32 {
  switch (i) {
    case 0: return offsetof<BootConfig>("seed");
    case 1: return offsetof<BootConfig>("cpus");
    case 2: return offsetof<BootConfig>("sockets");
    case 3: return offsetof<BootConfig>("frames");
    case 4: return offsetof<BootConfig>("memoryBytes");
    case 5: return offsetof<BootConfig>("maxTasks");
    case 6: return offsetof<BootConfig>("saveAreaBytes");
    case 7: return offsetof<BootConfig>("tlbEntries");
    case 8: return offsetof<BootConfig>("arenaBytes");
    case 9: return offsetof<BootConfig>("traceEvents");
    case 10: return offsetof<BootConfig>("traceOn");
    case 11: return offsetof<BootConfig>("choicePolicy");
    case 12: return offsetof<BootConfig>("choiceLog");
    case 13: return offsetof<BootConfig>("faultLock");
    case 14: return offsetof<BootConfig>("mkwrite");
    case 15: return offsetof<BootConfig>("diskBlocks");
    case 16: return offsetof<BootConfig>("sliceNs");
    case 17: return offsetof<BootConfig>("raPages");
    case 18: return offsetof<BootConfig>("faultAroundPages");
    case 19: return offsetof<BootConfig>("pagePoison");
    case 20: return offsetof<BootConfig>("skewNs");
    case 21: return offsetof<BootConfig>("bacikDefects");
    case 22: return offsetof<BootConfig>("scriptedFs");
    case 23: return offsetof<BootConfig>("recorders");
    default: return offsetof<BootConfig>("codePages");
  }
}

export function taskFieldName(i: u32): string {
  switch (i) {
    case 0: return "id";
    case 1: return "tgid";
    case 2: return "parent";
    case 3: return "state";
    case 4: return "cpu";
    case 5: return "exitCode";
    case 6: return "op";
    case 7: return "minFlt";
    case 8: return "majFlt";
    case 9: return "fatalSignal";
    case 10: return "hostCall";
    default: return "";
  }
}

export function taskFieldOffset(i: u32): u32 {
  switch (i) {
    case 0: return offsetof<Task>("id");
    case 1: return offsetof<Task>("tgid");
    case 2: return offsetof<Task>("parent");
    case 3: return offsetof<Task>("state");
    case 4: return offsetof<Task>("cpu");
    case 5: return offsetof<Task>("exitCode");
    case 6: return TASK_OP_OFFSET;
    case 7: return offsetof<Task>("minFlt");
    case 8: return offsetof<Task>("majFlt");
    case 9: return offsetof<Task>("fatalSignal");
    default: return TASK_HOST_CALL_OFFSET;
  }
}
