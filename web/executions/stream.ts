/** What a stream of changes needs besides its library: a place among the browser's connections, and signs of life. */
import { fetchHere, GatewayError, unreachable } from "./gateway";

// Over HTTP/1.1 a browser has six connections to a host, for all its windows. Some are left for what is asked.
const STREAMS = 3;
// The gateway sends a comment every 15 s by default. A proxy that keeps them back, or a connection that broke, is silent.
const SILENT_MS = 50_000;

/** Run one of the few streams of all windows. Throws THROTTLED if there are enough. */
export async function inPlace<Result>(signal: AbortSignal, run: () => Promise<Result>): Promise<Result> {
  const { locks } = navigator as { locks?: LockManager };
  if (!locks) return run(); // not over plain HTTP from elsewhere
  for (let place = 1; place <= STREAMS && !signal.aborted; place++) {
    const done = await locks.request(`transfer-gateway stream ${place}`, { ifAvailable: true }, async (lock) =>
      lock ? { result: await run() } : null,
    );
    if (done) return done.result;
  }
  throw new GatewayError("THROTTLED", "Other windows of this browser follow what happens.");
}

/** As `fetch`; its body fails if nothing comes for long. */
export async function fetchStream(url: string, options: RequestInit): Promise<Response> {
  const response = await fetchHere(url, options);
  if (!response.ok || !response.body) return response;
  let timer: ReturnType<typeof setTimeout> | undefined;
  // TypeScript's type lacks `cancel`, for a reader that has what it wants.
  const watch: Transformer<Uint8Array, Uint8Array> & { cancel: () => void } = {
    start: (controller) => wait(controller),
    transform(piece, controller) {
      controller.enqueue(piece);
      wait(controller);
    },
    flush: () => clearTimeout(timer),
    cancel: () => clearTimeout(timer),
  };
  function wait(controller: TransformStreamDefaultController): void {
    clearTimeout(timer);
    timer = setTimeout(() => controller.error(unreachable()), SILENT_MS);
  }
  return new Response(response.body.pipeThrough(new TransformStream(watch)), response);
}
