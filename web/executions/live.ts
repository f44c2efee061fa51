/** Changes as they happen, by server-sent events; after a break they go on where it was. */
import { createClient, NetworkError } from "graphql-sse";
import { bodyOf, endpoint, errorOf, GatewayError, headers, heard, idOf, unreachable } from "./gateway";
import type { ApiError, Document } from "./gateway";
import { fetchStream, inPlace } from "./stream";

interface Change<Execution> {
  change: { execution: Execution; cursor: string };
}

export interface Follower<Execution> {
  change: (execution: Execution) => void;
  /** Why nothing is told at the moment; null: it is again. */
  problem: (error: GatewayError | null) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const client = createClient({ url: endpoint, headers, fetchFn: fetchStream, retryAttempts: 0 });

/**
 * Follow until `signal`; `at.after` moves on with each change. Returns null when there is nothing more to tell, or the
 * error that no waiting mends: BAD_USER_INPUT if `after` is too old, so that something may have been missed.
 */
export async function follow<Execution, Variables extends { after?: string | null }>(
  document: Document<Change<Execution>, Variables>,
  at: Variables,
  follower: Follower<Execution>,
  signal: AbortSignal,
): Promise<GatewayError | null> {
  let wait = 0;
  while (!signal.aborted) {
    try {
      await inPlace(signal, () => changes(document, at, follower, signal, () => (wait = 0)));
      return null;
    } catch (thrown) {
      const error = await explained(thrown);
      if (signal.aborted) return null;
      heard(error);
      const isFirst = wait === 0 && error.code === "UNREACHABLE"; // proxies cut idle connections: no news
      if (!isFirst) follower.problem(error);
      if (!error.passes) return error;
      wait = Math.min(Math.max(FIRST_WAIT_MS, 2 * wait), LONGEST_WAIT_MS);
      await pause(wait * (0.5 + Math.random()), signal); // else all tabs come back at once
    }
  }
  return null;
}

/** One connection, until its end. */
function changes<Execution, Variables extends { after?: string | null }>(
  document: Document<Change<Execution>, Variables>,
  at: Variables,
  follower: Follower<Execution>,
  signal: AbortSignal,
  works: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // The library's type asks for the text of the document, which the gateway has.
    const request = { documentId: idOf(document), variables: at } as unknown as { query: string };
    const leave = client.subscribe<Change<Execution>>(
      request,
      {
        next({ data, errors }) {
          if (!data) {
            leave();
            reject(errorOf(errors as readonly ApiError[] | undefined));
            return;
          }
          at.after = data.change.cursor;
          works();
          follower.change(data.change.execution);
        },
        error: reject,
        complete: resolve,
      },
      { connected: () => signal.aborted || follower.problem(null) }, // it may come after its end
    );
    signal.addEventListener("abort", leave, { once: true });
  });
}

async function explained(thrown: unknown): Promise<GatewayError> {
  if (thrown instanceof GatewayError) return thrown;
  if (!(thrown instanceof NetworkError)) return unreachable(); // it broke off
  const { response } = thrown as { response?: unknown };
  if (!(response instanceof Response)) return unreachable();
  try {
    return errorOf((await bodyOf(response)).errors, response.status);
  } catch (error) {
    return error instanceof GatewayError ? error : unreachable();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
