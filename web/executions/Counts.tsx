/** How many there are of each status; a click filters. */
import type { ExecutionStatus, SummaryFragment } from "./gql/graphql";
import { Icon, kindOf, wordOf } from "./Status";
import { STATUSES } from "./url";

interface Props {
  summary: SummaryFragment | undefined;
  chosen: ExecutionStatus[];
  choose: (statuses: ExecutionStatus[]) => void;
}

export function Counts({ summary, chosen, choose }: Props) {
  const counts = new Map(summary?.countsByStatus?.counts.map(({ status, count }) => [status, count]));
  const total = summary?.countsByStatus?.total;
  const more = summary?.countsByStatus?.isExact === false ? "+" : "";
  const shown = (count: number | undefined) =>
    summary?.countsByStatus ? (count ?? 0).toLocaleString("en") + (count ? more : "") : "\u2007";
  const unknown = counts.get(null);
  return (
    <div className="counts" role="group" aria-label="Status">
      <button type="button" aria-pressed={chosen.length === 0} onClick={() => choose([])}>
        All <b>{shown(total)}</b>
      </button>
      {STATUSES.map((status) => (
        <button
          type="button"
          key={status}
          aria-pressed={chosen.includes(status)}
          onClick={() =>
            choose(chosen.includes(status) ? chosen.filter((other) => other !== status) : [...chosen, status])
          }
        >
          <Icon kind={kindOf({ status })} />
          {wordOf({ status })} <b>{shown(counts.get(status))}</b>
        </button>
      ))}
      {unknown ? (
        <details>
          <summary>
            <Icon kind="unknown" />
            Result unknown <b>{shown(unknown)}</b>
          </summary>
          <p>They have ended, and nothing recorded how. They are among all, and can’t be listed alone.</p>
        </details>
      ) : null}
    </div>
  );
}
