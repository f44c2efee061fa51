// The page's parts that need no browser. Run by `npm test --prefix web`.
import assert from "node:assert/strict";
import test from "node:test";
import { part } from "./part.mjs";

const [search, url, csv, time, steps, rows, console_] = await Promise.all(
  ["search", "url", "csv", "time", "steps", "rows", "console"].map(part),
);
const UUID = "3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d";
const WORKFLOW = "w-1a2b3c4d5e6f7a8b9";
const SERVER = "s-0d324d3aa00ddc182";
const WHOLE = `111111111111/eu-west-1/${WORKFLOW}/${UUID}`;
const NOTHING = { servers: [], workflows: [], accounts: [], text: "" };

for (const [typed, found] of [
  ["", {}],
  ["  claims-198482 ", { text: "claims-198482" }],
  ["my file (1).csv", { text: "my file (1).csv" }],
  [UUID.toUpperCase(), { execution: UUID }],
  [`"${UUID}",`, { execution: UUID }],
  [WHOLE, { execution: WHOLE }],
  [`https://gateway.example/executions?execution=${WHOLE}`, { execution: WHOLE }],
  [`${WORKFLOW}/${UUID}`, { execution: UUID }],
  [SERVER, { servers: [SERVER] }],
  [`arn:aws-cn:transfer:cn-north-1:111111111111:server/${SERVER}`, { servers: [SERVER] }],
  [`arn:aws:transfer:eu-west-1:111111111111:user/${SERVER}/acme`, { servers: [SERVER] }],
  [WORKFLOW, { workflows: [WORKFLOW] }],
  ["111111111111", { accounts: ["111111111111"] }],
  [`acme ${SERVER} 111111111111`, { text: "acme", servers: [SERVER], accounts: ["111111111111"] }],
  ["s3://bucket/inbound/acme/a b.csv", { text: "inbound/acme/a b.csv" }],
  [`s3://bucket/${UUID}`, { text: UUID }],
  ["s-0d324", { text: "s-0d324" }], // a part of an id is a text, which the API finds in ids, too
  ["1111111111112", { text: "1111111111112" }],
  ["x".repeat(300), { text: "x".repeat(256) }],
])
  test(`understands ${JSON.stringify(typed.slice(0, 60))}`, () =>
    assert.deepEqual(search.understand(typed), { ...NOTHING, ...found }));

test("the address is the state, and back", () => {
  const query = `?q=a%26b+c&server=${SERVER}&account=111111111111&account=222222222222&status=IN_PROGRESS&within=1h&execution=${WHOLE}`;
  const state = url.stateOf(query);
  assert.equal(state.text, "a&b c");
  assert.deepEqual(state.accounts, ["111111111111", "222222222222"]);
  assert.equal(url.queryOf(state), query);
  assert.equal(url.queryOf(url.stateOf("")), "?");
});

test("what is not understood in an address is left out", () => {
  const state = url.stateOf(
    "?view=x&status=NONE&workflow=w-1&within=1y&from=never&execution=1/2/3/4&__proto__=1",
  );
  assert.equal(url.queryOf(state), "?");
});

for (const [query, left] of [
  ["", []],
  [`?q=x&status=EXCEPTION&account=111111111111&within=1h&execution=${WHOLE}`, []],
  ["?view=list&view=targets&status=failed&status=Running&status=FAILED&q=&within=", ["view=targets"]],
  ["?status=NONE&within=2h&error=NONE", ["status=NONE", "within=2h", "error=NONE"]],
  ["?within=1h&from=2026-01-01", ["from=2026-01-01"]],
  ["?from=2026-02-30&to=0000-01-01", ["from=2026-02-30", "to=0000-01-01"]],
  ["?to=9999-12-31T23:59:59-12:00", ["to=9999-12-31T23:59:59-12:00"]],
  ["?error=timeout&status=Result unknown&account=12345&user=__proto__", []],
  ["?account=payments-prod&error=TIMEOUT&status=unknown", []],
  ["?status=unknown&status=failed", ["status=failed"]],
  [`?execution=${WHOLE}nope&from=never&utm_source=a%26b`, [`execution=${WHOLE}nope`, "from=never", "utm_source=a&b"]],
  ["?within=1h&within=7d", ["within=7d"]],
  [`?${Array.from({ length: 101 }, (_, index) => `user=u${index}`).join("&")}`, ["user=u100"]],
])
  test(`what is left out of ${JSON.stringify(query.slice(0, 60))}`, () => assert.deepEqual(url.leftOut(query), left));

