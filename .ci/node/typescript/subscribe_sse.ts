// A client on graphql-sse, with a connection for each subscription. It sends no Last-Event-ID. See changes.ts.
import { createClient } from "graphql-sse";

import { patience, request, sink, url } from "./changes.js";
import { resuming } from "./resuming.js";

const { retryAttempts, retryWait: retry } = patience;
resuming(createClient({ url, retryAttempts, retry })).subscribe(request, sink);
