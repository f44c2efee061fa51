// Searching, filtering and going around, by keyboard alone.
import { readFile } from "node:fs/promises";
import { chips, closed, given, opened, outside, overflow, rows, searched, shoot, visitor } from "./browser.mjs";

const EVERY = "[role=rowgroup] [role=row]";

export async function list() {
  const seen = {};
  const page = await opened();
  await rows(page).first().waitFor();
  const press = (key) => page.keyboard.press(key);
  const address = () => decodeURIComponent(new URL(page.url()).search);
  const files = () => page.locator(`${EVERY} .file a`).allTextContents();
  const settled = () => page.locator(".table[aria-busy=false], .none").first().waitFor();
  const allFailed = () =>
    page.waitForFunction(
      (every) => [...document.querySelectorAll(`${every} .status`)].every(({ textContent }) => textContent === "Failed"),
      EVERY,
    );

  await press("/");
  await page.keyboard.type("payments-");
  await press("Enter");
  await page.waitForFunction(() =>
    [...document.querySelectorAll("[role=rowgroup] .file a")].every((link) => link.textContent.startsWith("payments-")),
  );
  seen.searched = { text: await searched(page), address: address(), files: (await files()).slice(0, 3) };

  await page
    .getByRole("group", { name: "Status" })
    .getByRole("button", { name: /^Failed/ })
    .press("Enter");
  await allFailed();
  const filtered = page.url();
  seen.filtered = {
    address: address(),
    failedSteps: (await page.locator(`${EVERY} .state small`).allTextContents()).slice(0, 3),
  };
  await page.reload();
  await rows(page).first().waitFor();
  seen.reloaded = { text: await searched(page), pressed: await page.locator(".counts [aria-pressed=true]").innerText() };
  const other = await page.context().newPage();
  await other.goto(filtered);
  await rows(other).first().waitFor();
  seen.newTab = await searched(other);
  await other.close();
  await page.goBack();
  await settled();
  seen.back = address();
  await page.goForward();
  await settled();
  seen.forward = page.url() === filtered;

  await allFailed(); // the rows of the address before are gone, and the focus stays where it is put
  await page.evaluate(() => document.activeElement.blur());
  await press("ArrowDown");
  await press("ArrowDown");
  seen.focused = await page.evaluate(() =>
    [...document.querySelectorAll("a[data-id]")].indexOf(document.activeElement),
  );
  const id = await page.evaluate(() => document.activeElement.dataset.id);
  await press("Enter");
  await page.locator(".detail .steps").first().waitFor();
  seen.opened = {
    isInAddress: address().endsWith(`execution=${id}`),
    focus: await page.evaluate(() => document.activeElement.id),
  };
  await press("Escape");
  await page.locator(".detail").waitFor({ state: "detached" });
  await page.waitForFunction((wanted) => document.activeElement.dataset.id === wanted, id);
  seen.closed = !address().includes("execution=");

  const pasted = async (text) => {
    await press("/");
    await page.evaluate((value) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text", value);
      document.activeElement.dispatchEvent(
        new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
      );
    }, text);
  };
  await pasted(id.split("/").at(-1));
  await page.locator(".detail .steps").first().waitFor();
  seen.foundByUuid = address().includes(id);
  await press("Escape");
  await pasted(`111111111111 ${id.split("/")[2]}`);
  await page.waitForFunction(() => document.querySelectorAll(".chips li").length === 2);
  seen.pasted = { chips: await chips(page), text: await searched(page) };
  await page.getByRole("button", { name: /^Remove workflow/ }).press("Enter");
  await page.getByRole("button", { name: /^Remove account/ }).press("Enter");
  await page.locator(".chips").waitFor({ state: "detached" });
  seen.removed = address();

  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "CSV" }).press("Enter"),
  ]);
  seen.csv = {
    name: download.suggestedFilename(),
    lines: (await readFile(await download.path(), "utf8")).split("\r\n").slice(0, 2),
  };

  await page.getByRole("button", { name: "Local" }).press("Enter");
  await page.reload();
  await rows(page).first().waitFor();
  seen.stored = {
    local: await page.getByRole("button", { name: "Local" }).getAttribute("aria-pressed"),
    all: await page.evaluate(() => Object.entries(localStorage)),
  };

  await page.goto(`${given.url}?account=CLAIMS&status=failed&error=TIMEOUT`);
  await page.locator(".chips li").nth(1).waitFor();
  await page.waitForFunction(() => location.search.includes("account=2"));
  seen.alias = { chips: await chips(page), address: address() };
  await page.goto(`${given.url}?q=claims`);
  await page.getByRole("button", { name: "Show that account" }).press("Enter");
  await page.waitForFunction(() => location.search.includes("account=2"));
  seen.aliasSearched = { text: await searched(page), address: address() };

  await page.goto(`${given.url}?q=no-such-file`);
  seen.noMatch = await page.locator(".none h2").innerText();
  await page.goto(`${given.url}?user=hostile`);
  await rows(page).nth(1).waitFor();
  seen.hostile = { files: await files(), title: await page.title(), images: await page.locator("main img").count() };
  await page.locator("a[data-id]").last().click();
  await page.locator(".facts").waitFor();
  seen.hostile.detail = await page.locator(".detail h2").innerText();
  await shoot(page, "hostile");
  await closed(page);
  return seen;
}

