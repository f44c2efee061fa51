/** How current the list is, and what can be done with it. */
import { useEffect, useState } from "react";
import { download, MOST_CSV_ROWS } from "./download";
import { problemOf } from "./gateway";
import { Icon } from "./Status";
import { Since } from "./Times";
import type { Executions } from "./useExecutions";
import { queryOf, type State } from "./url";

const SAID_MS = 10_000;

interface Props {
  list: Executions;
  state: State;
  change: (part: Partial<State>) => void;
  isPaused: boolean;
  pause: (isPaused: boolean) => void;
}

export function Toolbar({ list, state, change, isPaused, pause }: Props) {
  const [said, say] = useState("");
  const [isSaving, setSaving] = useState(false);
  const asked = queryOf({ ...state, execution: "" });
  useEffect(() => {
    const timer = setTimeout(() => say(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  useEffect(() => say(""), [asked]);
  const save = async () => {
    setSaving(true);
    say("");
    try {
      const { rows, isAll } = await download(state);
      const count = rows.toLocaleString("en");
      say(isAll ? `${count} rows saved` : `The newest ${count} rows saved; no more are, at once`);
    } catch (error) {
      say(`Not saved: ${problemOf(error).message}`);
    } finally {
      setSaving(false);
    }
  };
  return (
    <div className="toolbar">
      <Currency list={list} isPaused={isPaused} />
      <span role="status">
        {said}
      </span>
      <button
        type="button"
        aria-pressed={state.isLongestFirst}
        onClick={() => change({ isLongestFirst: !state.isLongestFirst })}
        title="By duration instead of by start; what runs lasts until now"
      >
        Longest first
      </button>
      <button
        type="button"
        aria-pressed={isPaused}
        onClick={() => pause(!isPaused)}
        title="Rows, counts and durations stand still; nothing is lost"
      >
        {isPaused ? "Go on" : "Pause"}
      </button>
      <button
        type="button"
        disabled={isSaving}
        onClick={() => void save()}
        title={`The list as a file, ${MOST_CSV_ROWS.toLocaleString("en")} rows at most`}
      >
        {isSaving ? "Saving…" : "CSV"}
      </button>
    </div>
  );
}

function Currency({ list, isPaused }: Pick<Props, "list" | "isPaused">) {
  if (!list.rows && !list.summary) return <span className="currency">&nbsp;</span>;
  const ago = (
    <>
      <Since at={list.updatedAt} /> ago
    </>
  );
  if (list.problem)
    return (
      <span className="currency old" role="status">
        <Icon kind="handling" />
        <span>
          Old: {list.problem.message} <span className="ago">Updated {ago}.</span>
        </span>
      </span>
    );
  return (
    <span className={isPaused ? "currency paused" : "currency"}>
      <i className={list.isLive && !isPaused ? "dot live" : "dot"} />
      {isPaused ? "Paused" : list.isLive ? "Live" : list.isPolled ? "Asked every 5 s" : "Connecting"},{" "}
      <span className="ago">updated {ago}</span>
    </span>
  );
}
