/** The executions: rows that keep their place, and different texts when there are none. */
import { useDeferredValue, useRef, type KeyboardEvent, type MouseEvent } from "react";
import type { GatewayError } from "./gateway";
import { Row } from "./Row";
import { MOST_ROWS } from "./rows";
import { useZone } from "./Times";
import type { Executions } from "./useExecutions";
import { isFiltered, queryOf, type State } from "./url";

interface Props {
  list: Executions;
  state: State;
  hiddenFields: readonly string[];
  open: (id: string) => void;
  clear: () => void;
}

export function List({ list, state, hiddenFields, open, clear }: Props) {
  const sorted = state.isLongestFirst ? "Duration" : "Started";
  const rows = useDeferredValue(list.rows);
  const table = useRef<HTMLDivElement>(null);
  const zone = useZone();
  const query = queryOf({ ...state, execution: "" });
  const base = `${query}${query === "?" ? "" : "&"}execution=`;

  if (!rows) return list.problem ? (
      <NotAsked problem={list.problem} retry={list.retry} clear={isFiltered(state) ? clear : undefined} />
    ) : (
      <Skeleton />
    );
  const isBeingRead = list.summary?.coverage.some(({ gap }) => gap === "BEING_READ");
  if (rows.length === 0 && isBeingRead) return <StillReading />;
  if (rows.length === 0) return isFiltered(state) ? <NoMatch clear={clear} /> : <Nothing />;

  const click = (event: MouseEvent) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>("a[data-id]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    open(link.dataset.id!);
  };
  return (
    <>
      <div
        role="table"
        ref={table}
        className={list.isOther ? "table other" : "table"}
        aria-label={`Executions, ${state.isLongestFirst ? "longest" : "newest"} first`}
        aria-busy={list.isOther}
        onClick={click}
        onKeyDown={(event) => move(event, table.current!)}
      >
        <div role="row" className="row head">
          {["Status", "File", "User and account", "Server and workflow", "Started", "Duration"].map((name) => (
            <div role="columnheader" key={name} aria-sort={name === sorted ? "descending" : undefined}>
              {name}
              {name === sorted && " ↓"}
            </div>
          ))}
        </div>
        <div role="rowgroup">
          {rows.map((row) => (
            <Row
              key={row.id}
              row={row}
              base={base}
              zone={zone}
              isOpen={row.id === state.execution}
              hidesFile={hiddenFields.includes("initialFileLocation")}
              hidesUser={hiddenFields.includes("serviceMetadata")}
            />
          ))}
        </div>
      </div>
      <p className="end">
        {list.hasMore ? (
          <button type="button" onClick={list.loadMore} disabled={list.isLoadingMore}>
            {list.isLoadingMore ? "Loading…" : "Load more"}
          </button>
        ) : rows.length >= MOST_ROWS ? (
          `${MOST_ROWS.toLocaleString("en")} rows are shown. Narrow the search to see older ones.`
        ) : (
          "These are all."
        )}
      </p>
    </>
  );
}

/** Arrow keys go from row to row. */
export function move(event: Pick<KeyboardEvent, "key" | "preventDefault">, table: Element): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || table.ariaBusy === "true") return; // the rows of another search are no answer
  const links = [...table.querySelectorAll<HTMLElement>("a[data-id]")];
  const at = links.indexOf(document.activeElement as HTMLElement);
  event.preventDefault();
  links[Math.max(0, at + step)]?.focus();
}

function Skeleton() {
  return (
    <div className="skeleton" role="status" aria-label="Loading the executions">
      {Array.from({ length: 12 }, (_, index) => (
        <div key={index} />
      ))}
    </div>
  );
}

const Nothing = () => (
  <div className="none">
    <h2>Nothing yet</h2>
    <p>No execution is known in the accounts that you can see. New ones come in here by themselves.</p>
  </div>
);

const StillReading = () => (
  <div className="none" role="status">
    <h2>Still reading…</h2>
    <p>
      Logs are being read for the first time, and nothing in what is read so far matches. More comes in here by itself.
    </p>
  </div>
);

const NoMatch = ({ clear }: { clear: () => void }) => (
  <div className="none">
    <h2>Nothing matches</h2>
    <p>The gateway knows no such execution. Mind what the line above says may be missing.</p>
    <button type="button" onClick={clear}>
      Remove all filters
    </button>
  </div>
);

interface NotAskedProps {
  problem: GatewayError;
  retry: () => void;
  clear: (() => void) | undefined;
}

const NotAsked = ({ problem, retry, clear }: NotAskedProps) => (
  <div className="none" role="alert">
    <h2>This could not be asked</h2>
    <p>
      {problem.message} {problem.remedy}
    </p>
    <p>Whether there are such executions is not known. {problem.passes && "It is asked again by itself."}</p>
    <button type="button" onClick={retry}>
      Ask again now
    </button>{" "}
    {clear && (
      <button type="button" onClick={clear}>
        Remove all filters
      </button>
    )}
  </div>
);
