/** Puts changes into the list, twice a second; new rows wait while somebody reads. */
import { useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { gatewayNow, type GatewayError } from "./gateway";
import { ExecutionsChangedDocument, type RowFragment as Row, type SearchFilter } from "./gql/graphql";
import { follow } from "./live";
import { pollingOf } from "./polling";
import { belongs, inserted, isWithin, MOST_ROWS, patched, Waiting, type Page } from "./rows";
import { filterOf, type State } from "./url";

const PUT_EVERY_MS = 500;
const AWAY_MS = 60_000; // after longer, asking anew is cheaper than each change

interface List {
  key: string[];
  isOn: boolean;
  /** Where changes go on after the list was read. */
  cursor: string | null;
  isPaused: boolean;
  /** Whether new rows would disturb somebody. */
  holds: () => boolean;
  refetch: () => void;
}

interface Place {
  asked: string;
  cursor: string | null;
  at: { filter: SearchFilter; after: string | null };
  left: number;
}

export function useChanges(state: State, list: List) {
  const cache = useQueryClient();
  const waiting = useRef(new Waiting());
  const place = useRef<Place>(null);
  const [held, setHeld] = useState(0);
  const [toldAt, setToldAt] = useState(0);
  const [isLive, setLive] = useState(false);
  const [isPolled, setPolled] = useState(false);
  const [problem, setProblem] = useState<GatewayError | null>(null);
  const { isOn, cursor, refetch } = list;
  // The API tells no changes of what an execution can stop matching, nor where a row is by its duration.
  const isPolledAlways = state.isUnknown || state.isLongestFirst;
  const asked = list.key.join();

  function put(shows: boolean): void {
    const data = cache.getQueryData<InfiniteData<Page, string>>(list.key);
    if (!data || waiting.current.rows.size === 0) return;
    if (waiting.current.isIncomplete && (shows || !list.isPaused)) {
      waiting.current = new Waiting();
      setHeld(0);
      return list.refetch();
    }
    const { pages, others } = patched(data.pages, waiting.current.rows);
    const range = rangeOf(state);
    const fresh = others
      .filter((row) => belongs(row, state.statuses, ...range) && isWithin(pages, row))
      .slice(-MOST_ROWS);
    const holding = !shows && (list.isPaused || list.holds());
    setHeld(holding ? fresh.length : 0);
    if (list.isPaused && !shows) return; // nothing moves
    waiting.current.keep(holding ? fresh : []);
    const next = holding ? pages : inserted(pages, fresh);
    if (next.some((page, index) => page !== data.pages[index])) cache.setQueryData(list.key, { ...data, pages: next });
  }
  const latest = useRef({ put, isPaused: list.isPaused });
  useEffect(() => {
    latest.current = { put, isPaused: list.isPaused };
  });

  useEffect(() => {
    waiting.current = new Waiting();
    setHeld(0);
  }, [asked, cursor]);

  useEffect(() => {
    if (!isOn) return;
    const before = place.current?.asked === asked && place.current.cursor === cursor ? place.current : null;
    if (before && Date.now() - before.left > AWAY_MS) {
      place.current = null;
      return refetch(); // with the new cursor it goes on here
    }
    const polling = pollingOf(() => latest.current.isPaused || refetch());
    if (isPolledAlways) {
      setPolled(true);
      polling.begin();
      return polling.end;
    }
    const filter = { ...filterOf({ ...state, within: "", from: "", to: "" }, 0), statuses: undefined };
    const here: Place = { asked, cursor, at: before?.at ?? { filter, after: cursor }, left: Infinity };
    place.current = here;
    const ending = new AbortController();
    const putting = setInterval(() => latest.current.put(false), PUT_EVERY_MS);
    const follower = {
      change(row: Row) {
        waiting.current.add(row);
        setToldAt(Date.now());
      },
      problem(error: GatewayError | null) {
        setLive(error === null);
        const isRefused = error?.code === "THROTTLED";
        setPolled(isRefused);
        if (isRefused) polling.begin();
        else polling.end();
        setProblem(isRefused ? null : error);
      },
    };
    void follow(ExecutionsChangedDocument, here.at, follower, ending.signal).then((error) => {
      if (error?.code !== "BAD_USER_INPUT") return;
      setProblem(null);
      refetch(); // the cursor is too old; the answer has a new one
    });
    return () => {
      here.left = Date.now();
      ending.abort();
      clearInterval(putting);
      polling.end();
      setLive(false);
      setProblem(null);
    };
    // A cursor belongs to one state of the list.
  }, [isOn, asked, isPolledAlways, cursor, refetch]);

  return { held, toldAt, isLive, isPolled, problem, showHeld: () => put(true) };
}

function rangeOf(state: State): [since: number, until: number] {
  const { startedAfter, startedBefore } = filterOf(state, gatewayNow());
  return [startedAfter ? Date.parse(startedAfter) : -Infinity, startedBefore ? Date.parse(startedBefore) : Infinity];
}
