import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useState } from "react";
import { setToken } from "./gateway";

/** The input of a bearer token, which is kept only in memory. */
export function Token() {
  const [shown, show] = useState("");
  const schema = useGraphiQL((state) => state.schema);
  const { introspect } = useGraphiQLActions();
  const use = () => {
    if (!schema) void introspect(); // it may have failed without the token
  };
  return (
    <label className="token" title="Sent as “authorization: Bearer …” with each request. In memory only, never stored.">
      <span>Bearer token</span>
      <input
        type="password"
        name="bearer-token"
        autoComplete="off"
        spellCheck={false}
        placeholder="none"
        value={shown}
        onChange={({ target }) => {
          show(target.value);
          setToken(target.value);
        }}
        onBlur={use}
        onKeyDown={({ key }) => key === "Enter" && use()}
      />
      <small>in memory only, never stored</small>
    </label>
  );
}
