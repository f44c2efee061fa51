import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useState } from "react";
import { setToken } from "./gateway";

/** Where to put a bearer token. It is kept in memory: when the page is left, it is gone. */
export function Token() {
  const [shown, show] = useState("");
  const schema = useGraphiQL((state) => state.schema);
  const { introspect } = useGraphiQLActions();
  const use = () => {
    if (!schema) void introspect(); // it may have been refused without the token
  };
  return (
    <label className="token" title="Sent as “authorization: Bearer …” with each request.">
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
