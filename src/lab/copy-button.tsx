/**
 * A button that copies a text.
 *
 * Interface: CopyButton.
 * Invariants: [copy-1] it says whether it worked: a page may be refused the clipboard.
 * Locks: none.
 * Why not select-and-copy alone: commands here are long, and phones select badly.
 */
import { useState } from "preact/hooks";

export function CopyButton({ text, what }: { text: string | (() => string); what: string }) {
  const [said, say] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      say("copied");
    } catch {
      say("could not copy: select it by hand");
    }
    setTimeout(() => say(""), 2000);
  };
  return (
    <span class="copy">
      <button type="button" class="quiet" onClick={() => void copy()}>
        Copy {what}
      </button>
      <span role="status" class="said">
        {said}
      </span>
    </span>
  );
}
