/** What the page shows is in its address, all of it: it survives reload, back, forward and a new tab. */
import type { ExecutionStatus, SearchFilter, SearchOrder, StepErrorType } from "./gql/graphql";

export interface State {
  view: "list" | "targets";
  text: string;
  servers: string[];
  workflows: string[];
  /** Ids, or aliases. */
  accounts: string[];
  regions: string[];
  users: string[];
  /** Types of a failed step's error. */
  errors: StepErrorType[];
  statuses: ExecutionStatus[];
  /** Those alone that have ended with no record of how; then `statuses` is empty. */
  isUnknown: boolean;
  /** Else newest first. */
  isLongestFirst: boolean;
  /** A name in RANGES; empty: any time, or from `from` to `to`. */
  within: string;
  /** ISO 8601, or empty. */
  from: string;
  to: string;
  /** The id of the execution whose detail is open: `account/region/workflow/id`. */
  execution: string;
}

export const STATUSES = ["IN_PROGRESS", "HANDLING_EXCEPTION", "EXCEPTION", "COMPLETED"] as const;
export const RANGES: Record<string, { label: string; seconds: number }> = {
  "15m": { label: "Last 15 minutes", seconds: 900 },
  "1h": { label: "Last hour", seconds: 3_600 },
  "24h": { label: "Last 24 hours", seconds: 86_400 },
  "7d": { label: "Last 7 days", seconds: 604_800 },
  "30d": { label: "Last 30 days", seconds: 2_592_000 },
};
export const EXECUTION_ID = /^\d{12}\/[a-z0-9-]+\/w-[a-z0-9]{17}\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** As the page calls them; in an address they mean the same. */
export const WORDS: Record<string, string> = {
  IN_PROGRESS: "Running",
  HANDLING_EXCEPTION: "Handling failure",
  EXCEPTION: "Failed",
  COMPLETED: "Completed",
};
export const ERRORS: Record<Exclude<StepErrorType, "UNRECOGNIZED">, string> = {
  PERMISSION_DENIED: "Permission denied",
  NOT_FOUND: "Not found",
  ALREADY_EXISTS: "Already exists",
  BAD_REQUEST: "Bad request",
  CUSTOM_STEP_FAILED: "Custom step failed",
  TIMEOUT: "Timeout",
  THROTTLED: "Throttled",
  INTERNAL_SERVER_ERROR: "Internal error",
};
/** In plain words, if it is a type that the page knows. */
export const errorWord = (type: string): string | undefined =>
  Object.hasOwn(ERRORS, type) ? ERRORS[type as keyof typeof ERRORS] : undefined;
const LISTS = {
  server: "servers",
  workflow: "workflows",
  account: "accounts",
  region: "regions",
  user: "users",
  error: "errors",
} as const;
const MOST = 100; // of one list, as the API takes them
const LONGEST = 256; // of a text
const UNKNOWN = "unknown"; // among the statuses of an address
const BY_DURATION = "longest"; // the order, in an address
export const ACCOUNT_ID = /^\d{12}$/;
const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** Not in the middle of a character. */
export const cut = (text: string): string => Array.from(text).slice(0, LONGEST).join("");

