/**
 * The form of a run: the words of `faultline run`.
 *
 * Interface: RunForm.
 * Invariants: [form-1] every field has a label, and says what is wrong with it where it stands.
 * Locks: none.
 * Why not checks of the browser's own: the words are read by the same code as the command line's, with its messages.
 */
import { Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { FAULT_LOCK_REGIMES, type FaultLockRegime, MKWRITE_REGIMES, type MkwriteRegime } from "../host/config.js";
import { FILESYSTEMS, MODES } from "../sim/describe.js";
import type { FormField } from "./address.js";
import { WORKLOADS, optionHelp, workloadByName } from "../workloads/index.js";
import { StatusLine } from "./status.js";
import { badField, cancel, command, comparing, edit, form, running, start, status, unknownWords } from "./state.js";
import { CopyButton } from "./copy-button.js";

interface FieldProps {
  name: FormField;
  label: string;
  /** What it stands for when it is empty, or what it may be. */
  hint?: string;
  wide?: boolean;
}

function describedBy(name: FormField, hint: string | undefined): string | undefined {
  const ids = [...(hint !== undefined ? [`${name}-hint`] : []), ...(badField.value === name ? [`${name}-error`] : [])];
  return ids.length > 0 ? ids.join(" ") : undefined;
}

function FieldNotes({ name, hint }: { name: FormField; hint?: string | undefined }) {
  const failed = status.value.kind === "failed" && badField.value === name ? status.value.failure.message : undefined;
  return (
    <>
      {hint !== undefined && (
        <small id={`${name}-hint`} class="hint">
          {hint}
        </small>
      )}
      {failed !== undefined && (
        <small id={`${name}-error`} class="field-error">
          {failed}
        </small>
      )}
    </>
  );
}

function TextField({ name, label, hint, wide }: FieldProps) {
  const input = useRef<HTMLInputElement>(null);
  const bad = badField.value === name;
  useEffect(() => {
    if (bad) input.current?.focus();
  }, [bad, status.value]);
  return (
    <div class={wide === true ? "field wide" : "field"}>
      <label for={name}>{label}</label>
      <input
        ref={input}
        id={name}
        name={name}
        type="text"
        autocomplete="off"
        spellcheck={false}
        value={form.value[name]}
        aria-invalid={bad}
        aria-describedby={describedBy(name, hint)}
        onInput={(event) => edit(name, event.currentTarget.value)}
      />
      <FieldNotes name={name} hint={hint} />
    </div>
  );
}

function SelectField({ name, label, hint, wide, options }: FieldProps & { options: readonly string[] }) {
  const value = form.value[name];
  // A word from the address that is no choice is still shown, so that the error names what is seen.
  const all = options.includes(value) ? options : [...options, value];
  return (
    <div class={wide === true ? "field wide" : "field"}>
      <label for={name}>{label}</label>
      <select
        id={name}
        name={name}
        aria-invalid={badField.value === name}
        aria-describedby={describedBy(name, hint)}
        onChange={(event) => edit(name, event.currentTarget.value)}
      >
        {all.map((option) => (
          <option key={option} value={option} selected={option === value}>
            {option}
          </option>
        ))}
      </select>
      <FieldNotes name={name} hint={hint} />
    </div>
  );
}

function RadioField({ name, label, choices }: { name: FormField; label: string; choices: readonly (readonly [string, string])[] }) {
  return (
    <fieldset class="choice wide">
      <legend>{label}</legend>
      {choices.map(([value, words]) => (
        <label key={value}>
          <input type="radio" name={name} value={value} checked={form.value[name] === value} onChange={() => edit(name, value)} />
          <span>{words}</span>
        </label>
      ))}
      <FieldNotes name={name} />
    </fieldset>
  );
}

/** What the names of regimes stand for. */
const REGIME_WORDS: readonly (readonly [FaultLockRegime | MkwriteRegime, string])[] = [
  ["linux-4.19", "mmap_sem held throughout"],
  ["linux-5.1", "dropped for read IO and for dirty throttling"],
  ["linux-6.7", "the VMA's own lock first, mmap_lock second"],
  ["generic_page_mkwrite", "under the lock"],
  ["bacik-v3", "patch 7/7 as posted in 2018, defects included"],
  ["generic_page_mkwrite_nommapsem", "the helper: the lock is dropped first, the page kept for the retry"],
  ["kara", "no page is kept: the filesystem knows one that is prepared"],
  ["completed", "the entry is installed at once where nothing has changed"],
];

/** Regimes are a list: a line each, or commas between. */
function RegimeField() {
  return (
    <div class="field wide">
      <label for="regime">Regimes</label>
      <textarea
        id="regime"
        name="regime"
        rows={4}
        spellcheck={false}
        value={form.value.regime.replaceAll(/,\s*/g, ",\n")}
        aria-invalid={badField.value === "regime"}
        aria-describedby={describedBy("regime", "hint")}
        onInput={(event) => edit("regime", event.currentTarget.value)}
      />
      <FieldNotes name="regime" hint="fault lock + mkwrite each; * for all" />
      <details>
        <summary>What there is</summary>
        <dl class="options">
          {REGIME_WORDS.map(([name, words]) => (
            <div key={name}>
              <dt>
                <code>{name}</code>
              </dt>
              <dd>{words}</dd>
            </div>
          ))}
        </dl>
      </details>
    </div>
  );
}

/** What decides how a fault is locked: one regime for a run, a list for a comparison. */
function Regimes() {
  if (comparing.value) {
    return (
      <>
        <RegimeField />
        <TextField name="fs" label="Filesystems" hint={FILESYSTEMS.join(", ")} wide />
      </>
    );
  }
  return (
    <>
      <SelectField name="fs" label="Filesystem" options={FILESYSTEMS} />
      <SelectField name="faultLock" label="Fault lock" options={FAULT_LOCK_REGIMES} />
      <SelectField name="mkwrite" label="page_mkwrite" options={MKWRITE_REGIMES} wide />
    </>
  );
}

/** Shown for a workload that has options, and for an address that names some. */
function WorkloadOptions() {
  const help = optionHelp(workloadByName(form.value.workload)?.options ?? []);
  if (help.length === 0 && form.value.set === "") return null;
  return (
    <div class="wide">
      <TextField name="set" label="Its options" hint="key=value, commas between" />
      <details>
        <summary>What there is</summary>
        <ul class="options">
          {help.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      </details>
    </div>
  );
}

/** Not `disabled`: a button that is pressed by key and then disabled takes the focus away with it. */
function Buttons() {
  return (
    <div class="buttons">
      <button type="submit" class="primary" aria-disabled={running.value || status.value.kind === "loading"}>
        {comparing.value ? "Compare" : "Run"}
      </button>
      <button type="button" onClick={cancel} aria-disabled={!running.value}>
        Cancel
      </button>
    </div>
  );
}

function CommandLine() {
  return (
    <div class="command">
      <p id="command-label">The same in a terminal</p>
      <code aria-labelledby="command-label" role="group">
        {command.value.split(" ").map((word, i) => (
          <Fragment key={i}>
            {i > 0 && " "}
            <span class="word">{word}</span>
          </Fragment>
        ))}
      </code>
      <CopyButton text={command.value} what="command" />
      <CopyButton text={() => location.href} what="link" />
    </div>
  );
}

export function RunForm() {
  const submit = (event: Event): void => {
    event.preventDefault();
    void start();
  };
  return (
    <form class="run-form" aria-label="Run description" onSubmit={submit} noValidate>
      <fieldset>
        <legend>Workload</legend>
        <RadioField
          name="do"
          label="What to do"
          choices={[
            ["run", "run"],
            ["compare", "compare regimes"],
          ]}
        />
        <SelectField
          name="workload"
          label="Workload"
          options={WORKLOADS.map((w) => w.name)}
          hint={workloadByName(form.value.workload)?.summary ?? "unknown"}
          wide
        />
        <RadioField name="mode" label="Tasks are" choices={MODES.map((mode) => [mode, mode])} />
        <WorkloadOptions />
        <TextField name="tasks" label="Numbers of tasks" hint="1,2,4 or 1-16; 128 at most" wide />
      </fieldset>
      <fieldset>
        <legend>Machine</legend>
        <Regimes />
        <TextField name="cpus" label="CPUs" hint="empty: one a task" />
        <TextField name="memory" label="Memory" hint="such as 256M" />
      </fieldset>
      <fieldset>
        <legend>Measurement</legend>
        <TextField name="duration" label="Duration" hint="simulated" />
        <TextField name="warmup" label="Warm-up" hint="before it" />
        <TextField name="seed" label="First seed" />
        <TextField name="seeds" label="Seeds" hint="one run each" />
        <details class="wide" open={["length", "sockets", "stagger"].includes(badField.value ?? "")}>
          <summary>More</summary>
          <div class="grid">
            <TextField name="length" label="Bytes a task maps" hint="empty: 128M or what fits" />
            {comparing.value && <TextField name="stagger" label="Stagger" hint="tasks begin this far apart" />}
            <TextField name="sockets" label="Sockets" hint="empty: 4 from 4 CPUs on" />
          </div>
        </details>
      </fieldset>
      {unknownWords.value.length > 0 && <p class="field-error">The address has {unknownWords.value.join(", ")}: no field takes that.</p>}
      <Buttons />
      <StatusLine />
      <CommandLine />
    </form>
  );
}
