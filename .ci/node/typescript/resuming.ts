// Subscriptions that go on where they were cut off.
interface Request {
  query: string;
  variables?: Record<string, unknown> | null;
}

interface Sink {
  next(result: { data?: any }): void;
  error(error: unknown): void;
  complete(): void;
}

/** A client of graphql-ws or graphql-sse that, when it reconnects, asks for what comes after the last `cursor`. */
export function resuming<C extends { subscribe(request: Request, sink: Sink): () => void }>(client: C): C {
  function subscribe(request: Request, sink: Sink): () => void {
    const variables = { ...request.variables }; // they are sent again with each connection
    return client.subscribe({ ...request, variables }, {
      next(result) {
        sink.next(result);
        for (const change of Object.values<any>(result.data ?? {})) variables["after"] = change.cursor;
      },
      error: (error) => sink.error(error),
      complete: () => sink.complete(),
    });
  }
  return { ...client, subscribe };
}
