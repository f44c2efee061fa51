// axe, in ten states, light and dark, wide and narrow.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { closed, expected, given, opened, outside, rows } from "./browser.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = [
  { width: 1280, height: 800 },
  { width: 390, height: 844 },
];
const FEW = "?user=hostile"; // axe looks at each row

export async function accessibility() {
  const found = {};
  const page = await opened(FEW, { bypassCSP: true });
  await page.evaluate(axe);
  const look = async (state, ready) => {
    await ready();
    for (const viewport of SIZES)
      for (const colorScheme of ["light", "dark"]) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        // What is seen in the dark differs in its colors alone.
        const only = colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {};
        const violations = await page.evaluate(async (options) => {
          const { violations } = await axe.run(document, { resultTypes: ["violations"], ...options });
          return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
        }, only);
        found[`${state} ${viewport.width} ${colorScheme}`] = violations;
      }
    await page.setViewportSize(SIZES[0]);
  };
  const go = (query) =>
    page.evaluate((value) => {
      history.pushState(null, "", value);
      dispatchEvent(new PopStateEvent("popstate"));
    }, query);
  const wait = (selector) => page.locator(selector).first().waitFor();

  await look("list", () => rows(page).nth(1).waitFor());
  await look("chips and own times", async () => {
    await go(`${FEW}&q=claims&account=111111111111&error=TIMEOUT&from=2020-01-01T00:00:00Z`);
    await wait(".chips li:nth-child(4)"); // the last offers an account of that name
    await wait(".own");
  });
  await look("nothing matches", async () => (await go("?q=no-such-file"), wait(".none h2")));
  await look("completed", async () => {
    await go(`${FEW}&status=COMPLETED`);
    await rows(page).nth(1).waitFor();
    await page.locator("a[data-id]").first().click();
    await wait(".facts");
  });
  const id = await outside("upload 1000");
  await look("running", async () => (await go(`${FEW}&execution=${id}`), wait(".steps li.waiting")));
  const failing = await outside("upload 1 1");
  await look("failed", async () => {
    await go(`${FEW}&execution=${failing}`);
    await wait(".failure");
    await page.locator(".lead .live").waitFor({ state: "detached" });
    await page.locator(".events summary").click();
  });
  await look(
    "not found",
    async () => (await go(`${FEW}&execution=${id.replace(/.{12}$/, "000000000000")}`), wait(".detail .none")),
  );
  await look("coverage", async () => {
    await go(FEW);
    await page.locator(".detail").waitFor({ state: "detached" });
    await page.locator(".coverage summary").click();
  });
  await look("targets", async () => {
    await go("?view=targets");
    await page
      .getByRole("button", { name: /^Servers/ })
      .first()
      .click();
    await wait(".servers li");
  });
  await go(FEW);
  await wait(".dot.live");
  expected.failures = true;
  await outside("cut");
  await look("old", () => wait(".currency.old"));
  await look("not asked", async () => (await go("?q=other"), wait(".none h2")));
  await outside("back");
  await wait(".none:not([role=alert])");
  await page.goto(given.hiding);
  await page.evaluate(axe);
  await look("sign in", () => wait(".sign-in"));
  await closed(page);
  return found;
}
