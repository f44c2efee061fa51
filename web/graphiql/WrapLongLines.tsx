import { useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";

/** GraphiQL cuts long lines off in all editors but the response's. */
export function WrapLongLines() {
  const query = useGraphiQL((state) => state.queryEditor);
  const variables = useGraphiQL((state) => state.variableEditor);
  useEffect(() => {
    for (const editor of [query, variables]) editor?.updateOptions({ wordWrap: "on", wrappingIndent: "indent" });
  }, [query, variables]);
  return null;
}
