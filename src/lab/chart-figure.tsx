/**
 * A chart of src/report in the page.
 *
 * Interface: ChartFigure.
 * Invariants: [plot-1] no style element reaches the page (its policy forbids them): the charts' rules are in style.css.
 * Locks: none.
 * Why not load the charts with the page: they are most of the bytes, and the first look needs the form only.
 */
import { useEffect, useRef } from "preact/hooks";

interface ChartFigureProps {
  /** What the chart says, for those who do not see it. */
  label: string;
  caption: string;
  /** Under this width the chart scrolls inside its frame, px. */
  minWidth?: number;
  /** Draws at a width, px; what it draws changes when this function does. */
  draw: (width: number) => Promise<SVGSVGElement | HTMLElement>;
}

const NARROWEST = 280;

/** Takes away what a chart brings along for a document of its own. */
function prepare(chart: SVGSVGElement | HTMLElement, label: string): void {
  for (const style of chart.querySelectorAll("style")) style.remove();
  // The chart is one picture with one description; its groups are no things of their own.
  for (const group of chart.querySelectorAll("[aria-label]")) group.removeAttribute("aria-label");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", label);
}

export function ChartFigure({ label, caption, minWidth = NARROWEST, draw }: ChartFigureProps) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    let gone = false;
    let width = element.clientWidth;
    const again = async (): Promise<void> => {
      const chart = await draw(Math.max(minWidth, width));
      prepare(chart, label);
      if (!gone) element.replaceChildren(chart);
    };
    void again();
    const observer = new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      void again();
    });
    observer.observe(element);
    return () => {
      gone = true;
      observer.disconnect();
    };
  }, [draw, label, minWidth]);
  return (
    <figure class="chart-figure">
      {minWidth > NARROWEST ? (
        <div ref={frame} class="frame scroll" tabIndex={0} role="region" aria-label={caption} />
      ) : (
        <div ref={frame} class="frame" />
      )}
      <figcaption>{caption}</figcaption>
    </figure>
  );
}
