// What the page asks a gateway, here one that misbehaves. Run by `npm test --prefix web`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { part } from "./part.mjs";

/** What the gateway does with the next requests. */
let answer;
const server = createServer((request, response) => answer(response, request)).listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.closeAllConnections() || server.close());
globalThis.location = { href: `http://127.0.0.1:${server.address().port}/executions?q=x` };
const downloaded = [];
globalThis.document = { createElement: () => ({ click() { downloaded.push(this.download); } }) };

const [gateway, stream, csv] = await Promise.all(["gateway", "stream", "download"].map(part));
const json = (body, headers = {}) => (response) =>
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
const DOCUMENT = { __meta__: { hash: "sha256:0" } };
const ask = () => gateway.ask(DOCUMENT, {});

test("a stream that is silent for 50 s is given up, and one that isn't goes on", async (context) => {
  let told;
  answer = (response) => {
    told = response.writeHead(200, { "content-type": "text/event-stream" });
    told.write(":\n\n");
  };
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { body } = await stream.fetchStream(gateway.endpoint, { method: "POST" });
  const reader = body.getReader();
  await reader.read();
  context.mock.timers.tick(49_000);
  told.write(":\n\n"); // as the gateway does every 15 s
  await reader.read();
  context.mock.timers.tick(49_000);
  const next = reader.read();
  context.mock.timers.tick(1_000);
  await assert.rejects(next, { code: "UNREACHABLE" });
});

test("what is no stream has its answer", async () => {
  answer = (response) => response.writeHead(401).end();
  assert.equal((await stream.fetchStream(gateway.endpoint, { method: "POST" })).status, 401);
});

test("times are the gateway's, as far as this computer's clock is off", async () => {
  const byClockOf = async (ms) => {
    answer = json({ data: {} }, { date: new Date(Date.now() + ms).toUTCString() });
    await ask();
    return gateway.gatewayNow() - Date.now();
  };
  for (const [off, by] of [
    [3_600_000, 3_600_000],
    [-86_400_000, -86_400_000],
    [2_000, 0], // no more than a slow answer
  ])
    assert.ok(Math.abs((await byClockOf(off)) - by) <= 2_000);
});

for (const [what, respond, code] of [
  ["a proxy's page", (response) => response.end("<html>"), "UNUSABLE"],
  ["a proxy's failure", (response) => response.writeHead(502).end("<html>"), "UNREACHABLE"],
  ["a proxy's refusal", (response) => response.writeHead(401).end("<html>"), "UNAUTHENTICATED"],
  ["no data and no error", json({}), "UNUSABLE"],
  ["JSON of another shape", json({ errors: "no" }), "UNUSABLE"],
  ["a broken connection", (response) => response.destroy(), "UNREACHABLE"],
  ["an error", json({ errors: [{ message: "No.", extensions: { code: "THROTTLED" } }] }), "THROTTLED"],
])
  test(`${what} is ${code}`, async () => {
    answer = respond;
    await assert.rejects(ask(), (error) => error instanceof gateway.GatewayError && error.code === code);
  });

const NODE = { account: {}, status: "COMPLETED" };
const page = (count, next) => ({
  data: { page: { edges: Array(count).fill({ node: NODE }), pageInfo: { hasNextPage: !!next, endCursor: next } } },
});
const STATE = { text: "", isLongestFirst: false, ...Object.fromEntries(["servers", "workflows", "accounts", "regions", "users", "errors", "statuses"].map((name) => [name, []])) };

test("a CSV waits for its quota, keeps what it has, and ends at its bound", async () => {
  const seen = [];
  answer = async (response, request) => {
    const { variables } = JSON.parse(Buffer.concat(await request.toArray()));
    seen.push(variables.after);
    const isRefused = seen.filter((cursor) => cursor === "2").length === 1;
    const told = isRefused
      ? { errors: [{ message: "Slower.", extensions: { code: "THROTTLED" } }] }
      : page(1_000, `${seen.length}`);
    json(told)(response);
  };
  assert.deepEqual(await csv.download(STATE), { rows: 10_000, isAll: false });
  assert.deepEqual(seen.slice(0, 4), [null, "1", "2", "2"]);
  assert.match(downloaded[0], /^executions-.*Z\.csv$/);
});

test("a CSV that is refused says so", async () => {
  answer = json({ errors: [{ message: "No.", extensions: { code: "FORBIDDEN" } }] });
  await assert.rejects(csv.download(STATE), { code: "FORBIDDEN" });
});
