/**
 * Reports: results and traces as text, CSV, JSON and SVG.
 */
export * from "./format.js";
export * from "./rows.js";
export * from "./run-report.js";
export { type ScalingPoint, seriesOf } from "./scaling-chart.js";
export * from "./scaling-plot.js";
export * from "./trace-report.js";
