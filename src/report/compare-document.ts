/**
 * A comparison as files: one SVG, or one HTML page that needs nothing but itself.
 *
 * Interface: compareSvg, compareHtml.
 * Invariants: [ch-1] the page asks for nothing: its policy allows no request, and says so to the browser.
 * Locks: none.
 * Why not the web page's code: a report is read years later, where there is no server and perhaps no script.
 */
import { parseHTML } from "linkedom";
import type { CompareResult } from "../sim/compare.js";
import { compareScaling, latencyCurves, pointsAt, waitBars } from "./compare-charts.js";
import { compareFooter, compareHeader, compareSections } from "./compare-rows.js";
import { regimeColors } from "./regime-colors.js";
import { type ScalingPoint, scalingChart } from "./scaling-chart.js";
import { verdict } from "./verdict.js";

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function newDocument(): Document {
  return parseHTML("<html><body></body></html>").document;
}

/** The svg of a plot, as text. */
function svgText(plot: SVGSVGElement | HTMLElement, label: string): string {
  const svg = plot.tagName.toLowerCase() === "svg" ? plot : plot.querySelector("svg");
  if (!svg) throw new Error("the plot has no svg");
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg.outerHTML;
}

/** Throughput over tasks, one line a regime, labelled in the chart. */
export function compareSvg(result: CompareResult): string {
  const several = result.filesystems.length > 1;
  const points = result.points.flatMap((p): ScalingPoint[] => {
    const series = [several ? p.fs : "", p.case, p.regime].filter((word) => word !== "").join(" ");
    return (p.metrics.faults_per_s?.values ?? []).map((perSecond) => ({ series, tasks: p.tasks, perSecond }));
  });
  const chart = scalingChart(points, { document: newDocument(), title: compareHeader(result), width: 860, height: 480 });
  return svgText(chart, `faults per second over tasks: ${compareHeader(result)}`);
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
.wide { overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap; }
tr { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
th:first-child, td:first-child { text-align: left; white-space: pre; font-family: ui-monospace, monospace; }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; font-size: .9rem; }
.legend span { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px; }
code, pre { font-family: ui-monospace, monospace; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
`;

function legend(result: CompareResult): string {
  const { domain, range } = regimeColors(result);
  const items = domain.map((name, i) => `<li><span style="background:${range[i] ?? ""}"></span>${escape(name)}</li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}

function tables(result: CompareResult): string {
  return compareSections(result)
    .map(({ title, header, rows }) => {
      const cells = (tag: string, row: readonly string[]): string => row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("");
      const body = rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("");
      const head = `<thead><tr>${cells("th", header)}</tr></thead>`;
      return `<h2>${escape(title)}</h2><div class="wide"><table>${head}<tbody>${body}</tbody></table></div>`;
    })
    .join("\n");
}

function charts(result: CompareResult): string {
  const options = { document: newDocument(), width: 920 };
  const most = Math.max(...result.tasks);
  const parts: string[] = [];
  if (!result.ends) parts.push("<h2>Throughput</h2>", svgText(compareScaling(result, options), "faults per second over tasks"));
  if (pointsAt(result).some((p) => p.histograms.fault.N > 0)) {
    parts.push(`<h2>Fault latency, ${most} tasks</h2>`, svgText(latencyCurves(result, options), "share of faults above each latency"));
  }
  if (pointsAt(result).some((p) => p.histograms.read_wait.N + p.histograms.write_wait.N > 0)) {
    parts.push(`<h2>Waits for mmap_sem, ${most} tasks</h2>`, svgText(waitBars(result, options), "waits for mmap_sem by length"));
  }
  return parts.join("\n");
}

/** A page that opens anywhere: figures, charts, the whole result as JSON. */
export function compareHtml(result: CompareResult): string {
  const sentences = verdict(result).map((sentence) => `<p>${escape(sentence)}</p>`);
  // A "<" inside a script element could end it: JSON may write it as an escape.
  const json = JSON.stringify(result).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(`faultline compare ${result.workload}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escape(result.workload)}: ${escape(result.summary)}</h1>
<p>${escape(compareHeader(result))}</p>
${sentences.join("\n")}
${legend(result)}
${charts(result)}
${tables(result)}
<h2>How it was made</h2>
<pre>${escape(compareFooter(result).join("\n"))}</pre>
</main>
<script type="application/json" id="result">${json}</script>
</body>
</html>
`;
}
