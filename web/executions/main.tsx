import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { problemOf } from "./gateway";
import { Part } from "./Part";
import "./style/base.css";
import "./style/search.css";
import "./style/rows.css";
import "./style/detail.css";
import "./style/targets.css";

const LONGEST_WAIT_MS = 5_000;

const cache = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (_, error) => problemOf(error).passes,
      retryDelay: (count) => Math.min(LONGEST_WAIT_MS, 500 * 2 ** count) * (0.75 + Math.random() / 2),
      refetchOnWindowFocus: false, // what is shown is kept current anyway
      networkMode: "always", // the gateway may be on this machine
    },
  },
});

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={cache}>
    <Part>
      <App />
    </Part>
  </QueryClientProvider>,
);
