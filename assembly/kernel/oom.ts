/*
 * Out of memory: the process with the most anonymous memory is killed, and says why.
 *
 * Interface: oomKill() (MmState.oomFn).
 * Invariants:
 *   [oom-1] a victim is killed once; until it has exited nobody else is chosen.
 *   [oom-2] the cause is in the trace (oom:mark_victim) and in the counters, with pid and size.
 * Locks: none.
 * Why not swap: it would add IO to every anonymous fault's worst case and no lock that page_mkwrite meets (DECISIONS).
 */
import { ListHead } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { TP_OOM_MARK_VICTIM } from "../tracepoints";
import { MMF_OOM_VICTIM, MmStruct, isNullMm, mmOfList } from "../mm/mm-struct";
import { mmState } from "../mm/state";
import { scheduleTimeout } from "../sched/core";
import { TASK_UNINTERRUPTIBLE, currentTask, isNullTask, sched, taskAt } from "../sched/state";
import { Process, killProcess, processOf } from "./process";
import { kernelState } from "./state";

/** How long an allocation waits for a victim to go before it looks again, ns. */
const VICTIM_WAIT_NS: u64 = 100_000;

/** A process that runs in the address space, or null. Its first process may be gone: CLONE_VM shares, readers of /proc pin. */
function userOf(mm: MmStruct): Process {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.mm == changetype<usize>(mm) && task.process != 0) return processOf(task);
  }
  return changetype<Process>(0);
}

/** The address space to go: one that is going already, or the largest. Null: there is none. */
function worst(): MmStruct {
  const head = changetype<usize>(mmState().mmList);
  let best = changetype<MmStruct>(0);
  let bestScore: u32 = 0;
  for (let link: usize = mmState().mmList.next; link != head; link = changetype<ListHead>(link).next) {
    const mm = mmOfList(link);
    // [oom-1] One is dying already.
    if ((mm.flags & MMF_OOM_VICTIM) != 0) return mm;
    if (changetype<usize>(userOf(mm)) == 0) continue;
    const score = mm.rssAnon + mm.rssFile + mm.nrTables;
    if (isNullMm(best) || score > bestScore) {
      best = mm;
      bestScore = score;
    }
  }
  return best;
}

/** Kills every process that runs in the address space. */
function killUsers(mm: MmStruct): void {
  const s = sched();
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const task = taskAt(slot);
    if (task.mm != changetype<usize>(mm) || task.process == 0) continue;
    if (processOf(task).exiting == 0) killProcess(processOf(task), 9);
  }
}

/** Kills, or waits for the one that is being killed. False when there is nobody to kill or the caller is the victim. */
export function oomKill(): bool {
  const task = currentTask();
  // The host asks for memory between two steps: nothing can be waited for.
  if (isNullTask(task)) return false;
  const victim = worst();
  if (isNullMm(victim)) return false;
  if ((victim.flags & MMF_OOM_VICTIM) == 0) {
    victim.flags |= MMF_OOM_VICTIM;
    const process = userOf(victim);
    mmState().oomKills++;
    kernelState().lastOomPid = process.pid;
    kernelState().lastOomRss = victim.rssAnon + victim.rssFile;
    traceEmit(sched().clockNs, TP_OOM_MARK_VICTIM, sched().cpu.id, task.id, process.pid, victim.rssAnon + victim.rssFile);
    killUsers(victim);
  }
  if (task.fatalSignal != 0) return false;
  currentTask().state = TASK_UNINTERRUPTIBLE;
  scheduleTimeout(VICTIM_WAIT_NS);
  return currentTask().fatalSignal == 0;
}
