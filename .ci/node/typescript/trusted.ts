// Apollo Client in front of a service that runs trusted documents only: prints what it read, as JSON.
// Usage: node built/trusted.js URL.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";

import { Accounts, InProgress } from "./queries.js";

const [uri = ""] = process.argv.slice(2);
const sent: string[] = [];
const hashes = new PersistedQueryLink({
  // The hash that the code generator put into each document, and as a key into the manifest.
  generateHash: (document) => (document as unknown as { __meta__?: { hash: string } }).__meta__?.hash ?? "none",
});
const http = new HttpLink({
  uri,
  fetch: (url, request) => {
    sent.push(Object.keys(JSON.parse(String(request?.body))).sort().join(" "));
    return fetch(url, request);
  },
});
const client = new ApolloClient({ link: ApolloLink.from([hashes, http]), cache: new InMemoryCache() });

const told = (error: unknown) =>
  CombinedGraphQLErrors.is(error) ? error.errors.map(({ extensions }) => extensions?.code) : error && String(error);

const accounts = await client.query({ query: Accounts, errorPolicy: "all" });
const page = await client.query({ query: InProgress, variables: { first: 2 }, errorPolicy: "all" });
const hashed = [...sent];
const plain = new ApolloClient({ link: http, cache: new InMemoryCache() });
const refused = await plain.query({ query: Accounts, errorPolicy: "all" });

console.log(
  JSON.stringify({
    accounts: accounts.data?.accounts?.length ?? told(accounts.error),
    edges: page.data?.inProgressExecutions?.edges?.length ?? told(page.error),
    sent: hashed,
    refused: told(refused.error),
  }),
);
