/** An id: shortened in the middle, whole in its title and on the clipboard. */
import { useState } from "react";

const COPIED_MS = 1_500;

export const short = (id: string): string => (id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-5)}` : id);

export function Id({ id, what, isWhole = false }: { id: string; what: string; isWhole?: boolean }) {
  return (
    <span className="id">
      <code title={id}>{isWhole ? id : short(id)}</code>
      <Copy text={id} what={what} />
    </span>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("Not copied: the browser refuses");
    }
    setTimeout(() => say(""), COPIED_MS);
  };
  return (
    <>
      <button
        type="button"
        className="copy"
        aria-label={`Copy ${what}`}
        title={`Copy ${what}`}
        onClick={() => void copy()}
      >
        <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
          <path d={said === "Copied" ? "M2.8 8.6 6.3 12l7-8" : "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"} />
        </svg>
      </button>
      <span role="status" className="unseen">
        {said}
      </span>
    </>
  );
}
