import "graphiql/setup-workers/vite";
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./style.css";
import { examples } from "./examples";
import { fetcher, liveKeys, readConfig } from "./gateway";
import { isFirstVisit, refresh, storage } from "./storage";
import { FollowSystemTheme } from "./Theme";
import { Token } from "./Token";
import { WrapLongLines } from "./WrapLongLines";

const plugins = [explorerPlugin(), HISTORY_PLUGIN];

const { liveExamples, executionsPage } = await readConfig();
const keys = liveExamples ? await liveKeys() : [];
const tabs = examples(keys);
if (keys.length > 0) refresh(tabs);

createRoot(document.getElementById("root")!).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    storage={storage}
    defaultTabs={tabs}
    // GraphiQL ignores the variables of the first default tab; set later, they would open another tab.
    initialVariables={isFirstVisit() ? tabs[0]!.variables : undefined}
    defaultEditorToolsVisibility="variables"
    shouldPersistHeaders={false}
    inputValueDeprecation
  >
    <GraphiQL.Logo>
      {executionsPage ? <a href="executions">Page of executions</a> : "transfer-gateway"}
    </GraphiQL.Logo>
    <GraphiQL.Footer>
      <FollowSystemTheme />
      <WrapLongLines />
      <Token />
    </GraphiQL.Footer>
  </GraphiQL>,
);
