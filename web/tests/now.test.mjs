// The clock of the page, which is the gateway's. Run by `npm test --prefix web`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parts } from "./part.mjs";

globalThis.location = { href: "http://127.0.0.1/executions" };
globalThis.document = { hidden: false };

const AT = Date.parse("2026-11-30T12:00:00Z");
const HOUR = 3_600_000;
const { now, gateway } = await parts("now", "gateway");

/** The gateway answers, whose clock is that far from this computer's. */
async function answered(context, off) {
  const date = new Date(Date.now() + off).toUTCString();
  const fetched = async () => new Response('{"data": {}}', { headers: { date } });
  context.mock.method(globalThis, "fetch", fetched);
  await gateway.ask({ __meta__: { hash: "sha256:0" } }, {});
}

test("polling goes on after it was ended, and once if it is begun twice", async (context) => {
  const { polling } = await parts("polling");
  context.mock.timers.enable({ apis: ["setInterval"] });
  let asked = 0;
  const { begin, end } = polling.pollingOf(() => (asked += 1));
  begin();
  begin();
  context.mock.timers.tick(5_000);
  end();
  context.mock.timers.tick(5_000);
  assert.equal(asked, 1);
  begin();
  context.mock.timers.tick(5_000);
  assert.equal(asked, 2);
  end();
});

test("the page's time is the gateway's, ticks while it is seen, and is never an old one", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval", "Date"], now: AT });
  let told = 0;
  let leave = now.subscribe(() => (told += 1));
  await answered(context, -HOUR);
  assert.equal(now.latest(), AT - HOUR); // at once, not at the next tick
  context.mock.timers.tick(2_000);
  assert.deepEqual([told, now.latest()], [2, AT - HOUR + 2_000]);
  document.hidden = true;
  context.mock.timers.tick(5_000);
  assert.deepEqual([told, now.latest()], [2, AT - HOUR + 2_000]);
  document.hidden = false;
  leave();
  context.mock.timers.tick(60_000); // nobody listens
  leave = now.subscribe(() => undefined);
  assert.equal(now.latest(), AT - HOUR + 67_000);
  await answered(context, 0);
  assert.equal(now.latest(), AT + 67_000);
  leave();
});
