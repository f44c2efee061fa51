// A client in Node that watches an execution to its end and prints each change as JSON, a line each. When the stream
// breaks off, it goes on after the last change: nothing is lost, and nothing comes twice.
// Usage: node grpc_watch.mjs ADDRESS KEY [CURSOR], the key as JSON.
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, key, cursor] = process.argv.slice(2);
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const definition = loader.loadSync("transfer_api/v1/execution_service.proto", {
  includeDirs,
  longs: Number,
  enums: String,
});
const { ExecutionService } = grpc.loadPackageDefinition(definition).transfer_api.v1;
const TRANSIENT = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.RESOURCE_EXHAUSTED];
const LONGEST_PAUSE_MS = 10_000;

async function* watch(client, request) {
  let after = request.after;
  for (let failures = 0; ; failures++) {
    try {
      for await (const { change } of client.watchExecution({ ...request, after })) {
        failures = 0;
        after = change.cursor;
        yield change;
      }
      return; // it has ended
    } catch (error) {
      if (!TRANSIENT.includes(error.code)) throw error;
      console.error(`${grpc.status[error.code]}: ${error.details}`);
    }
    await setTimeout(Math.random() * Math.min(100 * 2 ** failures, LONGEST_PAUSE_MS));
  }
}

const client = new ExecutionService(address, grpc.credentials.createInsecure());
for await (const change of watch(client, { key: JSON.parse(key), after: cursor })) {
  console.log(JSON.stringify(change));
}
client.close();
