// Opens GraphiQL in Chromium as a person would, and prints what came of it, as JSON.
// Usage: node graphiql.mjs URL DIRECTORY; the screenshots go there.
import { chromium } from "playwright-core";

const [url, directory] = process.argv.slice(2);
const TOKEN = "not-to-be-kept-anywhere";
const seen = { requests: 0, outside: [], failed: [], errors: [], authorization: [], sockets: [] };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const context = await browser.newContext({ viewport: { width: 1366, height: 768 }, colorScheme: "light" });
  context.on("request", (request) => {
    seen.requests += 1;
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(url).origin && protocol !== "data:") seen.outside.push(request.url());
    if (request.method() !== "POST") return;
    seen.authorization.push(request.headers().authorization ?? null);
    if (request.headers()["x-token"]) seen.headerSent = request.headers()["x-token"] === TOKEN;
  });
  context.on("requestfailed", (request) => seen.failed.push(`${request.url()} ${request.failure().errorText}`));
  context.on("response", (response) => {
    if (response.status() >= 400) seen.failed.push(`${response.url()} ${response.status()}`);
  });
  context.on("weberror", (event) => seen.errors.push(String(event.error())));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.errors.push(message.text());
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.blockedURI}`));
  });

  const page = await context.newPage();
  page.on("websocket", (socket) => seen.sockets.push(socket.url()));
  const shoot = (name) => page.screenshot({ path: `${directory}/${name}.png` });
  const result = page.locator(".graphiql-response .view-lines");
  const run = async (says) => {
    await page.getByRole("button", { name: /^Execute query/ }).click();
    await page.locator(".graphiql-response .view-lines", { hasText: says }).waitFor();
    return (await result.innerText()).replaceAll("\u00a0", " ");
  };
  const tab = (name) => page.getByRole("tab", { name, exact: true }).click();

  // Where the response is, and how far the example's lines reach, in a window of that size.
  const layout = async (width, height) => {
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(300); // until Monaco has followed
    await shoot(`${width}`);
    return page.evaluate(() => {
      const box = (selector) => document.querySelector(selector).getBoundingClientRect();
      const { x, right, y, bottom } = box(".graphiql-response .result-window");
      const lines = [...document.querySelectorAll(".graphiql-query-editor .view-line > span")];
      return {
        response: { width: Math.min(right, innerWidth) - Math.max(x, 0), height: Math.min(bottom, innerHeight) - y },
        cut: lines.filter((line) => line.getBoundingClientRect().right > box(".graphiql-query-editor .overflow-guard").right)
          .map((line) => line.textContent),
        scrolls: [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight],
      };
    });
  };

  await page.goto(url);
  await page.locator(".graphiql-query-editor .view-lines", { hasText: "inProgressExecutions" }).waitFor();
  seen.tabs = await page.getByRole("tab").allInnerTexts();
  seen.title = await page.title();
  seen.first = await run(/"edges"/);
  await shoot("light");
  seen.link = await page.getByRole("link", { name: "Page of executions" }).evaluate((link) => link.href);
  seen.layouts = [await layout(390, 844), await layout(800, 1000), await layout(1280, 800)];
  await page.setViewportSize({ width: 1366, height: 768 });
  await tab("Details");
  seen.inFull = await run(/"executionOrError"/);
  await shoot("execution");
  await tab("Live");
  seen.changes = [await run(/"kind"/)];
  do {
    await page.waitForTimeout(200); // until the next change
    seen.changes[1] = (await result.innerText()).replaceAll("\u00a0", " ");
  } while (seen.changes[1] === seen.changes[0] || !seen.changes[1].includes('"kind"'));
  await shoot("changes");
  await page.getByRole("button", { name: /^Stop query/ }).click();
  await page.getByRole("button", { name: /^Execute query/ }).waitFor();
  await tab("Several");
  seen.several = await run(/"executions"/);
  await tab("Find");
  seen.found = await run(/"findExecution"/);
  await tab("Accounts");
  seen.accounts = await run(/"accounts"/);

  await page.getByLabel("Bearer token").fill(TOKEN);
  seen.authorization = [];
  await tab("Running");
  await run(/"edges"/);
  await tab("Accounts");
  await page.getByRole("button", { name: "Headers", exact: true }).click(); // a token may be typed there, too
  await page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden)").click();
  await page.keyboard.insertText(`{ "x-token": "${TOKEN}" }`);
  await page.waitForTimeout(1000); // until GraphiQL has noticed
  await run(/"accounts"/);
  await page.getByRole("button", { name: "Variables", exact: true }).click();
  await tab("Running");
  await run(/"edges"/);
  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  await page.getByRole("link", { name: "Query" }).or(page.getByText("Query", { exact: true })).first().click();
  await page.getByText("All queries.").waitFor();
  await shoot("docs");
  await page.getByRole("button", { name: "Show GraphiQL Explorer" }).click();
  await page.locator(".graphiql-explorer-root", { hasText: "findExecution" }).waitFor();
  await shoot("explorer");
  await page.getByRole("button", { name: "Show History" }).click();
  await page.locator(".graphiql-history-items").waitFor();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForTimeout(1000); // until GraphiQL has written what it keeps
  await shoot("history-dark");
  seen.kept = JSON.stringify(await context.storageState({ indexedDB: true })) +
    (await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state, document.cookie])));
  seen.tokenKept = seen.kept.includes(TOKEN);
  seen.authorizationAsTyped = seen.authorization.every((value) => value === `Bearer ${TOKEN}`);

  await page.waitForLoadState("networkidle"); // or the reload aborts what still loads
  await page.reload();
  await page.locator(".graphiql-query-editor .view-lines", { hasText: "inProgressExecutions" }).waitFor();
  seen.tabsAgain = await page.getByRole("tab").allInnerTexts();
  seen.tokenAgain = await page.getByLabel("Bearer token").inputValue();
  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  await page.getByText("A GraphQL schema provides").waitFor();
  await run(/"edges"/);
  await shoot("dark");
  await context.close();

  // EventSource, with the page's policy. Whoever started this script cuts its connection off when it says so.
  const other = await (await browser.newContext()).newPage();
  const resumedAfter = [];
  other.on("request", async (request) => {
    if (request.resourceType() === "eventsource") resumedAfter.push((await request.allHeaders())["last-event-id"] ?? null);
  });
  await other.exposeFunction("cut", () => console.log("cut"));
  await other.goto(url);
  seen.eventSource = await other.evaluate(() => {
    const ids = [[], []]; // of the first connection, and of the second one
    const query = "subscription { executionsChanged { events { id } } }";
    const source = new EventSource(`${location.pathname}?${new URLSearchParams({ query })}`);
    let lastId, connections = 0;
    source.addEventListener("open", () => (connections += 1));
    return new Promise((resolve) => {
      source.addEventListener("next", ({ data, lastEventId }) => {
        const { events } = JSON.parse(data).data.executionsChanged;
        if (connections === 1) lastId = lastEventId; // also of a change without events
        if (events.length === 0) return;
        const first = ids[connections - 1].length === 0;
        ids[connections - 1].push(...events.map(({ id }) => id));
        if (connections === 2) {
          source.close();
          resolve({ ids, lastId });
        } else if (first) cut();
      });
    });
  });
  seen.eventSource.resumedAfter = resumedAfter;
} finally {
  console.log(JSON.stringify(seen));
  await browser.close();
}
