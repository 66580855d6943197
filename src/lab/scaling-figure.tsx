/**
 * The scaling chart in the page.
 *
 * Interface: ScalingFigure.
 * Invariants: [plot-1] no style element reaches the page (its policy forbids them): the chart's rules are in style.css.
 * Locks: none.
 * Why not load the plot with the page: it is most of the bytes, and the first look needs the form only.
 */
import { useEffect, useRef } from "preact/hooks";
import type { ScalingPoint } from "../report/scaling-chart.js";
import type { Series } from "./state.js";

/** Points of all series; a name that comes twice is counted, so that each sweep is a line of its own. */
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

async function draw(frame: HTMLElement, all: readonly Series[], stale: () => boolean): Promise<void> {
  const { scalingChart } = await import("../report/scaling-chart.js");
  if (stale()) return;
  const width = Math.max(280, frame.clientWidth);
  const chart = scalingChart(pointsOf(all), { width, height: Math.round(Math.min(380, width * 0.62)), colors: COLORS, tip: true });
  for (const style of chart.querySelectorAll("style")) style.remove();
  // The chart is one picture with one description; its groups are no things of their own.
  for (const group of chart.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
  chart.setAttribute("role", "img");
  chart.setAttribute(
    "aria-label",
    `Faults per second of simulated time over tasks, for ${all.map((s) => s.name).join("; ")}. The table has the values.`,
  );
  frame.replaceChildren(chart);
}

export function ScalingFigure({ series }: { series: readonly Series[] }) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    let gone = false;
    const again = (): void => void draw(element, series, () => gone);
    again();
    let width = element.clientWidth;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      again();
    });
    observer.observe(element);
    return () => {
      gone = true;
      observer.disconnect();
    };
  }, [series]);
  return (
    <figure class="scaling">
      <div ref={frame} class="frame" />
      <figcaption>Scaling: faults per second of simulated time. Dotted: the first point, scaled straight.</figcaption>
    </figure>
  );
}
