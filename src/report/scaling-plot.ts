/**
 * The scaling plot as SVG: faults per second of simulated time over tasks, one line a series.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

export interface ScalingPoint {
  series: string;
  tasks: number;
  perSecond: number;
}

/** A complete SVG document. */
export function scalingSvg(points: readonly ScalingPoint[], title: string): string {
  const { document } = parseHTML("<html><body></body></html>");
  const plot = Plot.plot({
    document,
    title,
    width: 720,
    height: 440,
    marginLeft: 70,
    grid: true,
    color: { legend: false },
    x: { label: "tasks" },
    y: { label: "faults/s, simulated", tickFormat: "s", zero: true },
    marks: [
      Plot.lineY(points as ScalingPoint[], { x: "tasks", y: "perSecond", stroke: "series", marker: "circle" }),
      Plot.text(
        points as ScalingPoint[],
        Plot.selectLast({ x: "tasks", y: "perSecond", z: "series", text: "series", dx: -6, dy: -10, textAnchor: "end" }),
      ),
    ],
  });
  const svg = plot.tagName.toLowerCase() === "svg" ? plot : plot.querySelector("svg");
  if (!svg) throw new Error("the plot has no svg");
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return svg.outerHTML;
}
