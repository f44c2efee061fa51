// A React component with the hook, which prints all events that it knows, whenever it is rendered. See changes.ts.
import { createClient } from "graphql-ws";
import { createElement } from "react";
import { create } from "react-test-renderer";

import { patience, variables, wsUrl } from "./changes.js";
import { resuming } from "./resuming.js";
import { useExecutions } from "./useExecutions.js";

const client = resuming(createClient({ url: wsUrl, ...patience }));

function Executions(): null {
  const { executions, error } = useExecutions(client, variables.filter);
  const events = Object.values(executions).flatMap(({ events }) => events.map(({ id }) => id));
  console.log(JSON.stringify({ executions: Object.keys(executions).length, events, error: error && String(error) }));
  return null;
}

create(createElement(Executions));
