/** The entries of an execution's log, folded. */
import type { WholeFragment } from "./gql/graphql";
import { Time, useZone } from "./Times";
import { clock } from "./time";

export function Events({ execution }: { execution: WholeFragment }) {
  const zone = useZone();
  const { edges, pageInfo } = execution.events;
  if (edges.length === 0) return <p className="dim">No log has an entry of it.</p>;
  const events = edges
    .map(({ node }) => node)
    .toSorted((one, other) => Date.parse(one.occurredAt) - Date.parse(other.occurredAt));
  return (
    <details className="events">
      <summary>
        {events.length}
        {pageInfo.hasNextPage && "+"} log entries
      </summary>
      <ol>
        {events.map((event) => (
          <li key={event.id}>
            <Time at={event.occurredAt} shown={(at) => clock(at, zone)} />
            <span>
              {event.rawKind} {event.stepName && <bdi>{event.stepName}</bdi>}{" "}
              {event.error && (
                <em>
                  {event.error.rawType}: {event.error.message}
                </em>
              )}
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}