/** The state in a query string; what is not understood there is left out. */
export function stateOf(query: string): State {
  const given = new URLSearchParams(query);
  const all = (name: string) => [...new Set(given.getAll(name).map((value) => value.trim()).filter(Boolean))].slice(0, MOST);
  const statuses = given.getAll("status").map((value) => value.toLowerCase());
  const isUnknown = statuses.some((word) => word === UNKNOWN || word === "result unknown");
  const within = Object.hasOwn(RANGES, given.get("within") ?? "") ? given.get("within")! : "";
  const time = (name: string) => (within ? "" : timeOf(given.get(name) ?? ""));
  const execution = given.get("execution") ?? "";
  return {
    view: given.get("view") === "targets" ? "targets" : "list",
    text: cut((given.get("q") ?? "").trim()),
    servers: all("server").filter((id) => /^s-[0-9a-f]{17}$/.test(id)),
    workflows: all("workflow").filter((id) => /^w-[a-z0-9]{17}$/.test(id)),
    accounts: all("account").filter((name) => name.length <= LONGEST),
    regions: all("region").filter((name) => /^[a-z]{2}(-[a-z]+)+-\d{1,2}$/.test(name)),
    users: all("user").filter((name) => name.length <= 100),
    errors: all("error").map((type) => type.toUpperCase()).filter((type): type is StepErrorType => Object.hasOwn(ERRORS, type)),
    isUnknown,
    isLongestFirst: given.get("order") === BY_DURATION,
    statuses: isUnknown
      ? []
      : STATUSES.filter((status) => [status, WORDS[status]!].some((word) => statuses.includes(word.toLowerCase()))),
    within,
    from: time("from"),
    to: time("to"),
    execution: EXECUTION_ID.test(execution) ? execution : "",
  };
}

/** As ISO 8601 in UTC; empty for what is no time, or none of the calendar's. */
function timeOf(value: string): string {
  if (!ISO.test(value) || Number.isNaN(Date.parse(value))) return "";
  const [year, month, day] = value.slice(0, 10).split("-").map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year!, month! - 1, day);
  if (date.getUTCDate() !== day) return ""; // JavaScript takes 30 February for 2 March
  const at = new Date(value).toISOString();
  return /^(?!0000)\d{4}-/.test(at) ? at : "";
}

/** The parameters in a query string that its state lacks, as `name=value`. */
export function leftOut(query: string): string[] {
  const kept = queryOf(stateOf(query)).slice(1).split("&");
  const isKept = (name: string, value: string) => {
    const alone = queryOf(stateOf(`?${new URLSearchParams([[name, value]])}`)).slice(1);
    return alone !== "" && kept.includes(alone);
  };
  return [...new URLSearchParams(query)]
    .filter(([name, value]) => value && `${name}=${value}` !== "view=list" && !isKept(name, value))
    .map(([name, value]) => `${name}=${value}`);
}

/** The query string of a state: `?…`, or `?` for the page as it is first opened. */
export function queryOf(state: State): string {
  const query = new URLSearchParams();
  if (state.view === "targets") query.set("view", "targets");
  if (state.text) query.set("q", state.text);
  for (const [name, list] of Object.entries(LISTS)) for (const value of state[list]) query.append(name, value);
  for (const status of state.isUnknown ? [UNKNOWN] : state.statuses) query.append("status", status);
  if (state.isLongestFirst) query.set("order", BY_DURATION);
  for (const name of ["within", "from", "to", "execution"] as const) if (state[name]) query.set(name, state[name]);
  // These need no escape in a query, and are to be read by people.
  return `?${query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":")}`;
}

/** What the API is to search for, at this moment. */
export function filterOf(state: State, now: number): SearchFilter {
  const range = RANGES[state.within];
  const some = <T>(list: T[]) => (list.length > 0 ? list : undefined);
  return {
    text: state.text || undefined,
    serverIds: some(state.servers),
    workflowIds: some(state.workflows),
    accountIds: some(state.accounts.filter((name) => ACCOUNT_ID.test(name))),
    accountAliases: some(state.accounts.filter((name) => !ACCOUNT_ID.test(name))),
    regions: some(state.regions),
    userNames: some(state.users),
    errorTypes: some(state.errors),
    statuses: some(state.statuses),
    resultUnknown: state.isUnknown || undefined,
    startedAfter: range ? new Date(now - range.seconds * 1000).toISOString() : state.from || undefined,
    startedBefore: range ? undefined : state.to || undefined,
  };
}

export const orderOf = ({ isLongestFirst }: State): SearchOrder => (isLongestFirst ? "LONGEST_FIRST" : "NEWEST_FIRST");

/** Whether anything but the page's first look is asked for. */
export const isFiltered = (state: State): boolean => queryOf({ ...state, view: "list", isLongestFirst: false, execution: "" }) !== "?";