/** A row changes where it is, and Pause stops it. */
export async function changes() {
  const page = await opened();
  await page.locator(".dot.live").waitFor();
  await page.mouse.move(0, 0);
  const id = await outside("upload 5");
  const row = page.locator(`[role=row]:has(a[data-id="${id}"])`);
  await row.waitFor();
  const words = [await row.locator(".status").innerText()];
  await row.evaluate((element) => (element.isTheSame = true));
  await row.locator(".status", { hasText: "Completed" }).waitFor();
  words.push(await row.locator(".status").innerText());
  const isTheSame = await row.evaluate((element) => element.isTheSame === true);
  await page.getByRole("button", { name: "Pause" }).click();
  const before = await page.locator(`${EVERY} .file a`).allTextContents();
  await page.locator(".held button").waitFor();
  await page.waitForTimeout(1500); // for three more rounds of changes
  const isStill = JSON.stringify(await page.locator(`${EVERY} .file a`).allTextContents()) === JSON.stringify(before);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.mouse.move(0, 0);
  await page.locator(".held button").waitFor({ state: "detached" });
  await closed(page);
  return { words, isTheSame, isStill };
}

/** What runs, the longest first. */
export async function longest() {
  const page = await opened("?status=running");
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: "Longest first" }).click();
  await page.locator("[role=columnheader][aria-sort=descending]", { hasText: "Duration" }).waitFor();
  await page.locator(".table[aria-busy=false]").waitFor();
  await page.locator(".currency", { hasText: "Asked every 5 s" }).waitFor();
  const starts = await page.evaluate(() =>
    [...document.querySelectorAll("[role=rowgroup] time")].map(({ dateTime }) => dateTime),
  );
  const address = new URL(page.url()).search;
  await page.reload();
  await rows(page).first().waitFor();
  const isKept = await page.getByRole("button", { name: "Longest first" }).getAttribute("aria-pressed");
  await closed(page);
  return { address, isSorted: starts.length > 1 && starts.join() === starts.toSorted().join(), isKept };
}

