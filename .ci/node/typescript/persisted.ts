// Apollo Client and urql with persisted queries, as each documents them: prints what they sent and read, as JSON.
// Usage: node built/persisted.js URL.
import { createHash } from "node:crypto";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { createPersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

import { Accounts, Workflows } from "./queries.js";

const [url = ""] = process.argv.slice(2);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

// A fetch that notes of each request its method, and whether it had a text, a hash, or both.
function noting(sent: string[]): typeof fetch {
  return async (input, init) => {
    const parameters = new URL(String(input)).searchParams;
    const body: Record<string, unknown> = init?.body ? JSON.parse(String(init.body)) : Object.fromEntries(parameters);
    const has = [body["query"] && "text", String(JSON.stringify(body["extensions"])).includes("sha256Hash") && "hash"];
    const response = await fetch(input, init);
    sent.push([init?.method, ...has.filter(Boolean), response.status].join(" "));
    return response;
  };
}

async function apollo(useGETForHashedQueries: boolean) {
  const sent: string[] = [];
  const hashes = createPersistedQueryLink({ sha256, useGETForHashedQueries });
  const link = ApolloLink.from([hashes, new HttpLink({ uri: url, fetch: noting(sent) })]);
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  const accounts = await client.query({ query: Accounts });
  const workflows = await client.query({ query: Workflows, variables: { first: 2 } });
  return { sent, read: [accounts.data?.accounts?.length, workflows.data?.workflows?.edges?.length] };
}

async function urql(preferGetForPersistedQueries: boolean) {
  const sent: string[] = [];
  const exchanges = [persistedExchange({ preferGetForPersistedQueries }), fetchExchange];
  const client = new Client({ url, fetch: noting(sent), exchanges, preferGetMethod: false });
  const accounts = await client.query(Accounts, {});
  const workflows = await client.query(Workflows, { first: 2 });
  if (accounts.error || workflows.error) throw accounts.error ?? workflows.error;
  return { sent, read: [accounts.data?.accounts.length, workflows.data?.workflows.edges.length] };
}

console.log(
  JSON.stringify({
    apollo: await apollo(false),
    apolloByGet: await apollo(true),
    urql: await urql(false),
    urqlByGet: await urql(true),
  }),
);
