/**
 * A comparison: what it means, its tables, its charts, its states.
 *
 * Interface: ComparisonFigures.
 * Invariants: [fig-2] tables, sentences and charts are those of `faultline compare`, from the same code.
 * Locks: none.
 * Why not own charts: a figure in a report and the same figure in the page must be one figure.
 */
import { useCallback } from "preact/hooks";
import { compareCsv } from "../report/compare-text.js";
import { compareFooter, compareHeader, compareSections } from "../report/compare-rows.js";
import { regimeColors } from "../report/regime-colors.js";
import { verdict } from "../report/verdict.js";
import type { CompareResult } from "../sim/compare.js";
import { ChartFigure } from "./chart-figure.js";
import { RowsTable } from "./rows-table.js";
import { SaveButtons } from "./save-buttons.js";
import type { Comparison } from "./state.js";

/** Charts of a comparison are wide: axes on both sides, facets. */
const CHART_WIDTH = 620;

function Legend({ result }: { result: CompareResult }) {
  const { domain, range } = regimeColors(result);
  return (
    <ul class="legend" aria-label="Colours of the regimes">
      {domain.map((regime, i) => (
        <li key={regime}>
          <span class="swatch" style={{ background: range[i] ?? "" }} />
          <code>{regime}</code>
        </li>
      ))}
    </ul>
  );
}

function Charts({ result }: { result: CompareResult }) {
  const charts = () => import("../report/compare-charts.js");
  const scaling = useCallback(async (width: number) => (await charts()).compareScaling(result, { width }), [result]);
  const curves = useCallback(async (width: number) => (await charts()).latencyCurves(result, { width }), [result]);
  const waits = useCallback(async (width: number) => (await charts()).waitBars(result, { width }), [result]);
  const most = Math.max(...result.tasks);
  const last = result.points.filter((p) => p.tasks === most);
  const of = `for ${result.regimes.join("; ")}. The tables have the values.`;
  return (
    <>
      {!result.ends && (
        <ChartFigure
          draw={scaling}
          minWidth={CHART_WIDTH}
          label={`Faults per second of simulated time over tasks, ${of}`}
          caption="Scaling: faults per second of simulated time; bars are the seeds' intervals"
        />
      )}
      {last.some((p) => p.histograms.fault.N > 0) && (
        <ChartFigure
          draw={curves}
          minWidth={CHART_WIDTH}
          label={`Share of faults that took longer than each latency, ${of}`}
          caption={`Fault latency with ${most} tasks: the share of faults that took longer`}
        />
      )}
      {last.some((p) => p.histograms.read_wait.N + p.histograms.write_wait.N > 0) && (
        <ChartFigure
          draw={waits}
          minWidth={CHART_WIDTH}
          label={`Waits for mmap_sem by length, readers and writers apart, ${of}`}
          caption={`Waits for mmap_sem with ${most} tasks, of those who had to wait`}
        />
      )}
    </>
  );
}

function States({ result }: { result: CompareResult }) {
  return (
    <details>
      <summary>Final states</summary>
      <dl class="hashes">
        {result.points.flatMap((p) =>
          p.state_sha256.map((hash, i) => {
            const name = [p.fs, p.case, p.regime, `${p.tasks} ${p.tasks === 1 ? "task" : "tasks"}`, `seed ${result.seeds[i] ?? ""}`];
            return (
              <div key={name.join()} class="long">
                <dt>{name.filter((word) => word !== "").join(", ")}</dt>
                <dd>
                  <code>{hash}</code>
                </dd>
              </div>
            );
          }),
        )}
      </dl>
    </details>
  );
}

export function ComparisonFigures({ of: { result, problems } }: { of: Comparison }) {
  const sentences = verdict(result);
  return (
    <article class="figures" aria-label="Comparison">
      <h3 class="run-title">{compareHeader(result)}</h3>
      {problems.length > 0 && (
        <div class="failure">
          <h4>Not a measurement of its regime</h4>
          <pre tabIndex={0} aria-label="Paths that were not taken">
            {problems.join("\n")}
          </pre>
        </div>
      )}
      {sentences.length > 0 && <p class="verdict">{sentences.join(" ")}</p>}
      {compareSections(result).map(({ title, ...rows }, i) => (
        <RowsTable key={title} id={`compare-${i}`} caption={title} rows={rows} labels />
      ))}
      <p class="note">
        {compareFooter(result)
          .slice(0, -1)
          .map((line) => (
            <span key={line} class="origin">
              {line}
            </span>
          ))}
      </p>
      <Legend result={result} />
      <Charts result={result} />
      <States result={result} />
      <SaveButtons
        name={`compare-${result.workload}`}
        json={() => `${JSON.stringify(result)}\n`}
        csv={() => compareCsv(result)}
        note={(file) => (
          <>
            <code>faultline compare … --baseline {file}</code> holds a later build against it.
          </>
        )}
      />
    </article>
  );
}
