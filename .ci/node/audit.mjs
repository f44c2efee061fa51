// The audit suite of GraphQL over HTTP against a server: prints what came of each audit, as JSON.
// Usage: node audit.mjs URL.
import { serverAudits } from "graphql-http";

async function outcome(audit) {
  try {
    const { status, reason } = await audit.fn();
    return { status, reason };
  } catch (error) {
    return { status: "fatal", reason: String(error.cause ?? error) };
  }
}

const outcomes = [];
for (const audit of serverAudits({ url: process.argv[2] })) {
  outcomes.push({ id: audit.id, name: audit.name, ...(await outcome(audit)) });
}
console.log(JSON.stringify(outcomes, null, 2));
