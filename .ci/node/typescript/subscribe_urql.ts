// A client on urql, over graphql-ws or, with the argument `sse`, graphql-sse. See changes.ts.
import { Client, subscriptionExchange } from "@urql/core";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";

import { document, end, patience, tell, url, variables, wsUrl } from "./changes.js";
import { resuming } from "./resuming.js";

const ws = resuming(createWsClient({ url: wsUrl, ...patience }));
const sse = resuming(createSseClient({ url, retryAttempts: patience.retryAttempts, retry: patience.retryWait }));
const over = process.argv[4] === "sse" ? sse : ws;
const client = new Client({
  url,
  preferGetMethod: false,
  exchanges: [
    subscriptionExchange({
      forwardSubscription: ({ query = "", variables }) => ({
        subscribe: (sink) => ({ unsubscribe: over.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

// When a subscription is complete, urql gives its last result once more, without `hasNext`.
const subscribed = client.subscription<any>(document as any, variables).subscribe(({ data, error, hasNext }) => {
  if (data && hasNext) {
    tell(data);
    return;
  }
  end(error?.graphQLErrors.map(({ extensions }) => extensions["code"]));
  subscribed.unsubscribe();
});
