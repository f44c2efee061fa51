/** The current list as a CSV file. */
import { csv } from "./csv";
import { placeOf } from "./file";
import { ask, gatewayNow, problemOf } from "./gateway";
import { ExecutionsCsvDocument, type ExecutionsCsvQuery, type ExecutionsCsvQueryVariables } from "./gql/graphql";
import { wordOf } from "./Status";
import { filterOf, orderOf, type State } from "./url";

export const MOST_CSV_ROWS = 10_000;
const PAGE_ROWS = 1_000;
const LONGEST_WAIT_MS = 16_000;
const HEADER = [
  "status",
  "failed step",
  "error type",
  "error message",
  "file",
  "user",
  "account",
  "account alias",
  "region",
  "server",
  "workflow",
  "execution",
  "started",
  "ended",
  "duration (s)",
];

type Row = ExecutionsCsvQuery["page"]["edges"][number]["node"];

/** Saves it in the browser. Returns: how many rows, and whether there are more. */
export async function download(state: State): Promise<{ rows: number; isAll: boolean }> {
  const filter = filterOf(state, gatewayNow());
  const rows: Row[] = [];
  let after: string | null = null;
  do {
    const { page } = await persistently({ filter, first: PAGE_ROWS, after, order: orderOf(state) });
    rows.push(...page.edges.map(({ node }) => node));
    after = page.pageInfo.hasNextPage ? (page.pageInfo.endCursor ?? null) : null;
  } while (after && rows.length < MOST_CSV_ROWS);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv(HEADER, rows.map(valuesOf))], { type: "text/csv" }));
  link.download = `executions-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}Z.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
  return { rows: rows.length, isAll: after === null };
}

/** A quota, or a store that is busy, costs time and not what is there already. */
async function persistently(variables: ExecutionsCsvQueryVariables): Promise<ExecutionsCsvQuery> {
  for (let wait = 1_000; ; wait *= 2) {
    try {
      return await ask(ExecutionsCsvDocument, variables);
    } catch (error) {
      if (wait > LONGEST_WAIT_MS || !problemOf(error).passes) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

function valuesOf(row: Row): (string | number | null | undefined)[] {
  const { userName, serverId } = row.serviceMetadata?.userDetails ?? {};
  return [
    wordOf(row),
    row.failedStep?.name ?? row.failedStep?.rawStepType,
    row.failedStep?.error?.rawType,
    row.failedStep?.error?.message,
    placeOf(row.initialFileLocation)?.whole,
    userName,
    row.accountId,
    row.account.alias,
    row.region,
    serverId,
    row.workflowId,
    row.executionId,
    row.startedAt,
    row.endedAt,
    row.durationS,
  ];
}
