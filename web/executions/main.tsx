import { createRoot } from "react-dom/client";

createRoot(document.getElementById("root")!).render(<h1>Executions</h1>);
