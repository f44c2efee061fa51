// Modules of the page, for tests in Node.
import { runnerImport } from "vite";

/** These modules by their names; what they both import is one and the same. */
export async function parts(...names) {
  const ENTRY = "\0parts";
  const entry = {
    name: "parts",
    resolveId: (id) => (id === ENTRY ? id : null),
    load: (id) =>
      id === ENTRY ? names.map((name) => `export * as ${name} from "/executions/${name}.ts";`).join("\n") : null,
  };
  const settings = { root: `${import.meta.dirname}/..`, configFile: false, logLevel: "error", plugins: [entry] };
  return (await runnerImport(ENTRY, settings)).module;
}

export const part = async (name) => (await parts(name))[name];
