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
import { TASK_UNINTERRUPTIBLE, currentTask, sched } from "../sched/state";
import { Process, killProcess } from "./process";
import { kernelState } from "./state";

/** How long an allocation waits for a victim to go before it looks again, ns. */
const VICTIM_WAIT_NS: u64 = 100_000;

function worst(): MmStruct {
  const head = changetype<usize>(mmState().mmList);
  let best = changetype<MmStruct>(0);
  let bestRss: u32 = 0;
  for (let link: usize = mmState().mmList.next; link != head; link = changetype<ListHead>(link).next) {
    const mm = mmOfList(link);
    if (mm.owner == 0 || mm.users == 0) continue;
    // [oom-1] One is dying already.
    if ((mm.flags & MMF_OOM_VICTIM) != 0) return mm;
    const score = mm.rssAnon + mm.rssFile + mm.nrTables;
    if (isNullMm(best) || score > bestRss) {
      best = mm;
      bestRss = score;
    }
  }
  return best;
}

/** Kills, or waits for the one that is being killed. False when there is nobody to kill or the caller is the victim. */
export function oomKill(): bool {
  const victim = worst();
  const task = currentTask();
  if (isNullMm(victim)) return false;
  if ((victim.flags & MMF_OOM_VICTIM) == 0) {
    victim.flags |= MMF_OOM_VICTIM;
    const process = changetype<Process>(victim.owner);
    mmState().oomKills++;
    kernelState().lastOomPid = process.pid;
    kernelState().lastOomRss = victim.rssAnon + victim.rssFile;
    traceEmit(sched().clockNs, TP_OOM_MARK_VICTIM, sched().cpu.id, task.id, process.pid, victim.rssAnon + victim.rssFile);
    killProcess(process, 9);
  }
  if (task.fatalSignal != 0) return false;
  currentTask().state = TASK_UNINTERRUPTIBLE;
  scheduleTimeout(VICTIM_WAIT_NS);
  return currentTask().fatalSignal == 0;
}
