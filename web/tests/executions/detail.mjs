// One execution, until it has ended and after.
import { closed, expected, given, opened, outside, rows, shoot } from "./browser.mjs";

const said = (page, selector) => page.locator(selector).allTextContents(); // also of rows out of sight

/** Its tagging fails after it has been archived, while its detail is open. */
export async function ending() {
  const id = await outside("upload 18 3");
  const page = await opened(`?execution=${id}`);
  await page.locator(".lead .live").waitFor();
  await page.locator(".steps li.running, .steps li.done").first().waitFor();
  const seen = { status: await page.locator(".lead .status").innerText(), steps: await said(page, ".steps .word") };
  await page.locator(".failure").waitFor();
  seen.failing = await page.locator(".lead .status").innerText();
  await page.locator(".lead .live").waitFor({ state: "detached" });
  seen.ended = await page.locator(".lead .status").innerText();
  seen.failure = await page.locator(".failure").innerText();
  seen.after = await said(page, "[aria-label='Steps after the failure'] .name b");
  seen.usually = await said(page, "[aria-label=Steps] .took small");
  seen.links = await page.locator(".facts a").evaluateAll((links) => links.map((link) => link.href));
  await page.locator(".events summary").click();
  seen.events = await said(page, ".events li");
  seen.copies = await page.locator(".facts .copy").evaluateAll((all) => all.map((each) => each.ariaLabel));
  await shoot(page, "detail");
  await page.waitForTimeout(1500); // whatever would still change it
  seen.last = await page.locator(".lead .status").innerText();
  await page.goto(`${given.url}?execution=${id.replace(/.{12}$/, "000000000000")}`);
  seen.unknown = await page.locator(".detail .none").innerText();
  await closed(page);
  return seen;
}

/** A gateway that wants a token, knows the page's documents alone, and hides files. */
export async function guarded() {
  const page = await opened();
  expected.failures = true; // it is refused
  await page.goto(`${given.hiding}?status=COMPLETED`);
  await page.locator(".sign-in").waitFor();
  expected.failures = false;
  const seen = { signIn: await page.locator(".sign-in").innerText() };
  await page.getByLabel(/bearer token/).fill(given.token);
  await page.getByRole("button", { name: "Use it" }).click();
  await rows(page).first().waitFor();
  seen.address = new URL(page.url()).search;
  seen.who = await page.locator("header .who").innerText();
  seen.files = [...new Set(await said(page, "[role=rowgroup] .file a"))];
  // One that took its time: in some nothing was to be done, so they have no steps.
  const row = page.getByRole("row").filter({ hasText: /\d\d s\b|min/ });
  await row.locator("a[data-id]").first().click();
  await page.locator(".facts").waitFor();
  seen.detail = await page.locator(".detail").innerText();
  seen.stored = await page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
  );
  await page.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("/");
  await page.keyboard.type("payments");
  await page.keyboard.press("Enter");
  await page.locator(".none").waitFor();
  seen.filter = await page.locator(".coverage summary").innerText();
  await closed(page);
  return seen;
}
