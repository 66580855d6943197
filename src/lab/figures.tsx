/**
 * What the runs came to: table, plot, latencies, locks, hashes, and files to keep.
 *
 * Interface: Figures.
 * Invariants: [fig-1] tables show the latest sweep, the plot the earlier ones too, in grey.
 * Locks: none.
 * Why not one long table: a reader looks for throughput first, for the tail next, for the cause last.
 */
import { useCallback, useState } from "preact/hooks";
import { latencyRows, lockRows, runFooter, runHeader, runRows, waitRows } from "../report/rows.js";
import { runCsv } from "../report/run-report.js";
import type { ScalingPoint } from "../report/scaling-chart.js";
import type { RunResult } from "../sim/result.js";
import { ChartFigure } from "./chart-figure.js";
import { ComparisonFigures } from "./comparison.js";
import { RowsTable } from "./rows-table.js";
import { SaveButtons } from "./save-buttons.js";
import { type Series, clearEarlier, comparison, running, series, shown, status } from "./state.js";

/** One run's waits and lock_stat; the reader chooses which. */
function OneRun({ results }: { results: readonly RunResult[] }) {
  const [chosen, choose] = useState("");
  const keyOf = (r: RunResult): string => `${r.tasks}/${r.seed}`;
  const result = results.find((r) => keyOf(r) === chosen) ?? results.at(-1);
  if (!result) return null;
  const label = (r: RunResult): string => `${r.tasks} ${r.tasks === 1 ? "task" : "tasks"}, seed ${r.seed}`;
  return (
    <section aria-labelledby="one-run-heading" class="one-run">
      <div class="heading-line">
        <h3 id="one-run-heading">Waits and locks</h3>
        <label>
          of{" "}
          <select onChange={(event) => choose(event.currentTarget.value)}>
            {results.map((r) => (
              <option key={keyOf(r)} value={keyOf(r)} selected={r === result}>
                {label(r)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <RowsTable id="waits" caption="Waits, simulated time; a lock that was free was waited for 0 ns" rows={waitRows(result)} />
      <RowsTable id="locks" caption="lock_stat: times in ns of simulated time, summed over all tasks" rows={lockRows(result)} />
    </section>
  );
}

function Hashes({ results }: { results: readonly RunResult[] }) {
  return (
    <section aria-labelledby="hash-heading">
      <h3 id="hash-heading">Final states</h3>
      <p class="note">Equal descriptions end in equal memory: compare with what the command prints.</p>
      <dl class="hashes">
        {results.map((r) => (
          <div key={`${r.tasks}/${r.seed}`}>
            <dt>
              {r.tasks} {r.tasks === 1 ? "task" : "tasks"}, seed {r.seed}
            </dt>
            <dd>
              <code data-tasks={r.tasks} data-seed={r.seed}>
                {r.state_sha256}
              </code>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** Points of all sweeps; a name that comes twice is counted, so that each sweep is a line of its own. */
function pointsOf(all: readonly Series[]): ScalingPoint[] {
  const seen = new Map<string, number>();
  return all.flatMap(({ name, results }) => {
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    const label = nth === 1 ? name : `${name} (${nth})`;
    return results.map((r) => ({ series: label, tasks: r.tasks, perSecond: r.simulated.faults_per_s }));
  });
}

const COLORS = ["var(--accent)", "var(--other-1)", "var(--other-2)", "var(--other-3)", "var(--other-4)", "var(--other-5)"];

function Scaling({ all }: { all: readonly Series[] }) {
  const draw = useCallback(
    async (width: number) => {
      const { scalingChart } = await import("../report/scaling-chart.js");
      return scalingChart(pointsOf(all), { width, height: Math.round(Math.min(380, width * 0.62)), colors: COLORS, tip: true });
    },
    [all],
  );
  const names = all.map((s) => s.name).join("; ");
  return (
    <ChartFigure
      draw={draw}
      label={`Faults per second of simulated time over tasks, for ${names}. The table has the values.`}
      caption="Scaling: faults per second of simulated time. Dotted: the first point, scaled straight."
    />
  );
}

function Empty() {
  return (
    <div class="empty">
      <p>
        Press <b>Run</b>: a machine boots, its tasks map memory and touch every page, and each touch is a page fault through a real page
        table, the page cache and <code>mmap_sem</code>. The table, the scaling plot and the final state appear here as the runs finish.
      </p>
    </div>
  );
}

/** The figures of what was asked for last. */
export function Figures() {
  if (shown.value === "compare" && comparison.value) return <ComparisonFigures of={comparison.value} />;
  if (series.value.length > 0) return <SweepFigures />;
  return status.value.kind === "failed" ? null : <Empty />;
}

function SweepFigures() {
  const latest = series.value[0];
  const first = latest?.results[0];
  if (!latest || !first) return null;
  const { results, workers } = latest;
  const [meaning, origin] = runFooter(results);
  return (
    <article class="figures" aria-label="Results" aria-busy={running.value}>
      <h3 class="run-title">{runHeader(first)}</h3>
      <RowsTable id="throughput" caption="Throughput and fault latency, median over the seeds" rows={runRows(results)} />
      <p class="note">
        {meaning} {workers > 1 && `${workers} workers shared this computer.`} <span class="origin">{origin}</span>
      </p>
      <Scaling all={series.value} />
      {series.value.length > 1 && (
        <p class="keep">
          <button type="button" class="quiet" onClick={clearEarlier}>
            Drop earlier runs from the plot
          </button>
        </p>
      )}
      <section aria-labelledby="latency-heading">
        <h3 id="latency-heading">Fault latency</h3>
        <RowsTable id="latency" caption="From trap to return, simulated time" rows={latencyRows(results)} />
      </section>
      <OneRun results={results} />
      <Hashes results={results} />
      <SaveButtons
        name={`${first.workload}-${first.mode}`}
        json={() => `${JSON.stringify(results, undefined, 2)}\n`}
        csv={() => `${runCsv(results)}\n`}
        note={(file) => (
          <>
            <code>faultline replay {file}</code> runs it again and compares the states.
          </>
        )}
      />
    </article>
  );
}
