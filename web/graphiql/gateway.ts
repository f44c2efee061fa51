/** All requests of this page to the gateway, and the token that they send. */

import type { Fetcher } from "@graphiql/toolkit";
import { Kind, parse, type ExecutionResult } from "graphql";
import type { Client } from "graphql-ws";
import type { Key } from "./examples";

// Only in this variable: neither in the page's storage nor in its history.
let token = "";
let subscriptions: Client | undefined;

export function setToken(value: string): void {
  token = value.trim().replace(/^bearer\s+/i, "");
  void subscriptions?.dispose(); // it was opened with the previous one
  subscriptions = undefined;
}

const authorization = (): Record<string, string> => (token ? { authorization: `Bearer ${token}` } : {});

export const fetcher: Fetcher = async (request, options) => {
  const operations = operationsOf(request.query);
  let operation = operations.find(({ name }) => name?.value === request.operationName);
  if (!operation && operations.length === 1) {
    // Right after a tab change GraphiQL still passes the name of the other tab's operation.
    operation = operations[0];
    request = { ...request, operationName: operation!.name?.value };
  }
  if (operation?.operation === "subscription") return subscribe(request);
  return post(request, options?.headers);
};

function operationsOf(query: string) {
  try {
    return parse(query).definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  } catch {
    return []; // the gateway reports the error
  }
}

async function post(request: object, typed: Record<string, unknown> = {}): Promise<ExecutionResult> {
  const headers = new Headers({
    "content-type": "application/json",
    accept: "application/graphql-response+json, application/json",
    ...authorization(),
  });
  for (const [name, value] of Object.entries(typed)) headers.set(name, String(value));
  const response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify(request) });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`HTTP ${response.status} ${response.statusText}: ${text.slice(0, 200)}`);
  }
}

async function subscribe(request: Parameters<Fetcher>[0]): Promise<AsyncIterableIterator<ExecutionResult>> {
  if (!subscriptions) {
    const { createClient } = await import("graphql-ws");
    const url = new URL(location.pathname, location.href.replace(/^http/, "ws")).href;
    subscriptions = createClient({ url, connectionParams: authorization, retryAttempts: 0 });
  }
  return subscriptions.iterate(request) as AsyncIterableIterator<ExecutionResult>;
}

export interface Config {
  liveExamples: boolean;
  executionsPage: boolean;
}

export async function readConfig(): Promise<Config> {
  try {
    return await (await fetch("graphiql/config.json")).json();
  } catch {
    return { liveExamples: false, executionsPage: false }; // the page works without it
  }
}

/** Some executions in progress, for the examples. Only in the demo, since it calls AWS in every account. */
export async function liveKeys(): Promise<Key[]> {
  try {
    const query = `{ inProgressExecutions(first: 100) { edges { node {
      accountId region workflowId executionId results { steps { stepType } }
    } } } }`;
    const { data } = (await post({ query })) as { data?: any };
    return data.inProgressExecutions.edges
      .map(({ node }: any) => ({ node, steps: node.results?.steps?.length ?? 0 }))
      .filter(({ steps }: any) => steps > 0) // with results to show,
      .sort((one: any, other: any) => one.steps - other.steps) // and most of the run ahead
      .slice(0, 3)
      .map(({ node: { results: _, ...key } }: any) => key);
  } catch {
    return []; // the page works without them
  }
}
