/** The list: asked for once, then kept current by its changes. */
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useDeferredValue } from "react";
import { ask, byGateway, gatewayNow, problemOf, type GatewayError } from "./gateway";
import {
  ExecutionsDocument,
  ExecutionsSummaryDocument,
  MoreExecutionsDocument,
  type RowFragment as Row,
  type SummaryFragment as Summary,
} from "./gql/graphql";
import { useVisible } from "./now";
import { MOST_ROWS, type Page } from "./rows";
import { useChanges } from "./useChanges";
import { filterOf, orderOf, queryOf, type State } from "./url";

const FIRST_ROWS = 100;
const MORE_ROWS = 300;
const SUMMARY_EVERY_MS = 5_000;

export interface Executions {
  rows: Row[] | undefined;
  summary: Summary | undefined;
  /** Why what is shown may be old. */
  problem: GatewayError | null;
  updatedAt: number;
  isLive: boolean;
  /** Changes are not told, so that the list is asked for again and again. */
  isPolled: boolean;
  /** The rows are those of another filter, until these are there. */
  isOther: boolean;
  /** New rows that wait until somebody wants to see them. */
  held: number;
  showHeld: () => void;
  hasMore: boolean;
  isLoadingMore: boolean;
  loadMore: () => void;
  retry: () => void;
}

export function useExecutions(state: State, isPaused: boolean, holds: () => boolean): Executions {
  const cache = useQueryClient();
  const isVisible = useVisible();
  const isOn = state.view === "list";
  const asked = queryOf({ ...state, view: "list", execution: "" });
  const key = ["executions", asked];
  const summaryKey = ["summary", queryOf({ ...withEvery(state), view: "list", execution: "" })];

  const list = useInfiniteQuery({
    queryKey: key,
    initialPageParam: "",
    queryFn: async ({ pageParam, signal }): Promise<Page> => {
      const filter = filterOf(state, gatewayNow());
      if (pageParam) {
        const variables = { filter, first: MORE_ROWS, after: pageParam, order: orderOf(state) };
        return pageOf((await ask(MoreExecutionsDocument, variables, signal)).page);
      }
      const everyStatus = filterOf(withEvery(state), gatewayNow());
      const answer = await ask(ExecutionsDocument, { filter, everyStatus, first: FIRST_ROWS, order: orderOf(state) }, signal);
      cache.setQueryData(summaryKey, answer.summary);
      return pageOf(answer.page);
    },
    getNextPageParam: (page) => (page.hasNext ? page.end : null),
    enabled: isOn,
    placeholderData: (before) => before,
    structuralSharing: false, // `patched` keeps what did not change
  });
  const summary = useQuery({
    queryKey: summaryKey,
    queryFn: async ({ signal }) => {
      const everyStatus = filterOf(withEvery(state), gatewayNow());
      return (await ask(ExecutionsSummaryDocument, { everyStatus }, signal)).summary;
    },
    enabled: isOn && list.isSuccess && !isPaused,
    refetchInterval: SUMMARY_EVERY_MS,
    staleTime: SUMMARY_EVERY_MS, // the list comes with one
    placeholderData: (before) => before,
  });

  const { refetch } = list;
  const changes = useChanges(state, {
    key,
    isOn: useDeferredValue(isOn && list.isSuccess && !list.isPlaceholderData && isVisible), // after the rows
    cursor: list.data?.pages[0]?.changes ?? null,
    isPaused,
    holds,
    refetch: useCallback(() => void refetch(), [refetch]),
  });

  // Rows of another filter are no answer if this one can't be asked.
  const isAnswer = list.data && !(list.isPlaceholderData && list.failureReason);
  const rows = isAnswer ? list.data.pages.flatMap((page) => page.rows) : undefined;
  const failure = list.failureReason ?? summary.failureReason;
  return {
    rows,
    summary: summary.data,
    problem: failure ? problemOf(failure) : changes.problem,
    updatedAt: byGateway(Math.max(changes.toldAt, summary.dataUpdatedAt, list.dataUpdatedAt)),
    isLive: changes.isLive,
    isPolled: changes.isPolled,
    isOther: list.isPlaceholderData,
    held: changes.held,
    showHeld: changes.showHeld,
    hasMore: list.hasNextPage && (rows?.length ?? 0) < MOST_ROWS,
    isLoadingMore: list.isFetchingNextPage,
    loadMore: () => void list.fetchNextPage(),
    retry: () => void Promise.all([list.refetch(), summary.refetch()]),
  };
}

const withEvery = (state: State): State => ({ ...state, statuses: [], isUnknown: false, isLongestFirst: false });

interface Connection {
  edges: { node: Row }[];
  pageInfo: { hasNextPage: boolean; endCursor?: string | null };
  changesCursor?: string | null;
}

function pageOf({ edges, pageInfo, changesCursor }: Connection): Page {
  return {
    rows: edges.map(({ node }) => node),
    hasNext: pageInfo.hasNextPage,
    end: pageInfo.endCursor ?? null,
    changes: changesCursor ?? null,
  };
}
