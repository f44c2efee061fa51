// How the page follows changes, where it may not or not yet. Run by `npm test --prefix web`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { parts } from "./part.mjs";

/** What the gateway does with the next requests. */
let answer;
const server = createServer((request, response) => answer(response, request)).listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.closeAllConnections() || server.close());
globalThis.location = { href: `http://127.0.0.1:${server.address().port}/executions` };
globalThis.navigator ??= {}; // Node has one from 21 on
const { live } = await parts("live");
const DOCUMENT = { __meta__: { hash: "sha256:0" } };

const refused = (status, code) => (response) =>
  response
    .writeHead(status, { "content-type": "application/json" })
    .end(JSON.stringify({ errors: [{ message: "No.", extensions: { code } }] }));
const told = (cursor) => (response) => {
  const data = { data: { change: { execution: { id: cursor }, cursor } } };
  response
    .writeHead(200, { "content-type": "text/event-stream" })
    .end(`event: next\ndata: ${JSON.stringify(data)}\n\nevent: complete\ndata:\n\n`);
};

test("a stream that is THROTTLED says so, so that the list polls, and is tried again after the last change", { timeout: 10_000 }, async () => {
  const seen = [];
  const asked = [];
  const answers = [refused(429, "THROTTLED"), told("2")];
  answer = async (response, request) => {
    asked.push(JSON.parse(Buffer.concat(await request.toArray())).variables.after);
    answers.shift()(response);
  };
  const follower = {
    change: ({ id }) => seen.push(id),
    problem: (error) => seen.push(error?.code ?? null),
  };
  const at = { after: "1" };
  assert.equal(await live.follow(DOCUMENT, at, follower, new AbortController().signal), null);
  assert.deepEqual(seen, ["THROTTLED", null, "2"]);
  assert.deepEqual([asked, at.after], [["1", "1"], "2"]);
});

test("a stream whose cursor is too old is not tried again", { timeout: 10_000 }, async () => {
  answer = refused(400, "BAD_USER_INPUT");
  const follower = { change() {}, problem() {} };
  const error = await live.follow(DOCUMENT, { after: "0" }, follower, new AbortController().signal);
  assert.equal(error.code, "BAD_USER_INPUT");
});
