import type { MouseEvent } from "react";
import type { ViewerQuery } from "./gql/graphql";
import { Who } from "./SignIn";
import type { Zone } from "./time";
import { queryOf, stateOf, type State } from "./url";

interface Props {
  state: State;
  change: (part: Partial<State>) => void;
  viewer: ViewerQuery["viewer"] | undefined;
  zone: Zone;
  setZone: (zone: Zone) => void;
}

export const VIEWS = { list: "Executions", targets: "Accounts and servers" } as const;

export function Header({ state, change, viewer, zone, setZone }: Props) {
  const go = (view: State["view"]) => (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    change({ view, execution: "" });
  };
  return (
    <header className="page">
      <nav aria-label="Views">
        {(["list", "targets"] as const).map((view) => (
          <a
            key={view}
            href={queryOf({ ...(view === "list" ? state : stateOf("")), view, execution: "" })}
            aria-current={state.view === view ? "page" : undefined}
            onClick={go(view)}
          >
            {VIEWS[view]}
          </a>
        ))}
      </nav>
      <Who viewer={viewer} />
      <div role="group" aria-label="Times" className="zones">
        {(["utc", "local"] as const).map((name) => (
          <button key={name} type="button" aria-pressed={zone === name} onClick={() => setZone(name)}>
            {name === "utc" ? "UTC" : "Local"}
          </button>
        ))}
      </div>
    </header>
  );
}
