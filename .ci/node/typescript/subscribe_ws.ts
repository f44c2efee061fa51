// A client on graphql-ws. See changes.ts.
import { createClient } from "graphql-ws";

import { patience, request, sink, wsUrl } from "./changes.js";
import { resuming } from "./resuming.js";

resuming(createClient({ url: wsUrl, ...patience })).subscribe(request, sink);
