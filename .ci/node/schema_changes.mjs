// What changed from one GraphQL schema to another: prints each change, and fails when one breaks clients.
// Usage: node schema_changes.mjs RELEASED CURRENT, two files.
import { readFileSync } from "node:fs";

import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const [released, current] = process.argv.slice(2).map((path) => buildSchema(readFileSync(path, "utf8")));
const changes = await diff(released, current);
for (const { criticality, message } of changes) {
  console.log(`${criticality.level}: ${message}`);
}
process.exitCode = changes.some(({ criticality }) => criticality.level === CriticalityLevel.Breaking) ? 1 : 0;
