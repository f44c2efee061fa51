/** The search box and the filters. */
import { useEffect, useRef, useState, type FormEvent } from "react";
import type { ViewerQuery } from "./gql/graphql";
import { short } from "./Id";
import { understand } from "./search";
import { useZone } from "./Times";
import { fromInput, toInput } from "./time";
import { errorWord, ERRORS, RANGES, type State } from "./url";

interface Props {
  state: State;
  change: (part: Partial<State>) => void;
  find: (executionId: string) => void;
  accounts: ViewerQuery["viewer"]["accounts"];
}

type ErrorType = State["errors"][number];

const union = (list: string[], more: string[]) => [...new Set([...list, ...more])];

export function Filters({ state, change, find, accounts }: Props) {
  const box = useRef<HTMLInputElement>(null);
  const [typed, type] = useState(state.text);
  useEffect(() => type(state.text), [state.text]); // back, forward, and all filters removed

  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const { target } = event;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target instanceof HTMLElement && target.matches("input, select, textarea")) return;
      event.preventDefault();
      box.current?.focus();
      box.current?.select();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);

  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    take(typed);
  };
  const search = (text: string) => {
    type(text);
    change({ text });
  };
  const take = (given: string) => {
    const found = understand(given);
    type(found.execution ? state.text : found.text);
    if (found.execution) return find(found.execution);
    change({
      text: found.text,
      servers: union(state.servers, found.servers),
      workflows: union(state.workflows, found.workflows),
      accounts: union(state.accounts, found.accounts),
    });
  };

  const regions = [...new Set(accounts.flatMap((account) => account.regions))].toSorted();
  return (
    <search className="filters">
      <form onSubmit={submit} className="box">
        <label htmlFor="search" className="unseen">
          Search: part of a file name or user, or an id
        </label>
        <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
          <path d="M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M10.4 10.4l3.6 3.6" />
        </svg>
        <input
          id="search"
          ref={box}
          type="text"
          inputMode="search"
          enterKeyHint="search"
          placeholder="File, user or any id"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          maxLength={2_000}
          value={typed}
          onChange={({ target }) => type(target.value)}
          onPaste={(event) => {
            const pasted = event.clipboardData.getData("text");
            const { text, ...ids } = understand(pasted);
            // An id means itself; of a name more may be typed.
            if (typed !== state.text || text || !Object.values(ids).flat().some(Boolean)) return;
            event.preventDefault();
            take(ids.execution ? pasted : `${state.text} ${pasted}`);
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape" && typed && !event.nativeEvent.isComposing) {
              event.stopPropagation();
              search("");
            }
          }}
        />
        {typed !== state.text ? (
          <button type="submit">Search</button>
        ) : typed ? (
          <button type="button" className="clear" aria-label="End the search" onClick={() => search("")}>
            ×
          </button>
        ) : (
          <kbd aria-hidden="true">/</kbd>
        )}
      </form>
      <Select
        label="Account"
        every="All accounts"
        value={state.accounts[0] ?? ""}
        options={accounts.map(({ accountId, alias }) => [accountId, alias ? `${alias} · ${accountId}` : accountId])}
        choose={(value) => change({ accounts: value ? [value] : [] })}
      />
      <Select
        label="Region"
        every="All regions"
        value={state.regions[0] ?? ""}
        options={regions.map((region) => [region, region])}
        choose={(value) => change({ regions: value ? [value] : [] })}
      />
      <Select
        label="Error"
        every="All errors"
        value={state.errors[0] ?? ""}
        options={Object.entries(ERRORS)}
        choose={(value) => change({ errors: Object.keys(ERRORS).filter((type): type is ErrorType => type === value) })}
      />
      <Range state={state} change={change} />
      <Chips state={state} change={change} accounts={accounts} />
    </search>
  );
}

interface SelectProps {
  label: string;
  every: string;
  value: string;
  options: [value: string, label: string][];
  choose: (value: string) => void;
}

function Select({ label, every, value, options, choose }: SelectProps) {
  return (
    <select aria-label={label} value={value} onChange={({ target }) => choose(target.value)}>
      <option value="">{every}</option>
      {options.map(([option, name]) => (
        <option key={option} value={option}>
          {name}
        </option>
      ))}
      {value && !options.some(([option]) => option === value) && <option value={value}>{value}</option>}
    </select>
  );
}

function Range({ state, change }: Pick<Props, "state" | "change">) {
  const zone = useZone();
  const isOwn = Boolean(state.from || state.to);
  const [isChoosing, choose] = useState(isOwn);
  useEffect(() => choose(isOwn), [isOwn]);
  const own = (name: "from" | "to", label: string) => (
    <input
      type="datetime-local"
      aria-label={`${label}, ${zone === "utc" ? "UTC" : "local time"}`}
      value={toInput(state[name], zone)}
      onChange={({ target }) => change({ within: "", [name]: fromInput(target.value, zone) })}
    />
  );
  return (
    <>
      <select
        aria-label="Started"
        value={isChoosing ? "own" : state.within}
        onChange={({ target }) => {
          choose(target.value === "own");
          change({ within: target.value in RANGES ? target.value : "", from: "", to: "" });
        }}
      >
        <option value="">Any time</option>
        {Object.entries(RANGES).map(([name, { label }]) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
        <option value="own">From … to …</option>
      </select>
      {isChoosing && (
        <span className="own">
          {own("from", "Started at or after")} – {own("to", "Started at or before")}
        </span>
      )}
    </>
  );
}

function Chips({ state, change, accounts }: Omit<Props, "find">) {
  const aliases = new Map(accounts.map(({ accountId, alias }) => [accountId, alias]));
  const chips: { what: string; value: string; shown?: string; rest: Partial<State> }[] = [];
  const shownOf = (what: string, value: string) =>
    (what === "account" ? aliases.get(value) : what === "error" ? errorWord(value) : null) ?? short(value);
  const lists = {
    server: "servers",
    workflow: "workflows",
    account: "accounts",
    user: "users",
    region: "regions",
    error: "errors",
  } as const;
  for (const [what, list] of Object.entries(lists))
    for (const value of state[list]) {
      const rest = { [list]: state[list].filter((other) => other !== value) };
      chips.push({ what, value, shown: shownOf(what, value), rest });
    }
  const { text } = state;
  const named = accounts.find(({ alias }) => alias && alias.toLowerCase() === text.toLowerCase());
  if (chips.length === 0 && !named) return null;
  return (
    <ul className="chips" aria-label="Filters">
      {chips.map(({ what, value, shown, rest }) => (
        <li key={what + value}>
          <span title={value}>
            <i>{what}</i> <bdi>{shown ?? value}</bdi>
          </span>
          <button type="button" aria-label={`Remove ${what} ${value}`} onClick={() => change(rest)}>
            ×
          </button>
        </li>
      ))}
      {named && (
        <li key="alias">
          <span>
            “<bdi>{named.alias}</bdi>” is an account, too
          </span>
          <button
            type="button"
            className="link"
            onClick={() => change({ text: "", accounts: union(state.accounts, [named.accountId]) })}
          >
            Show that account
          </button>
        </li>
      )}
    </ul>
  );
}
