// Opens the page in Chromium through a proxy that people sign in at, and prints what came of it, as JSON.
// Usage: node sign-in.mjs URL DIRECTORY; the screenshots go there. A printed word is a wish, granted by a line on stdin.
import { createInterface } from "node:readline/promises";
import { chromium } from "playwright-core";

const [url, directory] = process.argv.slice(2);
const granted = createInterface({ input: process.stdin });
const seen = { outside: [], errors: [] };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) seen.outside.push(request.url());
  });
  context.on("weberror", (event) => seen.errors.push(String(event.error())));
  const page = await context.newPage();
  const wish = (word) =>
    new Promise((done) => {
      granted.once("line", done);
      console.log(word);
    });
  const row = page.locator("main a[data-id]").first();
  const signIn = page.getByRole("button", { name: "Sign in again" });

  await page.goto(url);
  await row.waitFor();
  seen.opened = page.url();
  seen.who = await page.locator(".who").innerText();

  await wish("expire");
  await page.getByLabel("Started", { exact: true }).selectOption("7d");
  await signIn.waitFor();
  seen.ended = page.url();
  await page.screenshot({ path: `${directory}/ended.png` });
  await signIn.click();
  await row.waitFor();
  seen.again = page.url();

  await page.goto(url);
  await row.waitFor();
  await wish("stale"); // as of a proxy that did not renew it
  await page.reload();
  await signIn.waitFor();
  seen.refused = await page.getByRole("alert").innerText();
  await page.screenshot({ path: `${directory}/refused.png` });
  await wish("expire");
  await signIn.click();
  await row.waitFor();
  seen.last = page.url();
  await context.close();
} finally {
  console.log(JSON.stringify(seen));
  await browser.close();
  granted.close();
}
