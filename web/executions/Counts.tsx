/** How many there are of each status; a click filters. */
import type { ExecutionStatus, SummaryFragment } from "./gql/graphql";
import { Icon, kindOf, wordOf } from "./Status";
import { STATUSES, type State } from "./url";

interface Props {
  summary: SummaryFragment | undefined;
  chosen: Pick<State, "statuses" | "isUnknown">;
  choose: (chosen: Props["chosen"]) => void;
}

export function Counts({ summary, chosen: { statuses, isUnknown }, choose }: Props) {
  const only = (chosen: ExecutionStatus[]) => choose({ statuses: chosen, isUnknown: false });
  const counts = new Map(summary?.countsByStatus?.counts.map(({ status, count }) => [status, count]));
  const total = summary?.countsByStatus?.total;
  const more = summary?.countsByStatus?.isExact === false ? "+" : "";
  const shown = (count: number | undefined) =>
    summary?.countsByStatus ? (count ?? 0).toLocaleString("en") + (count ? more : "") : "\u2007";
  const unknown = counts.get(null);
  return (
    <div className="counts" role="group" aria-label="Status">
      <button type="button" aria-pressed={statuses.length === 0 && !isUnknown} onClick={() => only([])}>
        All <b>{shown(total)}</b>
      </button>
      {STATUSES.map((status) => (
        <button
          type="button"
          key={status}
          aria-pressed={statuses.includes(status)}
          onClick={() =>
            only(statuses.includes(status) ? statuses.filter((other) => other !== status) : [...statuses, status])
          }
        >
          <Icon kind={kindOf({ status })} />
          {wordOf({ status })} <b>{shown(counts.get(status))}</b>
        </button>
      ))}
      {(unknown || isUnknown) && (
        <button
          type="button"
          aria-pressed={isUnknown}
          title="They have ended, and nothing recorded how"
          onClick={() => choose({ statuses: [], isUnknown: !isUnknown })}
        >
          <Icon kind="unknown" />
          Result unknown <b>{shown(unknown)}</b>
        </button>
      )}
    </div>
  );
}
