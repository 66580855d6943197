/**
 * Buttons that keep results as files.
 *
 * Interface: SaveButtons.
 * Invariants: [save-1] a file's text is made when it is asked for, not before.
 * Locks: none.
 * Why not links: a link needs its text made beforehand, and results are large.
 */
import type { ComponentChildren } from "preact";

interface SaveButtonsProps {
  /** Of the file, without its ending. */
  name: string;
  json: () => string;
  csv: () => string;
  /** What the JSON is good for. */
  note: (file: string) => ComponentChildren;
}

function save(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function SaveButtons({ name, json, csv, note }: SaveButtonsProps) {
  return (
    <p class="keep">
      <button type="button" class="quiet" onClick={() => save(`${name}.json`, "application/json", json())}>
        Save JSON
      </button>
      <button type="button" class="quiet" onClick={() => save(`${name}.csv`, "text/csv", csv())}>
        Save CSV
      </button>
      <span class="note">{note(`${name}.json`)}</span>
    </p>
  );
}
