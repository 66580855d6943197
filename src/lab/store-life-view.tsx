/**
 * The life of one store, told: statement by statement, event by event, bit by bit.
 *
 * Interface: StoreLifeView.
 * Invariants: [view-1] what is told is what storeLife brought from the machine.
 * Locks: none.
 * Why not an animation: the order is the lesson, and a list can be read, searched and printed.
 */
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES } from "../host/config.js";
import { PTE_FLAGS, type PageTableStep } from "../host/page-table.js";
import type { TraceEvent } from "../host/trace.js";
import { formatNs } from "../report/format.js";
import { FILESYSTEMS } from "../sim/describe.js";
import { explain, explainSilence } from "./explain.js";
import { type Failure, story, storyOptions, tellStory } from "./state.js";
import { FIRST_ACCESSES, type LifeStep, type StoreLife, type StoreLifeOptions } from "./store-life.js";

/** The leaf entry of a walk; 0 when the walk ends above it. */
function leafOf(walk: readonly PageTableStep[]): bigint {
  const last = walk.at(-1);
  return last?.level === 0 ? last.entry : 0n;
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** One entry: its frame number and flags from D down to V, as the manual draws them. */
function Entry({ label, entry, other }: { label: string; entry: bigint; other: bigint }) {
  const flags = [...PTE_FLAGS.entries()].reverse();
  const set = (bit: number, of: bigint): boolean => ((of >> BigInt(bit)) & 1n) === 1n;
  const words = flags.filter(([bit]) => set(bit, entry)).map(([, [, meaning]]) => meaning);
  const summary = entry === 0n ? "no entry" : `frame ${hex(entry >> 10n)}: ${words.join(", ")}`;
  return (
    <div class="entry">
      <span class="entry-label">{label}</span>
      <span class="bits" role="img" aria-label={`${label}: ${summary}`}>
        <span class={entry >> 10n === other >> 10n ? "ppn" : "ppn changed"}>{entry === 0n ? "–" : hex(entry >> 10n)}</span>
        {flags.map(([bit, [letter, meaning]]) => (
          <span
            key={letter}
            title={meaning}
            class={["bit", set(bit, entry) ? "on" : "off", set(bit, entry) === set(bit, other) ? "" : "changed"].join(" ").trim()}
          >
            {letter}
          </span>
        ))}
      </span>
    </div>
  );
}

function Walk({ walk }: { walk: readonly PageTableStep[] }) {
  return (
    <ol class="walk">
      {walk.map(({ level, table, index, entry }) => (
        <li key={level}>
          <code>
            level {level}: table {hex(table)}, entry {index} = {hex(entry)}
          </code>
        </li>
      ))}
    </ol>
  );
}

function EventLine({ event, startNs, pid }: { event: TraceEvent; startNs: number; pid: number }) {
  const [group, name] = event.name.split(":");
  return (
    <li>
      <span class="at">+{formatNs(event.timeNs - startNs)}</span>
      <code class="event-name">
        {group}:<wbr />
        {name}
      </code>
      <span class="words">
        {event.task !== 0 && event.task !== pid && <b>Task {event.task}: </b>}
        {explain(event) ?? `${hex(event.a)} ${hex(event.b)}`}
      </span>
    </li>
  );
}

function Step({ step, pid }: { step: LifeStep; pid: number }) {
  const before = leafOf(step.before);
  const after = leafOf(step.after);
  const startNs = step.events[0]?.timeNs ?? 0;
  return (
    <li class="step">
      <h3>
        <code>{step.statement}</code> <span class="cost">{formatNs(step.ns)}</span>
      </h3>
      <div class="entries">
        <Entry label="before" entry={before} other={after} />
        <Entry label="after" entry={after} other={before} />
      </div>
      {step.events.length === 0 ? (
        <p class="silence">{explainSilence(before, after)}</p>
      ) : (
        <ol class="events">
          {step.events.map((event, i) => (
            <EventLine key={i} event={event} startNs={startNs} pid={pid} />
          ))}
          {step.events[0]?.name === "exceptions:page_fault_user" && (
            <li>
              <span class="at" />
              <span class="words end">The instruction is executed once more, and now the MMU lets it pass.</span>
            </li>
          )}
        </ol>
      )}
      {step.after.length > 0 && step.before.length !== step.after.length && (
        <details>
          <summary>The walk afterwards</summary>
          <Walk walk={step.after} />
        </details>
      )}
    </li>
  );
}

interface ChoiceProps<K extends keyof StoreLifeOptions> {
  name: K;
  legend: string;
  values: readonly StoreLifeOptions[K][];
  words?: (value: StoreLifeOptions[K]) => string;
}

/** One of the story's options; another choice tells it anew. */
function Choice<K extends keyof StoreLifeOptions>({ name, legend, values, words }: ChoiceProps<K>) {
  const options = storyOptions.value;
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      {values.map((value) => (
        <label key={value}>
          <input
            type="radio"
            name={`story-${name}`}
            value={value}
            checked={options[name] === value}
            onChange={() => void tellStory({ ...options, [name]: value })}
          />
          <span>{words?.(value) ?? value}</span>
        </label>
      ))}
    </fieldset>
  );
}

function Options() {
  return (
    <form class="story-options" aria-label="The story" onSubmit={(event) => event.preventDefault()}>
      <Choice name="first" legend="First comes" values={FIRST_ACCESSES} words={(first) => `a ${first}`} />
      <Choice name="fs" legend="Filesystem" values={FILESYSTEMS} />
      <Choice name="faultLock" legend="Fault lock" values={FAULT_LOCK_REGIMES} />
      <Choice name="mkwrite" legend="page_mkwrite" values={MKWRITE_REGIMES} />
    </form>
  );
}

function isFailure(told: StoreLife | Failure): told is Failure {
  return "title" in told;
}

export function StoreLifeView() {
  const told = story.value;
  return (
    <section class="story" aria-labelledby="store-heading">
      <h2 id="store-heading" tabIndex={-1}>
        The life of one store
      </h2>
      <p class="lead">
        A program maps a file and stores one byte. Below is what the machine did about it, just now, in your browser: every trace event in
        order, and the page table entry before and after. Watch W and D: writeback takes both away, so that the next store is noticed again.
        V: valid. R, W, X: loads, stores, fetches allowed. U: user mode. A: accessed, D: dirty; the MMU sets both.
      </p>
      <Options />
      {told === undefined && <p class="note">Loading the kernel.</p>}
      {told !== undefined && isFailure(told) && (
        <div class="failure">
          <h3>{told.title}</h3>
          <pre tabIndex={0} aria-label="What went wrong">
            {told.message}
          </pre>
        </div>
      )}
      {told !== undefined && !isFailure(told) && (
        <>
          <ol class="steps">
            {told.steps.map((step, i) => (
              <Step key={i} step={step} pid={told.pid} />
            ))}
          </ol>
          <details class="smaps">
            <summary>/proc/{told.pid}/smaps afterwards</summary>
            <pre tabIndex={0} aria-label="smaps">
              {told.smaps}
            </pre>
          </details>
        </>
      )}
    </section>
  );
}
