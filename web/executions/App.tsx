/** The page: its state is its address. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, useCallback, useEffect, useRef, useState } from "react";
import { Counts } from "./Counts";
import { Coverage } from "./Coverage";
import { Filters } from "./Filters";
import { ask, gatewayNow, setToken, useRefusal } from "./gateway";
import { ViewerDocument } from "./gql/graphql";
import { Header, VIEWS } from "./Header";
import { List, move } from "./List";
import { Part } from "./Part";
import { SignIn } from "./SignIn";
import { PausedContext, useZoneChoice, ZoneContext } from "./Times";
import { Toolbar } from "./Toolbar";
import { useExecutions } from "./useExecutions";
import { ACCOUNT_ID, cut, EXECUTION_ID, leftOut, queryOf, stateOf, type State } from "./url";

// Not needed for the first rows: the detail comes after them, before anybody can open it.
const loadDetail = () => import("./Detail");
const Detail = lazy(async () => ({ default: (await loadDetail()).Detail }));
const Find = lazy(async () => ({ default: (await import("./Find")).Find }));
const Targets = lazy(async () => ({ default: (await import("./Targets")).Targets }));
const EMPTY = stateOf("");
const AT_TOP_PX = 40;
const MOST_NAMED = 5;
const PRELOAD_AFTER_MS = 500;

export function App() {
  const [state, setState] = useState(() => stateOf(location.search));
  const [notUnderstood, setNotUnderstood] = useState(() => leftOut(location.search));
  const [zone, setZone] = useZoneChoice();
  const [pausedAt, setPausedAt] = useState<number | null>(null);
  const isPaused = pausedAt !== null;
  const [finding, find] = useState("");
  const [file, setFile] = useState("");
  const main = useRef<HTMLDivElement>(null);
  const cache = useQueryClient();

  const change = useCallback((part: Partial<State>) => {
    setNotUnderstood([]); // the address is written anew
    setState((before) => {
      const next = { ...before, ...part };
      if (queryOf(next) !== queryOf(before)) history.pushState(null, "", queryOf(next));
      return next;
    });
  }, []);
  useEffect(() => {
    const follow = () => {
      setState(stateOf(location.search));
      setNotUnderstood(leftOut(location.search));
    };
    addEventListener("popstate", follow);
    return () => removeEventListener("popstate", follow);
  }, []);

  const open = useCallback((execution: string) => change({ execution }), [change]);
  const close = useCallback(() => {
    const { execution } = stateOf(location.search);
    change({ execution: "" });
    find("");
    // After the list can have the focus again, where it covered the list.
    requestAnimationFrame(() => main.current?.querySelector<HTMLElement>(`a[data-id="${execution}"]`)?.focus());
  }, [change]);
  const found = useCallback(
    (execution: string) => {
      find("");
      change({ execution });
    },
    [change],
  );
  useKeys(main, close);

  const viewer = useQuery({
    queryKey: ["viewer"],
    queryFn: async ({ signal }) => (await ask(ViewerDocument, {}, signal)).viewer,
    staleTime: Infinity,
  });
  const aliases = viewer.data?.accounts;
  useEffect(() => {
    // An alias in the address means its account.
    const idOf = (name: string) => {
      const all = aliases?.filter(({ alias }) => alias?.toLowerCase() === name.toLowerCase()) ?? [];
      return !ACCOUNT_ID.test(name) && all.length === 1 ? all[0]!.accountId : name; // of several, the API knows all
    };
    setState((before) => {
      const accounts = [...new Set(before.accounts.map(idOf))];
      if (accounts.join() === before.accounts.join()) return before;
      const next = { ...before, accounts };
      history.replaceState(null, "", queryOf(next));
      return next;
    });
  }, [aliases, state.accounts]);
  const holds = () => scrollY > AT_TOP_PX || main.current?.querySelector(".table:hover, .table:focus-within") != null;
  const list = useExecutions(state, isPaused, holds);
  const refusal = useRefusal();
  const isShut = refusal !== null && !viewer.data; // nothing is known at all
  const use = (token: string) => {
    setToken(token);
    void cache.refetchQueries();
  };

  const hasRows = list.rows !== undefined;
  useEffect(() => {
    // If that fails, `Part` says so once it is needed.
    if (hasRows) setTimeout(() => loadDetail().catch(() => undefined), PRELOAD_AFTER_MS);
  }, [hasRows]);

  const view = VIEWS[state.view];
  useEffect(() => {
    const parts = [file, state.view === "list" && state.text, view, "transfer-gateway"];
    document.title = parts.filter(Boolean).join(" · ");
  }, [file, state.view, state.text, view]);

  const hiddenFields = viewer.data?.hiddenFields ?? [];
  const hasDetail = Boolean(state.execution || finding);
  return (
    <ZoneContext value={zone}>
      <Header state={state} change={change} viewer={viewer.data} zone={zone} setZone={setZone} />
      <main className={hasDetail ? "with-detail" : undefined}>
        <h1 className="unseen">{view}</h1>
        {refusal && <SignIn message={refusal.message} use={use} />}
        {!isShut && (
          <div className="list" ref={main}>
            <NotUnderstood parameters={notUnderstood} />
            {state.view === "targets" ? (
              <Part key="targets">
                <Targets go={change} />
              </Part>
            ) : (
              <>
                <Filters
                  state={state}
                  change={change}
                  find={(id) => (EXECUTION_ID.test(id) ? open(id) : find(id))}
                  accounts={viewer.data?.accounts ?? []}
                />
                <Coverage summary={list.summary} />
                <div className="bar-of-counts">
                  <Counts summary={list.summary} chosen={state} choose={change} />
                  <Toolbar
                    list={list}
                    state={state}
                    change={change}
                    isPaused={isPaused}
                    pause={(pauses) => setPausedAt(pauses ? gatewayNow() : null)}
                  />
                </div>
                <Held count={list.held} show={list.showHeld} />
                <PausedContext value={pausedAt}>
                  <List
                    list={list}
                    state={state}
                    hiddenFields={hiddenFields}
                    open={open}
                    clear={() => change({ ...EMPTY, execution: state.execution })}
                  />
                </PausedContext>
              </>
            )}
          </div>
        )}
        {hasDetail && !isShut && (
          <Part key={state.execution} until={<section className="detail" />}>
            {state.execution ? (
              <Detail
                key={state.execution}
                id={state.execution}
                hiddenFields={hiddenFields}
                close={close}
                change={change}
                named={setFile}
              />
            ) : (
              <Find executionId={finding} close={close} found={found} />
            )}
          </Part>
        )}
      </main>
    </ZoneContext>
  );
}

function NotUnderstood({ parameters }: { parameters: string[] }) {
  if (parameters.length === 0) return null;
  const more = parameters.length - MOST_NAMED;
  const named = parameters.slice(0, MOST_NAMED).map((parameter) => cut(parameter)).join(", ");
  return (
    <p className="stale" role="status">
      Not understood in the address: <bdi>{named}</bdi>
      {more > 0 && ` and ${more} more`}. {parameters.length > 1 ? "They are" : "It is"} left out.
    </p>
  );
}

function Held({ count, show }: { count: number; show: () => void }) {
  return (
    <div className="held" role="status">
      {count > 0 && (
        <button
          type="button"
          onClick={() => {
            show();
            scrollTo({ top: 0 });
          }}
        >
          ↑ {count.toLocaleString("en")} new
        </button>
      )}
    </div>
  );
}

/** Arrow keys from anywhere but a field; Esc closes. */
function useKeys(main: React.RefObject<HTMLElement | null>, close: () => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.isComposing) return;
      if (event.key === "Escape" && !event.defaultPrevented) return close();
      const { target } = event;
      const table = main.current?.querySelector(".table");
      if (!table || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
      if (target instanceof Element && target.matches("select, textarea, [type=datetime-local]")) return;
      if (target instanceof Element && target.closest(".detail")) return; // it scrolls
      if (target instanceof HTMLInputElement && event.key === "ArrowUp") return;
      move(event, table);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [main, close]);
}
