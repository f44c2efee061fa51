// A module of the page, for tests in Node.
import { runnerImport } from "vite";

export const part = async (name) =>
  (
    await runnerImport(`./executions/${name}.ts`, {
      root: `${import.meta.dirname}/..`,
      configFile: false,
      logLevel: "error",
    })
  ).module;
