// Uses the page of executions as people do, in Chromium, and prints what came of it, as JSON.
// Usage: node executions.mjs JSON, which the test gives it; it does what is printed before.
import { accessibility } from "./executions/accessibility.mjs";
import { browser, shoot, wrong } from "./executions/browser.mjs";
import { ending, guarded } from "./executions/detail.mjs";
import { changes, list, longest, narrow, unknown, windows } from "./executions/list.mjs";
import { hidden, many, opening, tenTabs } from "./executions/opening.mjs";
import { away, gaps, recover, recovered, refuse } from "./executions/trouble.mjs";

const seen = { wrong, failed: {}, took: {} };
const part = async (name, look) => {
  if (process.env.PARTS && !process.env.PARTS.split(",").includes(name)) return; // while one is worked on
  const began = Date.now();
  try {
    seen[name] = await look();
  } catch (error) {
    seen.failed[name] = error.stack; // the others go on
    for (const [index, page] of browser
      .contexts()
      .flatMap((context) => context.pages())
      .entries())
      await shoot(page, `failed-${name}-${index}`).catch(() => undefined); // another part has closed it
  }
  seen.took[name] = (Date.now() - began) / 1000;
};
try {
  await part("opening", opening);
  await part("many", many);
  await part("tenTabs", tenTabs);
  await refuse(); // is noticed meanwhile
  await part("list", list);
  await part("gaps", gaps);
  await recover(); // the same
  // These wait for what happens more than they do anything.
  const slow = { changes, ending, hidden, guarded, longest, unknown, windows };
  await Promise.all(Object.entries(slow).map(([name, look]) => part(name, look)));
  await part("narrow", narrow);
  await part("away", away);
  await part("recovered", recovered);
  await part("accessibility", accessibility);
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0); // it still listens to the test
