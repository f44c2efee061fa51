// The picture of the page in the README. Usage: node picture.mjs URL FILE
import { chromium } from "playwright-core";

const [url, file] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 760 } });
  await page.goto(`${url}?status=EXCEPTION`);
  const failed = page.getByRole("row", { name: /virus-scan/ }).first();
  await failed.getByRole("link").click();
  await page.getByRole("heading", { name: "Steps" }).waitFor();
  await page.getByText(/^usually/).first().waitFor();
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}
