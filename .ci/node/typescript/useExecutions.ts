// A hook that keeps executions current. Its client may be of graphql-ws or graphql-sse.
import type { Client } from "graphql-ws";
import { useEffect, useState } from "react";

import type { AllChangedSubscription, SearchFilter } from "./gql/graphql.js";

type Change = AllChangedSubscription["executionsChanged"];
type Execution = Change["execution"] & Pick<Change, "events">;

const CHANGES = `subscription ($filter: SearchFilter, $after: String) {
  executionsChanged(filter: $filter, after: $after) { cursor execution { id status } events { id kind } }
}`;

/** What matches, by id, with what has happened since. `client` is `resuming`. */
export function useExecutions(client: Pick<Client, "subscribe">, filter: SearchFilter) {
  const [executions, setExecutions] = useState<Record<string, Execution>>({});
  const [error, setError] = useState<unknown>();
  const given = JSON.stringify(filter); // so that an equal filter does not subscribe again
  useEffect(() => {
    setExecutions({});
    setError(undefined);
    const request = { query: CHANGES, variables: { filter: JSON.parse(given) } };
    return client.subscribe<{ executionsChanged: Change }>(request, {
      next({ data, errors }) {
        if (!data) return setError(errors); // graphql-sse reports errors so
        const { execution, events } = data.executionsChanged;
        setExecutions((known) => {
          const before = known[execution.id]?.events ?? [];
          return { ...known, [execution.id]: { ...execution, events: [...before, ...events] } };
        });
      },
      error: setError,
      complete() {},
    });
  }, [client, given]);
  return { executions, error };
}
