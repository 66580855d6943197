/**
 * The scaling chart as an SVG document, where there is no browser.
 */
import { parseHTML } from "linkedom";
import { type ScalingPoint, scalingChart } from "./scaling-chart.js";

export { seriesOf } from "./scaling-chart.js";

/** A complete SVG document. */
export function scalingSvg(points: readonly ScalingPoint[], title: string): string {
  const { document } = parseHTML("<html><body></body></html>");
  const plot = scalingChart(points, { document, title, width: 720, height: 440 });
  const svg = plot.tagName.toLowerCase() === "svg" ? plot : plot.querySelector("svg");
  if (!svg) throw new Error("the plot has no svg");
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return svg.outerHTML;
}
