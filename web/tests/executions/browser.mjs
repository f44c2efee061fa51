// Chromium, what it asked for, and whatever happens outside it.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export const given = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Have the test do something outside the browser: `cut`, `back`, `upload SECONDS [FAILING STEP]`. */
export async function outside(command) {
  console.log(command);
  return (await lines.next()).value;
}

export const aws = async (path, method = "GET", body = undefined) =>
  (await fetch(`${given.aws}/_emulator/${path}`, { method, body: body && JSON.stringify(body) })).json();

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** What no page may do, in the whole run. */
export const wrong = { outside: [], errors: [] };
/** What is expected to fail while it is true. */
export const expected = { failures: false };

export async function visitor(options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    colorScheme: "light",
    ...options,
  });
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (
      ![given.url, given.hiding].some((url) => new URL(url).origin === origin) &&
      !["data:", "blob:"].includes(protocol)
    )
      wrong.outside.push(request.url());
  });
  context.on("weberror", (event) => wrong.errors.push(String(event.error())));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.failures) wrong.errors.push(message.text());
  });
  context.setDefaultTimeout(20_000);
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.blockedURI}`));
  });
  return context;
}

export async function opened(query = "", options = {}) {
  const page = await (await visitor(options)).newPage();
  await page.goto(given.url + query);
  return page;
}

export const rows = (page) => page.locator("[role=rowgroup] [role=row]");
export const chips = (page) => page.getByRole("list", { name: "Filters" }).locator("li > span").allInnerTexts();
export const searched = (page) => page.getByRole("textbox", { name: /^Search/ }).inputValue();
export const shoot = (page, name) => page.screenshot({ path: `${given.directory}/${name}.png` });
export const closed = (page) => page.context().close();
/** How far the page is wider than the window. */
export const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
