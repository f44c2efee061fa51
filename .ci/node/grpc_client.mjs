// A client in Node: prints an execution, or why it could not be had with the details of the status, as JSON.
// Usage: node grpc_client.mjs ADDRESS KEY, the key as JSON.
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protos from "google-proto-files";

const [address, key] = process.argv.slice(2);
if (!key) {
  console.error(`usage: node grpc_client.mjs 127.0.0.1:50051 '{"account_id": …, "region": …, "workflow_id": …, "execution_id": …}'`);
  process.exit(2);
}
const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
const definition = loader.loadSync("transfer_api/v1/execution_service.proto", {
  includeDirs,
  longs: Number,
  enums: String,
});
const { ExecutionService } = grpc.loadPackageDefinition(definition).transfer_api.v1;

function readDetails(error) {
  const status = protos.loadSync(protos.getProtoPath("rpc/status.proto")).lookupType("google.rpc.Status");
  const types = protos.loadSync(protos.getProtoPath("rpc/error_details.proto"));
  const [packed] = error.metadata.get("grpc-status-details-bin");
  return status.decode(packed).details.map(({ type_url: url, value }) => {
    const type = types.lookupType(url.split("/").pop());
    return { type: type.name, ...type.toObject(type.decode(value), { longs: Number }) };
  });
}

const client = new ExecutionService(address, grpc.credentials.createInsecure());
client.getExecution({ key: JSON.parse(key) }, (error, answer) => {
  const failure = error && { code: grpc.status[error.code], message: error.details, details: readDetails(error) };
  console.log(JSON.stringify(failure ?? answer.execution, null, 2));
  client.close();
});
