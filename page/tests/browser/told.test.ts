/** A pair unlike that of digits: colours, 25 classes, a model that is told the class. */

import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./chromium.ts";
import { complaints, finished, pixels } from "./page.ts";
import { type Site, site } from "./site.ts";

let server: Site;
let browser: Browser;
let page: Page;
let said: string[];

beforeAll(async () => {
  server = await site(fileURLToPath(new URL("../made/told/", import.meta.url)));
  browser = await launch();
  page = await browser.newPage();
  said = complaints(page);
  await page.goto(`${server.address}#steps=3`);
  await finished(page);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

test("it opens without a complaint", () => {
  expect(said).toEqual([]);
});

test("the pictures without guidance follow the class that the model is told", async () => {
  const before = await pixels(page.locator(".row.unguided"));
  await page.locator(".stage").getByRole("button", { name: "kind 19", exact: true }).click();
  await expect.poll(() => pixels(page.locator(".row.unguided"))).not.toEqual(before);
  await finished(page);
});

test("classes beyond the buttons are written, and several at once are refused in words", async () => {
  const field = page.locator(".stage .target input");
  const options = page.locator(".stage datalist option");
  expect(await options.count()).toBe(0);
  await field.focus();
  expect(await options.count()).toBe(25);
  await field.fill('"1|2"');
  await expect.poll(() => page.url()).toContain("%221%7C2%22");
  await finished(page);
  await field.fill("kind 1|kind 2");
  await field.press("Enter");
  expect(await page.locator(".classes .said").first().textContent()).toContain(
    "told the class itself",
  );
  expect(await page.locator(".stage .buttons button").count()).toBe(20);
});

test("no word is wider than its button", async () => {
  const over = await page
    .locator(".buttons button")
    .evaluateAll((all) => all.filter((each) => each.scrollWidth > each.clientWidth).length);
  expect(over).toBe(0);
});
