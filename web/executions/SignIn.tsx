/** Who is asking, and what to do when the gateway wants to know. */
import { useState, type FormEvent } from "react";
import type { ViewerQuery } from "./gql/graphql";
import { Time } from "./Times";

export function SignIn({ message, use }: { message: string; use: (token: string) => void }) {
  const [typed, type] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    use(typed);
  };
  return (
    <section className="sign-in" role="alert" aria-labelledby="sign-in">
      <h2 id="sign-in">Sign in</h2>
      <p>{message}</p>
      <button type="button" className="primary" onClick={() => location.assign(location.href)}>
        Sign in again
      </button>
      <p className="dim">It comes back to this same list.</p>
      <form onSubmit={submit}>
        <label>
          Or a bearer token, kept in memory only
          <input
            type="password"
            name="bearer-token"
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={({ target }) => type(target.value)}
          />
        </label>
        <button type="submit" disabled={!typed.trim()}>
          Use it
        </button>
      </form>
    </section>
  );
}

export function Who({ viewer }: { viewer: ViewerQuery["viewer"] | undefined }) {
  if (!viewer) return null;
  return (
    <span className="who" title={`You are ${viewer.name} to the gateway, and see ${viewer.accounts.length} accounts.`}>
      <bdi>{viewer.name}</bdi>
      {viewer.expiresAt && (
        <small>
          {" until "}
          <Time at={viewer.expiresAt} />
        </small>
      )}
    </span>
  );
}
