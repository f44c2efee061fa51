/** All requests of this page to the gateway, and the token that they send. */
import { useSyncExternalStore } from "react";
import type { ErrorCode, TypedDocumentString } from "./gql/graphql";

/** What went wrong: a code of the API, or one of these. */
export type Code = ErrorCode | "UNREACHABLE" | "UNUSABLE";

export class GatewayError extends Error {
  readonly code: Code;
  readonly remedy: string | null;

  constructor(code: Code, message: string, remedy: string | null = null) {
    super(message);
    this.code = code;
    this.remedy = remedy;
  }

  /** Whether the page is to ask again by itself. */
  get passes(): boolean {
    return PASSING.has(this.code);
  }
}

export interface ApiError {
  message: string;
  extensions?: { code?: string; remedy?: string };
}

export type Document<Result, Variables> = TypedDocumentString<Result, Variables>;

const PASSING = new Set<Code>([
  "UNREACHABLE",
  "UNUSABLE",
  "THROTTLED",
  "UPSTREAM_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "AUDIT_LOG_UNAVAILABLE",
  "INTERNAL_SERVER_ERROR",
]);
const TIMEOUT_MS = 20_000; // the gateway's own is shorter
const CLOCKS_DIFFER_MS = 5_000;

// Only in this variable: neither in the page's storage nor in its address.
let token = "";

export function setToken(value: string): void {
  token = value.trim().replace(/^bearer\s+/i, "");
}

let ahead = 0;

/** A time of this computer's clock by the gateway's, to the second: this one may be wrong. */
export const byGateway = (at: number): number => at - ahead;

export const gatewayNow = (): number => byGateway(Date.now());

function compareClocks(response: Response, askedAt: number): void {
  const at = Date.parse(response.headers.get("date") ?? "");
  const off = (askedAt + Date.now()) / 2 - at;
  ahead = Math.abs(off) > CLOCKS_DIFFER_MS ? off : 0;
}

let refusal: GatewayError | null = null;
const listeners = new Set<() => void>();

/** Remember whether the last answer was that somebody has to sign in. */
export function heard(error: GatewayError | null): void {
  const now = error?.code === "UNAUTHENTICATED" ? error : null;
  if (now?.message === refusal?.message || (error && !now)) return;
  refusal = now;
  for (const listener of listeners) listener();
}

/** Why somebody has to sign in; null if nobody has. */
export const useRefusal = (): GatewayError | null =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => refusal,
  );

export const endpoint = new URL("graphql", location.href.replace(/[?#].*/, "")).href;

export const headers = (): Record<string, string> => (token ? { authorization: `Bearer ${token}` } : {});

export const unreachable = (): GatewayError => new GatewayError("UNREACHABLE", "The gateway can't be reached.");

const signedOut = (): GatewayError => new GatewayError("UNAUTHENTICATED", "You are not signed in, or no longer.");

/** As `fetch`. A sign-in proxy whose session has ended redirects to a page of its own, which is no answer. */
export async function fetchHere(url: string, options: RequestInit): Promise<Response> {
  const response = await fetch(url, { ...options, redirect: "manual", cache: "no-store" });
  return response.type === "opaqueredirect" ? new Response("", { status: 401 }) : response;
}

export const idOf = (document: object): string => (document as { __meta__: { hash: string } }).__meta__.hash;

export async function ask<Result, Variables>(
  document: Document<Result, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Result> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const askedAt = Date.now();
  const sent = fetchHere(endpoint, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      ...headers(),
    },
    body: JSON.stringify({ documentId: idOf(document), variables }),
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  const response = await sent.catch((error: unknown) => {
    throw signal?.aborted ? error : unreachable();
  });
  compareClocks(response, askedAt);
  try {
    const { data, errors } = await bodyOf(response);
    if (!data) throw errorOf(errors, response.status);
    heard(null);
    return data as Result;
  } catch (error) {
    heard(error as GatewayError);
    throw error;
  }
}

/** What was thrown while something was asked for: an answer of another shape than the API's breaks what reads it. */
export const problemOf = (thrown: unknown): GatewayError =>
  thrown instanceof GatewayError ? thrown : new GatewayError("UNUSABLE", "The answer can't be read.");

export async function bodyOf(response: Response): Promise<{ data?: unknown; errors?: ApiError[] }> {
  try {
    const { data, errors } = (await response.json()) as { data?: unknown; errors?: unknown };
    return { data, errors: Array.isArray(errors) ? (errors as ApiError[]) : undefined };
  } catch {
    if (response.status === 401) throw signedOut();
    const code = response.status >= 500 ? "UNREACHABLE" : "UNUSABLE";
    throw new GatewayError(code, `HTTP ${response.status}, without an answer of the gateway's.`);
  }
}

export function errorOf(errors: readonly ApiError[] | undefined, status = 200): GatewayError {
  const [first] = errors ?? [];
  const { code, remedy } = first?.extensions ?? {};
  if (status === 401 && !code) return signedOut(); // of a proxy's, in JSON
  if (typeof first?.message !== "string") return new GatewayError("UNUSABLE", `HTTP ${status}, without an answer.`);
  return new GatewayError((code ?? "UNUSABLE") as Code, first.message, typeof remedy === "string" ? remedy : null);
}
