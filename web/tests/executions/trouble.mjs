// Accounts that refuse or hang, and a gateway that is away.
import { aws, closed, expected, given, opened, outside, rows, shoot } from "./browser.mjs";

const DENIED = "222222222222";
const HANGING = "333333333333";

export async function refuse() {
  await aws("faults", "POST", { kind: "deny", account_id: DENIED });
  await aws("faults", "POST", { kind: "hang", account_id: HANGING });
}

export const recover = () => aws("faults", "DELETE");

/** While they refuse. */
export async function gaps() {
  const page = await opened();
  let healthyMs = Infinity;
  for (let attempt = 0; attempt < 8 && healthyMs >= 1000; attempt++) {
    const began = Date.now();
    await page.goto(`${given.url}?account=111111111111`);
    await rows(page).nth(10).waitFor();
    healthyMs = Math.min(healthyMs, Date.now() - began);
  }
  await page.goto(given.url);
  const banner = page.locator(".coverage.urgent summary");
  await banner.filter({ hasText: "claims" }).filter({ hasText: "logistics" }).waitFor();
  const text = await banner.innerText();
  await banner.click();
  const remedies = await page.locator(".coverage li").allInnerTexts();
  await shoot(page, "coverage");
  await page.goto(`${given.url}?view=targets`);
  await page.locator(".targets .state small").first().waitFor();
  const targets = await page.locator(".targets [role=rowgroup] [role=row]").allInnerTexts();
  await closed(page);
  return { healthyMs, text, remedies, targets };
}

/** Until nothing is urgent any more. */
export async function recovered() {
  const page = await opened();
  await rows(page).first().waitFor();
  await page.locator(".coverage:not(.urgent) summary").waitFor({ timeout: 60_000 });
  const text = await page.locator(".coverage summary").innerText();
  await closed(page);
  return text;
}

export async function away() {
  const page = await opened();
  await page.locator(".dot.live").waitFor();
  await page.mouse.move(0, 0);
  expected.failures = true;
  await outside("cut");
  await page.locator(".currency.old").waitFor();
  const seen = { old: await page.locator(".currency.old").innerText(), rows: await rows(page).count() };
  await shoot(page, "old");
  await page.getByRole("button", { name: /^Completed/ }).click();
  await page.locator(".none").waitFor();
  seen.notAsked = await page.locator(".none").innerText();
  await outside("back");
  await rows(page).first().waitFor();
  await page.locator(".dot.live").waitFor();
  expected.failures = false;
  seen.back = await page.locator(".currency").innerText();
  await closed(page);
  return seen;
}
