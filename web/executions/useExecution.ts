/** One execution, followed until it ends; its last state stays. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ask, GatewayError, problemOf } from "./gateway";
import {
  DefinitionDocument,
  ExecutionChangedDocument,
  ExecutionDocument,
  RecordedDocument,
  ServerLogDocument,
  UsualDocument,
  type ExecutionQuery,
  type SearchFilter,
  type WholeFragment,
} from "./gql/graphql";
import { follow } from "./live";
import { useVisible } from "./now";
import { hasEnded } from "./rows";
import { median } from "./time";

const AGAIN_MS = 5_000;
const DEFINITION_MS = 3_600_000; // AWS never changes a workflow
const USUAL_MS = 300_000;

export type Answer = ExecutionQuery["executionOrError"];

export function keyOf(id: string) {
  const [accountId = "", region = "", workflowId = "", executionId = ""] = id.split("/");
  return { accountId, region, workflowId, executionId };
}

export function useExecution(id: string) {
  const cache = useQueryClient();
  const isVisible = useVisible();
  const [problem, setProblem] = useState<GatewayError | null>(null);
  const queryKey = ["execution", id];
  const { data, failureReason, refetch } = useQuery({
    queryKey,
    queryFn: ({ signal }) => lookedUp(id, signal),
    refetchInterval: ({ state }) => (isPassing(state.data) ? AGAIN_MS : false),
  });
  const runs = data?.__typename === "Execution" && !hasEnded(data);

  useEffect(() => {
    if (!runs || !isVisible) return;
    const ending = new AbortController();
    const change = (execution: WholeFragment) =>
      cache.setQueryData<Answer>(["execution", id], { ...execution, __typename: "Execution" });
    const variables = { key: keyOf(id), after: null };
    let polling: ReturnType<typeof setInterval> | undefined;
    const told = (error: GatewayError | null) => {
      const isRefused = error?.code === "THROTTLED";
      clearInterval(polling);
      if (isRefused) polling = setInterval(() => void refetch(), AGAIN_MS);
      setProblem(isRefused ? null : error);
    };
    void follow(ExecutionChangedDocument, variables, { change, problem: told }, ending.signal).then(() => {
      if (!ending.signal.aborted) void refetch(); // it has ended, or can't be followed: how it is now
    });
    return () => {
      ending.abort();
      clearInterval(polling);
      setProblem(null);
    };
  }, [cache, id, runs, isVisible, refetch]);

  return { answer: data, problem: failureReason ? problemOf(failureReason) : problem, runs, refetch };
}

/** From the record, if it has ended: that needs no answer of an account that may refuse. Otherwise AWS is asked. */
async function lookedUp(id: string, signal: AbortSignal): Promise<Answer> {
  const key = keyOf(id);
  const { accountId, region, workflowId, executionId } = key;
  const filter = { accountIds: [accountId], regions: [region], workflowIds: [workflowId], executionIds: [executionId] };
  const recorded = await recordedAs(filter, signal);
  if (recorded && hasEnded(recorded)) return recorded;
  const answer = (await ask(ExecutionDocument, { key }, signal)).executionOrError;
  return answer.__typename === "Execution" ? answer : (recorded ?? answer);
}

export async function recordedAs(filter: SearchFilter, signal: AbortSignal) {
  try {
    const [edge] = (await ask(RecordedDocument, { filter }, signal)).searchExecutions.edges;
    return edge ? { ...edge.node, __typename: "Execution" as const } : null;
  } catch (error) {
    if (error instanceof GatewayError && error.code === "HISTORY_OFF") return null;
    throw error;
  }
}

function isPassing(answer: Answer | undefined): boolean {
  return answer !== undefined && answer.__typename !== "Execution" && answer.retryable;
}

/** The workflow's steps, as they are defined. */
export function useDefinition(id: string) {
  const { executionId: _, ...key } = keyOf(id);
  const { data } = useQuery({
    queryKey: ["definition", key],
    queryFn: async ({ signal }) => (await ask(DefinitionDocument, { key }, signal)).workflowOrError,
    staleTime: DEFINITION_MS,
  });
  return data?.__typename === "Workflow" ? data : undefined;
}

/** How long each step usually takes: the median of the last completed executions of the workflow. */
export function useUsual(id: string): { steps: (number | null)[]; whole: number | null; of: number } {
  const { accountId, region, workflowId } = keyOf(id);
  const { data } = useQuery({
    queryKey: ["usual", accountId, region, workflowId],
    queryFn: ({ signal }) => {
      const where = { accountIds: [accountId], regions: [region], workflowIds: [workflowId] };
      return ask(UsualDocument, { filter: { ...where, statuses: ["COMPLETED" as const] } }, signal);
    },
    staleTime: USUAL_MS,
  });
  const runs = (data?.searchExecutions.edges ?? []).map(({ node }) => node);
  const longest = Math.max(0, ...runs.map(({ results }) => results?.steps?.length ?? 0));
  const known = (values: (number | null | undefined)[]) => values.filter((value) => value != null);
  return {
    of: runs.length,
    whole: median(known(runs.map(({ durationS }) => durationS))),
    steps: Array.from({ length: longest }, (_, index) =>
      median(known(runs.map(({ results }) => results?.steps?.[index]?.durationS))),
    ),
  };
}

/** The log group of a server, asked for only if nothing else says where an execution is logged. */
export function useServerLog(id: string, serverId: string | undefined, isWanted: boolean): string | null {
  const { accountId, region } = keyOf(id);
  const { data } = useQuery({
    queryKey: ["server-log", accountId, region, serverId],
    queryFn: async ({ signal }) =>
      (await ask(ServerLogDocument, { id: `${accountId}/${region}/${serverId}` }, signal)).node ?? null,
    enabled: isWanted && serverId !== undefined,
    staleTime: USUAL_MS,
  });
  return data?.__typename === "Server" ? (data.logGroup ?? null) : null;
}
