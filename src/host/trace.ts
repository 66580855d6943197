/**
 * The trace ring, decoded.
 */

export interface TraceEvent {
  /** Simulated time, ns. */
  timeNs: number;
  /** Linux's tracepoint name, "group:event". */
  name: string;
  cpu: number;
  /** Task id, 0 for none. */
  task: number;
  a: bigint;
  b: bigint;
}

const EVENT_BYTES = 32;

/** The last `count` events of a ring of `capacity` slots that has seen `total` events, oldest first. */
export function decodeTrace(
  buffer: ArrayBufferLike,
  ring: number,
  capacity: number,
  total: number,
  names: readonly string[],
  count = capacity,
): TraceEvent[] {
  const view = new DataView(buffer);
  const events: TraceEvent[] = [];
  const first = Math.max(0, total - Math.min(capacity, count));
  for (let seq = first; seq < total; seq++) {
    const at = ring + (seq % capacity) * EVENT_BYTES;
    const id = view.getUint16(at + 8, true);
    events.push({
      timeNs: Number(view.getBigUint64(at, true)),
      name: names[id] ?? `event-${id}`,
      cpu: view.getUint16(at + 10, true),
      task: view.getUint32(at + 12, true),
      a: view.getBigUint64(at + 16, true),
      b: view.getBigUint64(at + 24, true),
    });
  }
  return events;
}
