/**
 * Rows of a report as an HTML table.
 *
 * Interface: RowsTable.
 * Invariants: [tab-1] the cells are the report's own text: the page and the terminal show the same.
 * Locks: none.
 * Why not a caption element: it is as wide as the table, and would scroll out of sight with it.
 * Why not shrink the columns on a phone: a number cut in two is no number; the table scrolls inside its frame.
 */
import type { Rows } from "../report/rows.js";

interface RowsTableProps {
  rows: Rows;
  caption: string;
  id: string;
  /** The first column holds several words, aligned with blanks. */
  labels?: boolean;
}

export function RowsTable({ rows: { header, rows }, caption, id, labels }: RowsTableProps) {
  return (
    <div class="rows">
      <p class="caption" id={`${id}-caption`}>
        {caption}
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-labelledby={`${id}-caption`}>
        <table id={id} class={labels === true ? "labels" : undefined} aria-labelledby={`${id}-caption`}>
          <thead>
            <tr>
              {header.map((name) => (
                <th key={name} scope="col" class={name.startsWith("host") ? "host" : undefined}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.slice(0, 2).join(" ")}>
                {row.map((cell, i) =>
                  i === 0 ? (
                    <th key={i} scope="row">
                      {cell}
                    </th>
                  ) : (
                    <td key={i} class={header[i]?.startsWith("host") === true ? "host" : undefined}>
                      {cell}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
