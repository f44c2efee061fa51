// How it opens, what that costs, and how it goes on.
import { aws, closed, given, opened, rows, shoot, visitor } from "./browser.mjs";

/** A page once the gateway has read what happened before the test. */
async function read() {
  const page = await opened();
  await page.locator(".coverage:not(.urgent) summary").filter({ hasNotText: "first time" }).waitFor();
  await rows(page).nth(20).waitFor();
  return page;
}

export async function opening() {
  await closed(await read());
  const seen = [];
  // What else runs on the machine makes it slower, never faster.
  for (let attempt = 0; attempt < 8 && !seen.some(({ firstRowsMs }) => firstRowsMs < 1000); attempt++)
    seen.push(await first());
  return seen.toSorted((one, other) => one.firstRowsMs - other.firstRowsMs)[0];
}

async function first() {
  const page = await (await visitor()).newPage();
  await page.addInitScript(() => {
    new MutationObserver((_, watching) => {
      if (!document.querySelector("[role=rowgroup] [role=row]")) return;
      window.rowsAt = performance.now();
      watching.disconnect();
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(given.url);
  await page.locator(".dot.live").waitFor();
  const { rowsAt, files } = await page.evaluate(() => ({
    rowsAt: window.rowsAt,
    files: performance.getEntries().flatMap(({ entryType, name, responseEnd, encodedBodySize: bytes }) => {
      const isFile = ["navigation", "resource"].includes(entryType) && !name.startsWith("data:");
      return isFile && responseEnd < window.rowsAt ? [{ path: new URL(name).pathname, bytes }] : [];
    }),
  }));
  const bytes = (ending) =>
    files.filter(({ path }) => path.endsWith(ending)).reduce((sum, file) => sum + file.bytes, 0);
  const seen = {
    firstRowsMs: rowsAt,
    requests: files.map(({ path }) => path),
    javascriptBytes: bytes(".js"),
    cssBytes: bytes(".css"),
    title: await page.title(),
    headers: await page.locator("[role=columnheader]").allInnerTexts(),
  };
  await shoot(page, "list");
  await closed(page);
  return seen;
}

/** A thousand rows, live. */
export async function many() {
  const page = await opened();
  await rows(page).first().waitFor();
  const more = page.getByRole("button", { name: "Load more" });
  while ((await rows(page).count()) < 1000) {
    await more.click();
    await page.waitForFunction(
      (before) => document.querySelectorAll("[role=rowgroup] [role=row]").length > before,
      await rows(page).count(),
    );
  }
  const longest = [];
  for (let attempt = 0; attempt < 3 && !longest.some((ms) => ms < 100); attempt++)
    longest.push(
      await page.evaluate(
        () =>
          new Promise((resolve) => {
            const tasks = [0];
            const watching = new PerformanceObserver((list) =>
              tasks.push(...list.getEntries().map(({ duration }) => duration)),
            );
            watching.observe({ type: "longtask" });
            setTimeout(() => (watching.disconnect(), resolve(Math.max(...tasks))), 4000); // changes come twice a second
          }),
      ),
    );
  const seen = {
    rows: await rows(page).count(),
    longestTaskMs: Math.min(...longest),
    end: await page.locator(".end").innerText(),
  };
  // New rows wait while somebody reads further down, and nothing moves.
  await page.mouse.move(0, 0);
  await page.evaluate(() => scrollTo(0, 2000));
  const pill = page.locator(".held button");
  await pill.waitFor();
  const at = await page.evaluate(() => scrollY);
  seen.held = { text: await pill.innerText(), scrolled: at };
  await pill.click();
  await pill.waitFor({ state: "detached" });
  seen.held.after = await page.evaluate(() => scrollY);
  await closed(page);
  return seen;
}

/** How many calls AWS gets in some seconds, by that many visible pages. */
async function calls(pages) {
  const all = await Promise.all(Array.from({ length: pages }, () => opened()));
  await Promise.all(all.map((page) => page.locator(".dot.live").waitFor()));
  await all[0].waitForTimeout(1500); // what opening them causes once
  await aws("calls", "DELETE");
  await all[0].waitForTimeout(4000); // two rounds of what is asked every two seconds
  const { calls: counted } = await aws("calls");
  const total = counted.reduce((sum, { count }) => sum + count, 0);
  await Promise.all(all.map(closed));
  return total;
}

export const tenTabs = async () => ({ one: await calls(1), ten: await calls(10) });

/** A page that nobody sees. */
export async function hidden() {
  const page = await opened();
  await page.locator(".dot.live").waitFor();
  const see = (state) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "visibilityState", { value, configurable: true });
      Object.defineProperty(document, "hidden", { value: value === "hidden", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  await see("hidden");
  await page.locator(".dot:not(.live)").waitFor();
  let [requests, lists] = [0, 0];
  page.on("request", (request) => {
    requests += 1;
    lists += request.postDataJSON()?.variables.first ? 1 : 0;
  });
  await page.waitForTimeout(6000); // longer than any of the page's intervals
  const whileHidden = requests;
  await see("visible");
  await page.locator(".dot.live").waitFor();
  const afterSeconds = lists;
  await see("hidden");
  await page.locator(".dot:not(.live)").waitFor();
  await page.evaluate(() => {
    const { now } = Date;
    Date.now = () => now() + 61_000;
  });
  await see("visible");
  await page.locator(".dot.live").waitFor();
  await closed(page);
  return { whileHidden, after: requests, lists: { afterSeconds, afterMinutes: lists - afterSeconds } };
}
