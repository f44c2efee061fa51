// A client on urql: prints what it read, as JSON.
// Usage: node built/urql.js URL KEY, the key as JSON.
import { Client, fetchExchange, gql, type CombinedError } from "@urql/core";

import { useFragment } from "./gql/index.js";
import type { ExecutionKey } from "./gql/graphql.js";
import { Accounts, FileFields, Find, InProgress, LookUp, LookUpMany, LookUpPlainly, Workflows } from "./queries.js";

const [url = "", given = ""] = process.argv.slice(2);
const key: ExecutionKey = JSON.parse(given);
const missing: ExecutionKey = { ...key, executionId: "00000000-0000-0000-0000-000000000000" };
const client = new Client({ url, exchanges: [fetchExchange], preferGetMethod: false });

async function lookUp(key: ExecutionKey): Promise<string> {
  const { data, error } = await client.query(LookUp, { key });
  if (!data) throw error;
  const found = data.executionOrError;
  switch (found.__typename) {
    case "Execution":
      return `${found.status} ${useFragment(FileFields, found).serviceMetadata?.userDetails.userName}`;
    case "ExecutionNotFound":
      return `not found: ${found.message}`;
    default:
      return `${found.code}${found.retryable ? `, again in ${found.retryAfter ?? 1} s` : ""}`;
  }
}

const told = (error?: CombinedError) => ({
  status: error?.response?.status,
  codes: error?.graphQLErrors.map(({ extensions }) => extensions.code),
  network: error?.networkError?.message,
});

const many = await client.query(LookUpMany, { keys: [missing, key] });
const plain = await client.query(LookUpPlainly, { key: missing });
const invalid = await client.query(gql`query { executions { nonsense } }`, {});
const page = await client.query(InProgress, { filter: { statuses: ["IN_PROGRESS"] }, first: 3 });
const next = await client.query(InProgress, {
  first: 1,
  after: page.data?.inProgressExecutions.pageInfo.endCursor,
});
const find = await client.query(Find, { executionId: key.executionId });
const workflows = await client.query(Workflows, { first: 2 });
const accounts = await client.query(Accounts, {});

console.log(
  JSON.stringify({
    found: await lookUp(key),
    missing: await lookUp(missing),
    many: many.data?.executions.map(({ __typename }) => __typename),
    plain: { data: plain.data, ...told(plain.error) },
    invalid: { data: invalid.data, ...told(invalid.error) },
    users: page.data?.inProgressExecutions.edges.map(
      ({ node }) => useFragment(FileFields, node).serviceMetadata?.userDetails.userName,
    ),
    nextPage: next.data?.inProgressExecutions.edges.length,
    find: find.data?.findExecution.execution?.id,
    steps: workflows.data?.workflows.edges.map(({ node }) => node.steps?.map(({ name }) => name)),
    accounts: accounts.data?.accounts.map(({ accountId }) => accountId),
  }),
);
