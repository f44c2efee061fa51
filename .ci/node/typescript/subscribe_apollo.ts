// A client on Apollo Client, over graphql-ws. See changes.ts.
import { ApolloClient, CombinedGraphQLErrors, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";

import { document, end, patience, tell, variables, wsUrl, type Told } from "./changes.js";
import { resuming } from "./resuming.js";

const link = new GraphQLWsLink(resuming(createClient({ url: wsUrl, ...patience })));
const client = new ApolloClient({ link, cache: new InMemoryCache() });
let codes: unknown;
client.subscribe<Told>({ query: document as any, variables }).subscribe({
  next({ data, error }) {
    if (data) tell(data);
    if (error) codes = CombinedGraphQLErrors.is(error) ? error.errors.map((each) => each.extensions?.["code"]) : String(error);
  },
  error: (error) => end(String(error)),
  complete: () => end(codes),
});