/** What nothing logs has ended with no record of how; that changes are not told of it, the list says. */
export async function unknown() {
  const page = await opened();
  const button = page.getByRole("button", { name: /^Result unknown/ });
  await button.waitFor({ timeout: 60_000 });
  await button.click();
  await page.waitForFunction(
    (every) => {
      const words = [...document.querySelectorAll(`${every} .status`)].map(({ textContent }) => textContent);
      return words.length > 0 && words.every((word) => word === "Ended, result unknown");
    },
    EVERY,
  );
  await page.locator(".currency", { hasText: "Asked every 5 s" }).waitFor();
  const address = new URL(page.url()).search;
  await page.getByRole("button", { name: /^Failed/ }).click();
  await page.locator(".dot.live").waitFor();
  const after = new URL(page.url()).search;
  await closed(page);
  return { address, after };
}

/** Windows of one browser share three streams; the others ask, and take the place of one that is closed. */
export async function windows() {
  const context = await visitor();
  const pages = [];
  for (let count = 0; count < 5; count++) {
    pages.push(await context.newPage());
    await pages.at(-1).goto(given.url);
    await pages.at(-1).locator(".currency", { hasText: /Live|Asked every/ }).waitFor();
  }
  const states = await Promise.all(pages.map((page) => page.locator(".currency").innerText()));
  const polled = pages.filter((_, index) => states[index].startsWith("Asked every 5 s"));
  const id = await outside("upload 60");
  await polled[0]?.mouse.move(0, 0);
  await polled[0]?.locator(`a[data-id="${id}"]`).waitFor();
  await pages[0].close();
  await Promise.race(polled.map((page) => page.locator(".dot.live").waitFor()));
  await context.close();
  return { polled: polled.length, of: pages.length };
}

/** What is too small for a finger. A row's link is all of the row. */
const tooSmall = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("button, select, input, summary, nav a, [role=rowgroup] > .row:has(a)")]
      .map((element) => [element, element.getBoundingClientRect()])
      .filter(([, { width, height }]) => width > 0 && height < 44)
      .map(([element, { height }]) => `${element.outerHTML.slice(0, 80)} ${height}`),
  );

export async function narrow() {
  const seen = {};
  const page = await opened("", { viewport: { width: 320, height: 640 } });
  await rows(page).first().waitFor();
  seen.list = await overflow(page);
  await page.locator("a[data-id]").first().click();
  await page.locator(".facts").waitFor();
  seen.detail = await overflow(page);
  seen.isAlone = await page.locator(".list").isHidden();
  await page.goto(`${given.url}?view=targets`);
  await page
    .getByRole("button", { name: /^Servers/ })
    .first()
    .click();
  await page.locator(".servers li").first().waitFor();
  seen.targets = await overflow(page);
  await closed(page);
  const touched = await opened("?status=failed", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await rows(touched).first().waitFor();
  await shoot(touched, "touch");
  seen.tooSmall = await tooSmall(touched);
  await touched.locator(`${EVERY}:has(.state small) a[data-id]`).first().tap(); // a step of it failed
  await touched.getByRole("button", { name: /^Others with/ }).waitFor();
  await touched.locator(".events summary").waitFor();
  await shoot(touched, "touch-detail");
  seen.tooSmall.push(...(await tooSmall(touched)));
  await touched.getByRole("button", { name: /^Others with/ }).tap();
  await rows(touched).first().waitFor(); // not behind the detail
  seen.sameError = new URL(touched.url()).search.replace(/error=[A-Z_]+/, "error=…");
  seen.tooSmall.push(...(await tooSmall(touched)));
  await touched.goto(`${given.url}?view=targets`);
  await touched.getByRole("button", { name: /^Servers/ }).first().tap();
  await touched.locator(".servers li").first().waitFor();
  await shoot(touched, "touch-targets");
  seen.tooSmall.push(...(await tooSmall(touched)));
  await closed(touched);
  // 200 % zoom of a window of 1,280 px.
  const zoomed = await opened("", { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 });
  await rows(zoomed).first().waitFor();
  seen.zoomed = await overflow(zoomed);
  await closed(zoomed);
  const large = await opened("", { viewport: { width: 3840, height: 2160 } });
  await rows(large).first().waitFor();
  seen.large = await overflow(large);
  await closed(large);
  return seen;
}
