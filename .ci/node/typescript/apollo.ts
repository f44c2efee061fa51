// A client on Apollo Client, with its normalised cache: prints what it read, as JSON.
// Usage: node built/apollo.js URL KEY, the key as JSON.
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";

import { useFragment } from "./gql/index.js";
import type { ExecutionKey } from "./gql/graphql.js";
import possibleTypes from "./gql/possible-types.js";
import { Accounts, FileFields, Find, InProgress, LookUp, LookUpMany, LookUpPlainly, Workflows } from "./queries.js";

const [uri = "", given = ""] = process.argv.slice(2);
const key: ExecutionKey = JSON.parse(given);
const missing: ExecutionKey = { ...key, executionId: "00000000-0000-0000-0000-000000000000" };

const statuses: number[] = [];
async function counting(...request: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...request);
  statuses.push(response.status);
  return response;
}

const cache = new InMemoryCache(possibleTypes);
const client = new ApolloClient({ link: new HttpLink({ uri, fetch: counting }), cache });

async function lookUp(key: ExecutionKey): Promise<string | undefined> {
  const { data } = await client.query({ query: LookUp, variables: { key } });
  if (data?.executionOrError?.__typename === "Execution") {
    const execution = data.executionOrError;
    return `${execution.status} ${useFragment(FileFields, execution).serviceMetadata?.userDetails.userName}`;
  }
  return data?.executionOrError && `${data.executionOrError.__typename}: ${data.executionOrError.message}`;
}

const told = (error: unknown) => ({
  status: statuses.at(-1),
  codes: CombinedGraphQLErrors.is(error) ? error.errors.map(({ extensions }) => extensions?.code) : String(error),
});

const found = await lookUp(key);
const absent = await lookUp(missing);
const asked = statuses.length;
const again = await lookUp(key);
const askedAgain = statuses.length - asked;

const many = await client.query({ query: LookUpMany, variables: { keys: [missing, key] } });
const page = await client.query({ query: InProgress, variables: { filter: { workflowIds: [key.workflowId] } } });
const find = await client.query({ query: Find, variables: { executionId: key.executionId } });
const workflows = await client.query({ query: Workflows, variables: { first: 2 } });
const accounts = await client.query({ query: Accounts });
const plain = await client.query({ query: LookUpPlainly, variables: { key: missing }, errorPolicy: "all" });
const plainly = told(plain.error);
const invalid = await client.query({ query: gql`query { executions { nonsense } }`, errorPolicy: "all" });

console.log(
  JSON.stringify({
    found,
    missing: absent,
    asked,
    again,
    askedAgain,
    many: many.data?.executions?.map((item) => item?.__typename),
    plain: { data: plain.data, ...plainly },
    invalid: { data: invalid.data, ...told(invalid.error) },
    page: page.data?.inProgressExecutions?.edges?.map((edge) => edge?.node?.id),
    find: find.data?.findExecution?.execution?.id,
    workflows: workflows.data?.workflows?.edges?.length,
    accounts: accounts.data?.accounts?.length,
    // By its global id, the execution as all of these queries have it together.
    cached: cache.readFragment({
      id: `Execution:${Object.values(key).join("/")}`,
      fragment: gql`fragment Cached on Execution { accountId status account { alias } }`,
    }),
    // A fragment on an interface, which the cache matches by the possible types alone.
    node: cache.readFragment({
      id: `Execution:${Object.values(key).join("/")}`,
      fragment: gql`fragment AnyNode on Node { id }`,
    }),
    entries: Object.keys(cache.extract()),
  }),
);
