/**
 * What the page is doing, and what went wrong.
 *
 * Interface: StatusLine, FailurePanel.
 * Invariants: [stat-1] a screen reader hears of each finished run and of the end, not of every step in between.
 * Locks: none.
 * Why not an alert box: the message of a panic is a page of text with a command to paste.
 */
import { useEffect, useState } from "preact/hooks";
import { CopyButton } from "./copy-button.js";
import { type Status, badField, status } from "./state.js";

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** What is said aloud when it changes. */
function announcement(s: Status): string {
  switch (s.kind) {
    case "loading":
      return "Loading the kernel.";
    case "ready":
      return "Ready.";
    case "running":
      return `${s.done} of ${s.total} runs done.`;
    case "done":
      return `${s.runs} ${s.runs === 1 ? "run" : "runs"} done in ${seconds(s.tookMs)} of host time.`;
    case "cancelled":
      return `Cancelled after ${s.done} of ${s.total} runs.`;
    case "failed":
      return `${s.failure.title}.`;
  }
}

/** Progress beside what is said aloud: the clock and the step change too often to be spoken. */
function RunningLine({ s }: { s: Extract<Status, { kind: "running" }> }) {
  const [nowMs, tick] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => tick(performance.now()), 200);
    return () => clearInterval(timer);
  }, []);
  const left = s.leftMs === undefined ? "" : `, about ${seconds(s.leftMs)} left`;
  return (
    <>
      <progress max={1} value={s.share} aria-label="Simulated time done" />
      <span class="doing">
        {s.doing}; {seconds(Math.max(0, nowMs - s.startMs))}
        {left}
      </span>
    </>
  );
}

export function StatusLine() {
  const s = status.value;
  return (
    <div class={`status ${s.kind}`} data-kind={s.kind}>
      <p role="status" aria-live="polite">
        {announcement(s)}
      </p>
      {s.kind === "running" && <RunningLine s={s} />}
    </div>
  );
}

export function FailurePanel() {
  // What is wrong with a field is said at the field.
  if (status.value.kind !== "failed" || badField.value !== undefined) return null;
  const { title, message, command } = status.value.failure;
  return (
    <section class="failure" aria-labelledby="failure-title">
      <div role="alert">
        <h3 id="failure-title">{title}</h3>
      </div>
      <pre tabIndex={0} aria-label="What went wrong">
        {message}
      </pre>
      <p>
        Again in a terminal: <code>{command}</code> <CopyButton text={command} what="command" />
      </p>
    </section>
  );
}
