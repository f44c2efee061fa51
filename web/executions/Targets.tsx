/** Every account and region: covered or not and why, last seen, running, failed today; and its servers. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { nameOf, titleOf } from "./Coverage";
import { ask, gatewayNow, type GatewayError } from "./gateway";
import { ServersDocument, TargetDocument, TargetsDocument, type CoverageFragment } from "./gql/graphql";
import { Id } from "./Id";
import { Icon } from "./Status";
import { Since, useZone } from "./Times";
import { today } from "./time";
import { queryOf, stateOf, type State } from "./url";

const ROWS = 200;
const EVERY_MS = 10_000;

export function Targets({ go }: { go: (part: Partial<State>) => void }) {
  const list = useInfiniteQuery({
    queryKey: ["targets"],
    initialPageParam: "",
    queryFn: async ({ pageParam, signal }) =>
      (await ask(TargetsDocument, { first: ROWS, after: pageParam || null }, signal)).coverage,
    getNextPageParam: ({ pageInfo }) => (pageInfo.hasNextPage ? pageInfo.endCursor : null),
    refetchInterval: EVERY_MS,
  });
  const problem = list.failureReason as GatewayError | null;
  const summary = list.data?.pages[0]?.summary;
  const targets = list.data?.pages.flatMap(({ edges }) => edges.map(({ node }) => node)) ?? [];
  return (
    <>
      <p className="summary" role="status">
        {problem && `Old: ${problem.message} `}
        {summary && `${summary.covered} of ${summary.total} accounts and regions are covered without a gap.`}
      </p>
      <div role="table" className="table targets" aria-label="Accounts and servers">
        <div role="row" className="row head">
          {["Account and region", "Coverage", "Last execution", "Running", "Failed today", "Servers"].map((name) => (
            <div role="columnheader" key={name}>
              {name}
            </div>
          ))}
        </div>
        <div role="rowgroup">
          {targets.map((target) => (
            <Target key={nameOf(target)} target={target} go={go} />
          ))}
        </div>
      </div>
      {list.hasNextPage && (
        <p className="end">
          <button type="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
            Load more
          </button>
        </p>
      )}
    </>
  );
}

function Target({ target, go }: { target: CoverageFragment; go: (part: Partial<State>) => void }) {
  const row = useRef<HTMLDivElement>(null);
  const isSeen = useSeen(row);
  const zone = useZone();
  const [isOpen, open] = useState(false);
  const { account, region, gap } = target;
  const where = { accountIds: [account.accountId], regions: [region] };
  const { data } = useQuery({
    queryKey: ["target", account.accountId, region, zone],
    queryFn: ({ signal }) => {
      const failed = {
        ...where,
        statuses: ["EXCEPTION" as const, "HANDLING_EXCEPTION" as const],
        startedAfter: today(gatewayNow(), zone),
      };
      return ask(TargetDocument, { all: where, running: { ...where, running: true }, failed }, signal);
    },
    enabled: isSeen,
    refetchInterval: EVERY_MS,
  });
  const last = data?.last.edges[0]?.node;
  const only = { view: "list" as const, accounts: [account.accountId], regions: [region] };
  const failedToday = {
    ...only,
    statuses: ["EXCEPTION" as const, "HANDLING_EXCEPTION" as const],
    from: today(gatewayNow(), zone),
  };
  const runningNow = { ...only, statuses: ["IN_PROGRESS" as const, "HANDLING_EXCEPTION" as const] };
  return (
    <div role="row" className="row" ref={row}>
      <div role="cell" className="file">
        <b>{account.alias ?? account.accountId}</b>
        <small>
          {account.alias && account.accountId} {region}
        </small>
      </div>
      <div role="cell" className="state">
        <span className={gap ? "status handling" : "status done"}>
          <Icon kind={gap ? "handling" : "done"} />
          {titleOf(target).replace(/^./, (first) => first.toUpperCase())}
        </span>
        {gap && <small>{target.remedy ?? target.problem?.message}</small>}
        {target.completeUntil && (
          <small className="dim">
            log read <Since at={target.completeUntil} /> ago
          </small>
        )}
      </div>
      <div role="cell" className="last">
        {last ? (
          <>
            <Since at={last.startedAt ?? last.observedAt} /> ago
          </>
        ) : (
          "–"
        )}
      </div>
      <Count label="running" count={data?.running.countsByStatus} to={runningNow} go={go} />
      <Count label="failed today" count={data?.failed.countsByStatus} to={failedToday} go={go} />
      <div role="cell" className="more">
        <button type="button" aria-expanded={isOpen} onClick={() => open(!isOpen)}>
          Servers <span className="unseen">of {nameOf(target)}</span>
        </button>
      </div>
      {isOpen && (
        <div role="cell" className="servers">
          <Servers where={where} />
        </div>
      )}
    </div>
  );
}

interface CountProps {
  label: string;
  count: { total: number; isExact: boolean } | null | undefined;
  to: Partial<State>;
  go: (part: Partial<State>) => void;
}

function Count({ label, count, to, go }: CountProps) {
  return (
    <div role="cell" className="count">
      {count ? (
        <a
          href={queryOf({ ...stateOf(""), ...to })}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            go(to);
          }}
        >
          {count.total.toLocaleString("en")}
          {!count.isExact && "+"} <span className="label">{label}</span>
        </a>
      ) : (
        "\u2007"
      )}
    </div>
  );
}

function Servers({ where }: { where: { accountIds: string[]; regions: string[] } }) {
  const { data, failureReason } = useQuery({
    queryKey: ["servers", where],
    queryFn: async ({ signal }) => (await ask(ServersDocument, { filter: where }, signal)).servers,
    staleTime: 60_000,
  });
  if (!data) return failureReason ? <p role="alert">{failureReason.message}</p> : <p>Asking AWS …</p>;
  return (
    <ul>
      {data.targetFailures.map(({ error }) => (
        <li key={error.message} role="alert">
          {error.message}
        </li>
      ))}
      {data.edges.map(({ node }) => {
        const workflows = [...node.onUpload, ...node.onPartialUpload].map(({ workflowId }) => workflowId);
        return (
          <li key={node.id}>
            <Id id={node.serverId} what="the server’s id" isWhole /> {node.rawState} {node.rawProtocols?.join(", ")} ·{" "}
            {workflows.length > 0 ? `starts ${[...new Set(workflows)].join(", ")}` : "starts no workflow"} ·{" "}
            {node.logGroup
              ? `logs to ${node.logGroup}`
              : workflows.length > 0
                ? "has no logging role: only a workflow with log destinations of its own is logged"
                : "has no logging role"}
          </li>
        );
      })}
      {data.edges.length === 0 && data.targetFailures.length === 0 && <li>There are no servers here.</li>}
    </ul>
  );
}

/** Whether it has been on the screen. */
function useSeen(element: React.RefObject<Element | null>): boolean {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    const watching = new IntersectionObserver(([entry]) => setSeen(entry?.isIntersecting ?? false));
    if (element.current) watching.observe(element.current);
    return () => watching.disconnect();
  }, [element]);
  return isSeen;
}
