/**
 * A broken law of the kernel as one Error that says what happened, where, when, and how to see it again.
 */
import type { TraceEvent } from "./trace.js";

export interface PanicContext {
  seed: number;
  /** Simulated time, ns. */
  timeNs: number;
  cpu: number;
  /** Task that ran, 0 in the dispatcher. */
  task: number;
  /** The last events of the trace, oldest first. */
  trace: TraceEvent[];
  /** Lock classes held when a lock order was broken, and those of the opposite order. */
  lockChains?: { held: string[]; opposite: string[] };
  /** The command that shows the panic again. */
  command: string;
}

function traceLine(event: TraceEvent): string {
  const time = (event.timeNs / 1000).toFixed(3).padStart(12);
  return `${time} us  cpu ${event.cpu}  task ${event.task}  ${event.name}  0x${event.a.toString(16)} 0x${event.b.toString(16)}`;
}

/** A kernel assert or trap. The machine is dead afterwards. */
export class KernelPanic extends Error {
  constructor(
    /** The law, as the kernel's assert words it. */
    readonly law: string,
    /** File, line and column of the assert. */
    readonly place: string,
    readonly context: PanicContext,
  ) {
    super(KernelPanic.describe(law, place, context));
    this.name = "KernelPanic";
  }

  private static describe(law: string, place: string, c: PanicContext): string {
    const lines = [`kernel panic: ${law}`, `  at ${place}`];
    lines.push(`  seed ${c.seed}, simulated time ${c.timeNs} ns, CPU ${c.cpu}, task ${c.task}`);
    if (c.lockChains) {
      lines.push(`  held now:        ${c.lockChains.held.join(" -> ")}`);
      lines.push(`  opposite order:  ${c.lockChains.opposite.join(" -> ")}`);
    }
    if (c.trace.length > 0) {
      lines.push(`  last ${c.trace.length} events:`);
      for (const event of c.trace) lines.push(`    ${traceLine(event)}`);
    } else lines.push("  no trace: the machine was made with tracing off");
    lines.push(`  again: ${c.command}`);
    return lines.join("\n");
  }
}
