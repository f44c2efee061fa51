/** What GraphiQL stores between visits: tabs, history, layout. Never headers, which may contain credentials. */

import type { Storage } from "@graphiql/toolkit";
import type { Example } from "./examples";

const PREFIX = "transfer-gateway:"; // other services' GraphiQL may have used this origin

export const storage: Storage = {
  getItem: (key) => localStorage.getItem(PREFIX + key),
  setItem: (key, value) => localStorage.setItem(PREFIX + key, withoutHeaders(value)),
  removeItem: (key) => localStorage.removeItem(PREFIX + key),
  clear: () => ours().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return ours().length;
  },
};

const ours = (): string[] => Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));

/** GraphiQL's history keeps the headers of each request, regardless of `shouldPersistHeaders`. */
function withoutHeaders(value: string): string {
  if (!value.includes('"headers"')) return value;
  try {
    return JSON.stringify(JSON.parse(value), (key, part) => (key === "headers" && part ? "" : part));
  } catch {
    return value; // text from an editor, not written by GraphiQL
  }
}

export const isFirstVisit = (): boolean => storage.getItem("graphiql:tabState") === null;

/** Updates the variables of stored tabs whose query is an example: executions of an older demo no longer exist. */
export function refresh(examples: Example[]): void {
  const kept = JSON.parse(storage.getItem("graphiql:tabState") ?? "null");
  if (!kept) return;
  for (const tab of kept.tabs) {
    const same = examples.find(({ query }) => query === tab.query);
    if (same) tab.variables = same.variables;
  }
  storage.setItem("graphiql:tabState", JSON.stringify(kept));
  const active = kept.tabs[kept.activeTabIndex];
  storage.setItem("graphiql:query", active?.query ?? "");
  storage.setItem("graphiql:variables", active?.variables ?? "");
}
