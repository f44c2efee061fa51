// What all clients that subscribe print: a line of JSON for each change and for the end.
// Usage: node built/subscribe_….js URL VARIABLES, these as JSON; with a key in them, to one execution.
import { print } from "graphql";
import { WebSocket } from "ws";

import type { AllChangedSubscription, ChangedSubscription } from "./gql/graphql.js";
import { AllChanged, Changed } from "./queries.js";

export const [url = "", given = "{}"] = process.argv.slice(2);
export const variables = JSON.parse(given);
export const document = "key" in variables ? Changed : AllChanged;
export const request = { query: print(document), variables };
export const wsUrl = url.replace("http", "ws");
globalThis.WebSocket ??= WebSocket as any; // Node 20 has none
/** Else they wait for seconds. */
export const patience = { shouldRetry: () => true, retryAttempts: 50, retryWait: () => new Promise<void>((resume) => setTimeout(resume, 100)) };

export type Told = Partial<ChangedSubscription & AllChangedSubscription>;

export function tell(data: Told): void {
  const change = data.executionChanged ?? data.executionsChanged;
  const { cursor, execution, events } = change!;
  console.log(JSON.stringify({ cursor, ...execution, events: events.map(({ id }) => id) }));
}

export function end(codes: unknown = []): void {
  console.log(JSON.stringify({ codes }));
}

/** For the clients' own sinks, which are alike. */
export const sink = {
  next({ data, errors }: { data?: Told | null; errors?: readonly { extensions?: Record<string, unknown> }[] }): void {
    if (data) tell(data);
    else failed = errors?.map(({ extensions }) => extensions?.["code"]);
  },
  error(error: unknown): void {
    end(Array.isArray(error) ? error.map(({ extensions }) => extensions.code) : String(error));
  },
  complete(): void {
    end(failed);
  },
};
let failed: unknown[] | undefined;
