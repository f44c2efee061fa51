/** What state something is in: an icon and a word, never a color alone. */
import { memo } from "react";
import type { ExecutionStatus } from "./gql/graphql";
import { WORDS } from "./url";

export type Kind = "running" | "handling" | "failed" | "done" | "ending" | "unknown" | "waiting" | "skipped";

const SHAPES: Record<Kind, string> = {
  running: "M8 2.5a5.5 5.5 0 1 0 5.5 5.5M8 5v3l2 1.5",
  handling: "M8 2.2 14 13H2zM8 6.4v3.2M8 11.3v.1",
  failed: "M4 4l8 8M12 4l-8 8",
  done: "M2.8 8.6 6.3 12l7-8",
  ending: "M3.5 8h.1M8 8h.1M12.4 8h.1",
  unknown: "M5.7 6a2.3 2.3 0 1 1 3.3 2.1c-.7.4-1 .8-1 1.6M8 12.2v.1",
  waiting: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11",
  skipped: "M3 8h10",
};
const KINDS: Record<string, Kind> = {
  IN_PROGRESS: "running",
  HANDLING_EXCEPTION: "handling",
  EXCEPTION: "failed",
  COMPLETED: "done",
};

export const Icon = ({ kind }: { kind: Kind }) => (
  <svg className={`icon ${kind}`} viewBox="0 0 16 16" aria-hidden="true">
    <path d={SHAPES[kind]} />
  </svg>
);

interface Known {
  status?: ExecutionStatus | null;
  rawStatus?: string | null;
  ending?: boolean;
}

export function wordOf({ status, rawStatus, ending }: Known): string {
  if (!status) return ending ? "Ending" : "Ended, result unknown";
  return WORDS[status] ?? rawStatus ?? "Unknown";
}

export const kindOf = ({ status, ending }: Known): Kind =>
  status ? (KINDS[status] ?? "unknown") : ending ? "ending" : "unknown";

export const Status = memo(function Status(known: Known) {
  const kind = kindOf(known);
  return (
    <span className={`status ${kind}`}>
      <Icon kind={kind} />
      <span>{wordOf(known)}</span>
    </span>
  );
});