test("a status may be given by the page's word", () => {
  assert.equal(url.queryOf(url.stateOf("?status=failed&status=Running")), "?status=IN_PROGRESS&status=EXCEPTION");
});

test("a filter has what the state asks for, relative times from now", () => {
  const filter = url.filterOf(url.stateOf("?within=1h&from=2026-01-01T00:00:00Z&status=EXCEPTION"), 3_600_000);
  assert.equal(filter.startedAfter, "1970-01-01T00:00:00.000Z");
  assert.equal(filter.startedBefore, undefined);
  assert.deepEqual(filter.statuses, ["EXCEPTION"]);
  assert.equal(filter.regions, undefined);
  const unknown = url.filterOf(url.stateOf("?status=unknown&account=payments-prod&error=TIMEOUT&error=NOT_FOUND"), 0);
  assert.deepEqual([unknown.resultUnknown, unknown.statuses], [true, undefined]);
  assert.deepEqual([unknown.accountIds, unknown.accountAliases], [undefined, ["payments-prod"]]);
  assert.deepEqual(unknown.errorTypes, ["TIMEOUT", "NOT_FOUND"]);
});

for (const [value, cell] of [
  ["plain", "plain"],
  ['say "no", now', '"say ""no"", now"'],
  ["two\nlines", '"two\nlines"'],
  ["=1+1", "'=1+1"],
  ["@SUM(A1)", "'@SUM(A1)"],
  ["-x,y", `"'-x,y"`],
  ["\tx", "'\tx"],
  [-1.5, "-1.5"],
  [null, ""],
])
  test(`a CSV cell of ${JSON.stringify(value)}`, () =>
    assert.equal(csv.csv(["a", "b"], [[value, 1]]), `\ufeffa,b\r\n${cell},1\r\n`));

for (const [seconds, text] of [
  [0, "0 s"],
  [1.25, "1.3 s"],
  [9.96, "10 s"],
  [59.6, "1 min 00 s"],
  [125, "2 min 05 s"],
  [4_800, "1 h 20 min"],
  [273_600, "3 d 4 h"],
])
  test(`${seconds} s are ${text}`, () => assert.equal(time.lasting(seconds), text));

test("times in UTC, inputs, and the middle", () => {
  assert.equal(time.whole("2026-11-30T14:03:22.9Z", "utc"), "30 Nov 2026, 14:03:22 UTC");
  assert.equal(time.ticking(61.9), "1 min 01 s");
  assert.equal(time.fromInput("2026-11-30T14:03", "utc"), "2026-11-30T14:03:00.000Z");
  for (const zone of ["utc", "local"])
    assert.equal(time.toInput(time.fromInput("2026-11-30T14:03", zone), zone), "2026-11-30T14:03");
  assert.equal(time.fromInput("", "utc"), "");
  assert.equal(time.today(Date.parse("2026-11-30T14:03:22Z"), "utc"), "2026-11-30T00:00:00.000Z");
  assert.deepEqual([time.median([]), time.median([3, 1, 2]), time.median([4, 1])], [null, 2, 2.5]);
});

const step = (name, more = {}) => ({
  name,
  rawStepType: "COPY",
  stepType: "COPY",
  startedAt: null,
  endedAt: null,
  error: null,
  ...more,
});
const DEFINED = ["a", "b", "c"].map((name) => ({ name, rawType: "COPY" }));
const words = (shown) => shown.map(({ name, word }) => `${name}: ${word}`);

test("steps: done, running, and not yet", () => {
  const results = { steps: [step("a", { startedAt: "1", endedAt: "2" }), step("b", { startedAt: "2" })] };
  const execution = { status: "IN_PROGRESS", ending: false, results };
  assert.deepEqual(words(steps.mainSteps(execution, DEFINED)), ["a: Done", "b: Running", "c: Not yet"]);
  assert.deepEqual(steps.handlingSteps(execution, DEFINED), []);
  // AWS's answer has only what is done
  const told = { ...execution, results: { steps: [step("a")] } };
  assert.deepEqual(words(steps.mainSteps(told, DEFINED)), ["a: Done", "b: Running", "c: Not yet"]);
});

test("steps of which nothing is known are not said to have run, or not to have run", () => {
  const unknown = { status: null, ending: false, results: null };
  assert.deepEqual(words(steps.mainSteps(unknown, DEFINED)), ["a: Not known", "b: Not known", "c: Not known"]);
  const partly = { ...unknown, results: { steps: [step("a")] } };
  assert.deepEqual(words(steps.mainSteps(partly, DEFINED)), ["a: Done", "b: Not known", "c: Not known"]);
  const ending = { ...partly, ending: true };
  assert.deepEqual(words(steps.mainSteps(ending, DEFINED)), ["a: Done", "b: Not known", "c: Not known"]);
});

