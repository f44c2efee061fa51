/** What GraphiQL keeps from visit to visit: tabs, history, layout. Never a header, which may hold a credential. */

import type { Storage } from "@graphiql/toolkit";
import type { Example } from "./examples";

const PREFIX = "transfer-gateway:"; // other services' GraphiQL may have lived at this origin

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

/** GraphiQL's history keeps the headers of each request, whatever `shouldPersistHeaders` says. */
function withoutHeaders(value: string): string {
  if (!value.includes('"headers"')) return value;
  try {
    return JSON.stringify(JSON.parse(value), (key, part) => (key === "headers" && part ? "" : part));
  } catch {
    return value; // what somebody types into an editor, not what GraphiQL writes
  }
}

export const isFirstVisit = (): boolean => storage.getItem("graphiql:tabState") === null;

/** Gives kept tabs whose query is still an example's that example's variables: ids of an older demo are no more. */
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