test("steps after a failure never run, and others do", () => {
  const results = { steps: [step("a", { error: { type: "TIMEOUT" } })], onExceptionSteps: [step("x")] };
  const handling = { status: "HANDLING_EXCEPTION", ending: false, results };
  assert.deepEqual(words(steps.mainSteps(handling, DEFINED)), ["a: Failed", "b: Not run", "c: Not run"]);
  assert.deepEqual(words(steps.handlingSteps(handling, [{ name: "x" }, { name: "y" }])), ["x: Done", "y: Running"]);
  const ended = { ...handling, status: "EXCEPTION" };
  assert.deepEqual(words(steps.handlingSteps(ended, [{ name: "x" }, { name: "y" }])), ["x: Done", "y: Not run"]);
  assert.deepEqual(
    steps
      .movedBefore([step("a"), step("b", { stepType: "TAG" }), step("c", { error: {} })])
      .map(({ index }) => index),
    [0],
  );
});

const row = (id, startedAt, status = "IN_PROGRESS") => ({
  id,
  startedAt,
  observedAt: startedAt,
  status,
  ending: false,
});
const page = (list, hasNext = false) => ({ rows: list, hasNext, end: null, changes: null });
const at = (seconds) => new Date(seconds * 1000).toISOString();
const idsOf = (pages) => pages.map(({ rows: list }) => list.map(({ id }) => id).join(""));

test("a change replaces its row, and no other", () => {
  const pages = [page([row("b", at(2))], true), page([row("a", at(1))])];
  const ended = row("a", at(1), "COMPLETED");
  const fresh = row("c", at(3));
  const { pages: now, others } = rows.patched(
    pages,
    new Map([
      ["a", ended],
      ["c", fresh],
    ]),
  );
  assert.equal(now[0], pages[0]);
  assert.equal(now[1].rows[0], ended);
  assert.deepEqual(others, [fresh]);
  assert.equal(rows.patched(now, new Map([["a", row("a", at(1))]])).pages[1].rows[0], ended); // told late
});

test("new rows come in where they belong", () => {
  const pages = [page([row("d", at(4)), row("c", at(3))], true), page([row("b", at(2))], true)];
  assert.deepEqual(idsOf(rows.inserted(pages, [row("x", at(5))])), ["xdc", "b"]);
  assert.deepEqual(idsOf(rows.inserted(pages, [row("x", at(2.5))])), ["dc", "xb"]);
  assert.deepEqual(idsOf(rows.inserted(pages, [row("x", at(1))])), ["dc", "b"]); // with the next page
  assert.deepEqual(idsOf(rows.inserted([page([])], [row("x", at(1))])), ["x"]);
  const full = [page(Array.from({ length: 1_000 }, (_, index) => row(`${index}`, at(2_000 - index))))];
  assert.equal(rows.inserted(full, [row("x", at(3_000))])[0].rows.length, 1_000);
});

test("changes that wait are bounded, and the latest stays", () => {
  const waiting = new rows.Waiting();
  for (let index = 0; index < 2_000; index++) waiting.add(row(`${index}`, at(index)));
  waiting.add(row("0", at(0), "COMPLETED"));
  assert.deepEqual([waiting.rows.size, waiting.isIncomplete], [2_000, false]);
  waiting.add(row("new", at(9_000)));
  assert.deepEqual([waiting.rows.size, waiting.isIncomplete], [2_000, true]);
  assert.deepEqual([waiting.rows.has("1"), waiting.rows.get("0").status], [false, "COMPLETED"]);
});

for (const [region, host] of [
  ["eu-west-1", "eu-west-1.console.aws.amazon.com"],
  ["cn-north-1", "cn-north-1.console.amazonaws.cn"],
  ["us-gov-west-1", "console.amazonaws-us-gov.com"],
])
  test(`the console of ${region}`, () => {
    const address = console_.logGroupAddress(region, "/aws/transfer/s-1", UUID);
    assert.ok(
      address.startsWith(
        `https://${host}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/$252Faws$252Ftransfer$252Fs-1/`,
      ),
    );
  });

test("a log group's name in its ARN", () => {
  assert.equal(
    console_.groupOf("arn:aws:logs:eu-west-1:111111111111:log-group:/aws/vendedlogs/x:*"),
    "/aws/vendedlogs/x",
  );
});
